// The parts of the tab, its texts and its state.
const root = element.querySelector(".learn");
const one = (name) => root.querySelector(`[data-${name}]`);
const t = (key, fields = {}) => props.words[key].replace(/\{(\w+)\}/g, (_, name) => fields[name]);
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const visible = () => root.offsetParent !== null;

const state = {
  phase: "idle", // of the training that is shown: also starting, running, paused, done, stopped, failed
  mine: false,
  position: 0, // in the queue
  waiting: 0,
  ready: false,
  available: true,
  error: "",
  start: null, // what the server says of the runs
  points: [], // [frame][run] = [step, training loss, accuracy, validation loss, accuracy]
  looks: null, // of each run: predictions, filters, confusion
  seconds: [],
  final: null,
  message: "", // of the latest action; it replaces the status
  lost: false,
};

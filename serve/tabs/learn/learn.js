// The Learn tab: its stream of frames, its buttons, and what they change.
const ICONS = { train: "M7 4l13 8-13 8z", pause: "M6 4h4v16H6zM14 4h4v16h-4z" };
const base = new URL("learn/", document.baseURI);
const KEY = "learn-client";
let source = null; // the stream of events
let recordings = null; // in place of the stream where nothing can be trained
let player = null;

function identity() {
  let id = null;
  try { id = sessionStorage.getItem(KEY); } catch { /* not allowed to store */ }
  id ??= `c${Math.random().toString(36).slice(2)}${Date.now().toString(36)}`;
  try { sessionStorage.setItem(KEY, id); } catch { /* it lasts as long as the page */ }
  return id;
}
const client = identity();

async function act(name, values = {}) {
  const response = await fetch(new URL(name, base), {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ client, ...values }),
  });
  const answer = await response.json();
  if (answer.error && answer.code && !response.ok) throw new Error(answer.error);
  return answer;
}

// Do something on the server; its refusal becomes the status.
async function tell(name, values) {
  try {
    say("");
    return await act(name, values);
  } catch (error) {
    say(error.message, "error");
    return null;
  }
}

function say(message, kind = "") {
  Object.assign(state, { message, kind });
  drawStatus();
}

// ---- the stream
function listen() {
  if (source) return;
  source = new EventSource(new URL(`stream?client=${client}`, base));
  const on = (name, take) => source.addEventListener(name, (event) => take(JSON.parse(event.data)));
  on("hello", () => { state.lost = false; drawStatus(); });
  on("state", takeState);
  on("start", takeStart);
  on("frame", takeFrame);
  on("final", (final) => { state.final = final; later(); });
  source.addEventListener("error", () => { state.lost = true; drawStatus(); });
  if (window.learnPad) window.learnDrawing(window.learnPad);
}

function takeState(next) {
  const wasReady = state.ready;
  Object.assign(state, next);
  if (!state.available) return openRecordings();
  if (!wasReady && state.ready && drawn) sendDrawing(drawn);
  drawStatus();
  drawButtons();
  drawFacts();
  drawCommand();
}

function takeStart(start) {
  Object.assign(state, { start, points: [], looks: null, final: null, seconds: [] });
  changed.length = 0;
  drawFacts();
  drawMeasured();
}

function takeFrame(frame) {
  state.points.push(...frame.points);
  noteChanges(state.looks, frame.looks);
  Object.assign(state, { looks: frame.looks, seconds: frame.seconds });
  later();
}

// ---- drawing, at most once per frame of the screen, and only what can be seen
let pending = false;
function later() {
  if (pending || !visible()) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    drawAll();
  });
}

function drawAll() {
  if (!visible()) return;
  drawCurves();
  drawMinds();
  drawBars();
  drawFilters();
  drawConfusion();
  drawCounters();
}

function drawCounters() {
  const last = state.points.at(-1);
  const names = state.start ? state.start.runs.map((_, index) => index) : [];
  const show = (name, values) => root.querySelector(`[data-now="${name}"]`).replaceChildren(
    ...values.flatMap((text, index) => {
      const part = document.createElement("span");
      part.textContent = text;
      if (values.length > 1) part.className = index ? "b" : "a";
      return index ? [" ", part] : [part];
    }));
  if (!last) return;
  const accuracy = (index) => state.final?.runs?.[index].accuracy ?? last[index][4];
  root.querySelector(".counters .big").classList.toggle("pair", names.length > 1);
  show("accuracy", names.map((index) => percent(accuracy(index), state.final ? 2 : 1)));
  show("examples", [count(last[0][0] * state.start.runs[0].batch_size)]);
  show("seconds", [`${Math.max(...state.seconds).toFixed(1)} s`]);
}

function summary() {
  const finals = state.final?.runs ?? [];
  const each = finals.map((run, index) => t("result", {
    run: finals.length > 1 ? `${NAMES[index]}: ` : "",
    accuracy: percent(run.accuracy, 2),
    seconds: (state.seconds[index] ?? 0).toFixed(1),
  }));
  return t("results", { each: each.join("; "), count: count(finals[0]?.count ?? 0) });
}

function statusText() {
  const digits = () => count((state.points.at(-1)?.[0][0] ?? 0) * (state.start?.runs[0].batch_size ?? 0));
  if (state.message) return state.message;
  if (state.lost) return t("lost");
  if (recordings) return t("unavailable");
  if (state.error) return state.error;
  if (state.position) return t("waiting", state);
  const active = ["starting", "running", "paused"].includes(state.phase);
  if (active && !state.mine) return t("foreign");
  if (!state.ready && source) return t("starting");
  if (state.phase === "running" || state.phase === "starting") return t("running", { runs: describe() });
  if (state.phase === "paused") return t("paused", { digits: digits() });
  if (state.phase === "stopped") return t("stopped", { digits: digits() });
  if (state.phase === "done") return t("done", { results: summary() });
  return t("ready");
}

function describe() {
  const shown = state.start?.runs ?? runs;
  return shown.map((run) => `${run.recipe}, ${run.activation}, ${count(run.digits)} digits`).join(" | ");
}

function drawStatus() {
  const text = statusText();
  const status = one("status");
  if (status.textContent !== text) status.textContent = text;
  status.dataset.kind = state.message ? state.kind : state.error && !state.position ? "error" : "";
}

const mineRunning = () => state.mine && ["starting", "running"].includes(state.phase);
const minePaused = () => state.mine && state.phase === "paused";

function drawButtons() {
  const running = recordings ? Boolean(player?.timer) : mineRunning();
  const label = state.position ? "cancel" : running ? "pause" : minePaused() ? "resume"
    : recordings ? "play" : state.points.length && state.mine ? "again" : "train";
  one("train-text").textContent = t(label);
  one("icon").setAttribute("d", running || state.position ? ICONS.pause : ICONS.train);
  one("stop").disabled = recordings ? false : !(mineRunning() || minePaused());
  drawAfter();
}

function drawMeasured() {
  const { start } = state;
  const noisy = start.runs.some((run) => run.noise_percent);
  one("measured").textContent = [
    t("measured", {
      sample: count(start.sample),
      train: [...new Set(start.runs.map((run) => count(Math.min(start.sample, run.digits))))].join(" / "),
      count: count(start.validation),
    }),
    noisy ? t("noise_note") : "",
  ].join(" ");
}

// The commands that register the same networks, once they are trained.
function drawCommand() {
  const commands = state.phase === "done" && state.mine && !recordings
    ? state.start.runs.map((run) => run.command).filter(Boolean) : [];
  one("command").replaceChildren(...commands.flatMap((command) => {
    const code = document.createElement("code");
    code.textContent = command;
    return [t("register"), " ", code, " "];
  }));
}

// ---- after the training
function drawAfter() {
  const can = !recordings && state.mine && state.looks && ["paused", "done", "running"].includes(state.phase);
  const shown = can ? state.start.runs.length : 0;
  const area = one("after");
  if (Number(area.dataset.shown) === shown) return;
  area.dataset.shown = shown;
  area.replaceChildren(...Array.from({ length: shown }, (_, run) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = props.frame.try.replace("{run}", runName(run));
    button.addEventListener("click", () => tryOut(run));
    return button;
  }));
}

const runName = (run) => (state.start.runs.length > 1 ? t("run", { name: NAMES[run] }) : t("the_net"));

async function tryOut(run) {
  const name = runName(run);
  say(t("exporting", { run: name }));
  try {
    let answer;
    do answer = await act("try", { training: state.start.id, run });
    while (answer.pending);
    props.value = answer.key;
    trigger("submit"); // the Digit tab's model
    say(t("tried", { run: name }));
    [...document.querySelectorAll("[role=tab]")]
      .find((tab) => tab.textContent.trim() === props.words.digit_tab)?.click();
  } catch (error) {
    say(error.message, "error");
  }
}

// ---- actions
const request = (paused) => ({ request: { runs, paused, speed: one("speed").value } });

function train(paused = false) {
  listen();
  if (recordings) return play(paused);
  if (state.position) return tell("stop");
  if (!paused && mineRunning()) return tell("pause");
  if (!paused && minePaused()) return tell("resume");
  return tell("start", request(paused));
}

one("train").addEventListener("click", () => train());
one("step").addEventListener("click", async () => {
  if (recordings) return playStep();
  if (!mineRunning() && !minePaused()) await train(true);
  else await tell("step");
  return null;
});
one("reseed").addEventListener("click", () => {
  setRuns(runs.map((run) => ({ ...run, seed: run.seed + 1 })));
  if (recordings) return play();
  return tell("start", request(false));
});
one("stop").addEventListener("click", () => (recordings ? playEnd() : tell("stop")));
one("speed").addEventListener("change", () => {
  if (mineRunning() || minePaused()) tell("speed", { speed: one("speed").value });
});
one("experiment").addEventListener("change", ({ target }) => {
  if (recordings) return open(Number(target.value));
  if (target.value) setRuns(EXPERIMENTS[target.value]);
  return null;
});

// ---- the beginning
one("experiment").replaceChildren(
  ...[["", t("own")], ...Object.entries(props.experiments)].map(([value, text]) => new Option(text, value)),
);
one("experiment").value = "fast";
setRuns(EXPERIMENTS.fast);
new IntersectionObserver((entries) => {
  if (!entries.some((entry) => entry.isIntersecting)) return;
  listen();
  drawStatus();
  drawButtons();
  later();
}).observe(root);
new ResizeObserver(later).observe(root);
const shade = () => {
  root.toggleAttribute("data-dark", Boolean(document.querySelector("html.dark, body.dark")));
  later();
};
for (const part of [document.documentElement, document.body])
  new MutationObserver(shade).observe(part, { attributeFilter: ["class"] });
shade();

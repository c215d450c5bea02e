// The gate lab: draws a one-hidden-layer network from its weights, and lets it be moved and bent.
// The server sends the registered networks as the value, and trains; all else is computed here.
const TICK = 50; // milliseconds a frame plays
const LATE = 30_000; // milliseconds until the server is taken for lost
let asked = 0; // trainings, so that a late answer is not shown

// ---- what a person does
const served = () => (props.value && props.value.gates) || {};
const servedNet = () => Object.values(served()).find((gate) => gate.bits === state.bits) || null;
function show(base) {
  Object.assign(state, { base, net: base, edited: false });
  draw();
}
function name(bits) {
  // the gate's name, or that it is one's own
  const known = props.catalogue.flatMap((group) => group.gates).find((gate) => gate.bits === bits);
  const other = Object.entries(served()).find(([, gate]) => gate.bits === bits);
  state.label = known ? known.label : other ? other[0] : say("own");
}
function setBits(bits) {
  state.bits = bits;
  name(bits);
  listGates();
  if (state.x.length !== inputs()) {
    state.x = Array(inputs()).fill(0);
    one("inputs").replaceChildren(
      ...letters().flatMap((letter, i) => [
        node("label", { for: `lab-input-${i}` }, say("input", { name: letter })),
        node("input", {
          type: "range",
          id: `lab-input-${i}`,
          min: LOW,
          max: HIGH,
          step: 0.01,
          "data-input": i,
        }),
        node("output", { for: `lab-input-${i}` }),
      ]),
    );
  }
  const radio = element.querySelector("input[value=served]");
  radio.disabled = !servedNet();
  // of more inputs there is too much to train here
  for (const part of ["train", "another"]) one(part).disabled = inputs() > MOST_INPUTS;
}
function listGates() {
  const groups = [...props.catalogue];
  const known = new Set(groups.flatMap((group) => group.gates.map((gate) => gate.bits)));
  const extra = Object.entries(served())
    .filter(([, gate]) => !known.has(gate.bits))
    .map(([label, gate]) => ({ label, bits: gate.bits }));
  if (!known.has(state.bits) && !extra.some((gate) => gate.bits === state.bits))
    extra.push({ label: `${say("own")} ${state.bits}`, bits: state.bits });
  const option = (gate) => node("option", { value: gate.bits }, gate.label);
  const list = one("gate");
  list.replaceChildren(
    ...groups.map((group) => {
      const made = node("optgroup", { label: group.label });
      made.append(...group.gates.map(option));
      return made;
    }),
    ...extra.map(option),
  );
  list.value = state.bits;
}
function setSource(source) {
  state.source = source;
  element.querySelector(`input[value=${source}]`).checked = true;
}
// What still plays or trains comes too late.
function leave() {
  stop();
  asked += 1;
  Object.assign(state, { problem: "", training: false });
}
function choose(bits) {
  leave();
  state.stale = false;
  setBits(bits);
  const net = servedNet();
  if (net && state.source === "served") return show(net);
  if (inputs() > MOST_INPUTS) return show(net); // too large to be trained here
  return train(false);
}
async function train(play = true) {
  leave();
  const mine = asked;
  const within = (input) => Math.round(Math.min(input.max, Math.max(1, input.value || 1)));
  for (const input of [one("hidden"), one("start")]) input.value = within(input);
  state.training = true;
  setSource("trained");
  drawBusy();
  drawStatus();
  let run;
  try {
    const asking = server.train({
      bits: state.bits,
      hidden: within(one("hidden")),
      activation: one("activation").value,
      start: within(one("start")),
    });
    const late = new Promise((_, reject) => setTimeout(reject, LATE));
    run = await Promise.race([asking, late]);
  } catch {
    run = { error: say("failed") };
  }
  if (mine !== asked) return; // a later one was asked for
  Object.assign(state, { problem: run.error || "", training: false });
  if (run.error) return draw();
  Object.assign(state, { run, stale: false });
  tell(run);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  scrub(play && !calm ? 0 : run.epochs.length - 1);
  if (play && !calm) start();
}
function tell(run) {
  const percent = (share) => Math.round(100 * share);
  const rows = run.bits.length;
  one("luck").textContent =
    `${say("result", { start: run.start, right: run.right.at(-1), rows })} ${say("luck", {
      starts: run.learned.length,
      share: percent(run.share),
      low: percent(run.low),
      high: percent(run.high),
    })}`;
}
function scrub(frame) {
  state.frame = frame;
  show(moment(state.run, frame));
}
function start() {
  stop();
  if (state.frame >= state.run.epochs.length - 1) state.frame = 0;
  timer = setInterval(() => {
    if (state.frame + 1 >= state.run.epochs.length - 1) stop();
    scrub(Math.min(state.frame + 1, state.run.epochs.length - 1));
  }, TICK);
  scrub(state.frame);
}
function stop() {
  clearInterval(timer);
  timer = null;
}
function edit(value) {
  if (!Number.isFinite(value)) return;
  stop();
  if (!state.edited) Object.assign(state, { net: copied(state.base), edited: true });
  weigh(state.net, state.weight, Math.min(MOST_WEIGHT, Math.max(-MOST_WEIGHT, value)));
  draw();
}
function move(a, b) {
  const held = (v) => Math.min(HIGH, Math.max(LOW, Math.round(v * 100) / 100));
  state.x[0] = held(a);
  if (state.x.length > 1) state.x[1] = held(b);
  draw();
}
function another(next) {
  one("start").value = next;
  train();
}

// ---- and how it gets here
const plot = one("plot");
const ring = one("ring");
ring.setAttribute("aria-valuemin", LOW);
ring.setAttribute("aria-valuemax", HIGH);
function follow(event) {
  const box = plot.getBoundingClientRect();
  const scale = 440 / box.width;
  const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  move(LOW + ((x - LEFT) / PLOT) * (HIGH - LOW), HIGH - ((y - TOP) / PLOT) * (HIGH - LOW));
}
plot.addEventListener("pointerdown", (event) => {
  // a finger beside the ring scrolls the page
  if (event.pointerType !== "mouse" && !ring.contains(event.target)) return;
  plot.setPointerCapture(event.pointerId);
  follow(event);
  ring.focus({ preventScroll: true });
  event.preventDefault();
});
plot.addEventListener(
  "pointermove",
  (event) => plot.hasPointerCapture(event.pointerId) && follow(event),
);
plot.addEventListener("click", follow);
ring.addEventListener("keydown", (event) => {
  const step = event.shiftKey ? 0.25 : 0.05;
  const way = {
    ArrowLeft: [-step, 0],
    ArrowRight: [step, 0],
    ArrowDown: [0, -step],
    ArrowUp: [0, step],
  }[event.key];
  if (!way) return;
  event.preventDefault();
  move(state.x[0] + way[0], (state.x[1] ?? 0) + way[1]);
});
one("diagram").addEventListener("pointerdown", (event) => {
  const hit = event.target.closest("[data-name]");
  if (!hit) return;
  state.weight = hit.dataset.name;
  draw();
});
one("starts").addEventListener(
  "click",
  (event) => event.target.dataset.square && another(event.target.dataset.square),
);
const on = (part, kind, act) => one(part).addEventListener(kind, act);
on("gate", "change", () => choose(one("gate").value));
on("train", "click", () => train());
on("another", "click", () => another((one("start").value % one("start").max) + 1));
on("unlucky", "click", () => {
  const { learned, start } = state.run;
  const next = learned.indexOf("0", start);
  another((next < 0 ? learned.indexOf("0") : next) + 1);
});
for (const part of ["hidden", "activation", "start"]) on(part, "change", () => train());
on("weight", "change", () => {
  state.weight = one("weight").value;
  draw();
});
on("slider", "input", () => edit(Number(one("slider").value)));
on("value", "input", () => one("value").value !== "" && edit(Number(one("value").value)));
on("value", "change", writeValue);
on("restore", "click", () => show(state.base));
on("scrub", "input", () => {
  stop();
  scrub(Number(one("scrub").value));
});
on("play", "click", () => {
  if (timer) {
    stop();
    draw();
  } else start();
});
on("inputs", "input", (event) => {
  state.x[event.target.dataset.input] = Number(event.target.value);
  draw();
});
on("rows", "click", ({ target }) => {
  if (target.dataset.row) {
    state.x = row(Number(target.dataset.row));
    draw();
  }
  if (!target.dataset.bit) return;
  const bits = [...state.bits];
  const index = Number(target.dataset.bit);
  bits[index] = bits[index] === "1" ? "0" : "1";
  leave();
  state.stale = true;
  setBits(bits.join(""));
  draw();
});
element.querySelectorAll("input[name=lab-source]").forEach((radio) =>
  radio.addEventListener("change", () => {
    setSource(radio.value);
    choose(state.bits);
  }),
);
// A model has come: the first, or another.
function begin() {
  if (!props.value || !props.value.gates) return;
  const known = Object.values(served());
  const trained = state.source === "trained" && state.run;
  const first = served()[props.favourite] || known[0];
  if (trained) {
    setBits(state.bits);
    return draw();
  }
  setSource(known.length ? "served" : "trained");
  const stay = (state.base && servedNet()) || !first;
  const bits = stay ? state.bits : first.bits;
  choose(bits.length > 2 ** MOST_INPUTS && !servedNet() ? "0110" : bits);
}
new ResizeObserver(draw).observe(one("diagram")); // its text keeps its size
watch("value", begin);
begin();

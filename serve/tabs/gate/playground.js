// The gate playground: a one-hidden-layer network whose input and weights can be changed.
// The server sends the registered networks as the value, and trains; the rest is computed here.
const TICK = 50; // milliseconds per frame
const LATE = 30_000; // milliseconds until the server counts as down
let requested = 0; // trainings, so that a late answer is not shown

// ---- actions
const served = () => (props.value && props.value.gates) || {};
const servedNet = () => Object.values(served()).find((gate) => gate.bits === state.bits) || null;
function show(base) {
  Object.assign(state, { base, net: base, edited: false, linked: false });
  draw();
}
function name(bits) {
  // the gate's name, or "own gate"
  const known = props.catalogue.flatMap((group) => group.gates).find((gate) => gate.bits === bits);
  const other = Object.entries(served()).find(([, gate]) => gate.bits === bits);
  state.label = known ? known.label : other ? other[0] : t("own");
}
function setBits(bits) {
  state.bits = bits;
  name(bits);
  listGates();
  if (state.x.length !== inputs()) {
    state.x = Array(inputs()).fill(0);
    one("inputs").replaceChildren(
      ...letters().flatMap((letter, i) => [
        node("label", { for: `playground-input-${i}` }, t("input", { name: letter })),
        node("input", {
          type: "range",
          id: `playground-input-${i}`,
          min: LOW,
          max: HIGH,
          step: 0.01,
          "data-input": i,
        }),
        node("output", { for: `playground-input-${i}` }),
      ]),
    );
  }
  const radio = element.querySelector("input[value=served]");
  radio.disabled = !servedNet();
  // larger tables take too long to train here
  for (const part of ["train", "another"]) one(part).disabled = inputs() > MAX_INPUTS;
}
function listGates() {
  const groups = [...props.catalogue];
  const known = new Set(groups.flatMap((group) => group.gates.map((gate) => gate.bits)));
  const extra = Object.entries(served())
    .filter(([, gate]) => !known.has(gate.bits))
    .map(([label, gate]) => ({ label, bits: gate.bits }));
  if (!known.has(state.bits) && !extra.some((gate) => gate.bits === state.bits))
    extra.push({ label: `${t("own")} ${state.bits}`, bits: state.bits });
  const option = (gate) => node("option", { value: gate.bits }, gate.label);
  const list = one("gate");
  list.replaceChildren(
    ...groups.map((group) => {
      const result = node("optgroup", { label: group.label });
      result.append(...group.gates.map(option));
      return result;
    }),
    ...extra.map(option),
  );
  list.value = state.bits;
}
function setSource(source) {
  state.source = source;
  element.querySelector(`input[value=${source}]`).checked = true;
}
// Stop what still plays or trains.
function leave() {
  stop();
  requested += 1;
  Object.assign(state, { problem: null, training: false });
}
function choose(bits) {
  leave();
  state.stale = false;
  setBits(bits);
  const net = servedNet();
  if (net && state.source === "served") return show(net);
  if (inputs() > MAX_INPUTS) return show(net); // too large to train here
  return train(false);
}
async function train(play = true) {
  leave();
  const request = requested;
  const within = (input) => Math.round(Math.min(input.max, Math.max(1, input.value || 1)));
  for (const input of [one("hidden"), one("start")]) input.value = within(input);
  state.training = true;
  setSource("trained");
  drawBusy();
  drawStatus();
  let run;
  try {
    const answer = server.train({
      bits: state.bits,
      hidden: within(one("hidden")),
      activation: one("activation").value,
      start: within(one("start")),
    });
    const late = new Promise((_, reject) => setTimeout(reject, LATE));
    run = await Promise.race([answer, late]);
  } catch {
    run = { error: t("failed"), code: "answer-late" };
  }
  if (request !== requested) return; // superseded by a later one
  Object.assign(state, { problem: run.error ? run : null, training: false });
  if (run.error) return draw();
  Object.assign(state, { run, stale: false });
  showResult(run);
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  scrub(play && !calm ? 0 : run.epochs.length - 1);
  if (play && !calm) start();
}
function showResult(run) {
  const percent = (fraction) => Math.round(100 * fraction);
  const rows = run.bits.length;
  one("result").textContent =
    `${t("result", { start: run.start, right: run.right.at(-1), rows })} ${t("success_rate", {
      starts: run.learned.length,
      percent: percent(run.fraction),
      low: percent(run.low),
      high: percent(run.high),
    })}`;
}
function scrub(frame) {
  state.frame = frame;
  show(frameNet(state.run, frame));
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
  weigh(state.net, state.weight, Math.min(MAX_WEIGHT, Math.max(-MAX_WEIGHT, value)));
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

// ---- events
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
  // a finger outside the ring scrolls the page
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
on("failing", "click", () => {
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
element.querySelectorAll("input[name=playground-source]").forEach((radio) =>
  radio.addEventListener("change", () => {
    setSource(radio.value);
    choose(state.bits);
  }),
);
// A model has arrived: the first, or another.
function begin() {
  if (!props.value || !props.value.gates) return;
  const known = Object.values(served());
  const trained = state.source === "trained" && state.run;
  const first = served()[props.default_gate] || known[0];
  if (trained) {
    setBits(state.bits);
    return draw();
  }
  setSource(known.length ? "served" : "trained");
  const stay = (state.base && servedNet()) || !first;
  const bits = stay ? state.bits : first.bits;
  choose(bits.length > 2 ** MAX_INPUTS && !servedNet() ? "0110" : bits);
}
new ResizeObserver(draw).observe(one("diagram")); // its text keeps its size
watch("value", begin);
begin();

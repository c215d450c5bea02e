// The walk: one step for the drawing, one for its normalisation, one for each layer.
const STEP_MS = 1100; // of the animation

function walkTo(step) {
  const last = state.steps.length - 1;
  state.step = step === null ? null : Math.min(last, Math.max(0, step));
  if (state.step >= 2) Object.assign(state.chosen, { layer: state.step - 1, map: null, pixel: null });
  state.pinned = false;
  one("back").hidden = one("end").hidden = state.step === null;
  one("back").disabled = state.step === 0;
  one("next").disabled = state.step === last;
  one("next").textContent = state.step === null ? props.walk : props.next;
  const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (state.step >= 2 && !isCalm) animate();
  else state.progress = 1;
  draw();
}

function animate() {
  const [start, step] = [performance.now(), state.step];
  state.progress = 0;
  const tick = (now) => {
    if (state.step !== step) return;
    state.progress = Math.min(1, Math.max(0, (now - start) / STEP_MS));
    draw();
    if (state.progress < 1) requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function sentence() {
  if (state.problem) return state.problem;
  if (!state.maps) return t("empty");
  if (state.step === null) return t("lit", { label: state.labels[state.target] });
  const count = state.steps.length;
  const head = t("step", { number: state.step + 1, count });
  return [head, state.steps[state.step], responds()].filter(Boolean).join(" ");
}

// What the current layer does on this drawing.
function responds() {
  const layer = state.step - 1;
  if (layer < 1) return "";
  const { kind } = state.layers[layer - 1];
  const { values, side, limit } = state.maps[layer];
  const best = values.reduce((top, value, index) => (value > values[top] ? index : top), 0);
  const map = Math.floor(best / (side * side));
  const words = { map: map + 1, value: signed(values[best]), label: state.labels[map] };
  const key = { convolution: "strongest", hidden: "strongest_unit", outputs: "answer" }[kind];
  return t(key, words);
}

// Drawing all parts of the playground from the state, without any request to the server.
function drawAnswer() {
  const prob = probability(state.net, state.x);
  const [before, after] = t("answer", {
    inputs: given(state.x),
    gate: state.stale ? t("untrained") : state.label,
    output: "\u0000",
    probability: prob.toFixed(3),
  }).split("\u0000");
  const answer = one("answer");
  answer.setAttribute("aria-live", timer ? "off" : "polite"); // an animation is not read aloud
  if (answer.textContent !== `${before}${+(prob > 0.5)}${after}`) {
    const whole = node("span", { class: "whole" }); // on one line, if it fits
    whole.append(before, node("b", {}, +(prob > 0.5)));
    answer.replaceChildren(whole, after);
  }
  one("inputs")
    .querySelectorAll("input")
    .forEach((slider, i) => {
      slider.value = state.x[i];
      slider.nextElementSibling.textContent = signed(state.x[i], 2);
    });
}
// Whether the display is about to change: by a frame, or by the server's answer.
function drawBusy() {
  element.firstElementChild.dataset.busy = waiting || state.training;
}
function drawStatus() {
  const parts = {}; // name for tests -> text
  if (state.training) parts.training = t("training");
  if (state.problem) parts[state.problem.code] = state.problem.error;
  if (props.value.note) parts[props.value.code] = props.value.note;
  if (state.linked) parts.linked = t("linked");
  else if (state.source === "served" && state.base)
    parts.served = t("served", {
      title: props.value.title,
      hidden: state.base.bias1.length,
      activation: state.base.activation,
    });
  if (state.stale) parts.stale = t("stale");
  else if (!servedNet() && props.value.title && !props.value.note)
    parts.not_served = t("not_served");
  if (state.edited) parts.edited = t("edited");
  const text = Object.values(parts).join(" ");
  // screen readers read it whenever it is set
  if (one("status").textContent !== text) one("status").textContent = text;
  one("status").dataset.messages = Object.keys(parts).join(" ");
}
function draw() {
  if (waiting) return;
  waiting = true;
  drawBusy();
  requestAnimationFrame(() => {
    waiting = false;
    drawBusy();
    drawStatus();
    // a network with another number of inputs is about to be replaced
    if (state.net?.weight1[0].length !== state.x.length) return;
    for (const part of [
      drawAxes,
      drawSurface,
      drawDiagram,
      listWeights,
      buildTable,
      drawTable,
      drawHistory,
      drawAnswer,
    ])
      part();
  });
}

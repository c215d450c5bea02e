// The gate lab's drawing: all parts of the tab from the state, with nothing asked of the server.
function drawAnswer() {
  const share = probability(state.net, state.x);
  const [before, after] = say("answer", {
    inputs: given(state.x),
    gate: state.stale ? say("untrained") : state.label,
    output: "\u0000",
    probability: share.toFixed(3),
  }).split("\u0000");
  const answer = one("answer");
  answer.setAttribute("aria-live", timer ? "off" : "polite"); // a film is not read out
  if (answer.textContent !== `${before}${+(share > 0.5)}${after}`)
    answer.replaceChildren(before, node("b", {}, +(share > 0.5)), after);
  one("inputs")
    .querySelectorAll("input")
    .forEach((slider, i) => {
      slider.value = state.x[i];
      slider.nextElementSibling.textContent = signed(state.x[i], 2);
    });
}
// Whether what is shown is about to change: by a frame, or by the server's answer.
function drawBusy() {
  element.firstElementChild.dataset.busy = waiting || state.training;
}
function drawStatus() {
  const parts = [state.training && say("training"), state.problem, props.value.note];
  if (state.source === "served" && state.base)
    parts.push(
      say("served", {
        title: props.value.title,
        hidden: state.base.bias1.length,
        activation: state.base.activation,
      }),
    );
  if (state.stale) parts.push(say("stale"));
  else if (!servedNet() && props.value.title && !props.value.note) parts.push(say("not_served"));
  if (state.edited) parts.push(say("edited"));
  const text = parts.filter(Boolean).join(" ");
  // it is spoken when it changes, and only then
  if (one("status").textContent !== text) one("status").textContent = text;
}
function draw() {
  if (waiting) return;
  waiting = true;
  drawBusy();
  requestAnimationFrame(() => {
    waiting = false;
    drawBusy();
    drawStatus();
    // a network of another number of inputs is on its way out
    if (state.net?.weight1[0].length !== state.x.length) return;
    for (const part of [
      drawAxes,
      drawSurface,
      drawDiagram,
      listWeights,
      layTable,
      drawTable,
      drawCourse,
      drawAnswer,
    ])
      part();
  });
}

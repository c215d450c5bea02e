// The history of a training: its loss, its frames, and the results of all starts.
function drawHistory() {
  const fits = state.source === "trained" && state.run?.bits === state.bits;
  const run = fits ? state.run : null; // a run on another table is not shown
  one("history").hidden = !run;
  one("none").hidden = Boolean(run);
  one("failing").disabled = !run || !run.learned.includes("0");
  if (!run) return;
  drawCurve(run);
  drawFrame(run);
  drawStarts(run);
}
function drawCurve(run) {
  const top = Math.max(0.8, ...run.losses);
  const last = run.epochs.at(-1);
  const at = (f) => [46 + (run.epochs[f] / last) * 384, 130 - (run.losses[f] / top) * 116];
  const [x, y] = at(state.frame);
  const points = run.losses.map((_, f) => at(f).join()).join(" ");
  const label = (x, y, text, anchor) => shape("text", { x, y, "text-anchor": anchor }, text);
  one("curve").replaceChildren(
    shape("line", { x1: 46, y1: 130, x2: 430, y2: 130, class: "axis" }),
    shape("line", { x1: 46, y1: 14, x2: 46, y2: 130, class: "axis" }),
    label(40, 135, "0", "end"),
    label(40, 24, top.toFixed(1), "end"),
    label(40, 80, t("loss"), "end"),
    label(46, 152, "0", "middle"),
    label(430, 152, last, "end"),
    label(238, 156, t("epochs"), "middle"),
    shape("polyline", { points, class: "line" }),
    shape("line", { x1: x, y1: 14, x2: x, y2: 130, class: "done" }),
    shape("circle", { cx: x, cy: y, r: 6, class: "now" }),
  );
}
function drawFrame(run) {
  Object.assign(one("scrub"), { max: run.epochs.length - 1 });
  one("scrub").value = state.frame;
  const text = t("epoch", {
    epoch: run.epochs[state.frame],
    loss: run.losses[state.frame].toFixed(3),
    right: run.right[state.frame],
    rows: run.bits.length,
  });
  one("scrub").setAttribute("aria-valuetext", text);
  one("frame").textContent = text;
  one("frame").dataset.epoch = run.epochs[state.frame];
  one("play").textContent = t(timer ? "pause" : "play");
}
function drawStarts(run) {
  const starts = one("starts");
  const key = `${run.learned};${run.start}`;
  if (starts.dataset.key === key) return;
  starts.dataset.key = key;
  const square = (index, grown, kind) =>
    shape("rect", {
      x: 3 + (index % 40) * 10.9 - grown,
      y: 3 + Math.floor(index / 40) * 10.5 - grown,
      width: 7 + 2 * grown,
      height: 7 + 2 * grown,
      "data-square": index + 1,
      class: kind,
    });
  const squares = [...run.learned].map((bit, index) =>
    square(index, 0, bit === "1" ? "learned" : ""),
  );
  starts.replaceChildren(...squares, square(run.start - 1, 1.8, "shown"));
}

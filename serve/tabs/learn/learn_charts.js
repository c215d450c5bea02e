// Curves: accuracy and loss of one or two runs by the digits that they have seen.
const LEFT = 52, RIGHT = 60, TOP = 8, BOTTOM = 22; // pixels around a plot
const ACCURACIES = [0, 0.5, 0.9, 0.99, 0.999]; // ticks: each decade of the error has the same height
const LOSSES = [10, 3, 1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0001];

const style = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const ink = () => getComputedStyle(root).color;
const percent = (value, places = 1) => {
  if (value === null || value === undefined) return "–";
  return `${(100 * value).toFixed(value === 1 ? 0 : places)} %`;
};
const count = (value) => Math.round(value).toLocaleString("en-US");

// Return the drawing context of a canvas whose unit is a CSS pixel, cleared.
function fresh(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "12px system-ui, sans-serif";
  return { context, width, height };
}

function plot(canvas, { ticks, scale, label, total, lines, runs }) {
  const { context, width, height } = fresh(canvas);
  const [right, bottom] = [width - RIGHT, height - BOTTOM];
  const [low, high] = [scale(ticks[0]), scale(ticks.at(-1))];
  const y = (value) => {
    const at = (scale(value) - low) / (high - low);
    return bottom - Math.min(1, Math.max(0, at)) * (bottom - TOP);
  };
  const x = (seen) => LEFT + (seen / total) * (right - LEFT);
  // the grid, its ticks, and the digits seen
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const tick of ticks) {
    const at = Math.round(y(tick)) + 0.5;
    context.globalAlpha = 0.16;
    context.strokeStyle = context.fillStyle = ink();
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(LEFT, at);
    context.lineTo(right, at);
    context.stroke();
    context.globalAlpha = 0.85;
    context.fillText(label(tick), LEFT - 6, at);
  }
  context.textBaseline = "alphabetic";
  for (const part of width < 420 ? [0, 1] : [0, 0.5, 1]) {
    context.textAlign = part === 0 ? "left" : part === 1 ? "right" : "center";
    const seen = count(part * total);
    context.fillText(part === 1 ? t("seen", { count: seen }) : seen, x(part * total), height - 5);
  }
  context.globalAlpha = 1;
  const ends = [];
  for (const { run, dashed, values } of lines) {
    const color = style(run ? "--b" : "--a");
    Object.assign(context, { strokeStyle: color, lineWidth: dashed ? 1.6 : 2.8, lineJoin: "round" });
    context.globalAlpha = dashed ? 0.85 : 1;
    context.setLineDash(dashed ? [4, 3] : []);
    context.beginPath();
    let is_down = false;
    for (const [seen, value] of values) {
      if (value === null) { is_down = false; continue; }
      context[is_down ? "lineTo" : "moveTo"](x(seen), y(value));
      is_down = true;
    }
    context.stroke();
    const last = values.at(-1);
    if (!dashed && last && last[1] !== null) ends.push({ color, x: x(last[0]), y: y(last[1]), value: last[1] });
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
  // the newest validation values beside the plot, apart from each other
  ends.sort((one, other) => one.y - other.y);
  ends.forEach((end, index) => {
    const above = ends[index - 1];
    end.text = above ? Math.max(end.y, above.text + 15) : end.y;
    context.fillStyle = end.color;
    context.beginPath();
    context.arc(end.x, end.y, 4, 0, 2 * Math.PI);
    context.fill();
    context.font = "600 13px system-ui, sans-serif";
    context.textAlign = "left";
    context.textBaseline = "middle";
    context.fillText(runs(end.value), right + 6, Math.min(end.text, bottom));
  });
}

// Return the lines of both runs; `offset` is 1 for the loss and 2 for the accuracy.
function lines(offset) {
  if (!state.start) return [];
  const result = [];
  state.start.runs.forEach((run, index) => {
    const values = (at) => state.points.map((each) => [each[index][0] * run.batch_size, each[index][at]]);
    result.push({ run: index, dashed: true, values: values(offset) });
    result.push({ run: index, dashed: false, values: values(offset + 2) });
  });
  return result;
}

function drawCurves() {
  const total = state.start
    ? Math.max(...state.start.runs.map((run) => run.steps * run.batch_size)) : 22_016;
  plot(one("accuracy"), {
    ticks: ACCURACIES,
    scale: (value) => -Math.log10(1 - Math.min(value, 0.9990001)),
    label: (value) => `${+(100 * value).toFixed(1)} %`,
    runs: (value) => percent(value),
    lines: lines(2),
    total,
  });
  const losses = lines(1).flatMap((line) => line.values.map(([, value]) => value)).filter((v) => v > 0);
  const [most, least] = [Math.max(2.5, ...losses), Math.min(0.3, ...losses)];
  const first = LOSSES.findLastIndex((tick) => tick >= most);
  const last = LOSSES.findIndex((tick) => tick <= least);
  plot(one("loss"), {
    ticks: LOSSES.slice(Math.max(first, 0), last < 0 ? undefined : last + 1).reverse(),
    scale: (value) => Math.log10(Math.max(value, 1e-5)),
    label: String,
    runs: (value) => value.toPrecision(2),
    lines: lines(1),
    total,
  });
}

// The decision surface: the network's probability over the plane of the first two inputs.
const across = (value) => LEFT + ((value - LOW) / (HIGH - LOW)) * PLOT;
const upwards = (value) => TOP + PLOT - ((value - LOW) / (HIGH - LOW)) * PLOT;
function drawSurface() {
  paintPlane();
  const labels = []; // their positions
  one("lines").replaceChildren(...shownUnits().flatMap((h) => hiddenLine(h, labels)));
  one("corners").replaceChildren(...corners());
  drawRing();
  const rest = state.x.slice(2);
  one("held").textContent = rest.length ? t("held", { inputs: given(rest, 2) }) : "";
}
function paintPlane() {
  const pen = element.querySelector("canvas").getContext("2d");
  const image = pen.createImageData(SIDE, SIDE);
  const pixels = new Uint32Array(image.data.buffer); // a whole pixel each
  const x = [...state.x];
  for (let r = 0; r < SIDE; r++) {
    for (let c = 0; c < SIDE; c++) {
      x[0] = LOW + ((HIGH - LOW) * (c + 0.5)) / SIDE;
      if (x.length > 1) x[1] = HIGH - ((HIGH - LOW) * (r + 0.5)) / SIDE;
      pixels[r * SIDE + c] = INKS[Math.round(probability(state.net, x) * 255)];
    }
  }
  pen.putImageData(image, 0, 0);
}
// The rows of the truth table that lie in this plane; a single input has its two in the middle.
function corners() {
  const held = state.x.slice(2).map((v) => +(v > 0.5));
  const ends = [0, 1];
  const points = state.x.length > 1 ? ends.flatMap((a) => ends.map((b) => [a, b])) : [[0], [1]];
  return points.map((point) => {
    const bit = Number(state.bits[parseInt([...point, ...held].join(""), 2)]);
    const [a, b = 0.5] = point;
    const fill = rgb(bit ? ONE : ZERO);
    return shape("circle", { cx: across(a), cy: upwards(b), r: 11, fill, class: "corner" });
  });
}
function drawRing() {
  const [a, b = 0.5] = state.x;
  const ring = one("ring");
  ring.setAttribute("transform", `translate(${across(a)} ${upwards(b)})`);
  ring.setAttribute("aria-valuenow", a.toFixed(2));
  ring.setAttribute("aria-valuetext", given(state.x.slice(0, 2)));
}
const given = (values, first = 0) =>
  values.map((v, i) => `${letters()[first + i]} = ${signed(v, 2)}`).join(", ");
// The line u a + v b + w = 0 of a hidden unit, the other inputs held, and its label.
function hiddenLine(h, labels) {
  const [u, v = 0] = state.net.weight1[h];
  const w = sums(state.net, [0, 0, ...state.x.slice(2)].slice(0, state.x.length))[h];
  const size = Math.hypot(u, v);
  if (size < 1e-6) return [];
  const [a, b] = [(-w * u) / size ** 2, (-w * v) / size ** 2]; // its point nearest to 0, 0
  const point = (t) => [a - (v / size) * t, b + (u / size) * t];
  const at = ([a, b]) => [across(a), upwards(b)];
  const [[x1, y1], [x2, y2]] = [at(point(-20)), at(point(20))]; // far outside the plot
  const thick = Math.min(4, 1 + Math.abs(state.net.weight2[h]) / 4);
  const line = shape("line", { x1, y1, x2, y2, "stroke-width": thick });
  const free = (point) =>
    point.every((c) => c > LOW + 0.06 && c < HIGH - 0.06) &&
    labels.every((other) => Math.hypot(point[0] - other[0], point[1] - other[1]) > 0.12);
  // the label is near an end of the line, away from other labels
  const along = Array.from({ length: 301 }, (_, i) => point((h % 2 ? 1 : -1) * (3 - i / 50)));
  const position = along.find(free);
  if (!position) return [line];
  labels.push(position);
  const [x, y] = at(position);
  const name = t("hidden", { index: h + 1 });
  return [line, shape("text", { x, y: y + 5, "text-anchor": "middle" }, name)];
}
function drawAxes() {
  const below = (v, text, more) =>
    shape("text", { x: across(v), y: 420, "text-anchor": "middle", ...more }, text);
  const left = (v, text, more) =>
    shape("text", { x: 28, y: upwards(v) + 5, "text-anchor": "end", ...more }, text);
  const axis = (label, name) => [
    label(0, 0),
    label(1, 1),
    label(0.5, name, { "font-weight": 700 }),
  ];
  const [a, b] = letters();
  one("axes").replaceChildren(...axis(below, a), ...(b ? axis(left, b) : []));
}

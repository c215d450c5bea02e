// The stage: maps, units and logits of the drawing, and the lit paths between them.
const GROWN = 118; // side of the map below the pointer
let pen = null; // of the canvas that is drawn on
let picturePen = null; // of the picture with 28x28 pixels

function drawStage() {
  place();
  pen = prepared(one("canvas"), stage.width, stage.height);
  drawHeads();
  if (state.maps) drawPaths();
  drawPicture();
  columns.forEach((_, layer) => drawLayer(layer));
  if (state.maps) drawChosen();
}

// A canvas's pen, with CSS pixels as its unit, on an empty canvas.
function prepared(canvas, width, height) {
  const ratio = Math.max(1, Math.min(2, devicePixelRatio));
  const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
  if (canvas.width !== size.width || canvas.height !== size.height) {
    Object.assign(canvas, size);
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  }
  const brush = canvas.getContext("2d");
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.clearRect(0, 0, width, height);
  brush.imageSmoothingEnabled = false;
  return brush;
}

const isVisible = (layer) => state.maps && (state.step === null || layer < state.step);
const isCurrent = (layer) => state.step !== null && layer === state.step - 1;

function text(words, x, y, options = {}) {
  const { size = 12, weight = 400, align = "center", colour = palette.text, alpha = 1 } = options;
  pen.font = `${weight} ${size * unit}px system-ui, sans-serif`;
  Object.assign(pen, { textAlign: align, textBaseline: "middle", fillStyle: colour });
  pen.globalAlpha = alpha;
  pen.fillText(words, x, y);
  pen.globalAlpha = 1;
}

function titleOf(layer) {
  if (layer === 0) return [t("input"), t("input_note")];
  const { title, kind, count, side } = state.layers[layer - 1];
  const key = { convolution: "maps", hidden: "units", outputs: "classes" }[kind];
  return [title, t(key, { count, side })];
}

function drawHeads() {
  columns.forEach(({ x, width, y }, layer) => {
    const [title, note] = titleOf(layer);
    const weight = isCurrent(layer) ? 700 : 600;
    text(title, x + width / 2, 9 * unit, { weight, colour: isCurrent(layer) ? palette.mark : palette.text });
    text(note, x + width / 2, 24 * unit, { size: 11, alpha: 0.8 });
  });
}

function drawPicture() {
  const { x, y, picture, width } = columns[0];
  frame(x, y, picture, picture, 0.25);
  const shown = state.channels > 1 ? "channels" : "channel";
  text(t(shown), x + width / 2, y + picture + 14 * unit, { size: 11, alpha: 0.8 });
  if (!state.image) return;
  picturePen ??= new OffscreenCanvas(28, 28).getContext("2d");
  const image = picturePen.createImageData(28, 28);
  const [paper, ink] = palette.isDark ? [12, 255] : [255, 0];
  state.image.forEach((value, index) => {
    image.data.fill(paper + ((ink - paper) * value) / 255, index * 4, index * 4 + 3);
    image.data[index * 4 + 3] = 255;
  });
  picturePen.putImageData(image, 0, 0);
  pen.drawImage(picturePen.canvas, x, y, picture, picture);
  frame(x, y, picture, picture, 0.35);
}

function frame(x, y, width, height, alpha, colour = palette.text, thick = 1) {
  Object.assign(pen, { strokeStyle: colour, lineWidth: thick, globalAlpha: alpha });
  pen.strokeRect(x - thick / 2, y - thick / 2, width + thick, height + thick);
  pen.globalAlpha = 1;
}

function drawLayer(layer) {
  const kind = layer ? state.layers[layer - 1].kind : "input";
  const count = layer ? state.layers[layer - 1].count : state.channels;
  if (kind === "outputs") return drawOutputs(layer, count);
  const visible = isVisible(layer);
  const lit = new Map(visible ? (state.paths[layer]?.maps ?? []) : []);
  const maps = visible ? state.maps[layer] : null;
  const picture = maps && atlas(layer);
  const done = isCurrent(layer) ? state.progress : 1;
  for (let map = 0; map < count; map++) {
    const { x, y, width: side } = squareOf(layer, map);
    if (kind === "hidden") drawUnit(x, y, side, maps ? maps.values[map] / maps.limit : null, lit.get(map));
    else {
      pen.fillStyle = colourOf(0);
      pen.globalAlpha = 0.6;
      pen.fillRect(x, y, side, side);
      pen.globalAlpha = 1;
      if (maps) drawMap(picture, maps, map, x, y, side, done);
      frame(x, y, side, side, 0.18);
      if (lit.has(map) && count > 1) frame(x - 0.5, y - 0.5, side + 1, side + 1, 1, lineColour(lit.get(map), 1), 2);
    }
  }
}

function drawMap(picture, maps, map, x, y, side, done) {
  const rows = Math.ceil(maps.side * done); // of the animation
  if (!rows) return;
  const height = (side * rows) / maps.side;
  pen.drawImage(picture, map * maps.side, 0, maps.side, rows, x, y, side, height);
}

function drawUnit(x, y, side, level, share) {
  pen.beginPath();
  pen.arc(x + side / 2, y + side / 2, side / 2, 0, 2 * Math.PI);
  pen.fillStyle = colourOf(level ?? 0);
  pen.fill();
  Object.assign(pen, { strokeStyle: palette.text, lineWidth: 1, globalAlpha: 0.25 });
  if (share !== undefined)
    Object.assign(pen, { strokeStyle: lineColour(share, 1), lineWidth: 2, globalAlpha: 1 });
  pen.stroke();
  pen.globalAlpha = 1;
}

// The logits as bars on both sides of zero; the answer is bold.
function drawOutputs(layer, count) {
  const visible = isVisible(layer);
  const maps = visible ? state.maps[layer] : null;
  const { width } = columns[layer];
  const [left, right] = [60 * unit, 36 * unit]; // of the labels and the values
  const span = width - left - right;
  const zero = left + span / 2;
  for (let map = 0; map < count; map++) {
    const { x, y, height } = squareOf(layer, map);
    const middle = y + height / 2;
    const isTarget = maps && map === state.target;
    const size = Math.min(15, (height * 0.62) / unit);
    if (isTarget) {
      pen.fillStyle = lineColour(1, 0.16);
      pen.fillRect(x, y + 1, width, height - 2);
    }
    const weight = isTarget ? 700 : 400;
    const label = state.labels[map];
    text(label, x + left - 8, middle, { size: label.length > 2 ? 11.5 : size, weight, align: "right" });
    pen.fillStyle = palette.text;
    pen.globalAlpha = 0.1;
    pen.fillRect(x + left, middle - height * 0.22, span, height * 0.44);
    pen.globalAlpha = 1;
    if (!maps) continue;
    const value = maps.values[map];
    const length = (span / 2) * (value / maps.limit);
    pen.fillStyle = lineColour(value, 1);
    pen.fillRect(x + zero, middle - height * 0.22, length, height * 0.44);
    text(signed(value, 1), x + width - 2, middle, { size: 11.5, weight, align: "right" });
  }
}

// ---- the lit paths
function drawPaths() {
  for (let layer = 1; layer < columns.length; layer++) {
    if (!isVisible(layer) || (isCurrent(layer) && state.progress < 1)) continue;
    const { edges } = state.paths[layer - 1];
    const most = Math.max(1e-9, ...edges.map(([, , value]) => Math.abs(value)));
    for (const [to, from, value] of edges.toReversed()) {
      if (layer === columns.length - 1 && to !== state.target) continue;
      drawPath(layer, from, to, value, Math.abs(value) / most);
    }
  }
}

function drawPath(layer, from, to, value, strength) {
  const [start, end] = [squareOf(layer - 1, from), squareOf(layer, to)];
  const [x1, y1] = [start.x + start.width / 2, start.y + start.height / 2];
  const [x2, y2] = [end.x + (columns[layer].row ? 0 : end.width / 2), end.y + end.height / 2];
  const exit = columns[layer - 1].x + columns[layer - 1].width;
  const entry = columns[layer].x;
  const bend = (entry - exit) / 2;
  pen.beginPath();
  pen.moveTo(x1, y1);
  pen.lineTo(exit, y1);
  pen.bezierCurveTo(exit + bend, y1, entry - bend, y2, entry, y2);
  pen.lineTo(x2, y2);
  Object.assign(pen, { lineWidth: 0.8 + 3.4 * strength, lineCap: "round" });
  pen.strokeStyle = lineColour(value, 0.3 + 0.6 * strength);
  pen.stroke();
}

// ---- the chosen map: grown, its pixel, and the patches of the layer before that it was made from
function drawChosen() {
  const chosen = selection();
  const { layer, map, pixel } = chosen;
  if (!isVisible(layer) || (isCurrent(layer) && state.progress < 1)) return;
  const target = marked(layer, map, pixel);
  if (layer) {
    const { row, column, size } = patchOf(chosen);
    const source = state.maps[layer - 1];
    for (const { channel } of arithmetic(chosen).terms.slice(0, SHOWN))
      drawPatch(squareOf(layer - 1, channel), source.side, row, column, size, target);
  }
}

// Frame the map, which is larger while it is pointed at; return the rectangle of its pixel.
function marked(layer, map, pixel) {
  const square = squareOf(layer, map);
  const maps = state.maps[layer];
  if (maps.side < 2) {
    frame(square.x - 1, square.y - 1, square.width + 2, square.height + 2, 1, palette.mark, 2);
    return square;
  }
  const side = state.pointed ? Math.max(GROWN, square.width * 1.4) : square.width;
  const within = (wish, end) => Math.max(3, Math.min(end - side - 3, wish));
  const x = within(square.x + (square.width - side) / 2, stage.width);
  const y = within(square.y + (square.height - side) / 2, stage.height);
  pen.save();
  Object.assign(pen, { shadowColor: "rgba(0,0,0,.45)", shadowBlur: 14, fillStyle: colourOf(0) });
  pen.fillRect(x, y, side, side);
  pen.restore();
  drawMap(atlas(layer), maps, map, x, y, side, 1);
  frame(x, y, side, side, 1, palette.mark, 2);
  const cell = side / maps.side;
  const place = {
    x: x + (pixel % maps.side) * cell,
    y: y + Math.floor(pixel / maps.side) * cell,
    width: cell,
    height: cell,
  };
  frame(place.x, place.y, cell, cell, 1, palette.mark, 2);
  return place;
}

function drawPatch(square, side, row, column, size, target) {
  const cell = square.width / side;
  const [x, y] = [square.x + column * cell, square.y + row * cell];
  frame(x, y, size * cell, size * cell, 1, palette.mark, 1.5);
  Object.assign(pen, { strokeStyle: palette.mark, lineWidth: 1, globalAlpha: 0.75 });
  pen.beginPath();
  for (const [from, to] of [
    [y, target.y],
    [y + size * cell, target.y + target.height],
  ]) {
    pen.moveTo(x + size * cell, from);
    pen.lineTo(target.x, to);
  }
  pen.stroke();
  pen.globalAlpha = 1;
}

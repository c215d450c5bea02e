// The map: every gate of the circuit as a small square, from the paper to the votes of each class.
const [ONE, ZERO] = ["#D55E00", "#0072B2"];
const [ROW, BAR, LABEL, COUNT, TITLE, NARROW] = [24, 18, 76, 40, 24, 640]; // in CSS pixels
const canvas = one("canvas");
const ground = () => getComputedStyle(one("circuit")).backgroundColor;

// The place of each part: {x, y, w, h}, and for gates where each one is.
function arrange(net, width) {
  const hidden = net.depth - 1;
  const votes = net.classes * ROW;
  const parts = [];
  if (width < NARROW) {
    const side = Math.min(width, 208);
    let y = TITLE;
    parts.push({ x: (width - side) / 2, y, w: side, h: side });
    y += side + 2 * TITLE;
    for (let layer = 0; layer < hidden; layer += 1, y += 104 + 2 * TITLE)
      parts.push({ x: 0, y, w: width, h: 104 });
    parts.push({ x: 0, y, w: width, h: votes });
    return { parts: fill(net, parts), height: y + votes + 4, isNarrow: true };
  }
  const gap = Math.min(56, width / (4 * (hidden + 2)));
  const unit = (width - gap * (hidden + 1)) / (hidden + 2.7);
  const height = Math.max(unit, votes);
  const side = Math.min(unit, height);
  parts.push({ x: 0, y: TITLE + (height - side) / 2, w: side, h: side });
  for (let layer = 0; layer < hidden; layer += 1)
    parts.push({ x: (unit + gap) * (layer + 1), y: TITLE, w: unit, h: height });
  const x = (unit + gap) * (hidden + 1);
  parts.push({ x, y: TITLE + (height - votes) / 2, w: width - x, h: votes });
  return { parts: fill(net, parts), height: TITLE + height + 4, isNarrow: false };
}

// The centres of hidden gates: a gate lies in its layer where its pixels lie on the paper.
function fill(net, parts) {
  parts.slice(1, -1).forEach((part, i) => {
    const count = net.layers[i].tables.length;
    const columns = Math.max(1, Math.round(Math.sqrt((count * part.w) / part.h)));
    const rows = Math.ceil(count / columns);
    const { x, y } = net.places[i + 1];
    const byRow = Array.from({ length: count }, (_, gate) => gate).sort((a, b) => y[a] - y[b]);
    part.cell = [part.w / columns, part.h / rows];
    part.centers = new Array(count);
    part.gates = [];
    for (let row = 0; row < rows; row += 1) {
      const line = byRow.slice(row * columns, (row + 1) * columns).sort((a, b) => x[a] - x[b]);
      line.forEach((gate, column) => {
        part.gates[row * columns + column] = gate;
        part.centers[gate] = [part.x + (column + 0.5) * part.cell[0], part.y + (row + 0.5) * part.cell[1]];
      });
    }
    part.columns = columns;
  });
  const last = parts.at(-1);
  const room = last.w - LABEL - COUNT;
  let lines = 1; // of squares in the bar of a class
  while ((Math.ceil(net.votes / lines) * BAR) / lines > room) lines += 1;
  Object.assign(last, { lines, cell: [room / Math.ceil(net.votes / lines), BAR / lines] });
  return parts;
}

// The votes that are 1 come first, so that each class is a bar.
function placeVotes(net, part, bits) {
  part.order = Array.from({ length: net.classes }, (_, label) => {
    const own = Array.from({ length: net.votes }, (_, i) => label * net.votes + i);
    return [...own.filter((gate) => bits[gate]), ...own.filter((gate) => !bits[gate])];
  });
  part.centers = new Array(net.classes * net.votes);
  part.order.forEach((gates, label) => gates.forEach((gate, i) => {
    const [column, line] = [Math.floor(i / part.lines), i % part.lines];
    const [left, top] = [part.x + LABEL, part.y + label * ROW + (ROW - BAR) / 2];
    part.centers[gate] = [left + (column + 0.5) * part.cell[0], top + (line + 0.5) * part.cell[1]];
  }));
}

function centerOf({ parts }, signal) {
  if (signal.level) return parts[signal.level].centers[signal.index];
  const { column, row } = pixelOf(signal);
  const { x, y, w } = parts[0];
  return [x + ((column + 0.5) * w) / SIDE, y + ((row + 0.5) * w) / SIDE];
}

// The gate or pixel at a place of the canvas; null between them.
function signalAt(net, { parts }, x, y) {
  const level = parts.findIndex((p) => x >= p.x && x < p.x + p.w && y >= p.y && y < p.y + p.h);
  if (level < 0) return null;
  const part = parts[level];
  const [right, down] = [x - part.x, y - part.y];
  if (level === 0) {
    const [column, row] = [right, down].map((value) => Math.floor((value / part.w) * SIDE));
    const middle = Math.floor(net.thresholds.length / 2);
    return { level, index: middle * SIDE * SIDE + row * SIDE + column };
  }
  if (level < net.depth) {
    const column = Math.floor(right / part.cell[0]);
    const index = part.gates[Math.floor(down / part.cell[1]) * part.columns + column];
    return index === undefined ? null : { level, index };
  }
  const label = Math.floor(down / ROW);
  const line = Math.floor((down - label * ROW - (ROW - BAR) / 2) / part.cell[1]);
  const near = Math.min(part.lines - 1, Math.max(0, line));
  const index = part.order[label]?.[Math.floor((right - LABEL) / part.cell[0]) * part.lines + near];
  return right < LABEL || index === undefined ? null : { level, index };
}

function drawMap({ net, image, levels, blank, root, label }, map, titles) {
  const ratio = window.devicePixelRatio || 1;
  const width = map.width;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(map.height * ratio);
  canvas.style.height = `${map.height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const ink = getComputedStyle(element).color;
  drawPaper(pen, map.parts[0], image);
  for (let level = 1; level <= net.depth; level += 1) {
    const part = map.parts[level];
    const [w, h] = part.cell;
    const [wide, high] = [Math.max(w - 1, w * 0.7), Math.max(h - 1, h * 0.7)];
    part.centers.forEach(([x, y], gate) => {
      const bit = levels[level][gate];
      pen.fillStyle = bit ? ONE : ZERO;
      pen.globalAlpha = strengthOf(bit, level === net.depth, classOf(net, gate) === label,
        bit !== blank[level][gate]);
      pen.fillRect(x - wide / 2, y - high / 2, wide, high);
    });
  }
  pen.globalAlpha = 1;
  drawCone(pen, net, map, levels, root, ink);
  pen.fillStyle = ink;
  pen.font = `13px ${getComputedStyle(element).fontFamily}`;
  Object.assign(pen, { strokeStyle: ground(), lineWidth: 4 });
  map.parts.forEach((part, i) => {
    pen.strokeText(titles[i], part.x, part.y - 8);
    pen.fillText(titles[i], part.x, part.y - 8);
  });
}

// A hidden gate is strong if the ink has changed it, a vote if it is 1 and for the chosen class.
function strengthOf(bit, isVote, isChosen, isChanged) {
  if (!isVote) return isChanged ? 1 : bit ? 0.3 : 0.14;
  if (!bit) return 0.14;
  return isChosen ? 1 : 0.5;
}

function drawPaper(pen, { x, y, w }, image) {
  const size = w / SIDE;
  pen.fillStyle = "#fff";
  pen.fillRect(x, y, w, w);
  image.forEach((value, pixel) => {
    if (!value) return;
    pen.fillStyle = `rgb(${255 - value} ${255 - value} ${255 - value})`;
    pen.fillRect(x + (pixel % SIDE) * size, y + Math.floor(pixel / SIDE) * size, size + 0.3, size + 0.3);
  });
  pen.strokeStyle = "#888";
  pen.lineWidth = 1;
  pen.strokeRect(x, y, w, w);
}

// Over the map: the wires of all that the chosen signal depends on, and of all that depends on it.
function drawCone(pen, net, map, levels, root, ink) {
  const { signals, wires } = coneOf(net, root);
  const bit = ({ level, index }) => levels[level][index];
  const draw = (list, width) => {
    for (const [source, target] of list.sort((one, two) => bit(one[0]) - bit(two[0])))
      drawWire(pen, map, centerOf(map, source), centerOf(map, target), bit(source), width);
  };
  draw(reachOf(net, root), 1);
  draw(wires, 2);
  pen.setLineDash([]);
  for (const signal of signals) {
    const [x, y] = centerOf(map, signal);
    const size = signal === root && signal.level ? 7 : 5;
    pen.fillStyle = bit(signal) ? ONE : ZERO;
    Object.assign(pen, { strokeStyle: signal === root ? ink : ground(), lineWidth: signal === root ? 2.5 : 1.5 });
    pen.beginPath();
    pen.arc(x, y, size, 0, 2 * Math.PI);
    pen.fill();
    pen.stroke();
  }
}

function drawWire(pen, { isNarrow }, [x0, y0], [x1, y1], bit, width) {
  const path = new Path2D();
  path.moveTo(x0, y0);
  if (isNarrow) path.bezierCurveTo(x0, (y0 + y1) / 2, x1, (y0 + y1) / 2, x1, y1);
  else path.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
  pen.setLineDash([]);
  Object.assign(pen, { strokeStyle: ground(), lineWidth: 2 * width });
  pen.stroke(path);
  pen.setLineDash(bit ? [] : [5, 4]);
  Object.assign(pen, { strokeStyle: bit ? ONE : ZERO, lineWidth: width });
  pen.stroke(path);
}

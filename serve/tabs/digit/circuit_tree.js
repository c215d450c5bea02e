// The tree: one gate with its inputs, and theirs, back to the pixels on the paper.
const MAX_DEPTH = 3; // layers that are drawn; a deeper circuit is followed gate by gate
const PAPER = 308; // its side, and the width of a narrow drawing
const LOOK = {
  wide: { box: [104, 46], step: 160, first: 116 },
  narrow: { box: [74, 44], step: 84, first: 30 },
};

// The gates and pixels that are drawn: each with its depth below the root, and its parent.
function treeOf(net, root) {
  const nodes = [{ signal: root, depth: 0, slot: 0, used: true, parent: null, side: "" }];
  for (const parent of nodes) {
    const { signal, depth, slot } = parent;
    if (!signal.level || depth >= MAX_DEPTH) continue;
    if (depth === MAX_DEPTH - 1 && signal.level > 1) continue;
    gateAt(net, signal).inputs.forEach((input, i) => nodes.push({
      ...input, depth: depth + 1, slot: 2 * slot + i, parent, used: input.used && parent.used,
    }));
  }
  return nodes;
}

// Where they stand, and the size of the drawing.
function placeTree(net, nodes, isNarrow) {
  const { box, step, first } = LOOK[isNarrow ? "narrow" : "wide"];
  const gates = nodes.filter(({ signal }) => signal.level);
  const levels = gates.length ? Math.max(...gates.map(({ depth }) => depth)) + 1 : 0;
  const paper = isNarrow ? { x: 0, y: levels * step } : { x: 0, y: 0 };
  const size = isNarrow ? [PAPER, levels * step + PAPER] : [PAPER + (levels ? first + (levels - 1) * step + box[0] / 2 + 8 : 0), PAPER];
  for (const each of nodes) {
    const across = ((each.slot + 0.5) * PAPER) / 2 ** each.depth;
    if (!each.signal.level) {
      const { column, row, threshold } = pixelOf(each.signal);
      const shift = (threshold + 1) / (net.thresholds.length + 1);
      each.at = [((column + shift) * PAPER) / SIDE + paper.x, ((row + 0.5) * PAPER) / SIDE + paper.y];
    } else if (isNarrow) each.at = [across, first + each.depth * step];
    else each.at = [PAPER + first + (levels - 1 - each.depth) * step, across];
  }
  return { paper, size, box };
}

function drawTree(state, svg, isNarrow, namesOf) {
  const { net, levels, image, root, focus } = state;
  const nodes = treeOf(net, root);
  const { paper, size, box } = placeTree(net, nodes, isNarrow);
  const bit = ({ level, index }) => levels[level][index];
  const [boxes, wires] = [[], []];
  for (const each of nodes) {
    const { signal, at, used } = each;
    const kind = used ? (bit(signal) ? "on" : "off") : "idle";
    const isFocus = signal.level === focus.level && signal.index === focus.index;
    if (each.parent) wires.push(...wireOf(each, box, kind, isNarrow));
    const group = shape("g", {
      class: `${signal.level ? "gate" : "pixel"} ${kind}${isFocus ? " focus" : ""}`,
      transform: `translate(${at})`,
      role: "button",
      tabindex: -1,
      "aria-label": namesOf.label(signal),
      "aria-pressed": isFocus,
    });
    group.signal = signal;
    group.at = at;
    if (signal.level) {
      const [w, h] = box;
      group.append(
        shape("rect", { x: -w / 2, y: -h / 2, width: w, height: h, rx: 9 }),
        shape("text", { y: -2, class: "symbol" }, namesOf.symbols(signal)),
        shape("text", { y: 16, class: "value" }, `= ${bit(signal)}`),
      );
    } else {
      const cell = PAPER / SIDE;
      const { threshold } = pixelOf(signal);
      const left = -(cell * (threshold + 1)) / (net.thresholds.length + 1);
      group.append(
        shape("rect", { x: left, y: -cell / 2, width: cell, height: cell }),
        shape("circle", { r: 2.4 }),
      );
    }
    group.append(shape("title", {}, namesOf.label(signal)));
    boxes.push(group);
  }
  const stop = boxes.find((group) => group.classList.contains("focus")) ?? boxes[0];
  stop.setAttribute("tabindex", 0);
  svg.setAttribute("viewBox", `-4 -4 ${size[0] + 8} ${size[1] + 8}`);
  svg.style.maxWidth = `${1.25 * size[0]}px`;
  svg.classList.toggle("narrow", isNarrow);
  svg.replaceChildren(paperOf(image, paper), ...wires, ...boxes);
}

function wireOf({ at: [x0, y0], parent, side, signal }, [w, h], kind, isNarrow) {
  const [px, py] = parent.at;
  const shift = side === "a" ? -1 : 1;
  const leaf = !signal.level;
  const [start, end] = isNarrow
    ? [[x0, leaf ? y0 : y0 - h / 2], [px + (shift * w) / 4, py + h / 2]]
    : [[leaf ? x0 : x0 + w / 2, y0], [px - w / 2, py + (shift * h) / 4]];
  const bend = isNarrow
    ? [start[0], (start[1] + end[1]) / 2, end[0], (start[1] + end[1]) / 2]
    : [(start[0] + end[0]) / 2, start[1], (start[0] + end[0]) / 2, end[1]];
  const label = isNarrow ? [end[0] + 8 * shift, end[1] + 13] : [end[0] - 10, end[1] + (shift < 0 ? -4 : 13)];
  const d = `M${start} C${bend} ${end}`;
  return [
    shape("path", { d, class: `wire ${kind}` }),
    shape("text", { x: label[0], y: label[1], class: "side" }, side),
  ];
}

function paperOf(image, { x, y }) {
  const sheet = document.createElement("canvas");
  sheet.width = sheet.height = SIDE;
  const pixels = new ImageData(SIDE, SIDE);
  image.forEach((value, i) => pixels.data.set([255 - value, 255 - value, 255 - value, 255], 4 * i));
  sheet.getContext("2d").putImageData(pixels, 0, 0);
  const group = shape("g", { class: "paper", transform: `translate(${x} ${y})` });
  group.append(
    shape("image", { href: sheet.toDataURL(), width: PAPER, height: PAPER, preserveAspectRatio: "none" }),
    shape("rect", { width: PAPER, height: PAPER }),
  );
  return group;
}

// The part of the tree that lies next in the direction of an arrow key.
function neighborOf(svg, group, key) {
  const axes = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const [dx, dy] = axes[key];
  let [best, least] = [null, Infinity];
  for (const other of svg.querySelectorAll("[role=button]")) {
    const [x, y] = [other.at[0] - group.at[0], other.at[1] - group.at[1]];
    const [along, aside] = [x * dx + y * dy, Math.abs(x * dy) + Math.abs(y * dx)];
    if (along > 1 && along + 2 * aside < least) [best, least] = [other, along + 2 * aside];
  }
  return best;
}

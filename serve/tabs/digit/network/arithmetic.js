// The detail below the stage: the chosen map, and how one of its pixels is computed.
const SHOWN = 3; // channels with the largest sums
const MAX_NUMBERED = 5; // side of a kernel whose numbers are written
const WHOLE = 208; // side of the chosen map

function drawDetail() {
  const detail = one("detail");
  const chosen = state.maps && selection();
  detail.hidden = !chosen || !isVisible(chosen.layer);
  if (detail.hidden) return;
  one("unpin").hidden = !state.pinned;
  drawWhole(chosen);
  const sums = chosen.layer ? arithmetic(chosen) : null;
  one("products").hidden = !sums;
  if (sums) drawProducts(chosen, sums);
  one("chain").replaceChildren(...(sums ? chain(chosen, sums) : []));
}

function nameOf({ layer, map }) {
  if (layer === 0) return t(state.channels > 1 ? "channels" : "channel");
  const { title, kind, count } = state.layers[layer - 1];
  const key = { convolution: "map", hidden: "unit", outputs: "class" }[kind];
  return `${title} · ${t(key, { number: map + 1, count, label: state.labels[map] })}`;
}

function addsOf({ layer, map }) {
  const entry = state.paths[layer]?.maps.find(([index]) => index === map);
  if (!entry) return "";
  const value = (entry[1] < 0 ? MINUS : "+") + Math.abs(entry[1]).toFixed(2);
  return t("adds", { value, label: state.labels[state.target] });
}

function drawWhole(chosen) {
  const { layer, map, pixel } = chosen;
  const { side, values } = state.maps[layer];
  const canvas = one("whole");
  one("name").textContent = nameOf(chosen);
  const place = { column: (pixel % side) + 1, row: Math.floor(pixel / side) + 1 };
  const value = values[map * side * side + pixel];
  const parts = [side > 1 && t("pixel", place), t("value_is", { value: signed(value) }), addsOf(chosen)];
  one("where").textContent = parts.filter(Boolean).join("; ");
  canvas.hidden = side < 2;
  if (side < 2) return;
  canvas.setAttribute("aria-valuemax", side * side);
  canvas.setAttribute("aria-valuenow", pixel + 1);
  canvas.setAttribute("aria-valuetext", `${t("pixel", place)}: ${signed(value)}`);
  const size = side * Math.max(1, Math.floor((WHOLE * unit) / side));
  const brush = prepared(canvas, size, size);
  const cell = size / side;
  brush.drawImage(atlas(layer), map * side, 0, side, side, 0, 0, size, size);
  Object.assign(brush, { strokeStyle: palette.mark, lineWidth: 2.5 });
  brush.strokeRect((pixel % side) * cell, Math.floor(pixel / side) * cell, cell, cell);
}

// Rows of patch × kernel = product, one for each of the channels with the largest sums.
function drawProducts(chosen, { terms }) {
  const canvas = one("products");
  const available = stage.isNarrow ? 0 : stage.detail - 540 * unit;
  const width = Math.max(440, Math.min(620 * unit, available)); // it scrolls on a phone
  const { size } = patchOf(chosen);
  const shown = terms.slice(0, SHOWN);
  const source = state.maps[chosen.layer - 1];
  const isVector = source.side === 1; // units instead of maps
  const left = isVector ? 8 : Math.min(92, width * 0.16);
  const grid = Math.min(114 * unit, (width - left - 118 * unit) / 3);
  const row = isVector ? 46 * unit : grid + 12;
  const brush = prepared(canvas, width, (26 + 22) * unit + row * shown.length);
  const outer = pen;
  pen = brush; // `text` and `frame` draw here
  const starts = [0, 1, 2].map((i) => left + 20 + i * (grid + 20));
  const head = isVector ? ["row_patch_unit", "row_kernel_unit", "row_product"] : ["row_patch", "row_kernel", "row_product"];
  head.forEach((key, i) => text(t(key), starts[i] + grid / 2, 10 * unit, { size: 11.5, alpha: 0.85 }));
  if (!isVector) text(t("row_source"), left / 2, 10 * unit, { size: 11.5, alpha: 0.85 });
  shown.forEach((term, index) => {
    const y = 22 * unit + index * row;
    const height = isVector ? 34 * unit : grid;
    if (!isVector) drawSource(chosen, term.channel, y, Math.min(left, grid));
    const most = Math.max(1e-9, ...term.kernel.map(Math.abs));
    const products = term.kernel.map((weight, i) => weight * (term.patch[i] || 0));
    const scale = Math.max(1e-9, ...shown.flatMap(({ kernel, patch }) => [...kernel].map((w, i) => Math.abs(w * (patch[i] || 0)))));
    const cells = [
      [term.patch, source.limit],
      [term.kernel, most],
      [products, scale],
    ];
    cells.forEach(([values, limit], i) => drawCells(values, limit, size, starts[i], y, grid, height));
    const middle = y + height / 2;
    text("×", starts[1] - 10, middle, { size: 16 });
    text("=", starts[2] - 10, middle, { size: 16 });
    text("Σ", starts[2] + grid + 12 * unit, middle, { size: 14 });
    text(signed(term.sum), starts[2] + grid + 24 * unit, middle, { size: 14, weight: 700, align: "left" });
  });
  const key = isVector ? "sums_units" : "sums";
  const hasMore = terms.length > shown.length;
  const note = hasMore ? t(key, { shown: shown.length, count: source.count }) : "";
  text(note, left + 20, 30 * unit + row * shown.length, { size: 11.5, align: "left", alpha: 0.85 });
  pen = outer;
}

// The channel of the layer before, small, with the patch's frame.
function drawSource({ layer, map, pixel }, channel, y, side) {
  const maps = state.maps[layer - 1];
  const { row, column, size } = patchOf({ layer, map, pixel });
  const cell = side / maps.side;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(atlas(layer - 1), channel * maps.side, 0, maps.side, maps.side, 0, y, side, side);
  frame(0.5, y, side - 1, side, 0.3);
  frame(column * cell, y + row * cell, size * cell, size * cell, 1, palette.mark, 2);
}

function drawCells(values, limit, size, x, y, width, height) {
  const [across, down] = [width / size, height / size];
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    const [left, top] = [x + (index % size) * across, y + Math.floor(index / size) * down];
    const level = (value || 0) / limit;
    pen.fillStyle = Number.isNaN(value) ? "transparent" : colourOf(level);
    pen.fillRect(left, top, across - 1, down - 1);
    if (size > MAX_NUMBERED || across < 22) continue;
    const size_ = Math.min(12.5, across / 3.3 / unit);
    if (Number.isNaN(value)) text("0", left + across / 2, top + down / 2, { size: size_, alpha: 0.6 });
    else text(signed(value), left + across / 2, top + down / 2, { size: size_, colour: textOn(level) });
  }
  frame(x + 0.5, y + 0.5, width - 1.5, height - 1.5, 0.3);
}

// From the sum to the number, a line each.
function chain({ layer, map }, { terms, total, product, normalised, value }) {
  const { kind, bias, pool, scale, shift, activation } = state.layers[layer - 1];
  const shown = terms.slice(0, SHOWN);
  const others = terms.length - shown.length;
  const rest = total - shown.reduce((sum, term) => sum + term.sum, 0);
  const lines = shown.map(({ channel, sum }) => [nameOf({ layer: layer - 1, map: channel }), sum]);
  if (others) lines.push([t("others", { count: others }), rest]);
  if (bias[map]) lines.push([t("bias"), bias[map]]);
  lines.push([pool > 1 ? t("pool", { count: pool * pool }) : t("sum"), product, "total"]);
  if (scale[map] !== 1 || shift[map]) {
    const sign = shift[map] < 0 ? MINUS : "+";
    const words = { scale: signed(scale[map]), shift: `${sign} ${Math.abs(shift[map]).toFixed(2)}` };
    lines.push([t(kind === "outputs" ? "temperature" : "norm", words), normalised]);
  }
  if (activation) lines.push([t(activation), value, "total"]);
  return lines.map(([label, number, kind_ = ""]) => {
    const item = node("li", { class: kind_ });
    item.append(node("span", {}, label), node("b", {}, signed(number)));
    return item;
  });
}

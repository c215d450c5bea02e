// Where everything stands on the stage: columns from the input to the logits, in CSS pixels.
const [HEAD, GAP, MARGIN, MIN_SPACE, MAX_SPACE] = [42, 3, 5, 30, 110];
const SCALES = [1.9, 1.75, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1, 0.9, 0.8]; // until the columns fit
const MIN_WIDTH = 760; // below it the stage scrolls sideways
let columns = []; // {x, y, width, height, tile, across} of the input and of each layer
let stage = null; // {width, height, isNarrow, detail}; null when it has to be measured again

// The side of a map on the stage: the finer the map, the larger.
function tileSide(side, kind) {
  if (kind === "hidden") return 8;
  if (side >= 10) return 34;
  return side >= 5 ? 19.5 : 15;
}

function place() {
  if (stage) return;
  const available = Math.max(MIN_WIDTH, one("scroll").clientWidth) - 2 * MARGIN;
  const tallest = availableHeight() - HEAD * unit;
  let fitting = null;
  for (const scale of SCALES) {
    fitting = measured(scale);
    const width = fitting.width + MIN_SPACE * (fitting.columns.length - 1);
    if (width <= available && fitting.height <= tallest) break;
  }
  const spaces = fitting.columns.length - 1;
  const space = Math.max(MIN_SPACE, Math.min(MAX_SPACE, (available - fitting.width) / spaces));
  const width = fitting.width + space * spaces;
  let x = MARGIN + Math.max(0, (available - width) / 2);
  columns = fitting.columns.map((column) => {
    const placed = { ...column, x, y: HEAD * unit + (fitting.height - column.height) / 2 };
    x += column.width + space;
    return placed;
  });
  stage = {
    width: Math.max(available, width) + 2 * MARGIN,
    height: HEAD * unit + fitting.height + 6,
    isNarrow: one("network").clientWidth < 720 * unit,
    detail: one("scroll").clientWidth,
  };
  Object.assign(one("stage").style, { width: `${stage.width}px`, height: `${stage.height}px` });
  placeLayers();
}

// What remains of the screen below the pad; the page's tokens divide it.
function availableHeight() {
  const [view, bar] = [one("network"), element.querySelector(".bar")];
  const style = getComputedStyle(view);
  return parseFloat(style.minHeight) - bar.offsetHeight - 2 * parseFloat(style.paddingTop) - 8;
}

function measured(scale) {
  const height = Math.round(300 * scale);
  const list = [inputColumn(scale, height)];
  for (const layer of state.layers) {
    if (layer.kind === "outputs") {
      const row = Math.min(36 * unit, height / layer.count);
      list.push({ width: 152 * unit, height: row * layer.count, row });
      continue;
    }
    list.push(gridColumn(layer.count, tileSide(layer.side, layer.kind) * scale, height));
  }
  return { columns: list, height, width: list.reduce((sum, each) => sum + each.width, 0) };
}

function gridColumn(count, wanted, height) {
  const most = Math.max(1, Math.floor((height + GAP) / (wanted + GAP)));
  const across = Math.ceil(count / most);
  const down = Math.ceil(count / across);
  const tile = Math.max(2, Math.min(wanted * 1.15, (height + GAP) / down - GAP));
  return { width: across * (tile + GAP) - GAP, height: down * (tile + GAP) - GAP, tile, across };
}

// The picture, and below it the normalised channels.
function inputColumn(scale, height) {
  const width = (height - 26 * unit) / 2 - 4;
  const across = state.channels > 1 ? 2 : 1;
  const tile = (width + GAP) / across - GAP;
  const tiles = (tile + GAP) * Math.ceil(state.channels / across) - GAP;
  return { width, height: width + 26 * unit + tiles, tile, across, picture: width };
}

// The square of a map, or the row of a class.
function squareOf(layer, map) {
  const column = columns[layer];
  if (column.row)
    return { x: column.x, y: column.y + map * column.row, width: column.width, height: column.row };
  const step = column.tile + GAP;
  const top = column.picture ? column.picture + 26 * unit : 0;
  return {
    x: column.x + (map % column.across) * step,
    y: column.y + top + Math.floor(map / column.across) * step,
    width: column.tile,
    height: column.tile,
  };
}

// The map and its pixel at a point of the stage, or null.
function hit(layer, x, y) {
  const { count, side } = state.maps?.[layer] ?? state.layers[layer - 1] ?? {};
  for (let map = 0; map < count; map++) {
    const square = squareOf(layer, map);
    const [across, down] = [(x - square.x) / square.width, (y - square.y) / square.height];
    const slack = columns[layer].row ? 0 : GAP / 2 / square.width; // half of the gap around it
    if (Math.min(across, down) < -slack || Math.max(across, down) > 1 + slack) continue;
    const cell = (part) => Math.min(side - 1, Math.max(0, Math.floor(part * side)));
    return { layer, map, pixel: cell(down) * side + cell(across) };
  }
  return null;
}

// The network's values: what the server sends, decoded; colours; the arithmetic of one pixel.
// Maps are numbered from 0, the network's input; map k is what layer k - 1 of the server returns.
const state = {
  key: "", // of the model that `layers` describe
  layers: null, // with kernels; null until they have arrived
  steps: [],
  labels: [],
  maps: null, // {count, side, values, limit} of the input and of each layer; null without a drawing
  image: null, // the 784 pixels
  winners: [],
  paths: [],
  target: 0, // the class that the paths lead to
  chosen: { layer: 1, map: null, pixel: null }, // null: the strongest
  serial: 0, // of the drawings that have arrived
  pinned: false,
  pointed: false, // whether the chosen map is pointed at, or has the focus
  step: null, // of the walk; null shows all
  progress: 1, // of the animation of a step
};

const FULL = 0.75; // of the largest value of a layer: the full colour

function bytes(base64) {
  const text = atob(base64);
  const result = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) result[index] = text.charCodeAt(index);
  return result;
}

function unpack({ scales, data }) {
  const integers = new Int16Array(bytes(data).buffer);
  const values = new Float32Array(integers.length);
  const size = integers.length / scales.length;
  for (let row = 0; row < scales.length; row++)
    for (let index = row * size; index < (row + 1) * size; index++)
      values[index] = integers[index] * scales[row];
  return values;
}

function mapsOf({ shape, ...packed }) {
  const values = unpack({ shape, ...packed });
  let most = 1e-6;
  for (const value of values) if (Math.abs(value) > most) most = Math.abs(value);
  return { count: shape[0], side: shape[1], values, limit: FULL * most };
}

// ---- one number of a map: the patch below the kernel, the kernel, and their products
function patchOf({ layer, map, pixel }) {
  const { padding, pool, kernel } = state.layers[layer - 1];
  const { side } = state.maps[layer];
  const winner = pool > 1 ? state.winners[layer - 1][map * side * side + pixel] : 0;
  const row = Math.floor(pixel / side) * pool + Math.floor(winner / pool) - padding;
  const column = (pixel % side) * pool + (winner % pool) - padding;
  return { row, column, size: kernel.side };
}

function arithmetic({ layer, map, pixel }) {
  const block = state.layers[layer - 1];
  const [source, own] = [state.maps[layer - 1], state.maps[layer]];
  const { row, column, size } = patchOf({ layer, map, pixel });
  const area = size * size;
  const terms = [];
  for (let channel = 0; channel < source.count; channel++) {
    const start = (map * source.count + channel) * area;
    const kernel = block.kernel.values.subarray(start, start + area);
    const patch = new Float32Array(area).fill(NaN); // outside of the map
    let sum = 0;
    for (let i = 0; i < area; i++) {
      const [y, x] = [row + Math.floor(i / size), column + (i % size)];
      if (y < 0 || x < 0 || y >= source.side || x >= source.side) continue;
      patch[i] = source.values[(channel * source.side + y) * source.side + x];
      sum += patch[i] * kernel[i];
    }
    terms.push({ channel, kernel, patch, sum });
  }
  const total = terms.reduce((sum, term) => sum + term.sum, 0);
  const product = total + block.bias[map];
  return {
    terms: terms.sort((a, b) => Math.abs(b.sum) - Math.abs(a.sum)),
    total,
    product,
    normalised: product * block.scale[map] + block.shift[map],
    value: own.values[map * own.side * own.side + pixel],
  };
}

// ---- what is chosen, with the strongest in place of null
function strongestMap(layer) {
  if (layer === state.layers.length) return state.target;
  const lit = state.paths[layer]?.maps ?? [];
  const [map = 0] = lit.find(([, value]) => value > 0) ?? lit[0] ?? [];
  return map;
}
function largestPixel(layer, map) {
  const { side, values } = state.maps[layer];
  const own = values.subarray(map * side * side, (map + 1) * side * side);
  return own.reduce((best, value, index) => (value > own[best] ? index : best), 0);
}
function selection() {
  const { layer, map, pixel } = state.chosen;
  const shown = map ?? strongestMap(layer);
  return { layer, map: shown, pixel: pixel ?? largestPixel(layer, shown) };
}

// ---- numbers and colours
const MINUS = "\u2212";
function signed(value, digits = 2) {
  const words = value.toFixed(digits);
  return Number(words) === 0 ? words.replace("-", "") : words.replace("-", MINUS);
}
let palette = null; // of the page's tokens: {negative, zero, positive, table, text, mark, isDark}
let unit = 1; // the page's type, larger for a projector

function readPalette() {
  const style = getComputedStyle(one("network"));
  const isDark = document.body.classList.contains("dark");
  const token = (name) =>
    [1, 3, 5].map((at) => parseInt(style.getPropertyValue(`--${name}`).trim().slice(at, at + 2), 16));
  // On a dark page the values are brighter, and zero is as dark as the ground.
  const names = isDark ? ["zero-text", "ground", "one-text"] : ["zero", "neutral", "one"];
  const [negative, zero, positive] = names.map(token);
  const colours = { negative, zero, positive };
  const table = new Uint32Array(511); // from -1 to 1
  for (let index = 0; index < 511; index++) {
    const [r, g, b] = mixed(colours, (index - 255) / 255);
    table[index] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  const mark = style.getPropertyValue("--mark");
  palette = { ...colours, table, text: style.color, mark, isDark };
  unit = parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
  const scale = [negative, zero, positive].map((colour) => rgb(colour)).join();
  one("network").style.setProperty("--scale", scale);
}
function mixed(colours, level) {
  const end = level < 0 ? colours.negative : colours.positive;
  const strength = Math.min(1, Math.abs(level));
  return colours.zero.map((zero, i) => Math.round(zero + (end[i] - zero) * strength));
}
const rgb = (colour, alpha = 1) => `rgba(${colour.join()},${alpha})`;
const colourOf = (level) => rgb(mixed(palette, level));
const lineColour = (value, alpha) => rgb(value < 0 ? palette.negative : palette.positive, alpha);
function textOn(level) {
  const [r, g, b] = mixed(palette, level);
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#111" : "#fff";
}

// A picture of all maps of a layer side by side, one pixel each value; drawn once a drawing.
const sheets = []; // a canvas, its pen and its pixels for each layer

function atlas(layer) {
  const maps = state.maps[layer];
  const { count, side, values, limit } = maps;
  if (maps.picture) return maps.picture;
  const width = count * side;
  let sheet = sheets[layer];
  if (sheet?.image.width !== width || sheet.image.height !== side) {
    const pen = new OffscreenCanvas(width, side).getContext("2d");
    const image = pen.createImageData(width, side);
    sheet = sheets[layer] = { pen, image, pixels: new Uint32Array(image.data.buffer) };
  }
  const factor = 255 / limit;
  for (let map = 0, index = 0; map < count; map++)
    for (let row = 0; row < side; row++)
      for (let place = row * width + map * side, end = place + side; place < end; place++) {
        const level = Math.round(values[index++] * factor) + 255;
        sheet.pixels[place] = palette.table[Math.max(0, Math.min(510, level))];
      }
  sheet.pen.putImageData(sheet.image, 0, 0);
  maps.picture = sheet.pen.canvas;
  return maps.picture;
}

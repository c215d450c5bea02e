// The circuit: decoded from the server's bytes, computed for an image, followed in both directions.
// A signal is {level, index}: at level 0 the bit threshold * 784 + pixel, at level n a gate of layer n.
const SIDE = 28;
const bytesOf = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

function decode({ thresholds, classes, sizes, width, gates }) {
  const raw = bytesOf(gates).buffer;
  const Wire = width === 2 ? Uint16Array : Uint32Array;
  let start = 0;
  const take = (Type, count) => {
    const end = start + count * Type.BYTES_PER_ELEMENT;
    const part = new Type(raw.slice(start, end)); // a copy is aligned
    start = end;
    return part;
  };
  const layers = sizes.map((count) => ({
    first: take(Wire, count),
    second: take(Wire, count),
    tables: take(Uint8Array, count),
  }));
  const net = { thresholds, classes, layers, depth: layers.length, votes: sizes.at(-1) / classes };
  return { ...net, places: places(net) };
}

// The bits of the pixels, then those of each layer, as bytes of 0 and 1.
function compute({ thresholds, layers }, image) {
  const levels = [Uint8Array.from({ length: thresholds.length * SIDE * SIDE }, (_, bit) =>
    image[bit % (SIDE * SIDE)] > thresholds[Math.floor(bit / (SIDE * SIDE))])];
  for (const { first, second, tables } of layers) {
    const before = levels.at(-1);
    levels.push(tables.map((table, i) => outputOf(table, before[first[i]], before[second[i]])));
  }
  return levels;
}

const outputOf = (table, a, b) => (table >> (3 - 2 * a - b)) & 1;
const usesA = (table) => table >> 2 !== (table & 3);
const usesB = (table) => (((table >> 1) ^ table) & 5) !== 0;

// A gate's truth table and its two inputs, with whether its function depends on each.
function gateAt({ layers }, { level, index }) {
  const { first, second, tables } = layers[level - 1];
  const table = tables[index];
  const input = (side, wires, used) =>
    ({ side, used, signal: { level: level - 1, index: wires[index] } });
  return { table, inputs: [input("a", first, usesA(table)), input("b", second, usesB(table))] };
}

// The gates of the next layer whose function depends on a signal.
function readersOf({ layers, depth }, { level, index }) {
  if (level === depth) return [];
  const { first, second, tables } = layers[level];
  const found = [];
  tables.forEach((table, i) => {
    const reads = (first[i] === index && usesA(table)) || (second[i] === index && usesB(table));
    if (reads) found.push({ level: level + 1, index: i });
  });
  return found;
}

// All signals that a signal depends on: itself first, with the wires between them.
function coneOf(net, root) {
  const [signals, wires] = [[root], []];
  const seen = new Set([`${root.level} ${root.index}`]);
  for (const signal of signals) {
    if (!signal.level) continue;
    for (const { signal: source, used } of gateAt(net, signal).inputs) {
      if (!used) continue;
      wires.push([source, signal]);
      const name = `${source.level} ${source.index}`;
      if (!seen.has(name)) signals.push(source);
      seen.add(name);
    }
  }
  return { signals, wires };
}

// All wires from a signal forward to the votes that depend on it, the nearest first.
function reachOf(net, root) {
  const wires = [];
  const seen = new Set();
  for (let now = [root]; now.length; ) {
    const next = [];
    for (const source of now) {
      for (const reader of readersOf(net, source)) {
        wires.push([source, reader]);
        const name = `${reader.level} ${reader.index}`;
        if (!seen.has(name)) next.push(reader);
        seen.add(name);
      }
    }
    now = next;
  }
  return wires;
}

// Where the pixels lie that a gate depends on, in the mean: for each level, x and y of each signal.
function places({ thresholds, layers }) {
  const pixels = Array.from({ length: thresholds.length * SIDE * SIDE }, (_, i) => i % (SIDE * SIDE));
  const levels = [{ x: pixels.map((p) => (p % SIDE) + 0.5), y: pixels.map((p) => Math.floor(p / SIDE) + 0.5) }];
  for (const { first, second, tables } of layers) {
    const before = levels.at(-1);
    const mean = (values) => Array.from(tables, (table, i) => {
      const [a, b] = [values[first[i]], values[second[i]]];
      if (usesA(table) === usesB(table)) return (a + b) / 2;
      return usesA(table) ? a : b;
    });
    levels.push({ x: mean(before.x), y: mean(before.y) });
  }
  return levels;
}
const pixelOf = ({ index }) => ({
  column: index % SIDE,
  row: Math.floor(index / SIDE) % SIDE,
  threshold: Math.floor(index / (SIDE * SIDE)),
});
const classOf = (net, index) => Math.floor(index / net.votes);

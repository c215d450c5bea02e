// The arithmetic of a one-hidden-layer network, and the colours of its values.
const [LOW, HIGH, SIDE, LEFT, TOP, PLOT] = [-0.25, 1.25, 101, 40, 10, 390];
const [ZERO, ONE, WHITE] = [
  [0, 114, 178],
  [213, 94, 0],
  [247, 247, 247],
];
const MAX_DRAWN = 12; // hidden units
const MAX_WEIGHT = props.max_weight; // of an edited weight
const MAX_INPUTS = props.max_inputs; // of a network that is trained here

// bits: the gate's table. base: the network as served or trained; net: the same, or edited.
const state = {
  label: "",
  bits: "0110",
  source: "served",
  x: [],
  base: null,
  net: null,
  run: null,
  frame: 0,
  edited: false,
  linked: false, // the network is from a link
  stale: false,
  weight: "weight1 0 0",
  problem: null,
  training: false,
};
let timer = null; // of the animation
let waiting = false; // for the next animation frame

// ---- the network: its four arrays and its prediction
const SQUASH = {
  tanh: Math.tanh,
  relu: (v) => Math.max(0, v),
  sigmoid: (v) => 1 / (1 + Math.exp(-v)),
};
const sums = (net, x) =>
  net.weight1.map((w, h) => w.reduce((sum, value, i) => sum + value * x[i], net.bias1[h]));
const hidden = (net, x) => sums(net, x).map(SQUASH[net.activation]);
// The same as `hidden` in one loop: a surface has ten thousand inputs.
function probability(net, x) {
  const squash = SQUASH[net.activation];
  let logit = net.bias2;
  for (let h = 0; h < net.bias1.length; h++) {
    let sum = net.bias1[h];
    for (let i = 0; i < x.length; i++) sum += net.weight1[h][i] * x[i];
    logit += squash(sum) * net.weight2[h];
  }
  return SQUASH.sigmoid(logit);
}
const inputs = () => Math.log2(state.bits.length);
const letters = () => Array.from({ length: inputs() }, (_, i) => String.fromCharCode(97 + i));
const row = (index) => [...index.toString(2).padStart(inputs(), "0")].map(Number);
const copied = (net) => JSON.parse(JSON.stringify(net));
function frameNet(run, frame) {
  const { weight1, bias1, weight2, bias2 } = run.frames;
  return {
    activation: run.activation,
    weight1: weight1[frame],
    bias1: bias1[frame],
    weight2: weight2[frame],
    bias2: bias2[frame],
  };
}
// A weight by name: "weight1 h i", "bias1 h", "weight2 h" or "bias2".
function weigh(net, name, value = null) {
  const [part, h, i] = name.split(" ");
  const [holder, key] = part === "bias2" ? [net, part] : i ? [net[part][h], i] : [net[part], h];
  if (value !== null) holder[key] = value;
  return holder[key];
}

// ---- colours: 0 is blue, one half is white, 1 is orange
function colour(prob) {
  const end = prob > 0.5 ? ONE : ZERO;
  const strength = Math.abs(prob - 0.5) * 2;
  return WHITE.map((white, i) => Math.round(white * (1 - strength) + end[i] * strength));
}
const INKS = Array.from(
  { length: 256 }, // of a probability in 255ths, as a canvas stores a pixel
  (_, level) => new Uint32Array(new Uint8Array([...colour(level / 255), 255]).buffer)[0],
);
const rgb = (channels) => `rgb(${channels.join()})`;
function textOn(channels) {
  // white or black, whichever contrasts more
  const light = channels.map((c) => (c / 255) ** 2.2);
  return 0.2126 * light[0] + 0.7152 * light[1] + 0.0722 * light[2] > 0.18 ? "black" : "white";
}
const levelOf = (activation, value) =>
  // position within the activation's range, from 0 to 1
  activation === "tanh"
    ? (value + 1) / 2
    : activation === "relu"
      ? 0.5 + value / (2 + 2 * value)
      : value;
const signed = (value, digits) => value.toFixed(digits).replace("-", "−");

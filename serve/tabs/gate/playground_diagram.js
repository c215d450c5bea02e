// The diagram: the network with its activations for the current input, and its weights.
const RADIUS = 23; // of a node

function shownUnits() {
  // those with the largest output weights, in their order
  const all = state.net.weight2.map((_, h) => h);
  const large = all.sort((g, h) => Math.abs(state.net.weight2[h]) - Math.abs(state.net.weight2[g]));
  return large.slice(0, MAX_DRAWN).sort((g, h) => g - h);
}
function drawDiagram() {
  const { net, x } = state;
  const [units, names] = [shownUnits(), letters()];
  const positions = layers(names.length, units.length);
  const [values, prob] = [hidden(net, x), probability(net, x)];
  const edges = units.flatMap((h, k) => [
    ...names.flatMap((_, i) => edge(`weight1 ${h} ${i}`, positions.input(i), positions.hidden(k))),
    ...edge(`weight2 ${h}`, positions.hidden(k), positions.output),
  ]);
  const nodes = [
    ...names.map((name, i) =>
      circle(positions.input(i), x[i], Math.min(1, Math.max(0, x[i])), name, [-38, 5]),
    ),
    ...units.map((h, k) => {
      const level = levelOf(net.activation, values[h]);
      const name = t("hidden", { index: h + 1 });
      return circle(positions.hidden(k), values[h], level, name, [0, -28], `bias1 ${h}`);
    }),
    circle(positions.output, prob, prob, t("out"), [0, -30], "bias2"),
  ];
  one("diagram").replaceChildren(...edges, ...nodes);
  const all = net.weight2.length;
  one("few").textContent = all > units.length ? t("few", { all, shown: units.length }) : "";
}
// The position of each layer's nodes; the drawing is as wide as its panel, so text keeps its size.
function layers(inputs, units) {
  const svg = one("diagram");
  const width = Math.min(500, Math.max(310, svg.clientWidth));
  const height = Math.max(300, Math.max(units, inputs) * 72 + 24);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const middle = height / 2 + 10;
  const spread = (i, count) =>
    middle + (i - (count - 1) / 2) * Math.min(110, (height - 24) / count);
  return {
    input: (i) => [56, spread(i, inputs)],
    hidden: (k) => [width / 2 + 10, spread(k, units)],
    output: [width - 36, middle],
  };
}
// A weight's line, with a wider line below it if it is chosen, and a wide invisible one to click.
function edge(name, [x1, y1], [x2, y2]) {
  const weight = weigh(state.net, name);
  const thick = Math.min(11, 0.7 + Math.abs(weight));
  const line = { x1: x1 + RADIUS, y1, x2: x2 - RADIUS, y2 };
  const chosen = shape("line", { ...line, class: "chosen", "stroke-width": thick + 8 });
  const drawn = shape("line", {
    ...line,
    class: weight < 0 ? "edge negative" : "edge",
    stroke: rgb(weight < 0 ? ZERO : ONE),
    "stroke-width": thick,
  });
  const reach = shape("line", { ...line, class: "reach", "data-name": name });
  reach.append(shape("title", {}, `${weightName(name)}: ${signed(weight, 2)}`));
  return [...(name === state.weight ? [chosen] : []), drawn, reach];
}
// A node with its value inside and its name outside; `bias` is the name of its weight.
function circle([x, y], value, level, name, offset, bias = "") {
  const fill = colour(level);
  const group = shape("g", { class: "node", ...(bias && { "data-name": bias }) });
  if (bias === state.weight)
    group.append(shape("circle", { cx: x, cy: y, r: 28, class: "chosen", "stroke-width": 4 }));
  const within = { class: "within", style: `fill:${textOn(fill)}` };
  const text = (dx, dy, more, words) =>
    shape("text", { x: x + dx, y: y + dy, "text-anchor": "middle", ...more }, words);
  group.append(
    shape("circle", { cx: x, cy: y, r: RADIUS, fill: rgb(fill) }),
    text(0, 5, within, signed(value, Math.abs(value) >= 9.95 ? 1 : 2)),
    text(...offset, { class: "name" }, name),
  );
  return group;
}
function weightName(name) {
  const [part, h, i] = name.split(" ");
  const unit = h ? t("hidden", { index: Number(h) + 1 }) : t("out");
  if (part.startsWith("bias")) return t("bias", { node: unit });
  return part === "weight1"
    ? t("edge", { source: letters()[i], target: unit })
    : t("edge", { source: unit, target: t("out") });
}
function writeValue() {
  one("value").value = Number(weigh(state.net, state.weight).toFixed(2));
}
function listWeights() {
  const net = state.net;
  const names = net.weight1.flatMap((w, h) => w.map((_, i) => `weight1 ${h} ${i}`));
  names.push(
    ...net.bias1.map((_, h) => `bias1 ${h}`),
    ...net.weight2.map((_, h) => `weight2 ${h}`),
    "bias2",
  );
  if (!names.includes(state.weight)) state.weight = names[0];
  const list = one("weight");
  const key = `${names.join()};${inputs()}`;
  if (list.dataset.key !== key) {
    list.replaceChildren(...names.map((name) => node("option", { value: name }, weightName(name))));
    list.dataset.key = key;
  }
  list.value = state.weight;
  const value = weigh(net, state.weight);
  const base = Math.abs(weigh(state.base, state.weight));
  const most = Math.max(10, Math.ceil(base * 1.5), Math.ceil(Math.abs(value)));
  Object.assign(one("slider"), { min: -most, max: most });
  one("slider").value = value;
  one("slider").setAttribute("aria-valuetext", `${weightName(state.weight)}: ${signed(value, 2)}`);
  if (document.activeElement !== one("value")) writeValue();
  one("restore").disabled = !state.edited;
}

// The view: what is chosen, the sentences, the details of a gate, and what is clicked.
window.digitCircuits ??= {}; // id -> decoded; the server sends each circuit once
const state = { net: null, id: "", label: 0, root: null, focus: null, kept: false, trail: [] };
const svg = one("tree");
let map = null;

const number = (value) => value.toLocaleString("en");
const bit = ({ level, index }) => state.levels[level][index];
const same = (one, other) => one.level === other.level && one.index === other.index;
const nameOfClass = (label) => (label < 10 ? String(label) : t("none"));

function nameOf(signal) {
  const { net } = state;
  if (!signal.level) {
    const { row, column } = pixelOf(signal);
    return t("bit", { row: row + 1, column: column + 1 });
  }
  const gate = number(signal.index + 1);
  if (signal.level < net.depth) return t("gate", { gate, layer: signal.level });
  const label = nameOfClass(classOf(net, signal.index));
  return t("vote", { gate: number((signal.index % net.votes) + 1), label });
}

const functionOf = (signal) => props.functions[gateAt(state.net, signal).table];
const names = {
  symbols: (signal) => functionOf(signal)[1],
  label(signal) {
    const name = nameOf(signal);
    const value = bit(signal);
    if (signal.level) return t("tree_label", { name, function: functionOf(signal)[0], value });
    return t("bit_label", { name, value, ...lightOf(signal) });
  },
};

function lightOf(signal) {
  const { row, column, threshold } = pixelOf(signal);
  return {
    brightness: state.image[row * SIDE + column],
    threshold: state.net.thresholds[threshold],
  };
}

// ---- What is shown

function show(name, text = "") {
  one("circuit").dataset.state = name;
  one("body").hidden = name !== "drawn";
  if (name !== "drawn") one("lead").textContent = text;
}

async function update() {
  const { id, key, note, offer } = props.value ?? {};
  one("adopt").hidden = !offer;
  one("adopt").textContent = offer ? t(`to_${offer.kind}`, offer) : "";
  if (!id) return show(note ? "message" : "other", note || (offer ? t("other") : ""));
  if (!window.digitCircuits[id]) {
    show("message", t("loading"));
    const answer = await server.netlist(key).catch(() => ({ error: t("failed") }));
    if (props.value?.id !== id) return;
    if (answer.error) return show("message", answer.error);
    window.digitCircuits[id] = decode(answer);
  }
  if (state.id !== id) {
    const net = window.digitCircuits[id];
    Object.assign(state, { id, net, blank: null, kept: false, trail: [] });
  }
  state.image = bytesOf(props.value.image);
  state.blank ??= compute(state.net, new Uint8Array(SIDE * SIDE));
  state.levels = compute(state.net, state.image);
  if (!state.kept) chooseClass(winners()[0]);
  show("drawn");
  draw();
}

const countOf = (label) => {
  const { net, levels } = state;
  const start = label * net.votes;
  return levels.at(-1).subarray(start, start + net.votes).reduce((sum, vote) => sum + vote, 0);
};
const winners = () => [...Array(10).keys()].sort((a, b) => countOf(b) - countOf(a));
const members = () => { // votes of the class that can be stepped through
  const own = Array.from({ length: state.net.votes }, (_, i) => state.label * state.net.votes + i);
  return one("only").checked ? own.filter((gate) => state.levels.at(-1)[gate]) : own;
};

// Choose a class, and of its votes that are 1 the one that depends on the most ink.
function chooseClass(label) {
  state.label = label;
  const level = state.net.depth;
  const ink = (index) => coneOf(state.net, { level, index }).signals
    .filter((signal) => !signal.level && bit(signal)).length;
  let [best, most] = [label * state.net.votes, -1];
  for (const index of members()) {
    const dark = ink(index);
    if (dark > most) [best, most] = [index, dark];
  }
  state.root = state.focus = { level, index: best };
}

function draw() {
  drawLead();
  drawOverview();
  drawClasses();
  drawChoice();
}

function drawChoice() {
  const { net, root } = state;
  const list = members();
  const isVote = root.level === net.depth;
  const place = isVote ? list.indexOf(root.index) + 1 : 0;
  one("place").textContent = t("place", {
    place: place ? number(place) : "–", all: number(list.length), label: nameOfClass(state.label),
  });
  drawTree(state, svg, isNarrow(), names);
  drawDetail();
  one("back").disabled = !state.trail.length;
}

const isNarrow = () => element.clientWidth < NARROW;

function drawLead() {
  const { net, levels } = state;
  const [first, second] = winners();
  if (!state.image.some(Boolean)) {
    one("lead").textContent = t("blank");
    return;
  }
  const sum = (bits) => bits.reduce((total, value) => total + value, 0);
  one("lead").textContent = t("most", {
    label: first,
    votes: number(countOf(first)),
    all: number(net.votes),
    second,
    seconds: number(countOf(second)),
    on: number(levels.slice(1).map(sum).reduce((a, b) => a + b)),
    gates: number(net.layers.reduce((total, { tables }) => total + tables.length, 0)),
  });
}

function drawOverview() {
  const { net } = state;
  const width = one("map").clientWidth;
  if (!width) return; // not visible yet
  if (!map || map.width !== width || map.net !== net) map = { ...arrange(net, width), width, net };
  placeVotes(net, map.parts.at(-1), state.levels.at(-1));
  const titles = net.layers.map(({ tables }, i) =>
    t(i + 1 < net.depth ? "layer" : "votes", { layer: i + 1, gates: number(tables.length) }));
  drawMap(state, map, [t("pixels"), ...titles]);
}

function drawClasses() {
  const { net } = state;
  const part = map?.parts.at(-1);
  if (!part) return;
  const list = one("classes");
  if (list.children.length !== net.classes) {
    list.replaceChildren(...Array.from({ length: net.classes }, (_, label) => {
      const button = node("button", { type: "button", role: "radio", "data-label": label });
      button.append(node("b", {}, nameOfClass(label)), node("span"));
      return button;
    }));
  }
  [...list.children].forEach((button, label) => {
    const votes = countOf(label);
    const style = { left: part.x, top: part.y + label * ROW, width: part.w, height: ROW };
    for (const [name, value] of Object.entries(style)) button.style[name] = `${value}px`;
    button.lastChild.textContent = number(votes);
    button.setAttribute("aria-checked", label === state.label);
    button.tabIndex = label === state.label ? 0 : -1;
    const fields = { label: nameOfClass(label), votes: number(votes), all: number(net.votes) };
    button.setAttribute("aria-label", t("class", fields));
  });
}

// ---- The details of the chosen gate or pixel

function drawDetail() {
  const { focus } = state;
  const parts = [node("h4", {}, nameOf(focus))];
  parts.push(...(focus.level ? gateDetail(focus) : pixelDetail(focus)), ...readersDetail(focus));
  one("detail").replaceChildren(...parts);
}

function gateDetail(signal) {
  const { net } = state;
  const { table, inputs } = gateAt(net, signal);
  const [name, symbols] = props.functions[table];
  const isVote = signal.level === net.depth;
  const [a, b] = inputs.map((input) => bit(input.signal));
  const value = t(`${isVote ? "vote" : "now"}_${bit(signal) ? "one" : "zero"}`, {
    label: isVote ? nameOfClass(classOf(net, signal.index)) : "",
  });
  return [
    node("p", { class: bit(signal) ? "on" : "off" }, value),
    node("p", { class: "function" }, t("function", { name, symbols })),
    node("p", { class: "formula" }, t("formula", { formula: formulaOf(table) })),
    truthTable(table, a, b),
    node("h5", {}, t("inputs")),
    ...inputs.map(({ side, used, signal: source }) =>
      link(source, t(used ? "input" : "unused", { side, value: bit(source), name: nameOf(source) }))),
  ];
}

function truthTable(table, a, b) {
  const result = node("table");
  const head = node("tr");
  head.append(...["a", "b", t("output")].map((text) => node("th", { scope: "col" }, text)));
  result.append(head);
  for (const [x, y] of [[0, 0], [0, 1], [1, 0], [1, 1]]) {
    const isPresent = x === a && y === b;
    const row = node("tr", isPresent ? { class: "present", "aria-current": "true" } : {});
    const values = [x, y, outputOf(table, x, y)];
    row.append(...values.map((value) => node("td", { class: value ? "on" : "off" }, value)));
    if (isPresent) row.lastChild.append(node("span", { class: "spoken" }, `, ${t("row")}`));
    result.append(row);
  }
  return result;
}

// c0 + c1 a + c2 b + c3 ab, as gates are trained.
function formulaOf(table) {
  const [off, onlyB, onlyA, both] = [3, 2, 1, 0].map((place) => (table >> place) & 1);
  const terms = [[off, ""], [onlyA - off, "a"], [onlyB - off, "b"], [off - onlyA - onlyB + both, "ab"]];
  const text = terms.filter(([factor]) => factor).map(([factor, name]) => {
    const size = Math.abs(factor) === 1 && name ? "" : Math.abs(factor);
    return `${factor < 0 ? "− " : "+ "}${size}${name}`;
  }).join(" ");
  return text.replace(/^\+ /, "").replace(/^− /, "−") || "0";
}

function pixelDetail(signal) {
  const { net } = state;
  const { row, column, threshold } = pixelOf(signal);
  const light = lightOf(signal);
  const question = `${t("brightness", light)} ${t(bit(signal) ? "yes" : "no")}`;
  const others = net.thresholds.map((level, i) => {
    const other = { level: 0, index: i * SIDE * SIDE + row * SIDE + column };
    const button = link(other, `> ${level}: ${bit(other)}`);
    button.setAttribute("aria-pressed", i === threshold);
    return button;
  });
  return [node("p", { class: bit(signal) ? "on" : "off" }, question), ...others];
}

function readersDetail(signal) {
  const readers = readersOf(state.net, signal);
  if (signal.level === state.net.depth) return [];
  const counted = t(readers.length === 1 ? "reader" : "readers", { count: number(readers.length) });
  const title = node("h5", {}, readers.length ? counted : t("no_readers"));
  const shown = readers.slice(0, 6).map((reader) => link(reader, `${nameOf(reader)} = ${bit(reader)}`));
  return [title, ...shown];
}

function link(signal, text) {
  const button = node("button", { type: "button", class: bit(signal) ? "on" : "off" }, text);
  button.signal = signal;
  return button;
}

// ---- What is clicked

function choose(signal, keepRoot = false) {
  const { net, root, focus } = state;
  state.trail.push({ root, focus, label: state.label });
  state.kept = true;
  state.focus = signal;
  const isDrawn = treeOf(net, root).some((each) => same(each.signal, signal));
  const goesOn = !keepRoot && !isDrawn;
  if (goesOn) state.root = signal;
  if (signal.level === net.depth) state.label = classOf(net, signal.index);
  redraw();
}

function redraw() {
  drawOverview();
  drawClasses();
  drawChoice();
}

canvas.addEventListener("click", (event) => pick(event));
function pick(event) {
  const box = canvas.getBoundingClientRect();
  const signal = signalAt(state.net, map, event.clientX - box.left, event.clientY - box.top);
  if (!signal) return false;
  const drawn = coneOf(state.net, state.root).signals;
  const near = signal.level ? null : drawn.find((each) => !each.level && same(
    { level: 0, index: each.index % (SIDE * SIDE) }, { level: 0, index: signal.index % (SIDE * SIDE) }));
  choose(near ?? signal);
  return true;
}

one("classes").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (event.detail && pick(event)) return; // a click on one of its votes
  state.trail.push({ root: state.root, focus: state.focus, label: state.label });
  state.kept = true;
  chooseClass(Number(button.dataset.label));
  redraw();
});
one("classes").addEventListener("keydown", (event) => {
  const move = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
  if (!move) return;
  event.preventDefault();
  const buttons = [...one("classes").children];
  const place = buttons.indexOf(event.target) + move;
  const next = buttons[(place + buttons.length) % buttons.length];
  next.click();
  next.focus();
});
one("circuit").addEventListener("click", ({ target }) => {
  const step = Number(target.closest("[data-step]")?.dataset.step);
  if (step) stepVote(step);
  if (target.closest("[data-back]") && state.trail.length) {
    Object.assign(state, state.trail.pop());
    redraw();
  }
  const linked = target.closest("[data-detail] button")?.signal;
  if (linked) {
    choose(linked);
    one("detail").querySelector("button")?.focus({ preventScroll: true });
  }
  if (target.closest("[data-adopt]")) {
    props.value = { ...props.value, wanted: props.value.offer.key };
    trigger("submit");
  }
});
function stepVote(step) {
  const list = members();
  if (!list.length) return;
  const place = list.indexOf(state.root.index);
  const next = place < 0 ? 0 : (place + step + list.length) % list.length;
  state.trail = [];
  state.kept = true;
  state.root = state.focus = { level: state.net.depth, index: list[next] };
  redraw();
}
one("only").addEventListener("change", drawChoice);

svg.addEventListener("click", ({ target }) => {
  const group = target.closest("[role=button]");
  if (group) focusOn(group.signal);
});
svg.addEventListener("keydown", (event) => {
  const group = event.target.closest("[role=button]");
  if (!group) return;
  if (event.key.startsWith("Arrow")) {
    const next = neighborOf(svg, group, event.key);
    event.preventDefault();
    if (next) focusOn(next.signal);
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    if (group.signal.level) choose(gateAt(state.net, group.signal).inputs[0].signal);
    svg.querySelector(".focus")?.focus();
  }
});
function focusOn(signal) {
  choose(signal);
  svg.querySelector(".focus")?.focus({ preventScroll: true });
}

window.digitCircuitObserver?.disconnect();
window.digitCircuitObserver = new ResizeObserver(() => {
  if (state.net && map?.width !== one("map").clientWidth) draw();
});
window.digitCircuitObserver.observe(one("map"));
window.digitCircuitListeners?.abort();
window.digitCircuitListeners = new AbortController();
const { signal: stopped } = window.digitCircuitListeners;
window.addEventListener("resize", () => state.net && draw(), { signal: stopped }); // other colours
watch("value", update);
update();

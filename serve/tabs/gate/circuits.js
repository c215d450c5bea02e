// Circuits of trained gates, drawn with their signals for the inputs that are switched on.
// The server sends every row as its networks computed it; nothing is computed here.
const [COLUMN, ROW, BOX, MARGIN] = [140, 74, [74, 46], 56]; // of the drawing, in its units
const chosen = { index: 0, row: 0 };

const circuit = () => props.value.circuits[chosen.index];
const at = ([column, row]) => [MARGIN + column * COLUMN, 34 + row * ROW];

function drawWiring() {
  const { inputs, parts, outputs, rows } = circuit();
  const { signals } = rows[chosen.row];
  const columns = Math.max(...parts.map((part) => part.position[0])) + 1;
  const deepest = Math.max(...Object.values(inputs), ...parts.map((part) => part.position[1]));
  const [width, height] = [2 * MARGIN + columns * COLUMN - 30, 68 + deepest * ROW];
  const positions = Object.fromEntries(
    Object.entries(inputs).map(([name, row]) => [name, at([0, row])]),
  );
  for (const part of parts) positions[part.output] = at(part.position);
  const wires = [];
  const boxes = [];
  const wire = (name, end) => {
    const [x, y] = positions[name];
    const from = x + (name in inputs ? 18 : BOX[0] / 2);
    const bend = end[0] - 52;
    const start = Math.max(from, bend - 8);
    wires.push(
      shape("path", {
        class: signals[name] ? "on" : "",
        d: `M${from} ${y} H${start} C${start + 34} ${y} ${end[0] - 34} ${end[1]} ${end.join(" ")}`,
      }),
    );
  };
  const value = (x, y, name, label) => {
    boxes.push(
      shape("circle", { cx: x, cy: y, r: 16, class: signals[name] ? "on" : "" }),
      shape("text", { x, y: y + 5, class: "value" }, signals[name]),
      shape("text", { x: x + label[0], y: y + label[1] }, name),
    );
  };
  for (const part of parts) {
    const [x, y] = positions[part.output];
    part.inputs.forEach((name, i) => wire(name, [x - BOX[0] / 2, y + (i ? 12 : -12)]));
    boxes.push(
      shape("rect", { x: x - BOX[0] / 2, y: y - BOX[1] / 2, width: BOX[0], height: BOX[1], rx: 9 }),
      shape("text", { x, y: y + 5, class: "gate" }, part.gate),
    );
  }
  const end = MARGIN + columns * COLUMN - 40;
  for (const name of outputs) {
    const y = positions[name][1];
    wire(name, [end - 16, y]);
    value(end, y, name, [0, -21]);
  }
  for (const name of Object.keys(inputs)) value(...positions[name], name, [-32, 5]);
  const svg = one("wiring");
  const listed = (list) =>
    list.map((n) => t("switch", { name: n, value: signals[n] })).join(", ");
  const signalTexts = { inputs: listed(Object.keys(inputs)), outputs: listed(outputs) };
  svg.setAttribute("aria-label", t("in_words", { name: props.names[circuit().name], ...signalTexts }));
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.style.setProperty("--least", `${Math.round(width * 0.88)}px`);
  svg.replaceChildren(...wires, ...boxes);
}
function drawSwitches() {
  const { inputs, rows } = circuit();
  const now = rows[chosen.row].signals;
  const buttons = one("switches").querySelectorAll("button");
  const names = Object.keys(inputs);
  if ([...buttons].map((button) => button.dataset.name).join() !== names.join()) {
    buttons.forEach((button) => button.remove());
    one("switches").append(
      ...names.map((name) => node("button", { type: "button", "data-name": name })),
    );
  }
  one("switches")
    .querySelectorAll("button")
    .forEach((button) => {
      const { name } = button.dataset;
      button.textContent = t("switch", { name, value: now[name] });
      button.setAttribute("aria-pressed", now[name] === 1);
    });
}
function drawRows() {
  const { rows } = circuit();
  const right = rows.filter((row) => row.answer === row.expected).length;
  const body = element.querySelector("tbody");
  const head = node("tr");
  head.append(
    ...["question_head", "answer_head", "check_head"].map((key) =>
      node("th", { scope: "col" }, t(key)),
    ),
  );
  element.querySelector("thead").replaceChildren(head);
  body.replaceChildren(
    ...rows.map((row, index) => {
      const line = node("tr", { class: index === chosen.row ? "present" : "" });
      const good = row.answer === row.expected;
      line.append(
        node("td", {}, row.question),
        node("td", {}, row.answer),
        node("td", good ? {} : { class: "wrong" }, good ? "✓" : "✗"),
      );
      return line;
    }),
  );
  const key = right === rows.length ? "all_right" : "some_wrong";
  one("count").textContent = t(key, { right, rows: rows.length });
}
function drawAnswer() {
  const row = circuit().rows[chosen.row];
  const good = row.answer === row.expected;
  const verdict = t(good ? "right" : "wrong", { expected: row.expected });
  const mark = good ? "✓" : "✗";
  one("answer").replaceChildren(node("b", {}, t("sum", row)), ` ${mark} ${verdict}`);
}
function draw() {
  if (!props.value || !props.value.circuits) return;
  const list = one("circuit");
  const names = props.value.circuits.map(({ name }) => props.names[name]);
  if (list.children.length !== names.length) {
    list.replaceChildren(...names.map((name, index) => node("option", { value: index }, name)));
  }
  list.value = chosen.index;
  one("note").textContent = props.value.note;
  for (const part of [drawWiring, drawSwitches, drawRows, drawAnswer]) part();
}

one("circuit").addEventListener("change", () => {
  Object.assign(chosen, { index: Number(one("circuit").value), row: 0 });
  draw();
});
one("switches").addEventListener("click", ({ target }) => {
  if (!target.dataset.name) return;
  const names = Object.keys(circuit().inputs);
  const bit = names.length - 1 - names.indexOf(target.dataset.name);
  chosen.row ^= 1 << bit;
  draw();
});
watch("value", draw);
draw();

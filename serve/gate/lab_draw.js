// The gate lab's drawing: each part of the tab from the state, with nothing asked of the server.
// ---- the decision surface
const across = (value) => LEFT + ((value - LOW) / (HIGH - LOW)) * PLOT;
const upwards = (value) => TOP + PLOT - ((value - LOW) / (HIGH - LOW)) * PLOT;
function drawSurface() {
  const pen = element.querySelector("canvas").getContext("2d");
  const image = pen.createImageData(SIDE, SIDE);
  const pixels = new Uint32Array(image.data.buffer); // a whole pixel each
  const x = [...state.x];
  for (let r = 0; r < SIDE; r++) {
    for (let c = 0; c < SIDE; c++) {
      x[0] = LOW + ((HIGH - LOW) * (c + 0.5)) / SIDE;
      if (x.length > 1) x[1] = HIGH - ((HIGH - LOW) * (r + 0.5)) / SIDE;
      pixels[r * SIDE + c] = INKS[Math.round(probability(state.net, x) * 255)];
    }
  }
  pen.putImageData(image, 0, 0);
  const taken = []; // places of labels
  one("lines").replaceChildren(...shownUnits().flatMap((h) => hiddenLine(h, taken)));
  const rest = state.x.slice(2);
  const ends = [0, 1];
  const places =
    state.x.length > 1
      ? ends.flatMap((a) => ends.map((b) => [a, b]))
      : [
          [0, 0.5],
          [1, 0.5],
        ];
  one("corners").replaceChildren(
    ...places.map(([a, b]) => {
      const corner = state.x.length > 1 ? [a, b, ...rest.map((v) => +(v > 0.5))] : [a];
      const bit = Number(state.bits[parseInt(corner.join(""), 2)]);
      return shape("circle", {
        cx: across(a),
        cy: upwards(b),
        r: 11,
        fill: rgb(bit ? ONE : ZERO),
        class: "corner",
      });
    }),
  );
  const [a, b] = [state.x[0], state.x.length > 1 ? state.x[1] : 0.5];
  const ring = one("ring");
  ring.setAttribute("transform", `translate(${across(a)} ${upwards(b)})`);
  ring.setAttribute("aria-valuenow", a.toFixed(2));
  ring.setAttribute("aria-valuetext", given(state.x.slice(0, 2)));
  one("held").textContent = rest.length ? say("held", { inputs: given(rest, 2) }) : "";
}
const given = (values, first = 0) =>
  values.map((v, i) => `${letters()[first + i]} = ${signed(v, 2)}`).join(", ");
// The line u a + v b + w = 0 of a hidden unit, the other inputs held, and its label.
function hiddenLine(h, taken) {
  const [u, v = 0] = state.net.weight1[h];
  const w = sums(state.net, [0, 0, ...state.x.slice(2)].slice(0, state.x.length))[h];
  const size = Math.hypot(u, v);
  if (size < 1e-6) return [];
  const [a, b] = [(-w * u) / size ** 2, (-w * v) / size ** 2]; // its point nearest to 0, 0
  const point = (t) => [a - (v / size) * t, b + (u / size) * t];
  const at = ([a, b]) => [across(a), upwards(b)];
  const [[x1, y1], [x2, y2]] = [at(point(-20)), at(point(20))]; // far outside the plot
  const thick = Math.min(4, 1 + Math.abs(state.net.weight2[h]) / 4);
  const line = shape("line", { x1, y1, x2, y2, "stroke-width": thick });
  const free = (place) =>
    place.every((c) => c > LOW + 0.06 && c < HIGH - 0.06) &&
    taken.every((other) => Math.hypot(place[0] - other[0], place[1] - other[1]) > 0.12);
  // the label stands near an end of the line, where no other does
  const along = Array.from({ length: 301 }, (_, i) => point((h % 2 ? 1 : -1) * (3 - i / 50)));
  const place = along.find(free);
  if (!place) return [line];
  taken.push(place);
  const [x, y] = at(place);
  const name = say("hidden", { index: h + 1 });
  return [line, shape("text", { x, y: y + 5, "text-anchor": "middle" }, name)];
}
function drawAxes() {
  const names = letters();
  const texts = [];
  for (const v of [0, 1]) {
    texts.push(shape("text", { x: across(v), y: 420, "text-anchor": "middle" }, v));
    if (names.length > 1)
      texts.push(shape("text", { x: 28, y: upwards(v) + 5, "text-anchor": "end" }, v));
  }
  texts.push(
    shape(
      "text",
      { x: across(0.5), y: 424, "text-anchor": "middle", "font-weight": 700 },
      names[0],
    ),
  );
  if (names.length > 1)
    texts.push(
      shape(
        "text",
        { x: 28, y: upwards(0.5) + 5, "text-anchor": "end", "font-weight": 700 },
        names[1],
      ),
    );
  one("axes").replaceChildren(...texts);
}

// ---- the network's diagram
function shownUnits() {
  // those of the largest weights to the output, in their order
  const all = state.net.weight2.map((_, h) => h);
  const large = all.sort((g, h) => Math.abs(state.net.weight2[h]) - Math.abs(state.net.weight2[g]));
  return large.slice(0, MOST_DRAWN).sort((g, h) => g - h);
}
function drawDiagram() {
  const units = shownUnits();
  const net = state.net;
  const values = hidden(net, state.x);
  const names = letters();
  const svg = one("diagram");
  const edges = [];
  const nodes = [];
  const width = Math.min(440, Math.max(310, svg.clientWidth)); // so that text keeps its size
  const height = Math.max(220, Math.max(units.length, names.length) * 70 + 24);
  const spread = (i, count) =>
    height / 2 + 10 + (i - (count - 1) / 2) * Math.min(110, (height - 24) / count);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const place = {
    in: (i) => [56, spread(i, names.length)],
    hid: (k) => [width / 2 + 10, spread(k, units.length)],
    out: () => [width - 36, height / 2 + 10],
  };
  const edge = (name, from, to) => {
    const weight = weigh(net, name);
    const thick = Math.min(11, 0.7 + Math.abs(weight));
    const line = { x1: from[0] + 23, y1: from[1], x2: to[0] - 23, y2: to[1] };
    if (name === state.weight)
      edges.push(shape("line", { ...line, class: "chosen", "stroke-width": thick + 8 }));
    edges.push(
      shape("line", {
        ...line,
        class: weight < 0 ? "edge negative" : "edge",
        stroke: rgb(weight < 0 ? ZERO : ONE),
        "stroke-width": thick,
      }),
    );
    const reach = shape("line", { ...line, class: "reach", "data-name": name });
    reach.append(shape("title", {}, `${weightName(name)}: ${signed(weight, 2)}`));
    edges.push(reach);
  };
  const circle = ([x, y], value, share, name, bias, beside) => {
    const fill = colour(share);
    const group = shape("g", { class: "node", ...(bias && { "data-name": bias }) });
    if (bias === state.weight)
      group.append(shape("circle", { cx: x, cy: y, r: 28, class: "chosen", "stroke-width": 4 }));
    group.append(
      shape("circle", { cx: x, cy: y, r: 23, fill: rgb(fill) }),
      shape(
        "text",
        { x, y: y + 5, "text-anchor": "middle", class: "within", style: `fill:${textOn(fill)}` },
        signed(value, Math.abs(value) >= 9.95 ? 1 : 2),
      ),
      shape(
        "text",
        { x: x + beside[0], y: y + beside[1], "text-anchor": "middle", class: "name" },
        name,
      ),
    );
    nodes.push(group);
  };
  units.forEach((h, k) =>
    names.forEach((_, i) => edge(`weight1 ${h} ${i}`, place.in(i), place.hid(k))),
  );
  units.forEach((h, k) => edge(`weight2 ${h}`, place.hid(k), place.out()));
  names.forEach((name, i) =>
    circle(place.in(i), state.x[i], Math.min(1, Math.max(0, state.x[i])), name, "", [-38, 5]),
  );
  units.forEach((h, k) =>
    circle(
      place.hid(k),
      values[h],
      shareOf(net.activation, values[h]),
      say("hidden", { index: h + 1 }),
      `bias1 ${h}`,
      [0, -28],
    ),
  );
  const told = probability(net, state.x);
  circle(place.out(), told, told, say("out"), "bias2", [0, -30]);
  svg.replaceChildren(...edges, ...nodes);
  const all = net.weight2.length;
  one("few").textContent = all > units.length ? say("few", { all, shown: units.length }) : "";
}
function weightName(name) {
  const [part, h, i] = name.split(" ");
  const unit = h ? say("hidden", { index: Number(h) + 1 }) : say("out");
  if (part.startsWith("bias")) return say("bias", { node: unit });
  return part === "weight1"
    ? say("edge", { source: letters()[i], target: unit })
    : say("edge", { source: unit, target: say("out") });
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
  const most = Math.max(10, Math.ceil(Math.abs(weigh(state.base, state.weight)) * 1.5));
  Object.assign(one("slider"), { min: -most, max: most });
  one("slider").value = value;
  one("slider").setAttribute("aria-valuetext", `${weightName(state.weight)}: ${signed(value, 2)}`);
  if (document.activeElement !== one("value")) one("value").value = Number(value.toFixed(2));
  one("restore").disabled = !state.edited;
}

// ---- the truth table
function layTable() {
  // anew for another number of inputs; otherwise `drawTable` writes into it
  const names = letters();
  const body = one("rows").querySelector("tbody");
  const may = inputs() <= 4;
  const head = [
    names.join(" "),
    say("output_head", { gate: state.label }),
    say("network_head"),
    say("check_head"),
  ];
  one("rows").querySelector("thead").replaceChildren(node("tr"));
  one("rows")
    .querySelector("tr")
    .append(...head.map((text) => node("th", { scope: "col" }, text)));
  if (body.children.length === state.bits.length) return;
  body.replaceChildren(
    ...[...state.bits].map((_, index) => {
      const line = node("tr");
      const digits = row(index).join("");
      const pick = node(
        "button",
        {
          type: "button",
          class: "pick",
          "data-row": index,
          "aria-label": say("row", { row: digits }),
        },
        digits,
      );
      const bit = node("button", {
        type: "button",
        class: "bit",
        "data-bit": index,
        ...(may ? {} : { disabled: "" }),
      });
      const share = node("span", { class: "share" });
      share.append(node("span", { "data-share": "" }), node("i", { "aria-hidden": "true" }));
      for (const content of [pick, bit, share, ""]) {
        const cell = node("td");
        cell.append(content);
        line.append(cell);
      }
      return line;
    }),
  );
}
function drawTable() {
  let right = 0;
  const present = parseInt(state.x.map((v) => +(v > 0.5)).join(""), 2);
  one("rows")
    .querySelectorAll("tbody tr")
    .forEach((line, index) => {
      const target = state.bits[index] === "1";
      const share = probability(state.net, row(index));
      const good = share > 0.5 === target;
      right += good;
      line.classList.toggle("present", index === present);
      const bit = line.querySelector(".bit");
      const bar = line.querySelector("i");
      const check = line.lastChild;
      bit.textContent = +target;
      bit.setAttribute("aria-pressed", target);
      bit.setAttribute("aria-label", say("toggle", { row: row(index).join(""), value: +target }));
      line.querySelector("[data-share]").textContent = share.toFixed(3);
      bar.style.setProperty("--share", `${100 * share}%`);
      bar.style.setProperty("--ink", share > 0.5 ? "var(--one)" : "var(--zero)");
      check.textContent = good ? "✓" : "✗";
      check.className = good ? "" : "wrong";
    });
  one("count").textContent = say("rows_right", { right, rows: state.bits.length });
}

// ---- the training's course
function drawCourse() {
  const run = state.source === "trained" ? state.run : null;
  one("course").hidden = !run;
  one("none").hidden = Boolean(run);
  one("unlucky").disabled = !run || !run.learned.includes("0");
  if (!run) return;
  const top = Math.max(0.8, ...run.losses);
  const last = run.epochs.at(-1);
  const at = (f) => [46 + (run.epochs[f] / last) * 384, 130 - (run.losses[f] / top) * 116];
  const [x, y] = at(state.frame);
  const points = run.losses.map((_, f) => at(f).join()).join(" ");
  const label = (x, y, text, anchor) => shape("text", { x, y, "text-anchor": anchor }, text);
  one("curve").replaceChildren(
    shape("line", { x1: 46, y1: 130, x2: 430, y2: 130, class: "axis" }),
    shape("line", { x1: 46, y1: 14, x2: 46, y2: 130, class: "axis" }),
    label(40, 135, "0", "end"),
    label(40, 24, top.toFixed(1), "end"),
    label(40, 80, say("loss"), "end"),
    label(46, 152, "0", "middle"),
    label(430, 152, last, "end"),
    label(238, 156, say("epochs"), "middle"),
    shape("polyline", { points, class: "line" }),
    shape("line", { x1: x, y1: 14, x2: x, y2: 130, class: "done" }),
    shape("circle", { cx: x, cy: y, r: 6, class: "now" }),
  );
  Object.assign(one("scrub"), { max: run.epochs.length - 1 });
  one("scrub").value = state.frame;
  const told = say("epoch", {
    epoch: run.epochs[state.frame],
    loss: run.losses[state.frame].toFixed(3),
    right: run.right[state.frame],
    rows: run.bits.length,
  });
  one("scrub").setAttribute("aria-valuetext", told);
  one("moment").textContent = told;
  one("play").textContent = say(timer ? "pause" : "play");
  const starts = one("starts");
  const key = `${run.learned};${run.start}`;
  if (starts.dataset.key === key) return;
  starts.dataset.key = key;
  const square = (index, grown, kind) =>
    shape("rect", {
      x: 3 + (index % 40) * 10.9 - grown,
      y: 3 + Math.floor(index / 40) * 10.5 - grown,
      width: 7 + 2 * grown,
      height: 7 + 2 * grown,
      "data-square": index + 1,
      class: kind,
    });
  const squares = [...run.learned].map((bit, index) =>
    square(index, 0, bit === "1" ? "learned" : ""),
  );
  starts.replaceChildren(...squares, square(run.start - 1, 1.8, "shown"));
}
function drawAnswer() {
  const share = probability(state.net, state.x);
  const [before, after] = say("answer", {
    inputs: given(state.x),
    gate: state.label,
    output: "\u0000",
    probability: share.toFixed(3),
  }).split("\u0000");
  one("answer").replaceChildren(before, node("b", {}, +(share > 0.5)), after);
  one("inputs")
    .querySelectorAll("input")
    .forEach((slider, i) => {
      slider.value = state.x[i];
      slider.nextElementSibling.textContent = signed(state.x[i], 2);
    });
}
// Whether what is shown is about to change: by a frame, or by the server's answer.
function drawBusy() {
  element.firstElementChild.dataset.busy = waiting || state.training;
}
function drawStatus() {
  const parts = [state.training && say("training"), state.problem, props.value.note];
  if (state.source === "served" && state.base)
    parts.push(say("served", { title: props.value.title }));
  if (state.stale) parts.push(say("stale"));
  else if (!servedNet() && props.value.title && !props.value.note) parts.push(say("not_served"));
  if (state.edited) parts.push(say("edited"));
  const text = parts.filter(Boolean).join(" ");
  // it is spoken when it changes, and only then
  if (one("status").textContent !== text) one("status").textContent = text;
}
function draw() {
  if (waiting) return;
  waiting = true;
  drawBusy();
  requestAnimationFrame(() => {
    waiting = false;
    drawBusy();
    drawStatus();
    // a network of another number of inputs is on its way out
    if (state.net?.weight1[0].length !== state.x.length) return;
    for (const part of [
      drawAxes,
      drawSurface,
      drawDiagram,
      listWeights,
      layTable,
      drawTable,
      drawCourse,
      drawAnswer,
    ])
      part();
  });
}

// The network under the pen: what arrives, what is chosen, and when to draw.
let value = {}; // what the server sent: one text, since Gradio copies objects number by number
let waiting = false; // for the next animation frame
let labelling = 0; // a timer
let asked = 0; // requests of test digits, so that a late answer is not shown

function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    if (!palette) readPalette();
    const words = state.layers || state.problem ? sentence() : "";
    one("sentence").classList.toggle("step", state.step !== null);
    if (one("sentence").textContent !== words) one("sentence").textContent = words;
    if (!state.layers || !one("scroll").clientWidth) return;
    drawStage();
    drawDetail();
    one("network").dataset.drawn = state.serial;
    clearTimeout(labelling);
    labelling = setTimeout(labelLayers, 50); // after the picture
  });
}

// ---- what arrives
async function describe(key) {
  state.key = key;
  Object.assign(state, { layers: null, maps: null, problem: "" });
  let answer;
  try {
    answer = await server.describe(key);
  } catch {
    answer = { error: t("failed") };
  }
  if (key !== state.key) return; // of a model that was chosen before
  one("network").hidden = Boolean(answer.hidden);
  one("stage").hidden = Boolean(answer.error);
  if (answer.hidden) return;
  if (answer.error) state.problem = answer.error;
  else {
    const layers = answer.layers.map((layer) => {
      const { kernel } = layer;
      return { ...layer, kernel: { side: kernel.shape[2], values: unpack(kernel) } };
    });
    Object.assign(state, answer, { layers, chosen: { layer: 1, map: null, pixel: null } });
    one("note").textContent = answer.note;
    stage = null;
    buildLayers();
    walkTo(null);
  }
  receive();
}

function receive() {
  if (!props.value) return;
  value = JSON.parse(props.value);
  if (value.model !== state.key) return describe(value.model);
  if (!state.layers) return draw();
  if (!value.layers) Object.assign(state, { maps: null, image: null });
  else
    Object.assign(state, {
      image: bytes(value.image),
      maps: [value.input, ...value.layers].map(mapsOf),
      winners: value.winners.map(bytes),
      paths: value.paths,
      target: value.target,
    });
  state.serial += 1;
  if (!state.pinned) Object.assign(state.chosen, { map: null, pixel: null });
  draw();
}

// ---- the layers as controls: a slider each, over its part of the stage
function buildLayers() {
  const count = state.layers.length + 1;
  one("layers").replaceChildren(
    ...Array.from({ length: count }, (_, layer) => {
      const most = layer ? state.layers[layer - 1].count : state.channels;
      return node("div", {
        class: "layer",
        role: "slider",
        tabindex: 0,
        "data-layer": layer,
        "aria-valuemin": 1,
        "aria-valuemax": most,
        "aria-valuenow": 1,
      });
    }),
  );
}

function placeLayers() {
  one("layers")
    .querySelectorAll(".layer")
    .forEach((control, layer) => {
      const { x, y, width, height } = columns[layer];
      Object.assign(control.style, {
        left: `${x - 4}px`,
        top: `${y - 4}px`,
        width: `${width + 8}px`,
        height: `${height + 8}px`,
      });
      const [title, note] = titleOf(layer);
      control.setAttribute("aria-label", t("layer", { title, note }));
    });
}

function labelLayers() {
  if (!state.maps) return;
  one("layers")
    .querySelectorAll(".layer")
    .forEach((control, layer) => {
      const map = state.chosen.layer === layer ? selection().map : layer ? strongestMap(layer) : 0;
      control.setAttribute("aria-valuenow", map + 1);
      control.setAttribute("aria-valuetext", spoken(layer, map));
    });
}

function spoken(layer, map) {
  const { side, values } = state.maps[layer];
  const value = signed(values[map * side * side + largestPixel(layer, map)]);
  const key = side > 1 ? "largest_is" : "value_is";
  return [nameOf({ layer, map }), t(key, { value }), addsOf({ layer, map })].filter(Boolean).join(", ");
}

// ---- choosing
function choose(next, pin = state.pinned) {
  const before = state.chosen;
  if (before.layer !== next.layer || before.map !== next.map) forgetDigits();
  state.chosen = next;
  state.pinned = pin;
  draw();
}

function point(pointed) {
  if (state.pointed === pointed) return;
  state.pointed = pointed;
  draw();
}

function at(event) {
  const box = one("stage").getBoundingClientRect();
  const layer = Number(event.target.closest("[data-layer]").dataset.layer);
  return hit(layer, event.clientX - box.left, event.clientY - box.top);
}

function act(next) { // what a click does
  const kind = next.layer ? state.layers[next.layer - 1].kind : "input";
  const current = selection();
  const isSame = state.pinned && current.layer === next.layer && current.map === next.map;
  choose(next, !isSame);
  if (kind === "outputs") light(next.map);
  if (kind === "hidden" && !isSame) excite(next.map);
}

async function light(target) { // the strongest paths to another class
  const serial = state.serial;
  const { image } = value;
  const answer = await server.paths({ model: state.key, image, target });
  if (serial !== state.serial || answer.error) return;
  Object.assign(state, answer);
  draw();
}

function forgetDigits() {
  asked += 1;
  one("digits").replaceChildren();
}

async function excite(unit) { // the test digits with the largest activations
  forgetDigits();
  const request = asked;
  const show = (...nodes) => request === asked && one("digits").replaceChildren(...nodes);
  for (;;) {
    let answer;
    try {
      answer = await server.exciting({ model: state.key, unit });
    } catch {
      answer = { error: t("failed") };
    }
    if (request !== asked) return;
    if (!answer.progress) return show(...digitNodes(answer, unit));
    show(node("p", {}, answer.progress));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function digitNodes({ error, digits }, unit) {
  if (error) return [node("p", {}, error)];
  const row = node("div", { class: "digits" });
  row.append(
    ...digits.map(({ image, label, index, value }) => {
      const figure = node("figure");
      const alt = t("digit", { index, label, value: signed(value, 1) });
      figure.append(
        node("img", { src: image, alt, title: alt }),
        node("figcaption", {}, `${label} · ${signed(value, 1)}`),
      );
      return figure;
    }),
  );
  return [node("p", {}, t("digits", { number: unit + 1 })), row];
}

// ---- events
const controls = one("layers");
controls.addEventListener("pointermove", (event) => {
  if (!state.maps || state.pinned || event.pointerType === "touch") return;
  const next = at(event);
  if (!next || !isVisible(next.layer)) return;
  state.pointed = true;
  choose(next);
});
controls.addEventListener("pointerleave", () => point(false));
controls.addEventListener("focusout", () => point(false));
controls.addEventListener("click", (event) => {
  const next = state.maps && at(event);
  if (next && isVisible(next.layer)) act(next);
});
controls.addEventListener("keydown", (event) => {
  if (!state.maps) return;
  const layer = Number(event.target.dataset.layer);
  const { count } = state.maps[layer];
  const across = columns[layer].across ?? 1;
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across };
  const now = state.chosen.layer === layer ? selection().map : strongestMap(layer);
  state.pointed = true;
  if (event.key in moves) {
    const map = Math.min(count - 1, Math.max(0, now + moves[event.key]));
    choose({ layer, map, pixel: null });
  } else if (event.key === "Home" || event.key === "End")
    choose({ layer, map: event.key === "Home" ? 0 : count - 1, pixel: null });
  else if (event.key === "Enter" || event.key === " ")
    act({ layer, map: now, pixel: largestPixel(layer, now) });
  else if (event.key === "Escape") choose(state.chosen, false);
  else return;
  event.preventDefault();
});
controls.addEventListener("focusin", (event) => {
  const layer = Number(event.target.dataset.layer);
  if (!state.maps || state.chosen.layer === layer || !event.target.matches(":focus-visible")) return;
  if (!isVisible(layer)) return;
  state.pointed = true;
  choose({ layer, map: null, pixel: null }, false);
});

const whole = one("whole");
whole.addEventListener("pointermove", (event) => {
  const { layer, map } = selection();
  const { side } = state.maps[layer];
  const box = whole.getBoundingClientRect();
  const cell = (part) => Math.min(side - 1, Math.max(0, Math.floor(part * side)));
  const row = cell((event.clientY - box.top) / box.height);
  const column = cell((event.clientX - box.left) / box.width);
  choose({ layer, map, pixel: row * side + column });
});
whole.addEventListener("keydown", (event) => {
  const { layer, map, pixel } = selection();
  const { side } = state.maps[layer];
  const moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -side, ArrowDown: side };
  if (!(event.key in moves)) return;
  event.preventDefault();
  const next = pixel + moves[event.key];
  if (next >= 0 && next < side * side) choose({ layer, map, pixel: next });
});

one("unpin").addEventListener("click", () => choose(state.chosen, false));
one("next").addEventListener("click", () => walkTo(state.step === null ? 0 : state.step + 1));
one("back").addEventListener("click", () => walkTo(state.step - 1));
one("end").addEventListener("click", () => walkTo(null));

const restyle = () => {
  palette = stage = null;
  state.maps?.forEach((maps) => delete maps.picture);
  draw();
};
new ResizeObserver(restyle).observe(one("network"));
window.networksTheme?.disconnect(); // of a page that was left
window.networksTheme = new MutationObserver(restyle);
window.networksTheme.observe(document.body, { attributeFilter: ["class"] });
watch("value", receive);
receive();

// The pad: drawing with mouse, finger, pen or keys; a picture by file, paste or drop.
// Its value is null or {kind: "pen" | "file", data: "data:image/..."}; each change triggers "input" and "submit".
const pad = element.querySelector(".pad");
const canvas = pad.querySelector("canvas");
const context = canvas.getContext("2d", { willReadFrequently: true });
const SIDE = Number(pad.dataset.side); // pixels of the canvas; a wide one has twice the width
const LARGEST = Number(pad.dataset.largest); // bytes of a file
const STEP = 10; // pixels that an arrow key moves the pen

let strokes = []; // {erase, width, points}, the oldest first
let picture = null; // {address, image}: opened, and shown instead of strokes once it is decoded
let current = null; // the stroke that is being drawn
let pointerId = null; // of the pointer that draws it; all others are ignored
let history = []; // {strokes, picture} before each change, for undo
let tool = "pen";
let cursor = null; // position of the keyboard's pen

const one = (selector) => pad.querySelector(selector);
const width = () => Number(one("[data-width]").value);

function paint() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (picture?.image) {
    const { width: w, height: h } = picture.image;
    const scale = Math.min(canvas.width / w, canvas.height / h);
    const [left, top] = [(canvas.width - w * scale) / 2, (canvas.height - h * scale) / 2];
    context.drawImage(picture.image, left, top, w * scale, h * scale);
  }
  strokes.forEach(line);
}

function line({ erase, width, points }) {
  context.globalCompositeOperation = erase ? "destination-out" : "source-over";
  Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: width });
  context.beginPath();
  context.moveTo(...points[0]);
  points.forEach(([x, y]) => context.lineTo(x + 0.01, y)); // a line without length has no cap
  context.stroke();
  context.globalCompositeOperation = "source-over";
}

function paintCursor() { // of the keyboard's pen; never part of the drawing that is sent
  paint();
  if (!cursor) return;
  Object.assign(context, { strokeStyle: current ? "#D55E00" : "#0072B2", lineWidth: 3 });
  context.beginPath();
  context.arc(...cursor, width() / 2 + 3, 0, 2 * Math.PI);
  context.stroke();
  context.strokeStyle = "#000";
}

function send(value) {
  props.value = value;
  trigger("input"); // updates the prediction
  trigger("submit"); // updates the view
}

function sendDrawing() {
  paint();
  if (picture) send({ kind: "file", data: picture.address });
  else send(strokes.some((s) => !s.erase) ? { kind: "pen", data: canvas.toDataURL() } : null);
  if (cursor) paintCursor();
}

function replace(next) { // the drawing; undo restores the one before
  one(".fault").hidden = true;
  history.push({ strokes: [...strokes], picture });
  ({ strokes, picture } = { strokes: [], picture: null, ...next });
}

function begin(point) {
  if (picture && tool === "eraser") return; // an opened picture stays as it is
  replace({ strokes: picture ? [] : [...strokes] });
  current = { erase: tool === "eraser", width: width(), points: [point] };
  strokes.push(current);
  paint();
}

function endStroke() {
  pointerId = null;
  current = null;
}

function finish() {
  const drawn = current;
  endStroke();
  if (drawn) sendDrawing();
}

async function openPicture(address) { // a picture by its data: address
  const opened = { address, image: null };
  replace({ picture: opened });
  sendDrawing();
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
    opened.image = image;
  } catch { /* the server answers with the error */ }
  paint();
}

function openFile(file) {
  const fault = one(".fault");
  fault.hidden = file.size <= LARGEST;
  fault.textContent = fault.hidden ? "" : fault.dataset.large;
  if (!fault.hidden) return;
  const reader = new FileReader();
  reader.onload = () => openPicture(reader.result);
  reader.readAsDataURL(file);
}

const fileOf = (transfer) => [...(transfer?.files ?? [])].find((f) => f.type.startsWith("image/"));

function resize(wide) {
  [canvas.width, canvas.height] = [wide ? 2 * SIDE : SIDE, SIDE];
  Object.assign(context, { strokeStyle: "#000" }); // a new size resets it
  pad.classList.toggle("wide", wide);
  one("[data-do=wide]").setAttribute("aria-pressed", wide);
  paint();
}

function halve({ erase, width, points }) { // a stroke on a wide canvas, to fit on a narrow one
  return { erase, width: width / 2, points: points.map(([x, y]) => [x / 2, SIDE / 4 + y / 2]) };
}

function selectTool(name) {
  tool = name;
  pad.querySelectorAll("[data-tool]").forEach((each) =>
    each.setAttribute("aria-pressed", each.dataset.tool === name));
}

function position(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

const actions = {
  undo() {
    endStroke();
    if (history.length) ({ strokes, picture } = history.pop());
    sendDrawing();
  },
  clear() {
    endStroke();
    selectTool("pen"); // an eraser does nothing on an empty canvas
    if (strokes.length || picture) replace({});
    sendDrawing();
  },
  wide() {
    const wide = !pad.classList.contains("wide");
    const beyond = strokes.some(({ points }) => points.some(([x]) => x > SIDE));
    if (!wide && beyond) replace({ strokes: strokes.map(halve) }); // or its right half would be lost
    resize(wide);
    if (strokes.length) sendDrawing();
  },
};

const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function key(event) {
  cursor ??= [canvas.width / 2, canvas.height / 2];
  if (event.key in arrows) {
    const step = event.shiftKey ? STEP * 3 : STEP;
    const limits = [canvas.width, canvas.height];
    cursor = cursor.map((v, i) => Math.min(limits[i], Math.max(0, v + arrows[event.key][i] * step)));
    current?.points.push(cursor);
  } else if (event.key === " " || event.key === "Enter") {
    if (!event.repeat) current ? finish() : begin(cursor);
  } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) actions.undo();
  else if (event.key === "Delete" || event.key === "Backspace") actions.clear();
  else return;
  event.preventDefault();
  paintCursor();
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button > 0 || pointerId !== null) return; // a second finger or a palm draws nothing
  pointerId = event.pointerId;
  canvas.setPointerCapture(pointerId);
  cursor = null;
  begin(position(event));
});
canvas.addEventListener("pointermove", (event) => {
  if (!current || event.pointerId !== pointerId) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  current.points.push(...(passed.length ? passed : [event]).map(position));
  paint();
});
for (const over of ["pointerup", "pointercancel"])
  canvas.addEventListener(over, (event) => { if (event.pointerId === pointerId) finish(); });
canvas.addEventListener("keydown", key);
canvas.addEventListener("blur", () => { cursor = null; finish(); paint(); });

pad.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.do) actions[button.dataset.do]();
  if (button?.dataset.tool) selectTool(button.dataset.tool);
});
one("input[type=file]").addEventListener("change", ({ target }) => {
  if (target.files[0]) openFile(target.files[0]);
  target.value = "";
});
pad.addEventListener("dragover", (event) => event.preventDefault());
pad.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) openFile(event.dataTransfer.files[0]);
});

// Outside the pad: a paste anywhere while the pad is visible, and the buttons of examples.
window.padsListeners?.abort();
window.padsListeners = new AbortController();
const { signal } = window.padsListeners;
document.addEventListener("paste", (event) => {
  const file = fileOf(event.clipboardData);
  if (file && canvas.offsetParent) openFile(file);
}, { signal });
document.addEventListener("click", ({ target }) => {
  const example = target.closest("[data-example]")?.querySelector("img");
  if (!example) return;
  openPicture(example.src);
  canvas.scrollIntoView({ block: "center" });
}, { signal });

resize(false);

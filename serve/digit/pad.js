// The pad: drawing with mouse, finger, pen or keys; a picture by file, paste or drop.
// Its value is null or {kind: "pen" | "file", data: "data:image/..."}; each change triggers "input".
const pad = element.querySelector(".pad");
const canvas = pad.querySelector("canvas");
const ink = canvas.getContext("2d", { willReadFrequently: true });
const SIDE = Number(pad.dataset.side); // of the paper, in its own pixels; wide paper has two
const LARGEST = Number(pad.dataset.largest); // bytes of a file
const STEP = 10; // pixels that an arrow key moves the pen

let strokes = []; // {erase, width, points}, the oldest first
let picture = null; // {address, image}: opened, and shown instead of strokes once it is decoded
let present = null; // the stroke at work
let finger = null; // the pointer that draws it; all others are passed over
let past = []; // {strokes, picture} before each change, for undo
let tool = "pen";
let cursor = null; // where the keyboard's pen is

const one = (selector) => pad.querySelector(selector);
const width = () => Number(one("[data-width]").value);

function paint() {
  ink.clearRect(0, 0, canvas.width, canvas.height);
  if (picture?.image) {
    const { width: w, height: h } = picture.image;
    const scale = Math.min(canvas.width / w, canvas.height / h);
    const [left, top] = [(canvas.width - w * scale) / 2, (canvas.height - h * scale) / 2];
    ink.drawImage(picture.image, left, top, w * scale, h * scale);
  }
  strokes.forEach(line);
}

function line({ erase, width, points }) {
  ink.globalCompositeOperation = erase ? "destination-out" : "source-over";
  Object.assign(ink, { lineCap: "round", lineJoin: "round", lineWidth: width });
  ink.beginPath();
  ink.moveTo(...points[0]);
  points.forEach(([x, y]) => ink.lineTo(x + 0.01, y)); // a line without length has no cap
  ink.stroke();
  ink.globalCompositeOperation = "source-over";
}

function ring() { // of the keyboard's pen; never part of the drawing that is sent
  paint();
  if (!cursor) return;
  Object.assign(ink, { strokeStyle: present ? "#D55E00" : "#0072B2", lineWidth: 3 });
  ink.beginPath();
  ink.arc(...cursor, width() / 2 + 3, 0, 2 * Math.PI);
  ink.stroke();
  ink.strokeStyle = "#000";
}

function send(value) {
  props.value = value;
  trigger("input");
}

function sendPaper() {
  paint();
  if (picture) send({ kind: "file", data: picture.address });
  else send(strokes.some((s) => !s.erase) ? { kind: "pen", data: canvas.toDataURL() } : null);
  if (cursor) ring();
}

function change(next) { // what is on the paper, in a way that undo takes back
  one(".fault").hidden = true;
  past.push({ strokes: [...strokes], picture });
  ({ strokes, picture } = { strokes: [], picture: null, ...next });
}

function begin(point) {
  if (picture && tool === "eraser") return; // an opened picture stays as it is
  change({ strokes: picture ? [] : [...strokes] });
  present = { erase: tool === "eraser", width: width(), points: [point] };
  strokes.push(present);
  paint();
}

function drop() { // the stroke at work is at its end
  finger = null;
  present = null;
}

function end() {
  const drawn = present;
  drop();
  if (drawn) sendPaper();
}

async function load(address) { // a picture by its data: address
  const opened = { address, image: null };
  change({ picture: opened });
  sendPaper();
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
    opened.image = image;
  } catch { /* the server says what is wrong with it */ }
  paint();
}

function take(file) {
  const fault = one(".fault");
  fault.hidden = file.size <= LARGEST;
  fault.textContent = fault.hidden ? "" : fault.dataset.large;
  if (!fault.hidden) return;
  const reader = new FileReader();
  reader.onload = () => load(reader.result);
  reader.readAsDataURL(file);
}

const fileOf = (transfer) => [...(transfer?.files ?? [])].find((f) => f.type.startsWith("image/"));

function paper(wide) {
  [canvas.width, canvas.height] = [wide ? 2 * SIDE : SIDE, SIDE];
  Object.assign(ink, { strokeStyle: "#000" }); // a new size forgets it
  pad.classList.toggle("wide", wide);
  one("[data-do=wide]").setAttribute("aria-pressed", wide);
  paint();
}

function halved({ erase, width, points }) { // a stroke on wide paper, to fit on narrow
  return { erase, width: width / 2, points: points.map(([x, y]) => [x / 2, SIDE / 4 + y / 2]) };
}

function hold(name) {
  tool = name;
  pad.querySelectorAll("[data-tool]").forEach((each) =>
    each.setAttribute("aria-pressed", each.dataset.tool === name));
}

function where(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

const actions = {
  undo() {
    drop();
    if (past.length) ({ strokes, picture } = past.pop());
    sendPaper();
  },
  clear() {
    drop();
    hold("pen"); // an eraser would leave nothing on an empty paper
    if (strokes.length || picture) change({});
    sendPaper();
  },
  wide() {
    const wide = !pad.classList.contains("wide");
    const beyond = strokes.some(({ points }) => points.some(([x]) => x > SIDE));
    if (!wide && beyond) change({ strokes: strokes.map(halved) }); // or it would be cut
    paper(wide);
    if (strokes.length) sendPaper();
  },
};

const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function key(event) {
  cursor ??= [canvas.width / 2, canvas.height / 2];
  if (event.key in arrows) {
    const step = event.shiftKey ? STEP * 3 : STEP;
    const limits = [canvas.width, canvas.height];
    cursor = cursor.map((v, i) => Math.min(limits[i], Math.max(0, v + arrows[event.key][i] * step)));
    present?.points.push(cursor);
  } else if (event.key === " " || event.key === "Enter") {
    if (!event.repeat) present ? end() : begin(cursor);
  } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) actions.undo();
  else if (event.key === "Delete" || event.key === "Backspace") actions.clear();
  else return;
  event.preventDefault();
  ring();
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button > 0 || finger !== null) return; // a second finger or a palm draws nothing
  finger = event.pointerId;
  canvas.setPointerCapture(finger);
  cursor = null;
  begin(where(event));
});
canvas.addEventListener("pointermove", (event) => {
  if (!present || event.pointerId !== finger) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  present.points.push(...(passed.length ? passed : [event]).map(where));
  paint();
});
for (const over of ["pointerup", "pointercancel"])
  canvas.addEventListener(over, (event) => { if (event.pointerId === finger) end(); });
canvas.addEventListener("keydown", key);
canvas.addEventListener("blur", () => { cursor = null; end(); paint(); });

pad.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.do) actions[button.dataset.do]();
  if (button?.dataset.tool) hold(button.dataset.tool);
});
one("input[type=file]").addEventListener("change", ({ target }) => {
  if (target.files[0]) take(target.files[0]);
  target.value = "";
});
pad.addEventListener("dragover", (event) => event.preventDefault());
pad.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
});

// Beyond the pad itself: a paste anywhere while the pad is to be seen, and every example's button.
window.padsListeners?.abort();
window.padsListeners = new AbortController();
const { signal } = window.padsListeners;
document.addEventListener("paste", (event) => {
  const file = fileOf(event.clipboardData);
  if (file && canvas.offsetParent) take(file);
}, { signal });
document.addEventListener("click", ({ target }) => {
  const example = target.closest("[data-example]")?.querySelector("img");
  if (!example) return;
  load(example.src);
  canvas.scrollIntoView({ block: "center" });
}, { signal });

paper(false);

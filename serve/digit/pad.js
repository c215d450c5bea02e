// The pad: drawing with mouse, finger, pen or keys; a picture by file, paste or drop.
// Its value is null or {kind: "pen" | "file", data: "data:image/..."}; each change triggers "input".
const pad = element.querySelector(".pad");
const canvas = pad.querySelector("canvas");
const ink = canvas.getContext("2d", { willReadFrequently: true });
const SIDE = Number(pad.dataset.side); // of the paper, in its own pixels; wide paper has two
const LARGEST = 10e6; // bytes of a file
const STEP = 10; // pixels that an arrow key moves the pen

let strokes = []; // {erase, width, points}, the oldest first
let picture = null; // shown instead of strokes, once it is decoded
let present = null; // the stroke at work
let tool = "pen";
let cursor = null; // where the keyboard's pen is

const one = (selector) => pad.querySelector(selector);
const width = () => Number(one("[data-width]").value);

function paint() {
  ink.clearRect(0, 0, canvas.width, canvas.height);
  if (picture) {
    const scale = Math.min(canvas.width / picture.width, canvas.height / picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    ink.drawImage(picture, (canvas.width - w) / 2, (canvas.height - h) / 2, w, h);
  }
  strokes.forEach(line);
}

function line({ erase, width, points }) {
  ink.globalCompositeOperation = erase ? "destination-out" : "source-over";
  Object.assign(ink, { lineCap: "round", lineJoin: "round", lineWidth: width });
  ink.beginPath();
  ink.moveTo(...points[0]);
  points.forEach((point) => ink.lineTo(...point));
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

function sendDrawing() {
  paint();
  send(strokes.some((s) => !s.erase) ? { kind: "pen", data: canvas.toDataURL() } : null);
  if (cursor) ring();
}

function begin(point) {
  if (picture) clear();
  present = { erase: tool === "eraser", width: width(), points: [point] };
  strokes.push(present);
  paint();
}

function end() {
  if (!present) return;
  present = null;
  sendDrawing();
}

function clear() {
  [strokes, picture, present] = [[], null, null];
  paint();
}

async function load(address) { // a picture by its data: address
  clear();
  send({ kind: "file", data: address });
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
    picture = image;
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

function where(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

const actions = {
  undo() {
    if (picture) clear();
    else strokes.pop();
    sendDrawing();
  },
  clear() {
    clear();
    send(null);
  },
  wide() {
    paper(!pad.classList.contains("wide"));
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
  if (event.button > 0) return;
  canvas.setPointerCapture(event.pointerId);
  cursor = null;
  begin(where(event));
});
canvas.addEventListener("pointermove", (event) => {
  if (!present || !canvas.hasPointerCapture(event.pointerId)) return;
  const passed = event.getCoalescedEvents?.() ?? [];
  present.points.push(...(passed.length ? passed : [event]).map(where));
  paint();
});
canvas.addEventListener("pointerup", end);
canvas.addEventListener("pointercancel", end);
canvas.addEventListener("keydown", key);
canvas.addEventListener("blur", () => { cursor = null; end(); paint(); });

pad.addEventListener("click", ({ target }) => {
  const button = target.closest("button");
  if (button?.dataset.do) actions[button.dataset.do]();
  if (!button?.dataset.tool) return;
  tool = button.dataset.tool;
  pad.querySelectorAll("[data-tool]").forEach((each) =>
    each.setAttribute("aria-pressed", each === button));
});
one("input[type=file]").addEventListener("change", ({ target }) => {
  if (target.files[0]) take(target.files[0]);
  target.value = "";
});
pad.addEventListener("dragover", (event) => event.preventDefault());
pad.addEventListener("drop", (event) => {
  event.preventDefault();
  if (fileOf(event.dataTransfer)) take(fileOf(event.dataTransfer));
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
  if (example) load(example.src);
}, { signal });

paper(false);

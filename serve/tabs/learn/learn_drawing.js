// The drawing that the nets read: from the Digit tab's pad, or drawn here.
const paper = one("drawing");
const pen = paper.getContext("2d");
Object.assign(pen, { lineCap: "round", lineJoin: "round", lineWidth: 22, strokeStyle: "#000" });
let drawn = null; // what was sent last: as the pad's value
let stroke = false;

function showDrawing(value) {
  pen.clearRect(0, 0, paper.width, paper.height);
  if (!value) return;
  const picture = new Image();
  picture.onload = () => {
    const scale = Math.min(paper.width / picture.width, paper.height / picture.height);
    const [w, h] = [picture.width * scale, picture.height * scale];
    pen.drawImage(picture, (paper.width - w) / 2, (paper.height - h) / 2, w, h);
  };
  picture.src = value.data;
}

function sendDrawing(value) {
  drawn = value;
  if (source) act("drawing", { drawing: value }).catch(() => {});
}

function at(event) {
  const box = paper.getBoundingClientRect();
  const scale = paper.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

paper.addEventListener("pointerdown", (event) => {
  paper.setPointerCapture(event.pointerId);
  stroke = true;
  pen.beginPath();
  pen.moveTo(...at(event));
});
paper.addEventListener("pointermove", (event) => {
  if (!stroke) return;
  pen.lineTo(...at(event));
  pen.stroke();
});
for (const over of ["pointerup", "pointercancel"])
  paper.addEventListener(over, () => {
    if (stroke) sendDrawing({ kind: "pen", data: paper.toDataURL() });
    stroke = false;
  });
one("clear").addEventListener("click", () => {
  showDrawing(null);
  sendDrawing(null);
});
// The Digit tab's pad calls this with its value.
window.learnDrawing = (value) => {
  showDrawing(value);
  sendDrawing(value);
};

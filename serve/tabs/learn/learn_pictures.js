// Pictures of the nets: digits and predictions, the drawing's bars, filters, confusion matrices.
const SIDE = 28, CLASSES = 10;
const NEGATIVE = [0, 114, 178], NONE = [247, 247, 247], POSITIVE = [213, 94, 0];
const changed = []; // run -> digit -> when its prediction changed, to light it up
const FLASH = 500; // milliseconds

const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const runColor = (index) => style(index ? "--b" : "--a");

// Return a canvas of pixels [r, g, b].
function bitmap(width, height, color) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i += 1) image.data.set([...color(i), 255], 4 * i);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function shownDigits() {
  if (!state.start.bitmaps) {
    const pixels = bytes(state.start.shown);
    state.start.bitmaps = state.start.labels.map((_, digit) =>
      bitmap(SIDE, SIDE, (i) => Array(3).fill(pixels[digit * SIDE * SIDE + i])));
  }
  return state.start.bitmaps;
}

// Note which predictions have changed since the frame before.
function noteChanges(before, after) {
  after.forEach((look, run) => {
    changed[run] ??= [];
    const old = before?.[run]?.preds;
    look.preds.forEach((pred, i) => { if (old && old[i] !== pred) changed[run][i] = performance.now(); });
  });
}

function drawMinds() {
  const { context, width, height } = fresh(one("minds"));
  if (!state.looks) return;
  const [columns, rows] = [5, 5];
  const [w, h] = [width / columns, height / rows];
  const side = Math.min(h - 8, w * 0.52);
  const looks = state.looks.map((look) => ({ ...look, sure: bytes(look.probs) }));
  let flashing = false;
  state.start.labels.forEach((label, i) => {
    const [left, top] = [(i % columns) * w, Math.floor(i / columns) * h];
    context.imageSmoothingEnabled = true;
    context.drawImage(shownDigits()[i], left + 3, top + 4, side, side);
    looks.forEach((look, run) => {
      const [x, wide] = [left + side + 7, w - side - 12];
      const each = (h - 8) / looks.length;
      const y = top + 4 + run * each;
      const right = look.preds[i] === label;
      const age = performance.now() - (changed[run]?.[i] ?? -1e9);
      if (!right) {
        context.fillStyle = style("--wrong");
        context.beginPath();
        context.roundRect(x, y, wide, each - (looks.length > 1 ? 2 : 0), 5);
        context.fill();
      }
      if (age < FLASH && !calm) {
        flashing = true;
        Object.assign(context, { strokeStyle: ink(), lineWidth: 2, globalAlpha: 1 - age / FLASH });
        context.strokeRect(left + 2, top + 3, w - 5, h - 6);
        context.globalAlpha = 1;
      }
      context.fillStyle = right ? runColor(run) : "#000";
      context.font = `700 ${looks.length > 1 ? Math.min(16, each - 7) : 25}px system-ui, sans-serif`;
      Object.assign(context, { textAlign: "center", textBaseline: "middle" });
      context.fillText(look.preds[i], x + wide / 2, y + each / 2 - 3);
      const bar = (wide - 6) * (look.sure[i] / 255);
      context.fillRect(x + 3, y + each - 7, bar, 3);
    });
  });
  if (flashing) requestAnimationFrame(() => visible() && drawMinds());
  const right = looks.map((look) => look.preds.filter((pred, i) => pred === state.start.labels[i]).length);
  one("minds-count").textContent = right.map((each) => t("minds_label", { right: each })).join(" · ");
}

function drawBars() {
  const { context, width, height } = fresh(one("bars"));
  const probs = (state.looks || []).map((look) => look.drawing).filter(Boolean);
  const step = width / CLASSES;
  context.font = "12px system-ui, sans-serif";
  for (let digit = 0; digit < CLASSES; digit += 1) {
    const x = digit * step;
    probs.forEach((each, run) => {
      const wide = (step - 5) / probs.length;
      const tall = Math.max(1, (height - 20) * each[digit]);
      context.fillStyle = runColor(run);
      context.globalAlpha = each[digit] === Math.max(...each) ? 1 : 0.55;
      context.fillRect(x + 2 + run * wide, height - 18 - tall, wide - 1, tall);
    });
    Object.assign(context, { globalAlpha: 1, textAlign: "center", textBaseline: "alphabetic" });
    context.fillStyle = ink();
    context.fillText(digit, x + step / 2, height - 4);
  }
  one("drawing-says").textContent = probs.map((each) => {
    const digit = each.indexOf(Math.max(...each));
    return t("drawing_says", { digit, probability: percent(each[digit], 0) });
  }).join(" · ");
}

function drawFilters() {
  const { context, width, height } = fresh(one("filters"));
  if (!state.looks) return;
  const part = width / state.looks.length;
  state.looks.forEach((look, run) => {
    const pixels = bytes(look.filters);
    const size = look.side ** 2;
    const filters = pixels.length / size;
    // the number of columns with the largest kernels
    let [columns, cell] = [1, 0];
    for (let tried = 1; tried <= filters; tried += 1) {
      const fits = Math.min((part - 8) / tried, (height - 6) / Math.ceil(filters / tried), 64);
      if (fits > cell) [columns, cell] = [tried, fits];
    }
    context.imageSmoothingEnabled = false;
    for (let index = 0; index < filters; index += 1) {
      const picture = bitmap(look.side, look.side, (i) => {
        const value = (pixels[index * size + i] - 128) / 127;
        const end = value < 0 ? NEGATIVE : POSITIVE;
        return NONE.map((none, c) => none + (end[c] - none) * Math.min(1, Math.abs(value)));
      });
      const [x, y] = [run * part + (index % columns) * cell, Math.floor(index / columns) * cell];
      context.drawImage(picture, x, y, cell - 3, cell - 3);
    }
    if (state.looks.length > 1) {
      context.fillStyle = runColor(run);
      context.fillRect(run * part, height - 3, columns * cell - 2, 3);
    }
  });
}

function drawConfusion() {
  const { context, width, height } = fresh(one("confusion"));
  if (!state.looks) return;
  const matrices = state.final?.runs?.map((run) => run.confusion) ?? state.looks.map((look) => look.confusion);
  const part = width / matrices.length;
  const wrongs = [];
  matrices.forEach((matrix, run) => {
    const cell = Math.min((part - 18) / CLASSES, (height - 18) / CLASSES);
    const left = run * part + 15;
    const most = Math.max(...matrix);
    let wrong = 0;
    Object.assign(context, { textAlign: "center", textBaseline: "middle" });
    matrix.forEach((value, i) => {
      const [row, column] = [Math.floor(i / CLASSES), i % CLASSES];
      const [x, y] = [left + column * cell, 15 + row * cell];
      const diagonal = row === column;
      if (!diagonal) wrong += value;
      context.fillStyle = ink();
      context.globalAlpha = 0.07;
      context.fillRect(x, y, cell - 1.5, cell - 1.5);
      context.fillStyle = diagonal ? runColor(run) : style("--wrong");
      context.globalAlpha = value ? 0.4 + 0.6 * Math.sqrt(value / most) : 0;
      context.fillRect(x, y, cell - 1.5, cell - 1.5);
      context.globalAlpha = 1;
      if (value && cell > 18) {
        context.font = `${value > 99 ? 10 : 11}px system-ui, sans-serif`;
        context.fillStyle = diagonal ? style("--on-run") : "#000";
        if (diagonal && value < most / 3) context.fillStyle = ink();
        context.fillText(value, x + cell / 2 - 0.7, y + cell / 2);
      }
    });
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = ink();
    for (let digit = 0; digit < CLASSES; digit += 1) {
      context.fillText(digit, left + (digit + 0.5) * cell, 7);
      context.fillText(digit, left - 8, 15 + (digit + 0.5) * cell);
    }
    const total = matrix.reduce((sum, value) => sum + value, 0);
    wrongs.push(t("wrong", { wrong: count(wrong), count: count(total) }));
  });
  one("confusion-count").textContent = wrongs.join(" · ");
}

// The pad's part of a link: the strokes with fewer points, or the picture with fewer pixels.
const TOLERANCES = [0.4, 0.8, 1.5, 3, 5, 8]; // pixels by which a stroke may be off, by level
const SIDES = [112, 84, 56, 42, 28, 20]; // pixels of a picture's longer side, by level

// Return a line's points without those that are nearer than `limit` to the line of the others
// (Ramer, Douglas and Peucker).
function fewer(points, limit) {
  if (points.length < 3) return points;
  const [[x, y], [right, low]] = [points[0], points.at(-1)];
  const [dx, dy] = [right - x, low - y];
  const length = Math.hypot(dx, dy);
  let [far, index] = [0, 0];
  for (let i = 1; i < points.length - 1; i++) {
    const [u, v] = [points[i][0] - x, points[i][1] - y];
    const away = length ? Math.abs(dx * v - dy * u) / length : Math.hypot(u, v);
    if (away > far) [far, index] = [away, i];
  }
  if (far <= limit) return [points[0], points.at(-1)];
  return [...fewer(points.slice(0, index + 1), limit).slice(0, -1), ...fewer(points.slice(index), limit)];
}

const rounded = (points) => points.map((point) => point.map(Math.round));
const strokeAt = (level) => ({ erase, width, points }) => ({
  width,
  ...(erase ? { erase } : {}),
  points: rounded(fewer(points, TOLERANCES[level])),
});

// Rows of hexadecimal digits, 0 is black, of the opened picture on white.
function pictureRows(level) {
  const { width, height } = picture.image;
  const scale = Math.min(1, SIDES[level] / Math.max(width, height));
  const size = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  const small = Object.assign(document.createElement("canvas"), { width: size[0], height: size[1] });
  const brush = small.getContext("2d");
  Object.assign(brush, { fillStyle: "#fff", imageSmoothingQuality: "high" });
  brush.fillRect(0, 0, ...size);
  brush.drawImage(picture.image, 0, 0, ...size);
  const { data } = brush.getImageData(0, 0, ...size);
  const gray = (i) => 0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2];
  return Array.from({ length: size[1] }, (_, row) =>
    Array.from({ length: size[0] }, (_, column) =>
      Math.round(gray(4 * (row * size[0] + column)) / 17).toString(16),
    ).join(""),
  );
}

function pictureOf(rows) { // the address of the picture that has these rows
  const width = Math.max(...rows.map((row) => row.length));
  const small = Object.assign(document.createElement("canvas"), { width, height: rows.length });
  const brush = small.getContext("2d");
  const image = brush.createImageData(width, rows.length);
  rows.forEach((row, y) => {
    for (let x = 0; x < width; x++) {
      const level = 17 * parseInt(row[x] ?? "f", 16);
      image.data.set([level, level, level, 255], 4 * (y * width + x));
    }
  });
  brush.putImageData(image, 0, 0);
  return small.toDataURL();
}

(window.pageParts ??= {}).drawing = {
  get(level) {
    const wide = pad.classList.contains("wide");
    if (picture?.image) return { wide, picture: pictureRows(level) };
    return { wide, strokes: strokes.map(strokeAt(level)) };
  },
  async set(goal) {
    endStroke();
    cursor = null;
    if (pad.classList.contains("wide") !== goal.wide) resize(goal.wide);
    if (goal.picture.length) return openPicture(pictureOf(goal.picture));
    replace({ strokes: goal.strokes.map((stroke) => ({ erase: false, ...stroke })) });
    sendDrawing();
  },
};

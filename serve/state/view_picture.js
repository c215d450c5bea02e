// A part of the page as an SVG file of its own, and that as PNG: boxes, text, pictures, drawings.
const SVG_LOOKS = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity",
  "stroke-linejoin", "font-family", "font-size", "font-weight", "text-anchor", "paint-order",
  "visibility", "display",
];
const PNG_SCALE = 2; // pixels of a PNG for each of the page
const MARGIN = 12;
const XMLNS = "http://www.w3.org/2000/svg";
const svgNode = (tag, attributes, text) => {
  const result = document.createElementNS(XMLNS, tag);
  for (const [name, value] of Object.entries(attributes)) result.setAttribute(name, value);
  if (text !== undefined) result.textContent = text;
  return result;
};

function svgOf(part) {
  const frame = part.getBoundingClientRect();
  const [width, height] = [frame.width + 2 * MARGIN, frame.height + 2 * MARGIN];
  const svg = svgNode("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  svg.append(svgNode("rect", { width, height, fill: groundOf(part) }));
  const place = (box) => ({ x: box.left - frame.left + MARGIN, y: box.top - frame.top + MARGIN });
  addPart(part, svg, place);
  return svg;
}

function groundOf(part) { // the first colour below a part
  for (let each = part; each; each = each.parentElement) {
    const colour = getComputedStyle(each).backgroundColor;
    if (!isClear(colour)) return colour;
  }
  return "#fff";
}
const isClear = (colour) => /^transparent$|^rgba\(.*, 0\)$|\/ 0\)$/.test(colour);

function addPart(part, svg, place) {
  const looks = getComputedStyle(part);
  const box = part.getBoundingClientRect();
  if (looks.display === "none" || looks.visibility === "hidden") return;
  if (part instanceof SVGSVGElement) return void svg.append(drawingOf(part, box, place));
  if (!box.width || !box.height) return addChildren(part, svg, place);
  addBox(looks, box, svg, place);
  addBar(part, box, svg, place);
  if (part instanceof HTMLImageElement) svg.append(pictureAt(part.src, looks, box, place));
  else if (part instanceof HTMLCanvasElement)
    svg.append(pictureAt(part.toDataURL(), looks, box, place));
  else addChildren(part, svg, place);
}

function addChildren(part, svg, place) {
  for (const child of part.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) addText(child, svg, place);
    else if (child instanceof Element) addPart(child, svg, place);
  }
}

function addBox(looks, box, svg, place) {
  const border = parseFloat(looks.borderTopWidth);
  const bordered = border > 0 && looks.borderTopStyle !== "none" && looks.borderLeftWidth !== "0px";
  if (isClear(looks.backgroundColor) && !bordered) return;
  svg.append(
    svgNode("rect", {
      ...place(box),
      width: box.width,
      height: box.height,
      rx: Math.min(parseFloat(looks.borderTopLeftRadius) || 0, box.height / 2),
      fill: isClear(looks.backgroundColor) ? "none" : looks.backgroundColor,
      ...(bordered ? { stroke: looks.borderTopColor, "stroke-width": border } : {}),
    }),
  );
}

// A bar that CSS draws as a ::before without text, at the part's left.
function addBar(part, box, svg, place) {
  const bar = getComputedStyle(part, "::before");
  if (bar.content !== '""' || bar.display !== "block" || bar.maskImage !== "none") return;
  const size = { width: parseFloat(bar.width), height: parseFloat(bar.height) };
  if (!(size.width > 0) || isClear(bar.backgroundColor)) return;
  svg.append(svgNode("rect", { ...place(box), ...size, fill: bar.backgroundColor }));
}

const pictureAt = (href, looks, box, place) =>
  svgNode("image", {
    ...place(box),
    width: box.width,
    height: box.height,
    href,
    preserveAspectRatio: looks.objectFit === "contain" ? "xMidYMid" : "none",
    style: `image-rendering:${looks.imageRendering}`,
  });

function drawingOf(part, box, place) { // an inline drawing with the looks that the page gives it
  const copy = part.cloneNode(true);
  const [all, copies] = [part, copy].map((each) => [each, ...each.querySelectorAll("*")]);
  all.forEach((each, index) => {
    const looks = getComputedStyle(each);
    const kept = SVG_LOOKS.map((name) => `${name}:${looks.getPropertyValue(name)}`);
    copies[index].setAttribute("style", kept.join(";"));
    copies[index].removeAttribute("tabindex");
  });
  const size = { width: box.width, height: box.height, overflow: "visible" };
  for (const [name, value] of Object.entries({ ...place(box), ...size }))
    copy.setAttribute(name, value);
  return copy;
}

function addText(text, svg, place) { // a text, line by line
  const looks = getComputedStyle(text.parentElement);
  for (const { words, box } of linesOf(text)) {
    const { x, y } = place(box);
    svg.append(
      svgNode("text", {
        x,
        y: y + 0.8 * box.height,
        fill: looks.color,
        "font-family": looks.fontFamily,
        "font-size": looks.fontSize,
        "font-weight": looks.fontWeight,
      }, words.join(" ")),
    );
  }
}

function linesOf(text) {
  const lines = [];
  for (const { 0: word, index } of text.data.matchAll(/\S+/g)) {
    const range = document.createRange();
    range.setStart(text, index);
    range.setEnd(text, index + word.length);
    const box = range.getBoundingClientRect();
    if (!box.width) continue;
    const last = lines.at(-1);
    if (last && Math.abs(last.box.top - box.top) < box.height / 2) last.words.push(word);
    else lines.push({ words: [word], box });
  }
  return lines;
}

async function pictureFile(part, kind) { // Blob
  const svg = svgOf(part);
  const text = new XMLSerializer().serializeToString(svg);
  const vector = new Blob([text], { type: "image/svg+xml" });
  return kind === "svg" ? vector : pngOf(text, svg);
}

async function pngOf(text, svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = PNG_SCALE * Number(svg.getAttribute("width"));
  canvas.height = PNG_SCALE * Number(svg.getAttribute("height"));
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

async function save(part, name, kind) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await pictureFile(part, kind));
  link.download = `${name}.${kind}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// What both components of the Gate tab share: their parts, their words, and making elements.
const one = (name) => element.querySelector(`[data-${name}]`);
const words = props.words;

const say = (key, fields = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => fields[name]);
const node = (tag, attributes, text) => make(document.createElement(tag), attributes, text);
const shape = (tag, attributes, text) =>
  make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, text);
function make(made, attributes = {}, text = null) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== null) made.textContent = text;
  return made;
}

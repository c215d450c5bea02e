// For the components of tabs: their parts, their texts, and new elements.
const one = (name) => element.querySelector(`[data-${name}]`);
const words = props.words;

const t = (key, fields = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => fields[name]);
const node = (tag, attributes, text) => make(document.createElement(tag), attributes, text);
const shape = (tag, attributes, text) =>
  make(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, text);
function make(result, attributes = {}, text = null) {
  for (const [name, value] of Object.entries(attributes)) result.setAttribute(name, value);
  if (text !== null) result.textContent = text;
  return result;
}

// A link's fragment: the state as JSON, deflated, in base64url. Nothing of it reaches the server.
// A state is checked by the JSON schema of `State` in form.py; what is written by hand may be
// plain JSON, too: #state={"tab":"gate"}.
const { prefix: PREFIX, max_read: MAX_READ, max_json: MAX_JSON } = props.limits;

class BadLink extends Error {} // its message is a sentence for the user

async function through(bytes, stream, limit = Infinity) {
  const reader = new Blob([bytes]).stream().pipeThrough(stream).getReader();
  const parts = [];
  for (let size = 0; size <= limit; ) {
    const { done, value } = await reader.read();
    if (done) return new Uint8Array(await new Blob(parts).arrayBuffer());
    parts.push(value);
    size += value.length;
  }
  throw new BadLink(t("link_long"));
}

async function toFragment(state) {
  const json = JSON.stringify(state);
  if (!window.CompressionStream) return PREFIX + encodeURIComponent(json);
  const stream = new CompressionStream("deflate-raw");
  const packed = await through(new TextEncoder().encode(json), stream);
  const text = btoa(Array.from(packed, (byte) => String.fromCharCode(byte)).join(""));
  return PREFIX + text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// Return the checked state of a fragment; a BadLink says what is wrong with it.
async function fromFragment(fragment) {
  if (!fragment.startsWith(PREFIX)) throw new BadLink(t("link_foreign"));
  if (fragment.length > MAX_READ) throw new BadLink(t("link_long"));
  const body = fragment.slice(PREFIX.length);
  let state;
  try {
    state = JSON.parse(/^(\{|%7b)/i.test(body) ? decodeURIComponent(body) : await unpacked(body));
  } catch (error) {
    throw error instanceof BadLink ? error : new BadLink(t("link_broken"));
  }
  const wrong = fault(state, props.schema, "") ?? mismatch(state.gate);
  if (wrong) throw new BadLink(t("link_invalid", { fault: wrong }));
  return state;
}

async function unpacked(body) {
  const text = atob(body.replaceAll("-", "+").replaceAll("_", "/"));
  const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const stream = new DecompressionStream("deflate-raw");
  return new TextDecoder().decode(await through(bytes, stream, MAX_JSON));
}

// ---- checking: the part of JSON schema that form.py needs
const KINDS = {
  object: (value) => value !== null && typeof value === "object" && !Array.isArray(value),
  array: Array.isArray,
  string: (value) => typeof value === "string",
  boolean: (value) => typeof value === "boolean",
  number: Number.isFinite,
  integer: Number.isInteger,
};
const LIMITS = { // keyword -> whether a value keeps to it
  const: (value, wanted) => value === wanted,
  enum: (value, names) => names.includes(value),
  pattern: (value, pattern) => new RegExp(pattern).test(value),
  minimum: (value, least) => value >= least,
  maximum: (value, most) => value <= most,
  minItems: (value, least) => value.length >= least,
  maxItems: (value, most) => value.length <= most,
};

function resolved(rule) { // without references and without the null of an optional field
  if (rule.anyOf) return resolved(rule.anyOf.find((each) => each.type !== "null"));
  return rule.$ref ? props.schema.$defs[rule.$ref.split("/").pop()] : rule;
}

// Return what is wrong with a value, or null; `path` names it.
function fault(value, anyRule, path) {
  const rule = resolved(anyRule);
  const name = path || t("state");
  if (rule.type && !KINDS[rule.type](value)) return t("expected_kind", { name, kind: rule.type });
  for (const [keyword, holds] of Object.entries(LIMITS))
    if (keyword in rule && !holds(value, rule[keyword]))
      return t("expected_limit", { name, keyword, limit: String(rule[keyword]).slice(0, 60) });
  if (rule.items) return first(value, (each, index) => fault(each, rule.items, `${name}[${index}]`));
  if (!rule.properties) return null;
  const missing = (rule.required ?? []).find((key) => !Object.hasOwn(value, key));
  if (missing) return t("expected_field", { name: within(path, missing) });
  return first(Object.entries(value), ([key, each]) =>
    Object.hasOwn(rule.properties, key)
      ? fault(each, rule.properties[key], within(path, key))
      : t("unknown_field", { name: within(path, key.slice(0, 40)) }));
}

const within = (path, key) => (path ? `${path}.${key}` : key);
function first(list, find) {
  for (const [index, each] of list.entries()) {
    const found = find(each, index);
    if (found) return found;
  }
  return null;
}

// What a schema cannot say: the sizes of a gate's parts depend on each other.
function mismatch(gate) {
  if (!gate) return null;
  const inputs = Math.log2(gate.bits.length);
  const { weight1, bias1, weight2 } = gate.network ?? { weight1: [], bias1: [], weight2: [] };
  const fits =
    Number.isInteger(inputs) &&
    [0, inputs].includes(gate.x?.length ?? 0) &&
    weight1.every((row) => row.length === inputs) &&
    weight1.length === bias1.length &&
    weight1.length === weight2.length;
  return fits ? null : t("expected_sizes", { inputs });
}

// Return a checked part with the defaults of the fields that it lacks.
function filled(name, part) {
  const { properties } = resolved(props.schema.properties[name]);
  if (!properties) return part;
  const defaults = Object.entries(properties).map(([key, rule]) => [key, rule.default]);
  return { ...Object.fromEntries(defaults), ...part };
}

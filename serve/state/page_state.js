// The page's state as JSON, made of its parts, and the page set to a state.
// A part is {get(level), set(value)} in window.pageParts; a tab's components add theirs when they
// are mounted. `get` returns what a link carries, the smaller the higher the level, or null.
const TAB_PARTS = {
  mnist: ["reader", "drawing", "view", "network"],
  gate: ["gate", "circuit"],
  learn: [],
  model: ["drawing", "model"],
};
const LEVELS = 6;
const MOUNT_MS = 20_000; // until a part that is missing counts as broken
const parts = (window.pageParts ??= {});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const visible = (selector) =>
  [...document.querySelectorAll(selector)].find((part) => part.getBoundingClientRect().height);
const tabButton = (id) => document.querySelector(`[role=tab][data-tab-id="${CSS.escape(id)}"]`);
const openTab = () =>
  Object.keys(TAB_PARTS).find((id) => tabButton(id)?.getAttribute("aria-selected") === "true");

parts.view = {
  get: () => document.querySelector("#digit-view input:checked")?.value ?? null,
  set: (name) => {
    const radio = document.querySelector(`#digit-view input[value="${name}"]`);
    if (radio && !radio.checked) radio.click();
    return Boolean(radio);
  },
};
parts.model = {
  get: () =>
    document
      .querySelector('[role=tab][data-tab-id^="model-"][aria-selected=true]')
      ?.dataset.tabId.slice("model-".length) ?? null,
  set: async (task) => select(`model-${task}`),
};

async function select(id) { // a tab by its id
  const button = await appears(() => tabButton(id), MOUNT_MS / 4);
  if (!button) throw new BadLink(t("no_tab", { name: id }));
  if (button.getAttribute("aria-selected") !== "true") button.click();
}

async function appears(find, limit) {
  for (let waited = 0; waited < limit && !find(); waited += 50) await pause(50);
  return find();
}

// Return the open tab's state; a higher level is smaller and less exact.
function capture(level) {
  const tab = openTab();
  const state = { version: props.schema.properties.version.const, tab };
  for (const name of TAB_PARTS[tab]) {
    const part = parts[name]?.get(level);
    if (part !== null && part !== undefined) state[name] = part;
  }
  return state;
}

async function shortest() { // the most exact fragment that is short enough for a link
  for (let level = 0; level < LEVELS; level++) {
    const fragment = await toFragment(capture(level));
    if (fragment.length <= props.limits.max_fragment) return fragment;
  }
  throw new BadLink(t("too_large"));
}

// Set the page to a checked state, one after the other; of several that wait, only to the last.
let asked = 0;
let settling = Promise.resolve();
function restore(state) {
  const request = ++asked;
  const apply = () => (request === asked ? restoreNow(state) : null);
  settling = settling.then(apply, apply);
  return settling;
}

async function restoreNow(state) {
  if (state.tab) await select(state.tab);
  const missing = [];
  for (const [name, value] of Object.entries(state)) {
    if (name === "version" || name === "tab") continue;
    const part = await appears(() => parts[name], MOUNT_MS);
    const isSet = part && (await part.set(filled(name, value)));
    if (!part || isSet === false) missing.push(typeof value === "string" ? value : name);
  }
  if (missing.length) throw new BadLink(t("no_part", { names: missing.join(", ") }));
}

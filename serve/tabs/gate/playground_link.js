// The playground's part of a link: what it shows as JSON, and the playground set to that.
// The form and its defaults are `Gate` in serve/state/form.py.
const NEARLY = 1e-4; // networks with differences below are the same

const written = (value, digits) => Number(value.toPrecision(digits));
const mapped = (value, act) => (Array.isArray(value) ? value.map((v) => mapped(v, act)) : act(value));
const flat = (net) => [net.weight1, net.bias1, net.weight2, net.bias2].flat(2);
function sameNet(one, other) {
  const [a, b] = [flat(one), flat(other)];
  return (
    one.activation === other.activation &&
    one.weight1.length === other.weight1.length &&
    a.length === b.length &&
    a.every((value, i) => Math.abs(value - b[i]) <= NEARLY * Math.max(1, Math.abs(value)))
  );
}

// 0: each weight as a 32-bit float; 1: rounded; 2: without weights that nobody has edited.
function shownState(level) {
  if (!state.net) return null;
  const result = {
    bits: state.bits,
    source: state.source,
    hidden: Number(one("hidden").value),
    activation: one("activation").value,
    start: Number(one("start").value),
    x: state.x.map((value) => written(value, 4)),
    weight: state.weight,
  };
  if (state.edited) result.edited = true;
  if (state.stale) result.stale = true;
  if (state.source === "trained" && state.run) result.frame = state.frame;
  if (level < 2 || state.edited || state.stale) {
    const { activation, ...weights } = state.net;
    result.network = { activation };
    for (const name of ["weight1", "bias1", "weight2", "bias2"])
      result.network[name] = mapped(weights[name], (value) => written(value, level ? 4 : 9));
  }
  return result;
}

async function setState(goal) {
  while (!props.value?.gates) await new Promise((resolve) => setTimeout(resolve, 50));
  leave();
  for (const part of ["hidden", "activation", "start"]) one(part).value = goal[part];
  setBits(goal.bits);
  const net = servedNet();
  const served = goal.source === "served" && net;
  setSource(served ? "served" : "trained");
  state.stale = false;
  if (served || inputs() > MAX_INPUTS) show(net);
  else if (goal.stale) show(goal.network);
  else await trainTo(goal);
  state.x = goal.x.length ? [...goal.x] : Array(inputs()).fill(0);
  state.weight = goal.weight;
  state.stale = goal.stale;
  showNetwork(goal);
  draw();
  await new Promise(requestAnimationFrame); // it is drawn then
}

async function trainTo(goal) {
  await train(false);
  if (state.run && !state.problem) scrub(Math.min(goal.frame, state.run.epochs.length - 1));
}

// Show the network that a link carries, unless it is the one that is served or trained.
function showNetwork({ network, edited }) {
  if (!network || (state.base && sameNet(state.base, network))) return;
  const fits = state.base && state.base.weight1.length === network.weight1.length;
  if (edited && fits) Object.assign(state, { net: network, edited: true });
  else Object.assign(state, { base: network, net: network, edited: false, linked: true });
}

(window.pageParts ??= {}).gate = { get: shownState, set: setState };

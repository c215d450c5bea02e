// The network's part of a link: the pinned map and pixel, or the step of the walk.
(window.pageParts ??= {}).network = {
  get() {
    if (state.step !== null) return { step: state.step };
    return state.pinned ? selection() : {};
  },
  async set({ step, layer, map, pixel }) {
    while (!state.layers && !state.problem) await new Promise((resolve) => setTimeout(resolve, 50));
    if (state.problem) return; // shown in place of the network
    walkTo(step);
    if (step === null && layer === null) return choose({ layer: 1, map: null, pixel: null }, false);
    if (step === null) choose(within(layer, map, pixel), true);
  },
};

// What a link chooses, of a network that may be smaller.
function within(layer, map, pixel) {
  const last = Math.min(layer, state.layers.length);
  const fits = last === layer && (!layer || map === null || map < state.layers[layer - 1].count);
  return { layer: last, map: fits ? map : null, pixel: fits ? pixel : null };
}

// The reader in a link: whether the tab's model is a network or a circuit of gates.
const WAIT_MS = 15_000; // until the page counts as without the other model
const kind = () => (props.value?.id ? "circuit" : "network");

(window.pageParts ??= {}).reader = {
  get: kind,
  async set(wanted) {
    if (kind() === wanted) return true;
    if (!props.value?.offer) return false;
    one("adopt").click();
    for (let waited = 0; waited < WAIT_MS && kind() !== wanted; waited += 50)
      await new Promise((resolve) => setTimeout(resolve, 50));
    return kind() === wanted;
  },
};

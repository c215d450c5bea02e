// The circuits' part of a link: the circuit and the row of its inputs.
(window.pageParts ??= {}).circuit = {
  get: () => (props.value?.circuits ? { name: circuit().name, row: chosen.row } : null),
  async set({ name, row }) {
    while (!props.value?.circuits) await new Promise((resolve) => setTimeout(resolve, 50));
    const index = props.value.circuits.findIndex((each) => each.name === name);
    Object.assign(chosen, { index, row: row % props.value.circuits[index].rows.length });
    draw();
  },
};

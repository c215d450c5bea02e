// The options of run A and, beside it, of run B.
const NAMES = ["A", "B"];
const FAST = { recipe: "fast", base_channels: 32, activation: "gelu", lr: 0.2, digits: 55000,
  noise_percent: 0, augment: false, seed: 0 };
const DEFAULT = { ...FAST, recipe: "default", base_channels: 16, activation: "relu", lr: 0.1,
  augment: true };
const EXPERIMENTS = {
  fast: [{}],
  default: [DEFAULT],
  activations: [{ activation: "relu" }, { activation: "tanh" }],
  overfitting: [{ digits: 100 }, {}],
  noise: [{ digits: 3000, noise_percent: 33 }, { digits: 3000 }],
  lr: [{ lr: 0.004 }, { lr: 4 }],
  width: [{ base_channels: 2 }, { base_channels: 32 }],
  augmentation: [{ digits: 1000 }, { digits: 1000, augment: true }],
};
let runs = [{ ...FAST }];

const fields = (index) => [...one("runs").children[index].querySelectorAll("[data-option]")];

// Return a field's value; of a number that is none, its text, which the server refuses.
function valueOf(field) {
  if (field.type === "checkbox") return field.checked;
  if (field.type === "number") return field.value === "" ? null : Number(field.value);
  return field.value;
}

function setRuns(next) {
  runs = next.map((run) => ({ ...FAST, ...run }));
  root.toggleAttribute("data-pair", runs.length > 1);
  one("runs").replaceChildren(...runs.map((run, index) => {
    const part = one("run").content.firstElementChild.cloneNode(true);
    part.style.setProperty("--run", `var(--${index ? "b" : "a"})`);
    part.querySelector("legend").textContent = props.frame[`run_${index ? "b" : "a"}`];
    part.querySelectorAll("[data-option]").forEach((field) => {
      const value = run[field.dataset.option];
      if (field.type === "checkbox") field.checked = value;
      else field.value = value;
      field.addEventListener("change", () => change(index, field));
    });
    const pair = part.querySelector("[data-pair]");
    pair.hidden = runs.length > 1 && index === 0;
    pair.textContent = props.frame[index ? "alone" : "compare"];
    pair.addEventListener("click", () => {
      setRuns(index ? runs.slice(0, 1) : [runs[0], { ...runs[0], seed: runs[0].seed + 1 }]);
      one("experiment").value = "";
      one("runs").lastElementChild.querySelector("[data-pair]").focus();
    });
    return part;
  }));
  drawFacts();
}

function change(index, field) {
  const name = field.dataset.option;
  runs[index][name] = valueOf(field);
  one("experiment").value = "";
  if (name !== "recipe") return;
  const own = field.value === "default" ? DEFAULT : FAST; // a recipe brings its own values
  const { digits, noise_percent, seed } = runs[index];
  setRuns(runs.map((run, i) => (i === index ? { ...own, digits, noise_percent, seed } : run)));
  fields(index).find((each) => each.dataset.option === "recipe").focus();
}

// What is trained, in numbers; once if both runs have the same.
function drawFacts() {
  const each = (state.start?.runs ?? []).map((run) =>
    t("parameters", { parameters: count(run.parameters), steps: run.steps, batch: run.batch_size }));
  const named = new Set(each).size > 1 ? each.map((facts, index) => `${NAMES[index]}: ${facts}`) : each.slice(0, 1);
  one("facts").textContent = named.length ? `${named.join("; ")}.` : "";
}

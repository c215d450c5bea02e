// The page's own behaviour, around all tabs.
() => {
  // Gradio gives each radio button its own name, and a new one with each choice. With one name a
  // group, it is one stop of the Tab key, and the arrow keys choose within it, as usual.
  const rename = () =>
    document.querySelectorAll('fieldset[id] input[type=radio][name^="radio-"]').forEach((radio) => {
      radio.name = radio.closest("fieldset").id;
    });

  // The switches of the header: large type, and a dark background. The browser keeps the choice,
  // and an address with __theme decides for its own visit.
  const switches = {
    projector: document.documentElement,
    dark: document.body,
  };
  const stored = (name, value) => {
    try {
      return value === undefined ? localStorage.getItem(name) : localStorage.setItem(name, value);
    } catch {
      return null; // a browser that stores nothing
    }
  };
  const isOn = (name) => switches[name].classList.contains(name);
  const press = () =>
    document.querySelectorAll("[data-switch]").forEach((button) => {
      button.setAttribute("aria-pressed", isOn(button.dataset.switch));
    });
  const turn = (name, on) => {
    switches[name].classList.toggle(name, on);
    press();
    dispatchEvent(new Event("resize")); // what is drawn to size or in colours draws itself again
  };
  for (const name of Object.keys(switches)) {
    const choice = stored(name);
    const given = name === "dark" && new URLSearchParams(location.search).has("__theme");
    if (choice !== null && !given) turn(name, choice === "true");
  }
  document.addEventListener("click", ({ target }) => {
    const name = target.closest("[data-switch]")?.dataset.switch;
    if (!name) return;
    turn(name, !isOn(name));
    stored(name, isOn(name));
  });

  // Gradio's accordions say whether they are open.
  const expand = () =>
    document.querySelectorAll(".label-wrap").forEach((button) => {
      button.setAttribute("aria-expanded", button.classList.contains("open"));
    });
  document.addEventListener("click", ({ target }) => {
    if (target.closest(".label-wrap")) setTimeout(expand);
  });

  // What is unfolded stays so when the server renders it again.
  const open = new Set();
  document.addEventListener(
    "toggle",
    ({ target }) => {
      const name = target.dataset?.keep;
      if (name) target.open ? open.add(name) : open.delete(name);
    },
    true,
  );
  const unfold = () =>
    document.querySelectorAll("details[data-keep]:not([open])").forEach((details) => {
      details.open = open.has(details.dataset.keep);
    });

  const options = { childList: true, subtree: true, attributeFilter: ["name"] };
  const changed = () => {
    rename();
    press();
    expand();
    unfold();
  };
  new MutationObserver(changed).observe(document.body, options);
  changed();
};

// Gradio gives each radio button its own name, and a new one with each choice. With one name a
// group, it is one stop of the Tab key, and the arrow keys choose within it, as usual.
() => {
  const rename = () =>
    document.querySelectorAll('fieldset[id] input[type=radio][name^="radio-"]').forEach((radio) => {
      radio.name = radio.closest("fieldset").id;
    });
  const options = { childList: true, subtree: true, attributeFilter: ["name"] };
  new MutationObserver(rename).observe(document.body, options);
  rename();
};

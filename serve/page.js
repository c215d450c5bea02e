// Gradio gives each radio button a name of its own, and a new one with each choice. One name a
// group makes it one stop of the Tab key, within which the arrow keys choose, as everywhere.
() => {
  const named = () =>
    document.querySelectorAll('fieldset[id] input[type=radio][name^="radio-"]').forEach((radio) => {
      radio.name = radio.closest("fieldset").id;
    });
  const what = { childList: true, subtree: true, attributeFilter: ["name"] };
  new MutationObserver(named).observe(document.body, what);
  named();
};

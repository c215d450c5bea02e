// The lessons' panel: a list, then the steps of one; each step sets the page and asks a question.
const panel = one("panel");
const lesson = { index: null, step: 0 };
const chosenLesson = () => props.lessons[lesson.index] ?? null;

function openLessons() {
  panel.hidden = false;
  one("lessons").setAttribute("aria-expanded", "true");
  drawLessons();
  makeRoom();
}

// The page's content ends where the panel begins: at its side, or above it on a narrow screen.
function makeRoom() {
  const content = element.closest("main") ?? document.body;
  Object.assign(content.style, { paddingRight: "", paddingBottom: "" });
  const [box, room] = [panel.getBoundingClientRect(), content.getBoundingClientRect()];
  const beside = box.left > 0;
  content.classList.toggle("beside-lesson", beside);
  if (panel.hidden) return;
  if (beside) content.style.paddingRight = `${Math.max(0, room.right - box.left + 16)}px`;
  else content.style.paddingBottom = `${window.innerHeight - box.top + 16}px`;
}

function closeLessons() {
  panel.hidden = true;
  one("lessons").setAttribute("aria-expanded", "false");
  mark(null);
  makeRoom();
  one("lessons").focus();
}

function startLesson(index) {
  Object.assign(lesson, { index, step: 0 });
  return showStep();
}

async function showStep() {
  drawLessons();
  const step = chosenLesson().steps[lesson.step];
  mark(null);
  panel.setAttribute("aria-busy", "true");
  await say(() => restore(step.state));
  if (chosenLesson()?.steps[lesson.step] !== step) return; // the next step has been asked for
  panel.removeAttribute("aria-busy");
  mark(step.look_at);
}

function drawLessons() {
  const current = chosenLesson();
  one("list").hidden = Boolean(current);
  one("step").hidden = !current;
  one("heading").textContent = current ? current.title : t("lessons");
  if (current) drawStep(current);
  one("heading").focus({ preventScroll: true });
}

function drawStep({ steps }) {
  const step = steps[lesson.step];
  one("count").textContent = t("step", { step: lesson.step + 1, steps: steps.length });
  one("dots").replaceChildren(
    ...steps.map((_, index) => node("i", index === lesson.step ? { class: "now" } : {})),
  );
  for (const name of ["text", "question", "answer"]) one(name).textContent = step[name];
  one("unfold").open = false;
  one("back").disabled = lesson.step === 0;
  one("next").textContent = t(lesson.step + 1 < steps.length ? "next" : "finish");
}

// Outline the part of the page that a step is about, and scroll to it.
function mark(name) {
  document.querySelectorAll(".lesson-mark").forEach((each) => each.classList.remove("lesson-mark"));
  const part = name && visible(props.parts[name].selector);
  if (!part) return;
  part.classList.add("lesson-mark");
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const narrow = panel.getBoundingClientRect().left === 0; // the panel covers the lower half
  part.scrollIntoView({ block: narrow ? "start" : "nearest", behavior: calm ? "auto" : "smooth" });
}

one("list").append(
  ...props.lessons.map(({ title, about }, index) => {
    const button = node("button", { type: "button", "data-lesson": index });
    button.append(node("b", {}, title), node("span", {}, about));
    const line = node("li");
    line.append(button);
    return line;
  }),
);
one("list").addEventListener("click", ({ target }) => {
  const button = target.closest("[data-lesson]");
  if (button) startLesson(Number(button.dataset.lesson));
});
one("back").addEventListener("click", () => {
  lesson.step -= 1;
  showStep();
});
one("next").addEventListener("click", () => {
  if (lesson.step + 1 === chosenLesson().steps.length) return showList();
  lesson.step += 1;
  return showStep();
});
function showList() {
  lesson.index = null;
  mark(null);
  drawLessons();
}
one("all").addEventListener("click", showList);
one("close").addEventListener("click", closeLessons);
one("lessons").addEventListener("click", () => (panel.hidden ? openLessons() : closeLessons()));
new ResizeObserver(makeRoom).observe(document.documentElement);
new ResizeObserver(makeRoom).observe(panel);
panel.addEventListener("keydown", (event) => event.key === "Escape" && closeLessons());

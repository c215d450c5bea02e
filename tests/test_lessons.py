"""The lessons: their file and its mistakes, and a walk through all of them in a real browser."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from benchmarks import npm
from experiments import tasks
from export import graph
from serve.state import form, lessons
from serve.state.parts import PARTS
from serve.strings import lessons as texts
from tests import graphs
from tests.conftest import loopback_context, page_in_thread
from tests.expect import refused
from tests.test_logic import random_circuit

expect.set_options(timeout=60_000)  # milliseconds, on a busy machine
LESSONS = lessons.load()
ALL = ["xor", "unlucky-start", "filter", "centring", "sure-and-wrong", "gates"]
CONTENT = json.loads(lessons.LESSONS.read_text("utf-8"))


def written(folder: Path, content: object) -> Path:
    path = folder / "mine.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_six_lessons_of_a_few_steps() -> None:
    assert [lesson.name for lesson in LESSONS] == ALL
    assert all(step.question.endswith(("?", ".")) for each in LESSONS for step in each.steps)
    assert all(step.look_at for each in LESSONS for step in each.steps)


def test_lessons_are_offered_for_the_models_that_are_served() -> None:
    def names(*served: str) -> list[object]:
        return [lesson["name"] for lesson in lessons.offered(LESSONS, served)]

    assert names() == ["xor", "unlucky-start"]
    assert names("mnist", "gate") == ALL[:-1]
    assert names("mnist", "gate", "logic") == ALL


MISTAKES: list[tuple[tuple[str | int, ...], object, str]] = [  # place, value, what is named
    ((0, "steps", 1, "state", "gate", "hidden"), 99, "xor, step 2, field state.gate.hidden"),
    ((0, "steps", 1, "state", "gate", "bits"), "011", "xor, step 2, field state.gate"),
    ((0, "steps", 3, "state", "gate", "x"), [0.5], "xor, step 4, field state.gate"),
    ((0, "steps", 0, "state", "colour"), "red", "xor, step 1, field state.colour"),
    ((0, "steps", 0, "state"), "no link", "xor, step 1, field state"),
    ((0, "steps", 0, "state"), "https://host/#state=AAAA", "xor, step 1, field state"),
    ((2, "steps", 0, "state", "view"), "kitchen", "filter, step 1, field state.view"),
    ((2, "steps", 0, "look_at"), "kitchen", "filter, step 1, field look_at"),
    ((2, "steps", 0, "question"), "", "filter, step 1, field question"),
    ((2, "steps"), [], "filter, field steps"),
    ((2, "title"), 7, "filter, field title"),
    ((2, "name"), "xor", "xor"),
    ((2,), "lesson", "lesson 3"),
]


@pytest.mark.parametrize(("place", "value", "named"), MISTAKES)
def test_a_mistake_is_named_in_one_sentence(
    tmp_path: Path, place: tuple[Any, ...], value: object, named: str
) -> None:
    content = deepcopy(CONTENT)
    part = content
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = value
    path = written(tmp_path, content)
    what = f"mine.json, {named if named.startswith('lesson') else f'lesson {named}'}"
    with refused("lessons-invalid", what=what) as error:
        lessons.load(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_a_file_that_is_no_json_or_missing(tmp_path: Path) -> None:
    for path in (written(tmp_path, "[{"), written(tmp_path, {"lessons": []}), tmp_path / "none"):
        with refused("lessons-invalid", what=f"{path.name}, the file"):
            lessons.load(path)


def test_a_step_may_have_a_copied_link_as_its_state(tmp_path: Path) -> None:
    content = deepcopy(CONTENT)
    link = 'http://host:1/page#state={"tab":"gate","gate":{"bits":"0110"}}'
    content[0]["steps"][0]["state"] = link
    [first, *_] = lessons.load(written(tmp_path, content))[0].steps
    assert first.state == form.State(tab="gate", gate=form.Gate(bits="0110"))


# ---- In the browser


@pytest.fixture(scope="module")
def url(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page with a circuit of random gates besides the champions."""
    logic = tmp_path_factory.mktemp("logic") / "logic.onnx"
    metadata = {**graphs.metadata("mnist"), "task": "logic", "facts": "{}"}
    exported = graph.of_task(
        tasks.get("logic"), random_circuit(), graphs.images()[:2], metadata, graphs.OPSET
    )
    logic.write_bytes(exported.SerializeToString())
    models = [f"{trained}/model.onnx", f"{trained}/gate.onnx", str(logic)]
    with page_in_thread(trained, models) as address:
        yield address


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with loopback_context(browser, url, reduced_motion="reduce") as context:
        page = context.new_page()
        page.goto(url)
        yield page


def part(page: Page, name: str) -> Locator:
    return page.locator(f"#page-tools [data-{name}]")


def start(page: Page, index: int) -> None:
    if part(page, "panel").is_hidden():
        part(page, "lessons").click()
    if part(page, "all").is_visible():
        part(page, "all").click()
    part(page, f"lesson='{index}'").click()


def step_is_set(page: Page, lesson: lessons.Lesson, index: int) -> None:
    """Wait until the panel and the page are as a step says."""
    step = lesson.steps[index]
    count = texts.WORDS["step"].format(step=index + 1, steps=len(lesson.steps))
    expect(part(page, "count")).to_have_text(count)
    for name in ("text", "question"):
        expect(part(page, name)).to_have_text(getattr(step, name))
    expect(part(page, "panel")).not_to_have_attribute("aria-busy", "true")
    expect(part(page, "message")).to_be_hidden()
    state_is_shown(page, step.state)


def state_is_shown(page: Page, state: form.State) -> None:
    if state.tab:
        button = page.locator(f"[role=tab][data-tab-id={state.tab}]")
        expect(button).to_have_attribute("aria-selected", "true")
    if state.gate:
        gate_is_shown(page, state.gate)
    if state.circuit:
        circuit_is_shown(page, state.circuit)
    if state.drawing:
        drawing_is_shown(page, state.drawing)
    if state.reader:
        shown = "drawn" if state.reader == "circuit" else "other"
        expect(page.locator("#digit-circuit [data-circuit]")).to_have_attribute("data-state", shown)
    if state.network:
        network_is_shown(page, state.network)
    if state.view:
        expect(page.locator("#digit-view input:checked")).to_have_value(state.view)
    if state.model:
        panel = page.locator(f"[role=tab][data-tab-id=model-{state.model}]")
        expect(panel).to_have_attribute("aria-selected", "true")


def gate_is_shown(page: Page, gate: form.Gate) -> None:
    def shown(name: str) -> Locator:
        return page.locator(f"#gate-playground [data-{name}]")

    expect(page.locator("#gate-playground .playground")).to_have_attribute("data-busy", "false")
    controls = {"gate": gate.bits, "hidden": gate.hidden, "activation": gate.activation}
    for name, value in {**controls, "start": gate.start}.items():
        expect(shown(name)).to_have_value(str(value))
    expect(page.locator("[name=playground-source]:checked")).to_have_value(gate.source)
    messages = shown("status").get_attribute("data-messages")
    assert messages in (["edited"] if gate.edited else ["", "not_served"])
    inputs = [float(x.input_value()) for x in shown("inputs").locator("input").all()]
    assert inputs == (gate.x or [0.0] * len(inputs))
    epoch = page.locator("#gate-playground [data-frame]")
    expect(epoch).to_have_attribute("data-epoch", str(5 * gate.frame))
    if gate.network:
        shown("weight").select_option("weight2 1")
        expect(shown("value")).to_have_value(f"{gate.network.weight2[1]:g}")


def network_is_shown(page: Page, network: form.Layers) -> None:
    walk = page.locator("#digit-network [data-end]")  # visible during the walk alone
    (expect(walk).to_be_hidden if network.step is None else expect(walk).to_be_visible)()
    pinned = page.locator("#digit-network [data-unpin]")
    (expect(pinned).to_be_hidden if network.layer is None else expect(pinned).to_be_visible)()


def circuit_is_shown(page: Page, circuit: form.Circuit) -> None:
    switches = page.locator("#gate-circuits [data-switches] button")
    chosen = page.locator("#gate-circuits [data-circuit] option:checked")
    expect(chosen).to_have_text(circuit.name.replace("_", " ").capitalize().replace("M", "2-bit m"))
    pressed = switches.evaluate_all("all => all.map(b => +(b.ariaPressed === 'true')).join('')")
    assert int(pressed, 2) == circuit.row


INK = """canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return points => points.map(([x, y]) => data[4 * (y * canvas.width + x) + 3]);
}"""


def drawing_is_shown(page: Page, drawing: form.Drawing) -> None:
    """Check that each stroke's points have ink, and that the page answers."""
    points = [[round(x), round(y)] for stroke in drawing.strokes for x, y in stroke.points]
    alphas = page.locator("#pad canvas").evaluate(f"(c, points) => ({INK})(c)(points)", points)
    assert min(alphas) == 255
    expect(page.locator("#digit-answer .answer")).not_to_have_attribute("data-state", "empty")
    expect(page.locator("#digit-view-output :is(img, progress)").first).to_be_visible()


@pytest.mark.browser
@pytest.mark.parametrize("name", ALL)
def test_each_step_sets_the_page(page: Page, name: str) -> None:
    lesson = LESSONS[ALL.index(name)]
    start(page, ALL.index(name))
    for index, step in enumerate(lesson.steps):
        step_is_set(page, lesson, index)
        if step.look_at and name != "gates":
            marked = page.locator(".lesson-mark")
            expect(marked).to_have_count(1)
            assert marked.evaluate("(m, s) => m.matches(s)", PARTS[step.look_at].selector)
        expect(part(page, "answer")).to_be_hidden()
        part(page, "unfold").locator("summary").click()
        expect(part(page, "answer")).to_have_text(step.answer)
        part(page, "next").click()
    expect(part(page, "list")).to_be_visible()  # after the last step


@pytest.mark.browser
def test_back_close_and_keys(page: Page) -> None:
    lesson = LESSONS[1]
    part(page, "lessons").focus()
    page.keyboard.press("Enter")
    expect(part(page, "heading")).to_be_focused()
    for _ in range(3):  # the button to close, the first lesson, the second
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    step_is_set(page, lesson, 0)
    expect(part(page, "heading")).to_be_focused()
    expect(part(page, "back")).to_be_disabled()
    part(page, "next").click()
    part(page, "next").click()  # faster than the page can follow
    step_is_set(page, lesson, 2)
    part(page, "back").click()
    step_is_set(page, lesson, 1)
    page.keyboard.press("Escape")
    expect(part(page, "panel")).to_be_hidden()
    expect(part(page, "lessons")).to_be_focused()
    expect(part(page, "lessons")).to_have_attribute("aria-expanded", "false")
    expect(page.locator(".lesson-mark")).to_have_count(0)


@pytest.mark.browser
@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_the_panel_leaves_room_and_axe_finds_no_fault(
    browser: Browser, url: str, scheme: Any, width: int
) -> None:
    axe = npm.read(npm.AXE, ["axe.min.js"])["axe.min.js"].decode()
    size: Any = {"width": width, "height": 844}
    options = {"viewport": size, "color_scheme": scheme, "reduced_motion": "reduce"}
    with loopback_context(browser, url, **options) as context:
        page = context.new_page()
        page.goto(f"{url}/?__theme={scheme}")
        start(page, 0)
        step_is_set(page, LESSONS[0], 0)
        part(page, "unfold").locator("summary").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        panel, marked = part(page, "panel").bounding_box(), page.locator(".lesson-mark")
        box = marked.bounding_box()
        assert panel and box
        beside = box["x"] + box["width"] <= panel["x"] if width > 999 else box["y"] < panel["y"]
        assert beside, (box, panel)
        page.evaluate(f"() => {{ {axe} }}")
        report = page.evaluate("axe.run('#page-tools', {resultTypes: ['violations']})")
        assert report["passes"], "axe has looked at something"
        grave = [v for v in report["violations"] if v["impact"] in ("serious", "critical")]
        assert not grave, [(v["id"], v["nodes"]) for v in grave]

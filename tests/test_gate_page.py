"""The Gate tab in a real browser: a network is trained, moved, edited; circuits are switched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from experiments.core import stats
from experiments.data import truth_table
from serve.backends.onnx_backend import OnnxPredictor
from serve.strings import gate as texts
from serve.tabs.gate import numpy_training, onnx_weights
from serve.tabs.gate import tab as gate_tab
from serve.tabs.gate.api import training
from tests.conftest import free_port
from tests.test_playground import FileStore, prob_of

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)  # milliseconds, for busy machines
ROWS = truth_table.inputs(2)


@pytest.fixture(scope="module")
def url(trained: Path) -> Iterator[str]:
    """A page with this tab alone, and two model files of which the second does not exist."""
    from serve.web import gradio_patches

    with gradio_patches.quick_import():
        import gradio as gr

    files = [f"{trained}/gate.onnx", f"{trained}/nowhere.onnx"]
    with gr.Blocks() as page:
        chosen = gr.Dropdown(files, value=files[0], label="Gate model")
        gate_tab.build(FileStore(), chosen)  # type: ignore[arg-type]
    port = free_port()
    theme = gr.themes.Default(font=["sans-serif"], font_mono=["monospace"])
    page.launch(
        server_port=port, quiet=True, prevent_thread_lock=True, footer_links=[], theme=theme
    )
    yield f"http://127.0.0.1:{port}"
    page.close(verbose=False)


@pytest.fixture(scope="module")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Shared by all pages, so that their files are loaded once."""
    size: Any = {"width": 1100, "height": 1000}
    context = browser.new_context(viewport=size, reduced_motion="reduce")
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, url: str) -> Iterator[Page]:
    problems: list[Any] = []
    page = context.new_page()
    page.on("pageerror", lambda error: problems.append(error))
    page.goto(url)
    messages(page, "served")
    yield page
    page.close()
    assert problems == []


def part(page: Page, name: str) -> Locator:
    return page.locator(f"#gate-playground [data-{name}]")


def messages(page: Page, *names: str) -> None:
    """Wait until the status shows these messages."""
    expect(part(page, "status")).to_have_attribute("data-messages", " ".join(names))


def settled(page: Page) -> None:
    """Wait until the last request is answered and drawn."""
    expect(page.locator("#gate-playground .playground")).to_have_attribute("data-busy", "false")


def probs(page: Page) -> list[float]:
    settled(page)
    return [float(text) for text in part(page, "prob").all_text_contents()]


def surface(page: Page) -> bytes:
    settled(page)
    return page.locator("#gate-playground canvas").evaluate("c => c.toDataURL()").encode()


def at_epoch(page: Page, epoch: int) -> None:
    expect(part(page, "frame")).to_have_attribute("data-epoch", str(epoch))


def rows_right(page: Page, right: int, rows: int) -> None:
    text = texts.WORDS["rows_right"].format(right=right, rows=rows)
    expect(part(page, "count")).to_have_text(text)


def input_is(page: Page, x: str) -> None:
    expect(part(page, "ring")).to_have_attribute("aria-valuetext", x)


def output(page: Page, x: str, value: int) -> None:
    """Wait until the input is `x` and the output is `value`."""
    input_is(page, x)
    expect(part(page, "answer").locator("b")).to_have_text(str(value))


def train(page: Page) -> None:
    """Press Train and wait for the end; with reduced motion it is shown at once."""
    part(page, "train").click()
    settled(page)
    at_epoch(page, numpy_training.STEPS)


def test_the_page_shows_what_numpy_computes(page: Page, trained: Path) -> None:
    gates = OnnxPredictor(trained / "gate.onnx")
    part(page, "gate").select_option(truth_table.TWO_INPUT_GATES["nor"])
    prob = gates(ROWS)["probabilities"][:, gates.labels.index("nor")]
    assert probs(page) == pytest.approx(prob.tolist(), abs=6e-4)
    part(page, "activation").select_option("sigmoid")
    part(page, "hidden").fill("3")
    train(page)
    run = training({"bits": "1000", "hidden": 3, "activation": "sigmoid", "start": 1})
    last = {name: weights[-1] for name, weights in run["frames"].items()}
    prob = prob_of({**last, "activation": "sigmoid"}, ROWS)
    assert probs(page) == pytest.approx(prob.tolist(), abs=6e-4)


def test_an_own_gate_is_clicked_and_trained(page: Page) -> None:
    part(page, "gate").select_option(label="majority3")
    rows_right(page, 8, 8)
    before = surface(page)
    for row in (0, 7):
        part(page, f"bit='{row}'").click()
    rows_right(page, 6, 8)
    messages(page, "stale")
    assert part(page, "gate").input_value() == "10010110"
    expect(part(page, "none")).to_be_visible()  # no history of another table
    expect(part(page, "failing")).to_be_disabled()
    part(page, "hidden").fill("8")
    train(page)
    messages(page, "not_served")
    expect(part(page, "answer")).to_contain_text(texts.OWN)
    rows_right(page, 8, 8)
    assert surface(page) != before


def test_failed_initialisations_are_shown(page: Page) -> None:
    learned = numpy_training.train("0110", 2, "relu", 0).learned
    failing, following = (int(index) for index in np.flatnonzero(~learned)[:2])
    part(page, "activation").select_option("relu")
    part(page, "hidden").fill("2")
    part(page, "start").fill(str(failing + 1))
    train(page)
    low, high = stats.wilson_interval(int(learned.sum()), 200)
    fractions = {"percent": learned.mean(), "low": low, "high": high}
    percents = {name: int(100 * fraction + 0.5) for name, fraction in fractions.items()}
    rate = texts.WORDS["success_rate"].format(starts=200, **percents)
    for start in (failing, following):
        right = numpy_training.train("0110", 2, "relu", start).right[-1]
        result = texts.WORDS["result"].format(start=start + 1, right=right, rows=4)
        expect(part(page, "result")).to_have_text(f"{result} {rate}")
        rows_right(page, right, 4)
        assert page.locator("#gate-playground .starts .learned").count() == learned.sum()
        part(page, "failing").click()


def test_a_weight_is_edited_and_restored(page: Page, trained: Path) -> None:
    before, picture = probs(page), surface(page)
    graph = trained / "gate.onnx"
    net = onnx_weights.networks(OnnxPredictor(graph), graph.read_bytes())["xor"]

    def edited(unit: int, value: float) -> np.ndarray:
        weights = [*net["weight2"][:unit], value, *net["weight2"][unit + 1 :]]
        return prob_of({**net, "weight2": weights}, ROWS)

    # The output weight whose sign matters most: some hidden units are constant.
    changes = [np.abs(edited(i, -w) - before).max() for i, w in enumerate(net["weight2"])]
    unit = int(np.argmax(changes))
    part(page, f"name='weight2 {unit}'").dispatch_event("pointerdown")
    expect(part(page, "weight")).to_have_value(f"weight2 {unit}")
    end = "max" if net["weight2"][unit] < 0 else "min"  # of the slider: the other sign
    value = float(part(page, "slider").get_attribute(end))
    expected = edited(unit, value).tolist()
    part(page, "value").fill(str(value))
    messages(page, "served", "edited")
    assert probs(page) == pytest.approx(expected, abs=6e-4)
    assert surface(page) != picture
    part(page, "value").fill("5000")
    part(page, "value").blur()
    expect(part(page, "value")).to_have_value(str(gate_tab.MAX_WEIGHT))
    part(page, "restore").click()
    messages(page, "served")
    assert probs(page) == before and surface(page) == picture
    part(page, "slider").focus()  # and by keyboard
    page.keyboard.press("End" if value > 0 else "Home")
    messages(page, "served", "edited")
    assert probs(page) == pytest.approx(expected, abs=6e-4)


def test_the_input_is_moved_by_mouse_and_keys(page: Page) -> None:
    output(page, "a = 0.00, b = 0.00", 0)
    box = part(page, "plot").bounding_box()
    scale = box["width"] / 440

    def at(a: float, b: float) -> tuple[float, float]:
        x, y = 40 + (a + 0.25) * 260, 400 - (b + 0.25) * 260
        return box["x"] + scale * x, box["y"] + scale * y

    page.mouse.move(*at(0, 0))
    page.mouse.down()
    page.mouse.move(*at(0.5, 0.1), steps=4)
    input_is(page, "a = 0.50, b = 0.10")
    page.mouse.move(*at(1, 0), steps=4)
    page.mouse.up()
    output(page, "a = 1.00, b = 0.00", 1)
    page.mouse.move(*at(0, 1))  # released
    page.keyboard.press("ArrowUp")
    input_is(page, "a = 1.00, b = 0.05")
    part(page, "row='3'").click()
    output(page, "a = 1.00, b = 1.00", 0)


def test_a_missing_model_is_replaced_by_training_here(page: Page) -> None:
    part(page, "gate").focus()
    page.keyboard.type("nand")
    output(page, "a = 0.00, b = 0.00", 1)
    page.get_by_label("Gate model").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(part(page, "status")).to_contain_text("nowhere.onnx")
    rows_right(page, 4, 4)
    expect(page.locator("#gate-circuits [data-note]")).to_have_text(texts.ALL_TRAINED)


def test_circuits_are_switched_and_right(page: Page) -> None:
    circuits, words = page.locator("#gate-circuits"), texts.CIRCUIT_WORDS
    for name, rows in zip(texts.CIRCUIT_NAMES.values(), (4, 8, 16), strict=True):
        circuits.locator("[data-circuit]").select_option(label=name)
        expect(circuits.locator("[data-count]")).to_have_text(words["all_right"].format(rows=rows))
        expect(circuits.locator("tbody tr")).to_have_count(rows)
    for signal in ("a1", "a0", "b1"):
        circuits.locator(f"button[data-name={signal}]").click()
    answer = words["sum"].format(question="3 × 2", answer=6)
    expect(circuits.locator("[data-answer]")).to_have_text(f"{answer} ✓ {words['right']}")
    expect(circuits.locator("tr.present")).to_have_text("3 × 26✓")
    values = circuits.locator("[data-wiring] .value").all_text_contents()
    assert values == list("0110") + list("1110")  # p3 to p0, a1 to b0
    assert "p2 = 1" in circuits.locator("[data-wiring]").get_attribute("aria-label")

"""The Model tab: its HTML for known numbers, and the tab alone in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import numpy as np
import onnx
import pytest
from playwright.sync_api import Browser, Page, expect

from experiments import tasks
from experiments.tracking import runs
from serve.models.registry_worker import HTTP_LIMITS
from serve.models.store import ModelStore
from serve.strings import layout as page_say
from serve.strings import model as say
from serve.tabs.model import compare, markup, tab
from serve.tabs.model import curves as training_curves
from serve.tabs.model.netron_server import NetronServer
from tests.conftest import LocalQuery, client, loopback_context, page_in_thread


class Known:
    """A predictor with known outputs."""

    task, labels, title = "mnist", ["0", "1", "2"], "known"
    graph = b"12345"

    def __init__(self, number: int, *probs: float, score: float = 5) -> None:
        self.key = f"models:/mnist-onnx/{number}"
        self.facts, self.metadata = {"score_threshold": 1.0}, {}
        self.outputs = {
            "probabilities": np.array([probs], np.float32),
            "score": np.array([score], np.float32),
        }


def difference(*pair: Known) -> str:
    return compare.differences(pair, [each.outputs for each in pair])


def test_two_versions_are_compared_in_words() -> None:
    sure, less, other = Known(1, 0.9, 0.1, 0), Known(2, 0.8, 0.1, 0.1), Known(3, 0.25, 0.75, 0)
    confidence = say.MORE_CONFIDENT.format(title="mnist-onnx/1", points=10)
    same = f"{say.SAME.format(label='0')} {confidence}"
    assert difference(sure, less) == difference(less, sure) == same
    assert difference(sure, sure) == say.SAME_VERSION
    names = {"first": "mnist-onnx/1", "second": "mnist-onnx/3"}
    assert difference(sure, other).startswith(say.DIFFERENT.format(**names, one="0", two="1"))
    rejecting = [Known(number, 0.5, 0.5, 0, score=0.5) for number in (4, 5)]
    names = {"first": "mnist-onnx/4", "second": "mnist-onnx/1"}
    text = say.DIFFERENT.format(**names, one=say.NO_DIGIT, two="0")
    largest = say.LARGEST_DIFFERENCE.format(label="0", one=0.5, two=0.9)
    alternative = say.LARGEST_DIFFERENCE.format(label="1", one=0.5, two=0.1)  # as large
    assert difference(rejecting[0], sure) in (f"{text} {largest}", f"{text} {alternative}")
    assert difference(*rejecting).startswith(say.BOTH_REJECT)


def test_all_facts_of_a_graph_are_shown() -> None:
    known = Known(1, 1, 0, 0)
    known.metadata = {"test_accuracy": "0.9876", "new_fact": "<20>", "facts": "{}"}
    text = markup.facts(known)
    assert "98.76%" in text and say.BYTES.format(count=5) in text
    assert ">New fact<" in text and "&lt;20&gt;" in text and "{}" not in text
    assert say.ROWS["test_accuracy"] in text and say.ROWS["val_accuracy"] not in text


def test_curves_are_rows_of_finite_values() -> None:
    points = {
        "train_loss": [(1, 1.0), (2, 0.1)],
        "val_loss": [(1, float("nan")), (2, 0.2)],
        "val_accuracy": [(2, 0.75)],
    }
    loss, accuracy = training_curves.tables(points)
    rows = [[1, 1.0, say.TRAIN], [2, 0.1, say.TRAIN], [2, 0.2, say.VALIDATION]]
    assert loss.values.tolist() == rows
    assert accuracy.values.tolist() == [[2, 75.0, say.VALIDATION]]
    assert [len(table) for table in training_curves.tables({})] == [0, 0]


def test_a_card_shows_no_picture_and_no_html() -> None:
    card = "# a\n!!![x](http://example.org/p.png) <img src=http://example.org> 1 < 2 ![y][z]"
    text = markup.sanitize(card)
    assert "![" not in text and "<img" not in text and "1 < 2" in text


def test_a_replaced_file_is_shown_without_a_registry(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (HTTP_LIMITS | {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}).items():
        monkeypatch.setenv(name, value)
    path, graph = tmp_path / "mine.onnx", onnx.load(trained / "gate.onnx")
    onnx.save(graph, path)
    store = ModelStore([str(path)], "onnxruntime", ["mnist", "gate"], query=LocalQuery).open()
    panel = tab._TaskPanel(store, "gate", gr.Dropdown(), NetronServer())
    assert "int8" not in panel._facts(store.defaults["gate"])
    next(entry for entry in graph.metadata_props if entry.key == "precision").value = "int8"
    onnx.save(graph, path)
    _, key, facts, _, message = panel._refresh(store.defaults["gate"])
    assert key == store.defaults["gate"] and "int8" in facts
    assert 'data-code="storage-unreachable"' in message


@pytest.fixture(scope="module")
def url(trained: Path) -> Iterator[str]:
    """The page on a registry with a second version of digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
        store = runs.connect()
        first = store.get_model_version_by_alias("mnist-onnx", "champion")
        tags = dict(first.tags)
        second = store.create_model_version("mnist-onnx", first.source, first.run_id, tags)
        with page_in_thread(trained) as address:
            yield address
        store.delete_model_version("mnist-onnx", second.version)


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """The Model tab on a phone, with a seven on the Digit tab."""
    with loopback_context(browser, url, viewport={"width": 390, "height": 900}) as context:
        page = context.new_page()
        page.goto(url)
        page.locator("[data-example]").nth(7).click()
        expect(page.locator("#digit-answer .answer b")).to_have_text("7", timeout=60_000)
        page.get_by_role("tab", name=page_say.MODEL, exact=True).click()
        yield page


@pytest.mark.slow
@pytest.mark.browser
def test_the_served_version_is_shown_with_card_curves_and_architecture(page: Page) -> None:
    title = re.compile(r"mnist/\d+, fp32, onnxruntime")
    expect(page.locator("#model-facts-mnist")).to_contain_text(title)
    picture = page.locator("#model-picture-mnist img.on-light")
    expect(picture).to_be_visible(timeout=60_000)
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    expect(page.locator("#model-picture-mnist img.on-dark")).to_be_hidden()
    page.get_by_text(say.CARD).first.click()
    limitation = tasks.get("mnist").limitations.split(",")[0]
    expect(page.locator("#model-card-mnist")).to_contain_text(limitation)
    page.get_by_role("tab", name=say.TASKS["gate"], exact=True).click()
    plots = page.locator("#model-curves-gate")  # the digits' run has one epoch
    expect(plots.locator("svg")).to_have_count(2, timeout=60_000)
    for text in (say.LOSS, say.ACCURACY, say.EPOCH, say.TRAIN, say.VALIDATION):
        expect(plots.get_by_text(text, exact=True).first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
@pytest.mark.browser
def test_versions_are_switched_and_compared_and_a_failure_keeps_the_old_one(
    page: Page, trained: Path
) -> None:
    store = client(trained)  # other tests register versions, too
    old = store.get_model_version_by_alias("mnist-onnx", "champion").version
    new = max(int(v.version) for v in store.search_model_versions("name = 'mnist-onnx'"))
    label = say.VERSION.format(name="mnist-onnx", number=new)
    chosen = page.locator("#model-mnist input")
    chosen.click()
    page.get_by_role("option", name=label, exact=False).first.click()
    facts = page.locator("#model-facts-mnist")
    expect(facts).to_contain_text(f"models:/mnist-onnx/{new}", timeout=60_000)
    chosen.fill("models:/mnist-onnx/99")
    chosen.press("Enter")
    failure = page.locator("#model-message-mnist [data-code=version-unknown]")
    expect(failure).to_have_count(1, timeout=60_000)
    expect(chosen).to_have_value(re.compile(re.escape(label)))
    expect(facts).to_contain_text(f"models:/mnist-onnx/{new}")
    other = page.locator("#model-other-mnist")  # the first list may still be fading away
    other.locator("input").click()
    other.get_by_role("option", name=say.VERSION.format(name="mnist-onnx", number=old)).click()
    result = page.locator("#model-comparison")
    text = f"{say.SAME.format(label='7')} {say.EQUALLY_CONFIDENT}"
    expect(result).to_contain_text(text, timeout=60_000)
    expect(result.locator(".bar.top")).to_have_count(2)


@pytest.mark.slow
@pytest.mark.browser
def test_netron_shows_the_served_graph_on_this_machine(page: Page) -> None:
    page.get_by_role("button", name=say.NETRON).first.click()
    link = page.locator("#model-netron-mnist a")
    expect(link).to_be_visible(timeout=60_000)
    address = link.get_attribute("href")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    assert "Netron" in page.request.get(address).text()

"""The Model tab: its markup on known numbers, and the tab alone in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import gradio as gr
import numpy as np
import onnx
import pytest
from playwright.sync_api import Browser, Page, expect

from experiments.paths import ROOT
from serve.model import curves as model_curves
from serve.model import markup as model_markup
from serve.model import tab
from serve.model import versus as model_versus
from serve.model.netrons import Netrons
from serve.model.shelf import Shelf
from tests.conftest import client, free_port, serving

PAGE = """
import base64, io, sys
sys.path.insert(0, {root!r})
import gradio as gr
from PIL import Image, ImageDraw
from serve.model import tab as model_tab
from serve.page import looks
from serve.model.shelf import Shelf

shelf = Shelf.open([], "onnxruntime", ["mnist", "gate"])
shelf.local = True
paper, file = Image.new("RGBA", (400, 400)), io.BytesIO()
strokes = [(120, 100), (280, 100), (180, 330)]
ImageDraw.Draw(paper).line(strokes, fill=(0, 0, 0, 255), width=30)
paper.save(file, "PNG")
data = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
chosen = {{
    task: gr.Dropdown(
        shelf.choices(task), value=key, label="Served", allow_custom_value=True, render=False,
        elem_id=f"chosen-{{task}}",
    )
    for task, key in shelf.first.items()
}}
with gr.Blocks() as page:
    with gr.Tab("Pad"):
        pad = gr.JSON({{"kind": "pen", "data": data}})
    with gr.Tab("Model") as tab:
        model_tab.build(shelf, chosen, pad, tab)
theme = gr.themes.Default(font=["system-ui"], font_mono=["monospace"])
page.launch(server_port={port}, css=looks(), theme=theme, quiet=True)
"""


class Known:
    """A predictor whose answer is known."""

    task, labels, title = "mnist", ["0", "1", "2"], "known"
    graph = b"12345"

    def __init__(self, number: int, *shares: float, score: float = 5) -> None:
        self.key = f"models:/mnist-onnx/{number}"
        self.facts = {"score_threshold": 1.0}
        self.answer = {
            "probabilities": np.array([shares], np.float32),
            "score": np.array([score], np.float32),
        }

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return self.answer


def told(*pair: Known) -> str:
    return model_versus.differences(pair, [each.answer for each in pair])


def test_differences_are_told_in_words() -> None:
    sure, less, other = Known(1, 0.9, 0.1, 0), Known(2, 0.8, 0.1, 0.1), Known(3, 0.2, 0.8, 0)
    surer = "mnist-onnx/1 is surer of it, by 10.0 percentage points"
    assert told(sure, less) == f"Both say 0. {surer}." == told(less, sure)
    assert told(sure, sure) == "Both are the same version."
    assert "mnist-onnx/1 says 0, mnist-onnx/3 says 1" in told(sure, other)
    assert "about 0: 90.0% against 20.0%" in told(sure, other) or "about 1" in told(sure, other)
    refusing = [Known(number, 0.5, 0.5, 0, score=0.5) for number in (4, 5)]
    assert "mnist-onnx/4 says no digit" in told(refusing[0], sure)
    assert told(*refusing).startswith("Both take it for no digit.")


def test_facts_are_the_graphs_and_unknown_ones_are_left_out() -> None:
    text = model_markup.facts(Known(1, 1, 0, 0), {"test_accuracy": "0.9876", "opset": "<20>"})
    assert "98.76%" in text and "5 bytes" in text and "&lt;20&gt;" in text
    assert "Right on validation" not in text


def test_curves_stand_where_their_values_are() -> None:
    falling, rising = [(1, 1.0), (2, 0.1), (3, 0.01)], [(1, 0.5), (2, 0.75), (3, 1.0)]
    text = model_curves.figure(
        {
            "train_loss": falling,
            "val_loss": falling,
            "train_accuracy": rising,
            "val_accuracy": rising,
        }
    )
    drawn = re.findall(r"(?s)<svg.*?</svg>", text)
    loss, accuracy = (ElementTree.fromstring(svg) for svg in drawn)  # noqa: S314 - our own
    for svg in (loss, accuracy):
        line = svg.find("polyline").get("points")
        (x0, y0), (x1, y1), (x2, y2) = (map(float, p.split(",")) for p in line.split())
        assert x1 - x0 == pytest.approx(x2 - x1) and y1 - y0 == pytest.approx(y2 - y1, abs=0.2)
        assert (y2 > y0) is (svg is loss)
        names = [element.text for element in svg.iter("text")]
        assert {"epoch", "training", "validation"} <= set(names)
    assert {"1", "0.1", "0.01"} <= {element.text for element in loss.iter("text")}
    assert {"60", "80", "100"} <= {element.text for element in accuracy.iter("text")}


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.3, 0.3], [1e-6, 40.0], [float("nan"), 0.5]])
def test_any_values_can_be_drawn(values: list[float]) -> None:
    points = list(enumerate(values, 1))
    text = model_curves.figure(dict.fromkeys(("train_loss", "val_loss"), points))
    assert "<polyline" in text and "nan" not in re.sub(r'aria-label="[^"]*"', "", text)


def test_a_card_can_show_no_picture_and_no_html() -> None:
    card = "# a\n!!![x](http://example.org/p.png) <img src=http://example.org> 1 < 2 ![y][z]"
    assert "![" not in model_markup.harmless(card) and "<img" not in model_markup.harmless(card)
    assert "1 < 2" in model_markup.harmless(card)


@pytest.fixture(scope="module")
def url(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The tab alone, beside a pad with a seven, on a registry with a second version of digits."""
    port, uri = free_port(), f"sqlite:///{trained}/mlflow.db"
    address, store = f"http://127.0.0.1:{port}", client(trained)
    script = tmp_path_factory.mktemp("page") / "page.py"
    script.write_text(PAGE.format(root=str(ROOT), port=port))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)  # MLflow looks the source up there
        first = store.get_model_version_by_alias("mnist-onnx", "champion")
        tags = dict(first.tags)
        made = store.create_model_version("mnist-onnx", first.source, first.run_id, tags)
    with serving(f"python {script}", trained, address, MLFLOW_TRACKING_URI=uri):
        yield address
    store.delete_model_version("mnist-onnx", made.version)


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    strangers: list[str] = []
    context = browser.new_context(viewport={"width": 390, "height": 900})
    page = context.new_page()
    own = (url, url.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: strangers.append(r.url) if not r.url.startswith(own) else None)
    page.goto(url)
    page.get_by_role("tab", name="Model", exact=True).click()
    yield page
    context.close()
    assert strangers == []


def test_what_is_served_is_told_with_card_curves_and_picture(page: Page) -> None:
    expect(page.locator("#model-facts-mnist")).to_contain_text(
        re.compile(r"mnist/\d+, fp32, onnxruntime")
    )
    expect(page.locator("#model-curves-mnist svg")).to_have_count(2, timeout=60_000)
    picture = page.locator("#model-picture-mnist img.on-light")
    expect(picture).to_be_visible(timeout=15_000)
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 100
    expect(page.locator("#model-picture-mnist img.on-dark")).to_be_hidden()
    page.get_by_text("Card of the version").first.click()
    expect(page.locator("#model-card-mnist")).to_contain_text("Known limits")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_versions_are_switched_and_compared_and_what_fails_leaves_the_old_one(
    page: Page, trained: Path
) -> None:
    store = client(trained)  # other tests register versions, too
    old = store.get_model_version_by_alias("mnist-onnx", "champion").version
    new = max(int(v.version) for v in store.search_model_versions("name = 'mnist-onnx'"))
    chosen = page.locator("#chosen-mnist input")
    chosen.click()
    page.get_by_role("option", name=f"mnist-onnx version {new}", exact=False).first.click()
    facts = page.locator("#model-facts-mnist")
    expect(facts).to_contain_text(f"models:/mnist-onnx/{new}", timeout=60_000)
    chosen.fill("models:/mnist-onnx/99")
    chosen.press("Enter")
    expect(page.locator("#model-said-mnist")).to_contain_text("the registry lists", timeout=60_000)
    expect(chosen).to_have_value(re.compile(f"mnist-onnx version {new}"))
    expect(facts).to_contain_text(f"models:/mnist-onnx/{new}")
    other = page.locator("#model-other-mnist")  # the first list may still be fading away
    other.locator("input").click()
    other.get_by_role("option", name=f"mnist-onnx version {old}").click()
    versus = page.locator("#model-versus")
    expect(versus).to_contain_text("Both say 7. They are equally sure", timeout=60_000)
    expect(versus.locator(".bar.top")).to_have_count(2)


def test_a_replaced_file_is_shown_though_there_is_no_registry(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    path, graph = tmp_path / "mine.onnx", onnx.load(trained / "gate.onnx")
    onnx.save(graph, path)
    shelf = Shelf.open([str(path)], "onnxruntime", ["mnist", "gate"])
    part = tab._Part(shelf, "gate", gr.Dropdown(), Netrons())
    assert "int8" not in part._facts(shelf.first["gate"])
    next(entry for entry in graph.metadata_props if entry.key == "precision").value = "int8"
    onnx.save(graph, path)
    _, key, facts, said = part._refresh(shelf.first["gate"])
    assert key == shelf.first["gate"] and "int8" in facts and "fails" in said


def test_netron_shows_the_served_graph_on_this_machine(page: Page) -> None:
    page.get_by_role("button", name="Open in Netron").first.click()
    link = page.locator("#model-netron-mnist a")
    expect(link).to_be_visible(timeout=60_000)
    address = link.get_attribute("href")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", address)
    assert "Netron" in page.request.get(address).text()
    page.get_by_role("button", name="Open in Netron").first.click()
    expect(link).to_have_attribute("href", address)

"""Circuits of logic gates on the page: served to the Digit tab, and shown back to the pixels."""

import base64
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from experiments import tasks
from experiments.data import mnist
from experiments.data.truth_table import TWO_INPUT_GATES
from export import graph
from models.logic import Circuit
from serve import app
from serve.models.store import ModelStore
from serve.strings import circuit as words
from serve.strings import digit as texts
from serve.tabs.digit import build_index, circuit, circuit_graph, neighbor_index, views
from serve.tabs.digit.activations import ActivationModel
from serve.tabs.digit.inference import read
from serve.tabs.digit.preprocess import to_image
from serve.web import api
from tests.conftest import LocalQuery, loopback_context, page_in_thread
from tests.expect import refused
from tests.nets import digit_net
from tests.test_logic import random_circuit

expect.set_options(timeout=60_000)  # milliseconds, on a busy machine
SIZES = [(110,), (200, 150, 110), (60, 50, 40, 30, 22)]
DIGITS = {"labels": json.dumps([*"0123456789"]), "facts": "{}"}
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]


def exported(task: str, net: torch.nn.Module) -> onnx.ModelProto:
    images = np.zeros((2, 28, 28), np.uint8)
    return graph.of_task(tasks.get(task), net, images, {"task": task, **DIGITS})


@pytest.fixture(scope="module")
def net() -> Circuit:
    return random_circuit()


@pytest.fixture(scope="module")
def files(net: Circuit, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A file of a circuit, and one of a convolutional network."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    small = digit_net(base_channels=4, num_stages=2, convs_per_stage=1, hidden_dim=12)
    models = {"logic": exported("logic", net), "mnist": exported("mnist", small)}
    for task, model in models.items():
        (folder / f"{task}.onnx").write_bytes(model.SerializeToString())
    return {task: folder / f"{task}.onnx" for task in models}


@pytest.fixture
def store(files: dict[str, Path]) -> ModelStore:
    return opened(*files.values())


def opened(*paths: Path) -> ModelStore:
    names = [str(path) for path in paths]
    return ModelStore(names, "onnxruntime", app.TASKS, query=LocalQuery).open()


def stroke() -> np.ndarray:
    drawing = np.zeros((200, 200), np.uint8)
    drawing[40:160, 90:115] = 255
    return drawing


@pytest.mark.parametrize("sizes", SIZES, ids=len)
def test_a_circuit_is_read_from_its_graph(sizes: tuple[int, ...], digits: mnist.Mnist) -> None:
    net, images = random_circuit(sizes, seed=3), digits.test_images[:30]
    found = circuit_graph.of_model(exported("logic", net))
    assert found is not None and found.gates == sum(sizes) and found.classes == 11
    for index, layer in enumerate(found.layers):
        first, second, *_ = net.layer(index)
        assert np.array_equal(layer.first, first) and np.array_equal(layer.second, second)
        assert np.array_equal(layer.tables, net.functions(index))
    expected = [bits.numpy() for bits in net.signals(torch.tensor(images))]
    for number, image in enumerate(images):
        for mine, theirs in zip(found.signals(image), expected, strict=True):
            assert np.array_equal(mine, theirs[number])
    assert np.array_equal(
        [found.votes(image) for image in images], expected[-1].reshape(30, 11, -1).sum(2)
    )


def test_other_graphs_are_no_circuits(files: dict[str, Path]) -> None:
    assert circuit_graph.read(files["mnist"].read_bytes()) is None
    model = onnx.load(files["logic"])
    gather = next(node for node in model.graph.node if node.op_type == "Gather")
    extra = onnx.NodeProto()
    extra.CopyFrom(gather)
    extra.output[0] = "third"
    model.graph.node.insert(list(model.graph.node).index(gather) + 2, extra)
    assert circuit_graph.of_model(model) is None  # gates of three inputs


@pytest.mark.parametrize("width", [2, 4])
def test_a_circuit_is_packed_for_the_browser(width: int, files: dict[str, Path]) -> None:
    found = circuit_graph.of_model(onnx.load(files["logic"]))
    assert found is not None
    if width == 4:  # wires from a very large layer
        wide = replace(found.layers[0], first=found.layers[0].first + 70_000)
        found = replace(found, layers=[wide, *found.layers[1:]])
    packed = json.loads(json.dumps(found.packed()))
    assert packed["width"] == width and packed["sizes"] == [200, 150, 110]
    raw, start = base64.b64decode(packed["gates"]), 0
    for layer in found.layers:
        for part, dtype in ((layer.first, f"<u{width}"), (layer.second, f"<u{width}")):
            assert np.array_equal(np.frombuffer(raw, dtype, len(part), start), part)
            start += width * len(part)
        assert np.array_equal(np.frombuffer(raw, "u1", len(layer.tables), start), layer.tables)
        start += len(layer.tables)
    assert start == len(raw)


def test_every_function_has_its_words() -> None:
    for (name, symbols), bits in zip(words.FUNCTIONS, TWO_INPUT_GATES.values(), strict=True):
        python = re.sub("¬", " 1 - ", symbols)
        for symbol, operator in {"∧": "*", "∨": "|", "⊕": "^"}.items():
            python = python.replace(symbol, operator)
        python = re.sub(r"1 - (\w|\([^)]*\))", r"(1 - \1)", python)
        rows = [eval(python, {"a": a, "b": b}) for a in (0, 1) for b in (0, 1)]  # noqa: S307
        assert "".join(map(str, rows)) == bits, name


def test_the_digit_tab_takes_models_of_both_tasks(
    store: ModelStore, files: dict[str, Path]
) -> None:
    keys = {task: f"file:{path}" for task, path in files.items()}
    assert [key for _, key in store.choices("mnist")] == [keys["mnist"], keys["logic"]]
    assert store.tabs == ["mnist", "gate"] and store.defaults == keys
    assert store.load(keys["logic"], "mnist").task == "logic"
    with refused("task-mismatch", expected="one of task gate"):
        store.load(keys["logic"], "gate")


def test_a_circuit_alone_is_served_to_the_digit_tab(files: dict[str, Path]) -> None:
    store = opened(files["logic"])
    assert store.defaults["mnist"] == f"file:{files['logic']}"
    assert [key for _, key in store.choices("mnist")] == [store.defaults["mnist"]]


def test_programs_name_a_circuit_by_its_key(
    store: ModelStore, tmp_path: Path, net: Circuit
) -> None:
    path = tmp_path / "one.png"
    Image.fromarray(255 - stroke()).save(path)
    found = api.digit(store.load(store.defaults["logic"], "mnist"), path)
    image = torch.tensor(to_image(stroke()))
    logits = tasks.get("logic").outputs(net, image)["logits"][0]
    assert found["digit"] == str(int(logits.argmax())) and "logic.onnx" in str(found["model"])


def test_every_view_works_for_a_circuit(store: ModelStore, monkeypatch: Any) -> None:
    monkeypatch.setattr(neighbor_index.NeighborIndex, "build", lambda self: 0.5)
    for name in texts.VIEWS:
        text, _ = views.VIEWS[name](store, store.defaults["logic"], stroke())
        assert "<" in text, name


def test_the_nearest_digits_have_the_most_votes_in_common(
    files: dict[str, Path], digits: mnist.Mnist, net: Circuit
) -> None:
    images = digits.test_images[:40]
    model = ActivationModel(files["logic"].read_bytes())
    known, probs = build_index._run(model, images, lambda _: None)
    bits = net.signals(torch.tensor(images))[-1].numpy()
    assert np.array_equal(np.unpackbits(known, axis=1)[:, : bits.shape[1]], bits)
    vectors = bits / np.linalg.norm(bits, axis=1, keepdims=True)
    found = neighbor_index._cosine_of_bits(known, known[7])
    np.testing.assert_allclose(found, vectors @ vectors[7], rtol=1e-5)
    assert probs.shape == (40, 10) and found.argmax() == 7


def test_the_view_has_the_image_and_offers_the_other_model(
    store: ModelStore, files: dict[str, Path]
) -> None:
    keys = store.defaults
    blank = circuit.contents(store, keys["logic"], None)
    assert base64.b64decode(str(blank["image"])) == bytes(784)
    prediction = read(store.load(keys["logic"]), stroke())
    shown = circuit.contents(store, keys["logic"], prediction)
    assert base64.b64decode(str(shown["image"])) == to_image(stroke()).tobytes()
    assert circuit.packed(store, keys["logic"])["id"] == shown["id"] == blank["id"]
    assert shown["offer"] == {"key": keys["mnist"], "title": "mnist.onnx", "kind": "mnist"}
    other = circuit.contents(store, keys["mnist"], prediction)
    assert other["offer"] == {"key": keys["logic"], "title": "logic.onnx", "kind": "logic"}
    assert other["id"] == other["note"] == circuit.contents(store, "", None)["id"] == ""
    refusal = circuit.packed(store, keys["mnist"])
    assert refusal["code"] == "circuit-missing" and "-P task=logic" in str(refusal["error"])
    assert circuit.packed(store, "models:/nothing/1")["code"] == "key-invalid"
    alone = opened(files["logic"])
    assert circuit.contents(alone, alone.defaults["mnist"], None)["offer"] is None


def test_a_circuit_too_large_for_a_browser_is_refused(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(circuit, "MAX_GATES", 459)
    shown = circuit.contents(store, store.defaults["logic"], None)
    assert shown["id"] == "" and "at most 459 gates" in str(shown["note"])


@pytest.fixture(scope="module")
def url(files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("store")
    with page_in_thread(folder, [str(path) for path in files.values()]) as address:
        yield address


@pytest.fixture(params=[1100, 390])
def page(browser: Browser, url: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The view of a circuit with a drawn seven; the button has switched to the circuit."""
    from benchmarks.browser import draw_stroke

    problems: list[Any] = []
    size = {"width": request.param, "height": 900}
    with loopback_context(browser, url, viewport=size) as context:
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(error))
        page.goto(url)
        page.wait_for_function("document.querySelector('#pad canvas')?.width >= 400")  # by pad.js
        draw_stroke(page, SEVEN)
        page.locator("#digit-answer .answer b").wait_for()
        part(page, "adopt").click()
        expect(part(page, "circuit")).to_have_attribute("data-state", "drawn")
        yield page
    assert problems == []


def part(page: Page, name: str) -> Locator:
    return page.locator(f"#digit-circuit [data-{name}]")


def spoken(page: Page) -> str:
    return part(page, "detail").inner_text()


@pytest.mark.browser
def test_votes_and_gates_are_those_of_the_circuit(page: Page, files: dict[str, Path]) -> None:
    expect(page.locator("#header-served")).to_contain_text("logic.onnx")
    source = part(page, "tree").locator("image").get_attribute("href")
    assert source is not None
    shown = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))).convert("L")
    found = circuit_graph.read(files["logic"].read_bytes())
    assert found is not None
    image = 255 - np.asarray(shown)
    votes, on = found.votes(image), sum(int(bits.sum()) for bits in found.signals(image)[1:])
    names = [*"0123456789", words.WORDS["none"]]
    labels = part(page, "classes").get_by_role("radio")
    assert [each.get_attribute("aria-label") for each in labels.all()] == [
        words.WORDS["class"].format(label=label, votes=count, all=10)
        for label, count in zip(names, votes, strict=True)
    ]
    lead = part(page, "lead").inner_text()
    assert f"{on} of all {found.gates} gates" in lead and f"by {votes[:10].max()} of 10" in lead


@pytest.mark.browser
def test_a_vote_is_followed_back_to_a_pixel(page: Page, files: dict[str, Path]) -> None:
    found = circuit_graph.read(files["logic"].read_bytes())
    assert found is not None
    part(page, "only").uncheck()
    part(page, "classes").get_by_role("radio").nth(4).focus()
    page.keyboard.press("ArrowDown")  # class 5
    expect(part(page, "classes").get_by_role("radio").nth(5)).to_be_focused()
    match = re.search(r"Vote (\d+) for 5", spoken(page))
    assert match is not None
    index = 5 * 10 + int(match[1]) - 1
    for level in (3, 2, 1):
        layer = found.layers[level - 1]
        name, symbols = words.FUNCTIONS[layer.tables[index]]
        assert f"{name}: {symbols}" in spoken(page)
        present = part(page, "detail").locator("tr[aria-current=true]").inner_text()
        a, b, output = (int(value) for value in re.findall(r"\d", present)[:3])
        assert output == layer.tables[index] >> 3 - 2 * a - b & 1
        assert f"It is {output}" in spoken(page)
        links = part(page, "detail").get_by_role("button").all_inner_texts()
        assert links[0].startswith(f"a = {a}") and links[1].startswith(f"b = {b}")
        index = int(layer.second[index])
        part(page, "detail").get_by_role("button").nth(1).click()
    level, pixel = divmod(index, 784)
    row, column = divmod(pixel, 28)
    assert f"row {row + 1}, column {column + 1}" in spoken(page)
    assert f"brighter than {found.thresholds[level]}" in spoken(page)
    part(page, "back").click()
    assert "of layer 1" in spoken(page)


@pytest.mark.browser
def test_the_tree_is_walked_with_the_arrow_keys(page: Page) -> None:
    tree = part(page, "tree")
    tree.locator(".focus").focus()
    first = tree.locator(".focus").get_attribute("aria-label")
    is_wide = (page.viewport_size or {})["width"] > 700
    page.keyboard.press("ArrowLeft" if is_wide else "ArrowDown")
    expect(tree.locator(".focus").first).to_be_focused()
    assert tree.locator(".focus").first.get_attribute("aria-label") != first
    expect(part(page, "detail").locator("h4")).to_contain_text("layer 2")


@pytest.mark.browser
def test_the_view_follows_the_drawing_and_keeps_the_chosen_gate(page: Page) -> None:
    from benchmarks.browser import draw_stroke

    page.locator("#digit-circuit [data-step='1']").click()
    name, lead = part(page, "detail").locator("h4").inner_text(), part(page, "lead").inner_text()
    page.locator("#pad canvas").scroll_into_view_if_needed()
    draw_stroke(page, [(0.2, 0.5), (0.8, 0.5)])
    expect(part(page, "lead")).not_to_have_text(lead)
    assert part(page, "detail").locator("h4").inner_text() == name


@pytest.mark.browser
def test_the_button_leads_back_to_the_network(page: Page) -> None:
    expect(page.locator("#digit-network")).to_be_hidden()
    part(page, "adopt").click()
    expect(part(page, "circuit")).to_have_attribute("data-state", "other")
    expect(page.locator("#header-served")).to_contain_text("mnist.onnx")
    expect(page.locator("#digit-network [data-stage]")).to_be_visible()
    page.get_by_role("tab", name="Model").click()
    expect(page.locator("#model-facts-mnist")).to_contain_text("mnist.onnx")

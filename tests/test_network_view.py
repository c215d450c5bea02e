"""The network under the pen: its numbers against torch, and the page's numbers against both."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from playwright.sync_api import Browser, Locator, Page, expect
from torch.nn import functional

from benchmarks.browser import draw_stroke
from experiments.data import mnist
from export.precision import to_precision
from models.cnn import MNIST_MEAN, MNIST_STD
from serve.backends.onnx_backend import OnnxPredictor
from serve.strings import network as texts
from serve.tabs.digit.activations import ActivationModel
from serve.tabs.digit.inference import Prediction
from serve.tabs.digit.network import component, paths, payload
from serve.tabs.digit.network.blocks import Block
from serve.tabs.digit.network.paths import Activity
from tests import graphs
from tests.conftest import loopback_context, page_in_thread
from tests.expect import refused
from tests.test_playground import FileStore

MAX_UPDATE_BYTES = 150_000
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]


def model_of(model: onnx.ModelProto) -> ActivationModel:
    return ActivationModel(model.SerializeToString())


def before_activation(block: Block, x: np.ndarray) -> np.ndarray:
    """Return what torch computes by a block's formula for [I, height, width]."""
    channels = [torch.tensor(each)[:, None, None] for each in (block.scale, block.shift)]
    sums = functional.conv2d(
        torch.tensor(x), torch.tensor(block.kernel), torch.tensor(block.bias), 1, block.padding
    )
    pooled = functional.max_pool2d(sums, block.pool)
    return (pooled * channels[0] + channels[1]).numpy()


@pytest.mark.parametrize("form", graphs.FORMS)
def test_blocks_are_the_layers_of_torch(form: str, digits: mnist.Mnist) -> None:
    net, graph = graphs.digit(form)
    model = model_of(graph)
    kinds = (torch.nn.ReLU, torch.nn.GELU, torch.nn.SiLU, torch.nn.Tanh)
    expected: list[np.ndarray] = []
    hooks = [
        module.register_forward_hook(lambda _, __, output: expected.append(output[0].numpy()))
        for module in net.modules()
        if isinstance(module, kinds)
    ]
    with torch.inference_mode():
        expected.append(net(torch.tensor(digits.test_images[:1]))[0].numpy())
    for hook in hooks:
        hook.remove()
    activity = model.run(digits.test_images[:1])
    for block, active, values in zip(model.blocks, activity, expected, strict=True):
        np.testing.assert_allclose(active.output.reshape(values.shape), values, atol=1e-4)
        np.testing.assert_allclose(before_activation(block, active.input), active.before, atol=1e-4)
        assert active.winner.size == (0 if block.pool == 1 else active.output.size)
    pixels = activity[0].input
    assert model.mean == pytest.approx(MNIST_MEAN * 255)
    assert pixels.min() == pytest.approx(-MNIST_MEAN / MNIST_STD, abs=1e-4)


@pytest.mark.parametrize("form", graphs.FORMS)
def test_paths_are_activation_times_gradient_of_torch(form: str, digits: mnist.Mnist) -> None:
    net, graph = graphs.digit(form)
    model = model_of(graph)
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def keep(_: torch.nn.Module, given: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        output.retain_grad()
        seen.append((given[0].detach()[0], output))

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    net(torch.tensor(digits.test_images[:1]))[0, 4].backward()
    for hook in hooks:
        hook.remove()
    activity = model.run(digits.test_images[:1])
    shares = paths.shares(model.blocks, activity, 4)
    for block, share, layer, (x, output) in zip(model.blocks, shares, layers, seen, strict=True):
        weight = layer.weight.detach().reshape(block.kernel.shape)
        gradient = output.grad[0].reshape(len(block.kernel), *output.shape[2:] or (1, 1))
        maps = x.reshape(block.kernel.shape[1], 1, *activity_sides(x, block))
        for channel, each in enumerate(maps):  # what one input channel adds to each output
            kernel = weight[:, channel : channel + 1]
            alone = functional.conv2d(each[None], kernel, padding=block.padding)[0]
            expected = (gradient * alone).sum((1, 2)).numpy()
            limit = 1e-4 * np.abs(share.edges).max()
            np.testing.assert_allclose(share.edges[:, channel], expected, atol=limit)
        np.testing.assert_allclose(share.maps, share.edges.sum(0), atol=1e-4)


def activity_sides(x: torch.Tensor, block: Block) -> tuple[int, int]:
    side = round((x.numel() / block.kernel.shape[1]) ** 0.5)
    return side, side


def test_parts_of_a_relu_network_and_its_biases_add_up_to_the_logit(digits: mnist.Mnist) -> None:
    model = model_of(graphs.digit("relu")[1])
    activity = model.run(digits.test_images[:1])
    last = model.blocks[-1]
    share = paths.shares(model.blocks, activity, 2)[-1]
    logit = activity[-1].output[2, 0, 0]
    assert share.maps.sum() + last.bias[2] * last.scale[2] == pytest.approx(logit, abs=1e-4)


def test_lit_edges_join_lit_maps(digits: mnist.Mnist) -> None:
    model = model_of(graphs.digit("default")[1])
    shares = paths.shares(model.blocks, model.run(digits.test_images[:1]), 7)
    lit = paths.strongest(shares)
    for share, layer, after in zip(shares, lit, [*lit[1:], None], strict=True):
        maps = [index for index, _ in layer["maps"]]
        strengths = [abs(value) for _, value in layer["maps"]]
        assert strengths == sorted(strengths, reverse=True)
        assert int(share.maps.argmax()) in maps or share.maps.max() <= 0
        for to, source, value in layer["edges"]:
            assert source in maps and value == pytest.approx(share.edges[to, source], rel=1e-3)
            assert after is None or to in [index for index, _ in after["maps"]]


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_kernels_are_read_in_each_precision(precision: str, digits: mnist.Mnist) -> None:
    full = graphs.digit("relu")[1]
    small = model_of(to_precision(full, precision, lambda: digits.train_images[:100]))
    image = digits.test_images[:1]
    exact = model_of(full)
    for block, other in zip(small.blocks, exact.blocks, strict=True):
        assert (block.kind, block.output) == (other.kind, other.output)
        close(block.kernel, other.kernel)
    for active, other in zip(small.run(image), exact.run(image), strict=True):
        close(active.output, other.output)


def close(values: np.ndarray, expected: np.ndarray) -> None:
    assert values.dtype == np.float32
    assert np.abs(values - expected).max() < 0.1 * np.abs(expected).max()


# ---- what the browser gets


def unpack(packed: Any) -> np.ndarray:
    integers = np.frombuffer(base64.b64decode(packed["data"]), "<i2")
    rows = integers.reshape(len(packed["scales"]), -1) * np.array(packed["scales"])[:, None]
    return rows.reshape(packed["shape"])


def test_packed_arrays_keep_four_digits() -> None:
    array = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)
    array[2] = 0
    unpacked = unpack(payload.pack(array))
    np.testing.assert_allclose(unpacked, array, atol=np.abs(array).max() / 60_000)
    assert not unpacked[2].any()


def predicted(path: Path, image: np.ndarray) -> Prediction:
    predictor = OnnxPredictor(path)
    return Prediction([image[0]], image, predictor(image), predictor)


def test_an_update_of_the_default_network_is_small(trained: Path, digits: mnist.Mnist) -> None:
    path = trained / "model.onnx"
    text = component.value(str(path), predicted(path, digits.test_images[:1]))
    assert len(text) < MAX_UPDATE_BYTES
    value = json.loads(text)
    assert value["target"] == digits.test_labels[0]
    active: list[Activity] = ActivationModel(path.read_bytes()).run(digits.test_images[:1])
    layers: Any = value["layers"]
    for layer, each in zip(layers, active, strict=True):
        limit = np.abs(each.output).max() / 30_000
        np.testing.assert_allclose(unpack(layer), each.output, atol=limit)
    described: Any = component.functions(FileStore())[0](str(path))  # type: ignore[arg-type]
    kinds = [layer["kind"] for layer in described["layers"]]
    assert kinds[-2:] == ["hidden", "outputs"] and len(described["steps"]) == len(kinds) + 2


def test_a_graph_that_is_no_chain_has_a_sentence_and_an_answer(
    tmp_path: Path, digits: mnist.Mnist
) -> None:
    graph = onnx.ModelProto()
    graph.CopyFrom(graphs.of("mnist"))
    pool = next(node for node in graph.graph.node if node.op_type == "MaxPool")
    pool.op_type = "AveragePool"
    del pool.attribute[:]
    pool.attribute.add(name="kernel_shape", type=onnx.AttributeProto.INTS, ints=[2, 2])
    pool.attribute.add(name="strides", type=onnx.AttributeProto.INTS, ints=[2, 2])
    graph.metadata_props.add(key="facts", value="{}")
    path = tmp_path / "other.onnx"
    path.write_bytes(graph.SerializeToString())
    assert ActivationModel(path.read_bytes()).blocks == ()
    value = component.value(str(path), predicted(path, digits.test_images[:1]))
    assert json.loads(value) == {"model": str(path)}
    describe, paths_to, exciting = component.functions(FileStore())  # type: ignore[arg-type]
    request = {"model": str(path), "image": "", "target": 0, "unit": 0}
    for answer in (describe(str(path)), paths_to(request), exciting(request)):
        assert answer["code"] == "layers-unreadable"


def test_a_circuit_of_gates_hides_the_view(tmp_path: Path, digits: mnist.Mnist) -> None:
    graph = onnx.ModelProto()
    graph.CopyFrom(graphs.of("mnist"))
    for entry in graph.metadata_props:
        entry.value = "logic" if entry.key == "task" else entry.value
    graph.metadata_props.add(key="facts", value="{}")
    path = tmp_path / "logic.onnx"
    path.write_bytes(graph.SerializeToString())
    value = component.value(str(path), predicted(path, digits.test_images[:1]))
    assert json.loads(value) == {"model": str(path)}
    assert component.functions(FileStore())[0](str(path)) == {"hidden": True}  # type: ignore[arg-type]


def test_a_large_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MAX_WEIGHTS", 100)
    with refused("network-too-large", found="", expected="100"):
        payload.describe(model_of(graphs.of("mnist")), graphs.LABELS["mnist"], "a model")


@pytest.mark.parametrize(
    "wrong",
    [{"target": 11}, {"target": "0"}, {"target": None}, {"image": "AAAA"}, {"image": "?"}],
)
def test_wrong_requests_are_refused(wrong: dict[str, object], trained: Path) -> None:
    image = base64.b64encode(bytes(784)).decode()
    request = {"model": str(trained / "model.onnx"), "image": image, "target": 3}
    _, paths_to, _ = component.functions(FileStore())  # type: ignore[arg-type]
    assert paths_to(request)["target"] == 3
    assert paths_to(request | wrong)["code"] == "value-invalid"


# ---- the page


@pytest.fixture(scope="module")
def url(trained: Path) -> Iterator[str]:
    with page_in_thread(trained) as address:
        yield address


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    problems: list[Any] = []
    with loopback_context(browser, url, reduced_motion="reduce") as context:
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(error))
        page.goto(url)
        page.locator("#digit-network .layer").first.wait_for()
        yield page
    assert problems == []


def part(page: Page, name: str) -> Locator:
    return page.locator(f"#digit-network [data-{name}]")


def draw(page: Page) -> Any:
    """Draw a seven; return the value of the network that the page gets."""
    with page.expect_response(lambda response: "winners" in response.text()) as caught:
        draw_stroke(page, SEVEN)
    expect(part(page, "detail")).to_be_visible()
    return json.loads(caught.value.json()["data"][1])


def number(locator: Locator) -> float:
    return float(locator.inner_text().replace("\u2212", "-"))


@pytest.mark.browser
def test_the_pages_numbers_are_the_networks(page: Page, trained: Path) -> None:
    value = draw(page)
    image = np.frombuffer(base64.b64decode(value["image"]), np.uint8).reshape(1, 28, 28)
    model = ActivationModel((trained / "model.onnx").read_bytes())
    for layer, (block, active) in enumerate(
        zip(model.blocks, model.run(image), strict=True), start=1
    ):
        control = page.locator(f'#digit-network [data-layer="{layer}"]')
        control.focus()
        page.keyboard.press("End")
        expect(control).to_have_attribute("aria-valuenow", str(len(block.kernel)))
        whole, pixel = part(page, "whole"), 0
        if active.output.shape[1] > 1:
            whole.hover(position={"x": 70, "y": 120})
            page.keyboard.press("Escape")
            pixel = int(whole.get_attribute("aria-valuenow") or 0) - 1
            assert pixel > 0
        totals = part(page, "chain").locator("li.total b")
        before = active.before[-1].ravel()[pixel]
        sum_ = (before - block.shift[-1]) / block.scale[-1]
        assert number(totals.first) == pytest.approx(sum_, abs=0.02)
        last = part(page, "chain").locator("li b").last
        assert number(last) == pytest.approx(active.output[-1].ravel()[pixel], abs=0.011)


@pytest.mark.browser
def test_a_walk_a_class_and_a_unit(page: Page) -> None:
    draw(page)
    part(page, "next").click()
    steps = 0
    while part(page, "next").is_enabled():
        steps += 1
        words = texts.WORDS["step"].split("{")[0].strip()
        expect(part(page, "sentence")).to_contain_text(f"{words} {steps}")
        part(page, "next").click()
    assert steps == page.locator("#digit-network .layer").count()
    part(page, "end").click()
    outputs = page.locator("#digit-network .layer").last
    outputs.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(part(page, "sentence")).to_contain_text("paths to 0")
    units = page.locator("#digit-network .layer").nth(-2)
    units.focus()
    page.keyboard.press("Enter")
    expect(part(page, "digits").locator("img")).to_have_count(8, timeout=240_000)
    page.locator("#pad [data-do=clear]").click()
    expect(part(page, "detail")).to_be_hidden()
    expect(part(page, "sentence")).to_have_text(texts.WORDS["empty"])

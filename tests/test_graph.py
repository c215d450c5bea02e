"""Graphs say what torch says, in every opset and precision, and can be read by a person."""

import re
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper

from experiments import tasks
from experiments.data import mnist
from experiments.errors import UserError
from export import graph, parity, precision
from models.canvas import Canvas

METADATA = {"task": "any", "labels": '["0", "1"]'}
WORD = r"[a-z]+\d*"  # a number only behind a word: conv1, to_uint8; not val_17, n0_2
READABLE = re.compile(rf"{WORD}(_{WORD})*(\.{WORD}(_{WORD})*)*")
EXPORTERS = {"val", "node", "getitem", "copy", "n0"}  # words of torch's exporter
LEFTOVERS = {"Identity", "Dropout", "Constant", "Squeeze", "CastLike", "Expand"}
DIGIT_NODES = (
    "to_float sub_mean div_std unsqueeze conv1 pool1 norm1 gelu1 conv2 gelu2 conv3 pool2 norm2 "
    "gelu3 flatten linear gelu4 output div_temperature logits log_sum_exp gather score "
    "probabilities"
)
DIGIT_CONSTANTS = (
    "normalize.mean normalize.std unsqueeze.axes conv1.weight norm1.weight norm1.bias norm1.mean "
    "norm1.variance conv2.weight conv2.bias conv3.weight norm2.weight norm2.bias norm2.mean "
    "norm2.variance linear.weight linear.bias output.weight output.bias temperature logits.starts "
    "logits.ends logits.axes logits.steps log_sum_exp.axes gather.indices"
)
GATE_NODES = "einsum hidden tanh mul_weight2 sum logits probabilities"
GATE_CONSTANTS = "weight1 bias1 weight2 sum.axes bias2"


@pytest.fixture(scope="module")
def images(digits: mnist.Mnist) -> np.ndarray:
    return digits.train_images[:200]


@pytest.fixture(scope="module")
def digit_net(images: np.ndarray) -> torch.nn.Module:
    """Untrained, with the statistics of real digits and a temperature."""
    torch.manual_seed(0)
    net = tasks.get("mnist").network(width=4, stages=2, depth=2, hidden=16)
    with torch.no_grad():
        net.train()(torch.tensor(images))
    net.get_buffer("temperature").fill_(0.5)  # which is in Gelu's definition, too
    return net.eval()


@pytest.fixture(scope="module")
def gate_net() -> torch.nn.Module:
    torch.manual_seed(0)
    return tasks.get("gate").network(inputs=2, nets=(16,))


@pytest.fixture(scope="module")
def of_opset(digit_net: torch.nn.Module, images: np.ndarray) -> Callable[[int], onnx.ModelProto]:
    """Opset -> the net's graph, made once: whoever changes it must change a copy."""
    task = tasks.get("mnist")
    return cache(lambda opset: graph.of_task(task, digit_net, images[:2], METADATA, opset))


@pytest.fixture(scope="module")
def digit_graph(of_opset: Callable[[int], onnx.ModelProto]) -> onnx.ModelProto:
    return of_opset(graph.OPSET)


@pytest.fixture(scope="module")
def gate_graph(gate_net: torch.nn.Module) -> onnx.ModelProto:
    return graph.of_task(tasks.get("gate"), gate_net, table()[:2], METADATA)


@pytest.fixture(scope="module")
def canvas_graph() -> onnx.ModelProto:
    page, outputs = torch.zeros(64, 48, dtype=torch.uint8), ["image", "box", "ink"]
    free = {0: "height", 1: "width"}
    return graph.of_module(Canvas(), page, free, ["canvas"], outputs, METADATA)


def table() -> np.ndarray:
    return np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)


def said(model: onnx.ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    """What onnxruntime says, of a graph that the checker has passed."""
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: x}), strict=True))


@torch.inference_mode()
def torch_says(task: str, net: torch.nn.Module, x: np.ndarray) -> dict[str, np.ndarray]:
    outputs = tasks.get(task).outputs(net, torch.tensor(x))
    return {name: value.numpy() for name, value in outputs.items()}


def assert_close(
    ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray], atol: float = 1e-4
) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype
        np.testing.assert_allclose(ours[name], value, atol=atol)


def names_of(model: onnx.ModelProto) -> list[str]:
    inside = model.graph
    values = [name for node in inside.node for name in (node.name, *node.input, *node.output)]
    return values + [each.name for each in (*inside.initializer, *inside.value_info)]


def assert_readable(model: onnx.ModelProto) -> None:
    for name in names_of(model):
        assert READABLE.fullmatch(name) and not EXPORTERS & set(name.split("_")), name
    for node in model.graph.node:
        assert node.name == node.output[0]
    made = [name for node in model.graph.node for name in node.output]
    constants = [each.name for each in model.graph.initializer]
    assert len({*made, *constants}) == len(made) + len(constants)


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    return {each.key: each.value for each in model.metadata_props}


@pytest.fixture(params=["digit_graph", "gate_graph", "canvas_graph"])
def any_graph(request: pytest.FixtureRequest) -> onnx.ModelProto:
    return request.getfixturevalue(request.param)


def test_every_name_can_be_read(any_graph: onnx.ModelProto) -> None:
    assert_readable(any_graph)


def test_nothing_is_left_over(any_graph: onnx.ModelProto) -> None:
    inside = any_graph.graph
    assert not {node.op_type for node in inside.node} & LEFTOVERS - (
        {"Squeeze"} if inside.name == "canvas" else set()  # of its height and width
    )
    read = {name for node in inside.node for name in node.input}
    assert read >= {each.name for each in inside.initializer}
    results = {value.name for value in inside.output}
    assert all({*node.output} & (read | results) for node in inside.node)
    for item in (any_graph, inside, *inside.node, *inside.input, *inside.output):
        assert not item.doc_string
    for item in (*inside.node, *inside.value_info, *inside.initializer):
        assert not item.metadata_props
    assert b".py" not in any_graph.SerializeToString()


def test_metadata_are_those_given(any_graph: onnx.ModelProto) -> None:
    assert metadata_of(any_graph) == METADATA
    assert any_graph.producer_name == "pytorch" and not any_graph.functions


def test_graphs_are_called_as_what_they_are(
    digit_graph: onnx.ModelProto, gate_graph: onnx.ModelProto, canvas_graph: onnx.ModelProto
) -> None:
    graphs = (digit_graph, gate_graph, canvas_graph)
    assert [each.graph.name for each in graphs] == ["mnist", "gate", "canvas"]


def test_digit_graph_reads_like_the_network(digit_graph: onnx.ModelProto) -> None:
    assert [node.name for node in digit_graph.graph.node] == DIGIT_NODES.split()
    assert [each.name for each in digit_graph.graph.initializer] == DIGIT_CONSTANTS.split()


def test_gate_graph_reads_like_the_bank(gate_graph: onnx.ModelProto) -> None:
    assert [node.name for node in gate_graph.graph.node] == GATE_NODES.split()
    assert [each.name for each in gate_graph.graph.initializer] == GATE_CONSTANTS.split()


def test_constants_hold_what_their_names_say(
    digit_graph: onnx.ModelProto, digit_net: torch.nn.Module
) -> None:
    held = {each.name: numpy_helper.to_array(each) for each in digit_graph.graph.initializer}
    state = {name: value.numpy() for name, value in digit_net.state_dict().items()}
    for ours, theirs in {
        "conv1.weight": "stages.0.conv.weight",
        "norm1.mean": "stages.0.norm.running_mean",
        "norm1.variance": "stages.0.norm.running_var",
        "norm2.weight": "stages.2.norm.weight",
        "output.bias": "output.bias",
        "temperature": "temperature",
        "normalize.std": "normalize.std",
    }.items():
        np.testing.assert_array_equal(held[ours], state[theirs])


def test_normalisation_comes_first(digit_graph: onnx.ModelProto) -> None:
    cast, minus, over = digit_graph.graph.node[:3]
    assert [node.op_type for node in (cast, minus, over)] == ["Cast", "Sub", "Div"]
    assert list(cast.input) == ["image"]
    assert minus.input[0] == cast.output[0] and over.input[0] == minus.output[0]


def test_an_operation_of_several_nodes_has_its_name_before_theirs(images: np.ndarray) -> None:
    net = tasks.get("mnist").network(width=2, stages=1, fold=2, hidden=4, activation="silu")
    made = graph.of_task(tasks.get("mnist"), net, images[:2], {}, 18)
    assert_readable(made)
    named = [node.name for node in made.graph.node]
    assert [name for name in named if name.startswith("silu")] == [
        *("silu1_sigmoid", "silu1"),
        *("silu2_sigmoid", "silu2"),
    ]
    unshuffled = [name for name in named if name.startswith("pixel_unshuffle")]
    assert unshuffled[-1] == "pixel_unshuffle" and len(unshuffled) == 3
    assert {"conv", "pool", "norm"} <= set(named)  # no number where there is one


@pytest.mark.parametrize("opset", graph.OPSETS)
def test_digits_are_the_same_in_every_opset(
    of_opset: Callable[[int], onnx.ModelProto],
    digit_net: torch.nn.Module,
    digits: mnist.Mnist,
    opset: int,
) -> None:
    x, made = digits.test_images[:257], of_opset(opset)
    assert [(each.domain, each.version) for each in made.opset_import] == [("", opset)]
    assert_close(said(made, x), torch_says("mnist", digit_net, x))
    assert_readable(made)
    gelu = [node.name for node in made.graph.node if node.name.startswith("gelu1")]
    parts = ["gelu1_div", "gelu1_erf", "gelu1_add", "gelu1_mul", "gelu1"]
    assert gelu == (["gelu1"] if opset >= 20 else parts)


@pytest.mark.parametrize("opset", graph.OPSETS)
def test_gates_are_the_same_in_every_opset(gate_net: torch.nn.Module, opset: int) -> None:
    made = graph.of_task(tasks.get("gate"), gate_net, table()[:2], METADATA, opset)
    assert [(each.domain, each.version) for each in made.opset_import] == [("", opset)]
    assert_close(said(made, table()), torch_says("gate", gate_net, table()))


def test_canvas_is_the_same(canvas_graph: onnx.ModelProto, digits: mnist.Mnist) -> None:
    page = np.pad(digits.test_images[0], ((3, 40), (11, 2)))
    ours, theirs = said(canvas_graph, page), Canvas()(torch.tensor(page))
    assert np.abs(ours["image"].astype(int) - theirs[0].numpy()).max() <= 1
    assert ours["box"].tolist() == theirs[1].tolist()
    np.testing.assert_allclose(ours["ink"], theirs[2], atol=1e-6)


@pytest.mark.parametrize("opset", [17, 24])
def test_other_opsets_are_refused(gate_net: torch.nn.Module, opset: int) -> None:
    with pytest.raises(UserError, match=f"expected 18 to 23, found {opset}"):
        graph.of_task(tasks.get("gate"), gate_net, table()[:2], {}, opset)


@pytest.mark.parametrize("opset", [18, 20, 23])
def test_fp16_has_weights_of_half_the_size(
    of_opset: Callable[[int], onnx.ModelProto],
    digit_net: torch.nn.Module,
    digits: mnist.Mnist,
    opset: int,
) -> None:
    x, made = digits.test_images[:257], of_opset(opset)
    before = made.SerializeToString()
    half = precision.fp16(made)
    assert made.SerializeToString() == before
    assert TensorProto.FLOAT not in {each.data_type for each in half.graph.initializer}
    assert_close(said(half, x), torch_says("mnist", digit_net, x), atol=0.02)
    assert_readable(half)
    assert metadata_of(half) == METADATA
    assert list(half.graph.input) == list(made.graph.input)
    assert list(half.graph.output) == list(made.graph.output)


def test_fp16_takes_and_gives_floats(
    gate_graph: onnx.ModelProto, gate_net: torch.nn.Module
) -> None:
    half = precision.fp16(gate_graph)
    assert_close(said(half, table()), torch_says("gate", gate_net, table()), atol=0.005)
    assert half.graph.node[0].name == "x_float16"
    assert_readable(half)


def test_fp16_refuses_what_it_cannot_hold(gate_graph: onnx.ModelProto) -> None:
    large = onnx.ModelProto()
    large.CopyFrom(gate_graph)
    weight = next(each for each in large.graph.initializer if each.name == "bias2")
    weight.CopyFrom(numpy_helper.from_array(np.full(16, 1e5, np.float32), "bias2"))
    with pytest.raises(UserError, match="bias2 has values too large for fp16"):
        precision.fp16(large)


@pytest.mark.parametrize("opset", graph.OPSETS)
def test_int8_computes_in_integers(
    digit_net: torch.nn.Module,
    of_opset: Callable[[int], onnx.ModelProto],
    images: np.ndarray,
    digits: mnist.Mnist,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    opset: int,
) -> None:
    made = of_opset(opset)
    caplog.clear()
    before = made.SerializeToString()
    small = precision.int8(made, images)
    assert "".join(capfd.readouterr()) == "" and not caplog.records
    assert made.SerializeToString() == before
    held = {each.name: each.data_type for each in small.graph.initializer}
    assert held["conv1.weight_quantized"] == held["linear.weight_quantized"] == TensorProto.INT8
    assert "conv1.weight" not in held
    x = digits.test_images[:257]
    ours, theirs = said(small, x)["logits"], torch_says("mnist", digit_net, x)["logits"]
    assert 0 < np.abs(ours - theirs).max() < 0.1 * np.abs(theirs).max()
    assert_readable(small)
    assert metadata_of(small) == METADATA and small.opset_import == made.opset_import
    assert [node.op_type for node in small.graph.node[:3]] == ["Cast", "Sub", "Div"]


def test_int8_needs_something_to_compute(gate_graph: onnx.ModelProto) -> None:
    with pytest.raises(UserError, match="gate has none; take fp32 or fp16"):
        precision.int8(gate_graph, table())


def test_precision_is_chosen_by_name(digit_graph: onnx.ModelProto, images: np.ndarray) -> None:
    def none() -> np.ndarray:
        raise AssertionError("only int8 needs images")

    assert precision.to_precision(digit_graph, "fp32", none) is digit_graph
    sizes = [digit_graph.ByteSize(), precision.to_precision(digit_graph, "fp16", none).ByteSize()]
    assert 0.4 < sizes[1] / sizes[0] < 0.8
    small = precision.to_precision(digit_graph, "int8", lambda: images)
    assert "conv1_quantized" in names_of(small)
    with pytest.raises(UserError, match="expected fp32, fp16, int8, found 'int4'"):
        precision.to_precision(digit_graph, "int4", none)


def test_comparison_of_precisions_counts(
    digit_graph: onnx.ModelProto, digit_net: torch.nn.Module, digits: mnist.Mnist
) -> None:
    task, x = tasks.get("mnist"), digits.test_images[:601]  # the last batch is short
    threads = torch.get_num_threads()

    def of(model: onnx.ModelProto) -> parity.Parity:
        session = parity.session(model.SerializeToString())
        return parity.compare(lambda x: task.outputs(digit_net, x), session, x, task.decide)

    whole, half = of(digit_graph), of(precision.fp16(digit_graph))
    assert whole.holds and whole.count == whole.same == 601
    assert half.same > 550 and 1e-4 < half.largest < 0.1 and not half.holds
    assert torch.get_num_threads() == threads


def test_an_output_that_is_no_number_is_a_difference(
    gate_graph: onnx.ModelProto, gate_net: torch.nn.Module
) -> None:
    def reference(x: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = tasks.get("gate").outputs(gate_net, x)
        return {**outputs, "hidden": outputs["hidden"] * torch.nan}

    session = parity.session(gate_graph.SerializeToString())
    found = parity.compare(reference, session, table(), tasks.get("gate").decide)
    assert found.same == 4 and not found.holds

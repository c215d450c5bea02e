"""Graphs compute what torch computes, in every opset and precision, with readable names."""

import re
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from experiments import tasks
from experiments.core.exports import OPSETS
from experiments.core.onnx_session import open_session
from experiments.data import mnist
from export import graph, precision, verify
from tests import graphs
from tests.expect import refused
from tests.nets import digit_net

WORD = r"[a-z]+\d*"  # a number only behind a word: conv1, to_uint8; not val_17, n0_2
READABLE = re.compile(rf"{WORD}(_{WORD})*(\.{WORD}(_{WORD})*)*")
EXPORTERS = {"val", "node", "getitem", "copy", "n0"}  # words of torch's exporter
LEFTOVERS = {"Identity", "Dropout", "Constant", "CastLike", "Expand"}
BETWEEN = {19, 21, 22}  # these opsets are exported in the slow set
each_opset = pytest.mark.parametrize(
    "opset", [pytest.param(n, marks=pytest.mark.slow) if n in BETWEEN else n for n in OPSETS]
)
NAMES = {  # nodes, and constants in the order of the nodes that read them
    "mnist": (
        "to_float sub_mean div_std unsqueeze conv1 pool1 norm1 gelu1 conv2 gelu2 conv3 pool2 norm2 "
        "gelu3 flatten linear gelu4 output div_temperature logits log_sum_exp gather score "
        "probabilities",
        "normalize.mean normalize.std unsqueeze.axes conv1.weight norm1.weight norm1.bias "
        "norm1.mean norm1.variance conv2.weight conv2.bias conv3.weight norm2.weight norm2.bias "
        "norm2.mean norm2.variance linear.weight linear.bias output.weight output.bias temperature "
        "logits.starts logits.ends logits.axes logits.steps log_sum_exp.axes gather.indices",
    ),
    "gate": (
        "einsum hidden tanh mul_weight2 sum logits probabilities",
        "weight1 bias1 weight2 sum.axes bias2",
    ),
}


def torch_outputs(task: str, x: np.ndarray) -> dict[str, np.ndarray]:
    return verify.torch_outputs(tasks.get(task), graphs.net(task), x)


def assert_close(
    outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], atol: float = 1e-4
) -> None:
    assert list(outputs) == list(expected)
    for name, value in expected.items():
        assert outputs[name].dtype == value.dtype
        np.testing.assert_allclose(outputs[name], value, atol=atol)


def assert_readable(model: onnx.ModelProto) -> None:
    inside = model.graph
    values = [name for node in inside.node for name in node.output]
    constants = [each.name for each in inside.initializer]
    assert len({*values, *constants}) == len(values) + len(constants)
    for name in (*values, *constants, *(each.name for each in inside.value_info)):
        assert READABLE.fullmatch(name) and not EXPORTERS & set(name.split("_")), name
    for node in inside.node:
        assert node.name == node.output[0]


@pytest.mark.parametrize("task", ["mnist", "gate", "canvas"])
def test_graph_is_readable_and_nothing_is_left_over(task: str) -> None:
    model = graphs.of(task)
    inside = model.graph
    assert_readable(model)
    assert inside.name == graphs.metadata_of(model)["task"] == task
    assert model.producer_name == "pytorch" and not model.functions
    assert not {node.op_type for node in inside.node} & LEFTOVERS
    read = {name for node in inside.node for name in node.input}
    assert read >= {each.name for each in inside.initializer}
    results = {value.name for value in inside.output}
    assert all({*node.output} & (read | results) for node in inside.node)
    for item in (inside, *inside.node, *inside.input, *inside.output, *inside.value_info):
        assert not item.doc_string and not item.metadata_props
    assert b".py" not in model.SerializeToString()


@pytest.mark.parametrize("task", NAMES)
def test_names_are_those_of_the_network(task: str) -> None:
    inside = graphs.of(task).graph
    nodes, constants = NAMES[task]
    assert [node.name for node in inside.node] == nodes.split()
    assert [each.name for each in inside.initializer] == constants.split()
    assert graphs.metadata_of(graphs.of(task)) == graphs.metadata(task)


def test_constants_hold_what_their_names_say() -> None:
    constants = graphs.of("mnist").graph.initializer
    values = {each.name: numpy_helper.to_array(each) for each in constants}
    state = {name: value.numpy() for name, value in graphs.net("mnist").state_dict().items()}
    for name, path in {
        "conv1.weight": "stages.0.conv.weight",
        "norm1.mean": "stages.0.norm.running_mean",
        "norm1.variance": "stages.0.norm.running_var",
        "norm2.weight": "stages.2.norm.weight",
        "output.bias": "output.bias",
        "temperature": "temperature",
        "normalize.std": "normalize.std",
    }.items():
        np.testing.assert_array_equal(values[name], state[path])


def test_an_operation_of_several_nodes_has_its_name_before_theirs() -> None:
    net = digit_net(
        base_channels=2, num_stages=1, pixel_unshuffle=2, hidden_dim=4, activation="silu"
    )
    model = graph.of_task(tasks.get("mnist"), net, graphs.images()[:2], {}, 18)
    assert_readable(model)
    names = [node.name for node in model.graph.node]
    silu = ["silu1_sigmoid", "silu1", "silu2_sigmoid", "silu2"]
    assert [name for name in names if name.startswith("silu")] == silu
    unshuffle = [name for name in names if name.startswith("pixel_unshuffle")]
    assert unshuffle[-1] == "pixel_unshuffle" and len(unshuffle) == 3
    assert {"conv", "pool", "norm"} <= set(names)  # no number where there is one


@each_opset
def test_outputs_are_the_same_in_every_opset(digits: mnist.Mnist, opset: int) -> None:
    for task, x in {"mnist": digits.test_images[:257], "gate": graphs.TABLE}.items():
        model = graphs.of(task, opset)
        assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
        assert_close(graphs.run(model, x), torch_outputs(task, x))
    model = graphs.of("mnist", opset)
    assert_readable(model)
    gelu = [node.name for node in model.graph.node if node.name.startswith("gelu1")]
    parts = ["gelu1_div", "gelu1_erf", "gelu1_add", "gelu1_mul", "gelu1"]
    assert gelu == (["gelu1"] if opset >= 20 else parts)


@pytest.mark.parametrize("opset", [18, 20, 23])
@pytest.mark.parametrize("task", ["mnist", "gate"])
def test_fp16_has_weights_of_half_the_size(digits: mnist.Mnist, task: str, opset: int) -> None:
    x = digits.test_images[:257] if task == "mnist" else graphs.TABLE
    model = graphs.of(task, opset)
    before = model.SerializeToString()
    half = precision.to_precision(model, "fp16", graphs.images)
    assert model.SerializeToString() == before
    assert TensorProto.FLOAT not in {each.data_type for each in half.graph.initializer}
    assert_close(graphs.run(half, x), torch_outputs(task, x), atol=0.02)
    assert_readable(half)
    assert graphs.metadata_of(half) == graphs.metadata(task)
    assert list(half.graph.input) == list(model.graph.input)
    assert list(half.graph.output) == list(model.graph.output)


def test_fp16_refuses_weights_beyond_its_range() -> None:
    large = onnx.ModelProto.FromString(graphs.of("gate").SerializeToString())
    weight = next(each for each in large.graph.initializer if each.name == "bias2")
    weight.CopyFrom(numpy_helper.from_array(np.full(4, 1e5, np.float32), "bias2"))
    with refused("weight-overflow", what="bias2", expected="65504", found="100000"):
        precision.fp16(large)


@each_opset
def test_int8_computes_in_integers(
    digits: mnist.Mnist,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    opset: int,
) -> None:
    model = graphs.of("mnist", opset)
    before = model.SerializeToString()
    capfd.readouterr()
    caplog.clear()
    small = precision.to_precision(model, "int8", graphs.images)
    assert "".join(capfd.readouterr()) == "" and not caplog.records
    assert model.SerializeToString() == before
    types = {each.name: each.data_type for each in small.graph.initializer}
    assert types["conv1.weight_quantized"] == types["linear.weight_quantized"] == TensorProto.INT8
    assert "conv1.weight" not in types
    x = digits.test_images[:257]
    logits, expected = graphs.run(small, x)["logits"], torch_outputs("mnist", x)["logits"]
    assert 0 < np.abs(logits - expected).max() < 0.1 * np.abs(expected).max()
    assert_readable(small)
    assert graphs.metadata_of(small) == graphs.metadata("mnist")
    assert small.opset_import == model.opset_import
    assert [node.op_type for node in small.graph.node[:3]] == ["Cast", "Sub", "Div"]


def test_int8_needs_a_product() -> None:
    with refused("product-missing", what="gate", fix="fp16"):
        precision.int8(graphs.of("gate"), graphs.TABLE)


@pytest.mark.parametrize(
    ("name", "change", "same", "holds"),
    [
        ("logits", 0.0, 601, True),
        ("logits", 2e-4, None, False),
        ("logits", 50.0, None, False),
        ("score", np.nan, 601, False),
    ],
)
def test_comparison_sees_every_difference(
    digits: mnist.Mnist, name: str, change: float, same: int | None, holds: bool
) -> None:
    task, x = tasks.get("mnist"), digits.test_images[:601]  # the last batch is short
    outputs = graphs.run(graphs.of("mnist"), x)
    outputs[name][..., 3] += np.float32(change)
    parity = verify.compare(outputs, torch_outputs("mnist", x), task.predict)
    assert parity.count == 601 and parity.holds == holds
    assert same is None or parity.same == same
    if not holds:
        assert parity.largest == pytest.approx(change, rel=0.5, nan_ok=True)
    if change == 50:
        assert parity.same < 200


def test_verification_of_a_training(digits: mnist.Mnist) -> None:
    result = verify.verify_export(tasks.get("gate"), graphs.net("gate"), graphs.TABLE)
    assert result["holds"] and result["same"] == result["count"] == 4
    assert result["latency_ms"] > 0 and result["bytes"] < 10_000


@pytest.mark.parametrize(
    ("name", "precise"),
    [("gate", "fp32"), ("gate", "fp16"), ("mnist", "fp32"), ("mnist", "fp16"), ("mnist", "int8")],
)
def test_a_batch_of_none_has_an_empty_answer(name: str, precise: str) -> None:
    x = graphs.images()[:3] if name == "mnist" else graphs.TABLE[:3]
    model = precision.to_precision(graphs.of(name), precise, lambda: x)
    expected = {key: array[:0].shape for key, array in graphs.run(model, x).items()}
    session = open_session(model.SerializeToString())
    outputs = session.run(list(expected), {session.get_inputs()[0].name: x[:0]})
    assert [array.shape for array in outputs] == list(expected.values())
    assert {key: array.shape for key, array in graphs.run(model, x[:0]).items()} == expected

"""An ONNX graph to one of less precision: weights in float16, or products in 8-bit integers."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.errors import UserError

if TYPE_CHECKING:
    import onnx

PRECISIONS = ("fp32", "fp16", "int8")
PRODUCTS = ("Conv", "Gemm", "MatMul")  # what is worth computing in integers
CALIBRATION = 1000  # images; values beyond the range of theirs are cut off
BATCH = 100


def to_precision(
    graph: onnx.ModelProto, precision: str, images: Callable[[], np.ndarray]
) -> onnx.ModelProto:
    """Return `graph` in one of PRECISIONS; `fp32` is `graph` itself.

    Args:
        images: returns inputs of the training set; asked for int8 only.

    Raises:
        UserError: the precision is unknown, or the graph cannot be had in it.
    """
    if precision == "fp32":
        return graph
    if precision == "fp16":
        return fp16(graph)
    if precision == "int8":
        return int8(graph, images()[:CALIBRATION])
    raise UserError(f"precision: expected {', '.join(PRECISIONS)}, found {precision!r}.")


def fp16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Return `graph` computing in float16 all that it computed in float32.

    Its inputs and outputs keep their names and types; between them and the rest stand Casts.

    Raises:
        UserError: a weight is larger than float16 holds, 65504.
    """
    from onnx import TensorProto, numpy_helper

    half = type(graph)()
    half.CopyFrom(graph)
    inside = half.graph
    for tensor in inside.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor)
            if np.abs(values).max(initial=0) > np.finfo(np.float16).max:
                raise UserError(f"precision: {tensor.name} has values too large for fp16.")
            tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), tensor.name))
    for node in inside.node:
        if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT:
            node.attribute[0].i = TensorProto.FLOAT16
    for value in inside.value_info:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    _cast_at_the_ends(inside)
    return half


def _cast_at_the_ends(graph: onnx.GraphProto) -> None:
    """Put a Cast behind each float32 input and before each float32 output, in place."""
    from onnx import TensorProto, helper

    def floats(values: Any) -> list[str]:
        return [v.name for v in values if v.type.tensor_type.elem_type == TensorProto.FLOAT]

    before, behind = floats(graph.input), floats(graph.output)
    inner = {name: f"{name}_float16" for name in (*before, *behind)}
    for node in graph.node:
        node.input[:] = [inner.get(name, name) for name in node.input]
        node.output[:] = [inner.get(name, name) for name in node.output]
        node.name = inner.get(node.name, node.name)

    def cast(given: str, made: str, dtype: int) -> onnx.NodeProto:
        return helper.make_node("Cast", [given], [made], name=made, to=dtype)

    nodes = [
        *(cast(name, inner[name], TensorProto.FLOAT16) for name in before),
        *graph.node,
        *(cast(inner[name], name, TensorProto.FLOAT) for name in behind),
    ]
    del graph.node[:]
    graph.node.extend(nodes)


class Calibration:
    """The images that tell the range of each value, a batch at a time, as onnxruntime asks."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        starts = range(0, len(images), BATCH)
        self._batches: Iterator[dict[str, np.ndarray]] = iter(
            [{name: images[start : start + BATCH]} for start in starts]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def int8(graph: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """Return `graph` with convolutions and matrix products in int8: static, QDQ, by channel.

    Args:
        images: as the graph's input wants them; of the training set, some hundreds.

    Raises:
        UserError: the graph has no such product.
    """
    if not any(node.op_type in PRODUCTS for node in graph.graph.node):
        raise UserError(
            f"precision: expected a graph with {', '.join(PRODUCTS)} for int8, "
            f"{graph.graph.name} has none; take fp32 or fp16."
        )
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    CalibrationDataReader.register(Calibration)
    given = onnx.ModelProto()
    given.CopyFrom(graph)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        made = Path(folder, "made.onnx")
        quantize_static(
            given,
            made,
            Calibration(graph.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,  # onnxruntime refuses QInt8 in opset 23
            op_types_to_quantize=list(PRODUCTS),
            per_channel=True,
        )
        small = onnx.load(made)
    _tidy(small.graph)
    given.graph.CopyFrom(small.graph)  # what is said of the graph stays
    return given


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser from advice on preparing a graph, which this one is, and progress."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _tidy(graph: onnx.GraphProto) -> None:
    """Give the quantiser's values and nodes readable names; put weights before their reader."""
    from export.names import rename

    ends = {"_DequantizeLinear_Output": "_dequantized", "_QuantizeLinear_Output": "_quantized"}

    def called(name: str) -> str:
        for end, instead in ends.items():
            name = name.removesuffix(end) + instead if name.endswith(end) else name
        return name

    rename(graph, called)
    stored = {each.name for each in graph.initializer}
    weights = {node.output[0]: node for node in graph.node if stored.issuperset(node.input)}
    ordered: dict[str, onnx.NodeProto] = {}
    for node in graph.node:
        if node.output[0] not in weights:
            ordered |= {name: weights[name] for name in node.input if name in weights}
            ordered[node.output[0]] = node
    nodes = [type(node).FromString(node.SerializeToString()) for node in ordered.values()]
    del graph.node[:]
    graph.node.extend(nodes)

"""An ONNX graph in less precision: weights in float16, or products in 8-bit integers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16

from experiments.core.errors import UserError

PRODUCTS = ("Conv", "Gemm", "MatMul")  # operators that int8 computes in integers
CALIBRATION = 1000  # images; values beyond the range of theirs are clipped
BATCH = 100
MAX_FP16 = float(np.finfo(np.float16).max)  # 65504
# Without this the quantizer warns that the graph is not prepared, which it is.
PREPARED = {"key": "onnx.quant.pre_process", "value": "onnxruntime.quant"}
ENDINGS = {"_DequantizeLinear_Output": "_dequantized", "_QuantizeLinear_Output": "_quantized"}


def to_precision(
    model: onnx.ModelProto, precision: str, images: Callable[[], np.ndarray]
) -> onnx.ModelProto:
    """Return `model` in a precision, `fp32`, which it has, `fp16` or `int8`.

    Args:
        images: returns inputs of the training set; called for int8 only.

    Raises:
        UserError: weight-overflow or product-missing, the graph cannot be converted.
    """
    if precision == "fp16":
        return fp16(model)
    if precision == "int8":
        return int8(model, images()[:CALIBRATION])
    return model


def fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return `model` with all float32 weights and values in float16, but for inputs and outputs.

    Raises:
        UserError: weight-overflow, a weight is larger than float16 represents, 65504.
    """
    for tensor in model.graph.initializer:
        largest = np.abs(numpy_helper.to_array(tensor)).max(initial=0)
        if tensor.data_type == TensorProto.FLOAT and largest > MAX_FP16:
            raise UserError(
                "weight-overflow",
                tensor.name,
                expected=f"values of at most {MAX_FP16:g} for fp16",
                found=f"{largest:g}",
                fix="Export with precision fp32 or int8.",
            )
    half = convert_float_to_float16(
        _copy(model),
        keep_io_types=True,
        disable_shape_infer=True,
        op_block_list=[],
        force_fp16_initializers=True,
    )
    # The converter appends its Casts, and numbers them.
    graph = ir.from_proto(half.graph)
    graph.sort()
    for node in graph:
        (value,) = node.outputs
        if str(value.name).startswith("graph_input_cast"):
            value.name = f"{node.inputs[0].name}_float16"
        for output in value.uses():
            if output.node.name.startswith("graph_output_cast"):
                value.name = f"{output.node.outputs[0].name}_float16"
        node.name = value.name
    half.graph.CopyFrom(_to_proto(graph))
    return half


class Calibration(CalibrationDataReader):
    """The images that measure the range of each value, a batch at a time."""

    def __init__(self, name: str, images: np.ndarray) -> None:
        starts = range(0, len(images), BATCH)
        self._batches = iter([{name: images[start : start + BATCH]} for start in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._batches, None)


def int8(model: onnx.ModelProto, images: np.ndarray) -> onnx.ModelProto:
    """Return `model` with convolutions and matrix products in int8: static, QDQ, by channel.

    Args:
        images: as the graph's input takes them; of the training set, some hundreds.

    Raises:
        UserError: product-missing, the graph has no such product.
    """
    if not any(node.op_type in PRODUCTS for node in model.graph.node):
        raise UserError(
            "product-missing",
            f"graph {model.graph.name}",
            expected=f"one of {', '.join(PRODUCTS)} to compute in int8",
            found="none",
            fix="Export with precision fp32 or fp16.",
        )
    quantized, source = _copy(model), _copy(model)
    source.metadata_props.add(**PREPARED)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        quantize_static(
            source,
            path,
            Calibration(model.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,  # onnxruntime refuses QInt8 in opset 23
            op_types_to_quantize=list(PRODUCTS),
            per_channel=True,
        )
        graph = ir.from_proto(onnx.load(path).graph)
    _tidy(graph)
    quantized.graph.CopyFrom(_to_proto(graph))  # metadata and versions stay
    return quantized


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(model.SerializeToString())


def _to_proto(graph: ir.Graph) -> onnx.GraphProto:
    """Return the graph without a second statement of each constant's type and shape."""
    for constant in graph.initializers.values():
        constant.type = constant.shape = None
    return ir.to_proto(graph)


def _tidy(graph: ir.Graph) -> None:
    """Give the quantizer's values and nodes readable names; put weights before their reader."""
    constants = {*graph.initializers.values()}
    for node in graph:
        value = node.outputs[0]
        for ending, instead in ENDINGS.items():
            if str(value.name).endswith(ending):
                value.name = str(value.name).removesuffix(ending) + instead
        node.name = value.name
        # A dequantized weight moves to the node that reads it.
        for source in node.inputs:
            producer = source.producer() if source is not None else None
            if producer is not None and constants.issuperset(producer.inputs):
                graph.remove(producer)
                graph.insert_before(node, producer)

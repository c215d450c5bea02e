"""The preprocessing of drawings as a graph of its own, and in one file with a model of digits."""

from __future__ import annotations

import json

import onnx
import torch
from onnx import compose
from onnxruntime.tools.onnx_model_utils import make_dim_param_fixed

from experiments.core.errors import UserError
from experiments.core.exports import OPSET
from export.graph import of_module
from models.canvas import Canvas

INPUT = "canvas, uint8 [height, width]: a drawing, white ink (255) on black (0), any size from 1x1"
OUTPUTS = {
    "image": "uint8 [1, 28, 28]: the drawing as MNIST's makers would have made it, with a pen of "
    "MNIST's width, the longer side of the ink 20 pixels, its centre of mass in the middle; to be "
    "fed straight into the model",
    "box": "int64 [4]: top, left, bottom, right of the ink in pixels of the canvas, the last two "
    "exclusive; all zero for a blank canvas",
    "ink": "float32 [1]: mean of the canvas as a fraction of full ink, 0 to 1",
}
DIGIT_INPUT = "image, uint8 [batch, 28, 28]"  # of a model that can be merged


def export_preprocessing(opset: int = OPSET) -> onnx.ModelProto:
    """Return `models.canvas.Canvas` as an ONNX graph: canvas -> image, box, ink (see OUTPUTS)."""
    example = torch.zeros(320, 240, dtype=torch.uint8)
    dynamic = {0: "height", 1: "width"}
    metadata = {"task": "canvas", "input": INPUT, "outputs": json.dumps(OUTPUTS)}
    return of_module(Canvas(), example, dynamic, "canvas", [*OUTPUTS], "canvas", metadata, opset)


def with_preprocessing(canvas: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return one graph that computes `canvas`, then `model`.

    Args:
        canvas: from `export_preprocessing`, with the opset of `model`.
        model: with the one input `image`, uint8 [batch, 28, 28]; float or quantized.

    Returns:
        Graph with the input `canvas`, and with the outputs `image`, `box`, `ink` and all of the
        model's, of a batch of one. Its metadata are the model's, with the input and the first
        outputs of the canvas. Nodes and values of the preprocessing are named `canvas/...`.

    Raises:
        UserError: input-mismatch, the model takes something else.
    """
    actual = ", ".join(_signature(value) for value in model.graph.input)
    if actual != DIGIT_INPUT:
        raise UserError(
            "input-mismatch",
            f"the input of {model.graph.name}",
            expected=DIGIT_INPUT,
            found=actual,
            fix="Export it without the canvas.",
        )
    # Prepare copies that can be merged: distinct names, one ir_version, no metadata, a batch of 1.
    front = compose.add_prefix(canvas, "canvas/", rename_inputs=False, rename_outputs=False)
    back = onnx.ModelProto.FromString(model.SerializeToString())
    front.ir_version = back.ir_version = max(canvas.ir_version, model.ir_version)
    del front.metadata_props[:], back.metadata_props[:]
    make_dim_param_fixed(back.graph, "batch", 1)
    merged = compose.merge_models(
        front,
        back,
        io_map=[("image", "image")],
        outputs=[value.name for value in (*canvas.graph.output, *model.graph.output)],
        name=f"canvas_{model.graph.name}",
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )
    opsets = {each.domain: each for each in merged.opset_import}  # each is listed twice
    del merged.opset_import[:]
    merged.opset_import.extend(opsets.values())
    onnx.helper.set_model_props(merged, _metadata(canvas, model))
    onnx.checker.check_model(merged, full_check=True)
    return merged


def _signature(value: onnx.ValueInfoProto) -> str:
    """Return name, dtype and shape of an input, such as `x, float32 [batch, 2]`."""
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    shape = ", ".join(dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
    return f"{value.name}, {dtype} [{shape}]"


def _metadata(canvas: onnx.ModelProto, model: onnx.ModelProto) -> dict[str, str]:
    """Return the model's metadata with the canvas's input and outputs."""
    front, back = ({p.key: p.value for p in each.metadata_props} for each in (canvas, model))
    outputs = json.loads(front["outputs"]) | json.loads(back.get("outputs", "{}"))
    return {**back, "input": front["input"], "outputs": json.dumps(outputs)}

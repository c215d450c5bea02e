"""The drawing front end as a graph of its own, and in one file with a model of digits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from experiments.errors import UserError
from export.graph import OPSET, of_module

if TYPE_CHECKING:
    import onnx

INPUT = "canvas, uint8 [height, width]: a drawing, white ink (255) on black (0), any size from 1x1"
OUTPUTS = {
    "image": "uint8 [1, 28, 28]: the drawing as MNIST's makers would have made it, the longer side "
    "of the ink 20 pixels, its centre of mass in the middle; to be fed straight into the model",
    "box": "int64 [4]: top, left, bottom, right of the ink in pixels of the canvas, the last two "
    "exclusive; all zero for a blank canvas",
    "ink": "float32 [1]: mean of the canvas as a share of full ink, 0 to 1",
}
TAKES = "image, uint8 [batch, 28, 28]"  # what a model must take to be merged


def graph(opset: int = OPSET) -> onnx.ModelProto:
    """Return `models.canvas.Canvas` as an ONNX graph: canvas -> image, box, ink (see OUTPUTS)."""
    import torch

    from models.canvas import Canvas

    return of_module(
        Canvas().eval(),
        torch.zeros(320, 240, dtype=torch.uint8),
        {0: "height", 1: "width"},
        ["canvas"],
        list(OUTPUTS),
        {"task": "canvas", "input": INPUT, "outputs": json.dumps(OUTPUTS)},
        opset,
    )


def merged(canvas: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return one graph that does what the two do one after the other, checked.

    Args:
        canvas: of `graph`, with the same opset as `model`.
        model: with the one input `image`, uint8 [batch, 28, 28]; float or quantised.

    Returns:
        Graph with the input `canvas`, and with the outputs `image`, `box`, `ink` and all of the
        model's, of a batch of one. It has the model's metadata, with the canvas's words on the
        input and on the first outputs. What is inside the front end is called `canvas/...`.

    Raises:
        UserError: the model takes something else, or the opsets differ.
    """
    import onnx
    from onnx import compose

    check(canvas, model)
    front, back = onnx.ModelProto(), onnx.ModelProto()
    front.CopyFrom(canvas)
    back.CopyFrom(model)
    front.ir_version = back.ir_version = max(canvas.ir_version, model.ir_version)
    front = compose.add_prefix(front, "canvas/", rename_inputs=False, rename_outputs=False)
    del front.metadata_props[:], back.metadata_props[:]
    _fix_batch(back)
    joined = compose.merge_models(
        front,
        back,
        io_map=[("image", "image")],
        outputs=[value.name for value in (*canvas.graph.output, *model.graph.output)],
        name=f"canvas_{model.graph.name}",
        producer_name=model.producer_name,
        producer_version=model.producer_version,
    )
    opsets = {each.domain: each for each in joined.opset_import}  # each stands there twice
    del joined.opset_import[:]
    joined.opset_import.extend(opsets.values())
    onnx.helper.set_model_props(joined, _metadata(canvas, model))
    onnx.checker.check_model(joined, full_check=True)
    return joined


def check(canvas: onnx.ModelProto, model: onnx.ModelProto) -> None:
    """Raise UserError unless `model` can stand behind `canvas`."""
    found = ", ".join(_words(value) for value in model.graph.input)
    if found != TAKES:
        raise UserError(
            f"canvas: expected a model with the one input {TAKES}; this one takes {found}. "
            "Leave the canvas out."
        )
    ours, theirs = (_opset(each) for each in (canvas, model))
    if ours != theirs:
        raise UserError(
            f"canvas: expected a model of opset {ours}, as the canvas has; found opset {theirs}. "
            "Export both with the same."
        )


def _words(value: onnx.ValueInfoProto) -> str:
    """Return name, dtype and shape of an input, such as `x, float32 [batch, 2]`."""
    import onnx

    kind = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    shape = ", ".join(dim.dim_param or str(dim.dim_value) for dim in kind.shape.dim)
    return f"{value.name}, {dtype} [{shape}]"


def _opset(model: onnx.ModelProto) -> int:
    return next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))


def _fix_batch(model: onnx.ModelProto) -> None:
    """Make every free dimension of `model` that its input calls the batch 1, in place."""
    name = model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param == name:
                dim.dim_value = 1


def _metadata(canvas: onnx.ModelProto, model: onnx.ModelProto) -> dict[str, str]:
    """Return the model's metadata with the canvas's words on the input and on its outputs."""
    front, back = ({p.key: p.value for p in each.metadata_props} for each in (canvas, model))
    outputs = json.loads(front["outputs"]) | json.loads(back.get("outputs", "{}"))
    return {**back, "input": front["input"], "outputs": json.dumps(outputs)}

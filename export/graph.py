"""A torch module to an ONNX graph: self-contained, of the chosen opset, with readable names."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes import common as passes
from torch import Tensor, nn

from experiments.core.exports import OPSET
from export.node_names import rename_nodes

if TYPE_CHECKING:
    from experiments.tasks.task import Task


class _Outputs(nn.Module):
    """A task's network with all outputs of its graph."""

    def __init__(self, task: Task, net: nn.Module) -> None:
        super().__init__()
        self.task, self.net = task, net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.task.outputs(self.net, x).values())


def of_task(
    task: Task,
    net: nn.Module,
    example: np.ndarray,
    metadata: Mapping[str, str],
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Return `net` as an ONNX graph with the task's named input and outputs and a free batch.

    Args:
        example: [2, ...] as `task.input` says.
        metadata: text to store in the file.
    """
    x = torch.tensor(example)
    with torch.inference_mode():
        outputs = list(task.outputs(net.eval(), x))
    module = _Outputs(task, net)
    return of_module(module, x, {0: "batch"}, task.input.name, outputs, task.name, metadata, opset)


def of_module(
    module: nn.Module,
    example: Tensor,
    dynamic: Mapping[int, str],
    input_name: str,
    output_names: Sequence[str],
    name: str,
    metadata: Mapping[str, str],
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Return a torch module of one input as an ONNX graph.

    Args:
        example: an input.
        dynamic: the input's free dimensions and their names.
        name: of the graph.
        metadata: text to store in the file.
        opset: the version of ONNX's operators, one of OPSETS.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            module.eval(),
            (example,),
            dynamo=True,
            dynamic_shapes=(dict(dynamic),),
            input_names=[input_name],
            output_names=list(output_names),
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    model = program.model
    if model.opset_imports != {"": opset}:
        raise RuntimeError(f"torch's exporter chose the opsets {dict(model.opset_imports)}.")
    _simplify(model)
    _count_axes_from_the_front(model)
    paths = {path: path.removeprefix("net.") for path in module.state_dict()}
    rename_nodes(model.graph, paths)
    # The exporter's metadata have stack traces with paths of this machine.
    passes.ClearMetadataAndDocStringPass()(model)
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.metadata_props.clear()
    model.graph.name = name
    model.metadata_props.update(metadata)
    proto = ir.to_proto(model)
    proto.ir_version = onnx.helper.find_min_ir_version_for(proto.opset_import)
    return proto


def _simplify(model: ir.Model) -> None:
    """Replace two nodes, or a node and a constant, by one node, in place."""
    for node in model.graph:
        if node.op_type != "Reshape":
            continue
        source, target = node.inputs
        assert source is not None and target is not None
        constant = ir.convenience.get_const_tensor(target)
        shape = [0] if constant is None else constant.numpy().tolist()
        # A Squeeze before a Reshape to a fixed shape changes nothing.
        before = source.producer()
        if before is not None and before.op_type == "Squeeze" and 0 not in shape:
            node.replace_input_with(0, before.inputs[0])
        # A Reshape to [-1, n] that keeps the first dimension is Flatten.
        if shape == [-1, _elements(node.inputs[0])]:
            node.op_type = "Flatten"
            node.resize_inputs(1)
            node.attributes.clear()
            node.attributes.add(ir.AttrInt64("axis", 1))
    passes.RemoveUnusedNodesPass()(model)


def _count_axes_from_the_front(model: ir.Model) -> None:
    """Make the axes of sums and means positive: of a batch of 0, onnxruntime ignores others."""
    for node in model.graph:
        if not node.op_type.startswith("Reduce") or len(node.inputs) < 2:
            continue
        source, chosen = node.inputs[:2]
        axes = ir.convenience.get_const_tensor(chosen) if chosen is not None else None
        if axes is None or source is None or source.shape is None or (axes.numpy() >= 0).all():
            continue
        front = ir.tensor(axes.numpy() % len(source.shape), name=f"{node.outputs[0].name}_axes")
        value = ir.val(front.name, const_value=front)
        model.graph.register_initializer(value)
        node.replace_input_with(1, value)
    passes.RemoveUnusedNodesPass()(model)


def _elements(value: ir.Value | None) -> int:
    """Return the elements of one sample of a value [N, ...]; 0 if its shape is free or unknown."""
    shape = value.shape if value is not None else None
    if shape is None or len(shape) < 2:
        return 0
    return math.prod(size if isinstance(size, int) else 0 for size in shape[1:])

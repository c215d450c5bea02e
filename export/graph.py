"""A torch module to an ONNX graph: of one piece, of the opset asked for, and fit to be read."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from experiments.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import onnx
    from torch import Tensor, nn

    from experiments.tasks.base import Task

OPSETS = range(18, 24)  # torch's exporter knows none below, onnxruntime's releases lag above
OPSET = 20  # the first that has Gelu


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
        opset: the version of ONNX's operators, one of OPSETS.

    Raises:
        UserError: the opset is none of OPSETS.
    """
    import torch

    class Graph(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return tuple(task.outputs(self.net, x).values())

    inputs = torch.tensor(example)
    with torch.inference_mode():
        outputs = list(task.outputs(net.eval(), inputs))
    paths = {f"net.{name}": name for name in net.state_dict()}
    raw = _exported(Graph().eval(), inputs, {0: "batch"}, [task.input.name], outputs, opset)
    return _finished(raw, task.name, paths, metadata)


def of_module(
    module: nn.Module,
    example: Tensor,
    dynamic: Mapping[int, str],
    input_names: Sequence[str],
    output_names: Sequence[str],
    metadata: Mapping[str, str],
    opset: int = OPSET,
) -> onnx.ModelProto:
    """Return a torch module of one input as an ONNX graph, called as its class.

    Args:
        example: an input.
        dynamic: the input's free dimensions and their names.
        metadata: text to store in the file.
        opset: the version of ONNX's operators, one of OPSETS.

    Raises:
        UserError: the opset is none of OPSETS.
    """
    raw = _exported(module.eval(), example, dynamic, input_names, output_names, opset)
    paths = {name: name for name in module.state_dict()}
    return _finished(raw, type(module).__name__.lower(), paths, metadata)


def _exported(
    module: nn.Module,
    example: Any,
    dynamic: Mapping[int, str],
    input_names: Sequence[str],
    output_names: Sequence[str],
    opset: int,
) -> onnx.ModelProto:
    """Return what torch's exporter makes of `module`, quietly.

    Raises:
        UserError: the opset is none of OPSETS.
        RuntimeError: the exporter chose another opset.
    """
    if opset not in OPSETS:
        raise UserError(f"opset: expected {OPSETS[0]} to {OPSETS[-1]}, found {opset}.")
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=(dict(dynamic),),
            input_names=list(input_names),
            output_names=list(output_names),
            opset_version=opset,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    made: onnx.ModelProto = program.model_proto
    found = {each.domain: each.version for each in made.opset_import}
    if found != {"": opset}:
        raise RuntimeError(f"opset: asked torch's exporter for {opset}, found {found}.")
    return made


def _finished(
    model: onnx.ModelProto, name: str, paths: Mapping[str, str], metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Return `model`, changed in place: simplified, with readable names, without notes."""
    from onnx import helper

    from export import names

    _simplify(model.graph)
    names.readable(model, paths)
    graph = model.graph
    values = (*graph.input, *graph.value_info, *graph.output)
    for item in (graph, *graph.node, *graph.initializer, *values):
        item.ClearField("metadata_props")  # stack traces and paths of this machine
        item.ClearField("doc_string")
    graph.name = name
    model.ir_version = helper.find_min_ir_version_for(model.opset_import)
    del model.metadata_props[:]
    helper.set_model_props(model, dict(metadata))
    return model


def _simplify(graph: onnx.GraphProto) -> None:
    """Say in place what takes a node and a constant, or two nodes, with one node.

    Reshape to [-1, n] that keeps the first dimension is Flatten; Squeeze before Reshape is idle.
    """
    from onnx import helper, numpy_helper

    shapes = {each.name: numpy_helper.to_array(each).tolist() for each in graph.initializer}
    made_by = {value: node for node in graph.node for value in node.output}
    for node in [node for node in graph.node if node.op_type == "Reshape"]:
        shape = shapes.get(node.input[1], [0])
        before = made_by.get(node.input[0])
        if before is not None and before.op_type == "Squeeze" and 0 not in shape:
            node.input[0] = before.input[0]
        if shape == [-1, math.prod(_inner(graph, node.input[0]))]:
            node.op_type = "Flatten"
            node.input[:] = node.input[:1]
            del node.attribute[:]
            node.attribute.append(helper.make_attribute("axis", 1))
    read = {name for node in graph.node for name in node.input}
    read |= {value.name for value in graph.output}
    for node in [node for node in graph.node if not read & set(node.output)]:
        graph.node.remove(node)


def _inner(graph: onnx.GraphProto, name: str) -> list[int]:
    """Return the sides of a value but the first; a 0 for each that is free, or if unknown."""
    for value in (*graph.input, *graph.value_info):
        if value.name == name:
            sides = value.type.tensor_type.shape.dim
            return [side.dim_value for side in sides][1:] or [0]
    return [0]

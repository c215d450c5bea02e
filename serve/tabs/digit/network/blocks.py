"""A digit graph as a chain of blocks: a convolution or linear layer, and what follows it.

onnx is imported with the first graph, not when the page starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

SIDE = 28  # pixels of an image
ACTIVATION = re.compile(r"(relu|gelu|silu|tanh)\d*")  # names of `export/node_names.py`
TEMPERATURE = re.compile(r"div_temperature")
# Nodes that change no value, apart from rounding, or only its shape.
PASSED = ("QuantizeLinear", "DequantizeLinear", "Cast", "Flatten", "Reshape")
NORMALISATION = ("normalize.mean", "normalize.std")


@dataclass(frozen=True)
class Block:
    """A layer that computes act(scale * max(kernel * x + bias) + shift), max over a pool's window.

    A linear layer is a convolution whose kernel covers its whole input. Values are names of the
    graph.

    Attributes:
        kind: convolution, hidden or outputs.
        input: the value that it reads.
        product: the sum before pooling.
        before: the value that the activation reads.
        output: the block's value.
        kernel: float32 [O, I, height, width].
        bias: float32 [O].
        padding: pixels of zeros on each side of the input.
        pool: side of the window; 1 is no pooling.
        scale: float32 [O], of the normalisation after pooling; 1 if there is none.
        shift: float32 [O], 0 if there is none.
        activation: relu, gelu, silu or tanh; empty for none.
    """

    kind: str
    input: str
    product: str
    before: str
    output: str
    kernel: np.ndarray
    bias: np.ndarray
    padding: int
    pool: int
    scale: np.ndarray
    shift: np.ndarray
    activation: str


def find(model: onnx.ModelProto) -> tuple[Block, ...]:
    """Return the blocks of a graph, the first first; none if it is no chain of such blocks."""
    try:
        return tuple(_in_form(_read(model.graph)))
    except (LookupError, ValueError):
        return ()


def normalisation(model: onnx.ModelProto) -> tuple[float, float]:
    """Return mean and standard deviation that the graph normalises pixels with; (0, 1) if none."""
    constants = _constants(model.graph)
    mean, std = (constants.get(name, np.float32(i)) for i, name in enumerate(NORMALISATION))
    return float(mean), float(std)


def side_of(blocks: tuple[Block, ...]) -> int:
    """Return the side of the first block's input in pixels; its channels share the image."""
    return round(SIDE / blocks[0].kernel.shape[1] ** 0.5)


def _read(graph: onnx.GraphProto) -> list[Block]:
    """Return the blocks with kernels as the graph has them: [O, features] of linear layers.

    Raises:
        ValueError: the graph is no chain.
    """
    constants = _constants(graph)
    producers = {node.output[0]: node for node in graph.node}

    def origin(value: str) -> str:
        while value in producers and producers[value].op_type in PASSED:
            value = producers[value].input[0]
        return value

    blocks: list[Block] = []
    for node in graph.node:
        name = node.output[0]
        if node.op_type in ("Conv", "Gemm"):
            if blocks and origin(node.input[0]) != blocks[-1].output:
                raise ValueError(f"{name} does not read {blocks[-1].output}")
            blocks.append(_start(node, origin(node.input[0]), constants))
        elif blocks and origin(node.input[0]) == blocks[-1].output:
            blocks[-1] = _continue(blocks[-1], node, constants)
        elif blocks and ACTIVATION.fullmatch(name):  # after a node that only it reads
            blocks[-1] = _activate(blocks[-1], name)
    return blocks


def _start(node: onnx.NodeProto, source: str, constants: Mapping[str, np.ndarray]) -> Block:
    """Return the block that begins with a convolution or a linear layer."""
    attributes = _attributes(node)
    kernel = constants[node.input[1]]
    channels = len(kernel)
    if node.op_type == "Gemm" and not attributes.get("transB"):
        raise ValueError("a linear layer with inputs first")
    pads = attributes.get("pads", [0])
    plain = {"strides": [1, 1], "dilations": [1, 1], "group": 1, "pads": [pads[0]] * 4}
    if node.op_type == "Conv" and any(attributes.get(k, v) != v for k, v in plain.items()):
        raise ValueError("a convolution of another kind")
    zeros, ones = np.zeros(channels, np.float32), np.ones(channels, np.float32)
    bias = constants[node.input[2]] if len(node.input) > 2 else zeros
    name = node.output[0]
    return Block("", source, name, name, name, kernel, bias, pads[0], 1, ones, zeros, "")


def _continue(block: Block, node: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> Block:
    """Return the block with the node that reads its value, if that belongs to it."""
    name, attributes = node.output[0], _attributes(node)
    if ACTIVATION.fullmatch(name):
        return _activate(block, name)
    if node.op_type == "MaxPool":
        window = attributes["kernel_shape"]
        if attributes.get("strides") != window or len({*window}) > 1:
            raise ValueError("pooling whose windows overlap")
        return replace(block, pool=window[0], before=name, output=name)
    if node.op_type == "BatchNormalization":
        weight, bias, mean, variance = (constants[value] for value in node.input[1:])
        scale = weight / np.sqrt(variance + attributes["epsilon"])
        shift = bias - mean * scale
        return replace(block, scale=scale, shift=shift, before=name, output=name)
    if TEMPERATURE.fullmatch(name):
        scale = block.scale / constants[node.input[1]]
        return replace(block, scale=scale, before=name, output=name)
    return block


def _activate(block: Block, name: str) -> Block:
    return replace(block, activation=name.rstrip("0123456789"), output=name)


def _in_form(blocks: list[Block]) -> Iterator[Block]:
    """Yield the blocks with their kinds, and kernels [O, I, height, width].

    Raises:
        ValueError: the shapes are not those of a chain on an image.
    """
    channels, side = blocks[0].kernel.shape[1], side_of(tuple(blocks))
    if side**2 * channels != SIDE**2:
        raise ValueError("another number of pixels")
    for index, block in enumerate(blocks):
        kernel, kind = block.kernel, "convolution"
        if kernel.ndim == 2:
            kind = "outputs" if index == len(blocks) - 1 else "hidden"
            kernel = kernel.reshape(-1, channels, side, side)
        if kernel.shape[1] != channels:
            raise ValueError("another number of channels")
        channels = len(kernel)
        side = (side + 2 * block.padding - kernel.shape[2] + 1) // block.pool
        yield replace(block, kind=kind, kernel=np.ascontiguousarray(kernel))


def _constants(graph: onnx.GraphProto) -> dict[str, np.ndarray]:
    """Return name -> value of the constants as float32, those that are stored in int8 as well."""
    from onnx import numpy_helper

    raw = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in raw:
            value, scale, zero = (raw[name] for name in node.input)
            shape = [-1] + [1] * (value.ndim - 1) if scale.size > 1 else [1] * value.ndim
            steps = value.astype(np.float32) - zero.astype(np.float32).reshape(shape)
            raw[node.output[0]] = steps * scale.reshape(shape)
    return {name: value.astype(np.float32) for name, value in raw.items()}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    from onnx import helper

    return {each.name: helper.get_attribute_value(each) for each in node.attribute}

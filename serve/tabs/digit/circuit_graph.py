"""A circuit of logic gates, read from its ONNX graph: wires, truth tables, thresholds.

The graph has thresholds (`Greater`), and for each layer two `Gather`, which are the wires, then
Boolean operators, which are the gates. A gate's truth table is what these operators give for the
four rows of its inputs. onnx is imported with the first graph, not when the page starts.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

CACHE_SIZE = 4  # circuits; each takes 0.3 MB
A, B = (np.array(rows, bool)[:, None] for rows in ([0, 0, 1, 1], [0, 1, 0, 1]))  # inputs by row
OPERATORS = {
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "Not": np.logical_not,
}


@dataclass(frozen=True)
class Layer:
    """A layer of gates.

    Attributes:
        name: of the layer's output in the graph, bool [batch, gates].
        first, second: where a gate reads a and b in the layer before, int64 [gates]; in the first
            layer, threshold * 784 + pixel.
        tables: truth tables as numbers of four bits, ab = 00 first, uint8 [gates].
    """

    name: str
    first: np.ndarray
    second: np.ndarray
    tables: np.ndarray


@dataclass(frozen=True)
class Circuit:
    """Layers of gates; the last one's gates are votes, as many for each class, class by class.

    Attributes:
        thresholds: a bit of a pixel is whether it is brighter than one of them.
        classes: the digits, and "no digit".
    """

    thresholds: Sequence[int]
    layers: Sequence[Layer]
    classes: int

    @property
    def gates(self) -> int:
        """Return the number of gates."""
        return sum(len(layer.tables) for layer in self.layers)

    def signals(self, image: np.ndarray) -> list[np.ndarray]:
        """Return the bits of the pixels, then those of each layer, for uint8 [28, 28]."""
        signals = [(image.ravel() > np.array(self.thresholds)[:, None]).ravel()]
        for layer in self.layers:
            row = 2 * signals[-1][layer.first] + signals[-1][layer.second]
            signals.append((layer.tables >> 3 - row & 1).astype(bool))
        return signals

    def votes(self, image: np.ndarray) -> np.ndarray:
        """Return the votes of each class for uint8 [28, 28]: int64 [classes]."""
        return self.signals(image)[-1].reshape(self.classes, -1).sum(1)

    def packed(self) -> dict[str, object]:
        """Return the circuit for the browser: JSON, with all gates as one base64 text.

        The text has, layer after layer, `first` and `second` as little-endian numbers of `width`
        bytes, then `tables` of one byte each.
        """
        largest = max(int(max(each.first.max(), each.second.max())) for each in self.layers)
        wire = np.dtype("<u2" if largest < 1 << 16 else "<u4")
        parts = [
            part
            for each in self.layers
            for part in (each.first.astype(wire), each.second.astype(wire), each.tables)
        ]
        return {
            "thresholds": list(self.thresholds),
            "classes": self.classes,
            "sizes": [len(layer.tables) for layer in self.layers],
            "width": wire.itemsize,
            "gates": base64.b64encode(b"".join(map(np.ndarray.tobytes, parts))).decode(),
        }


@lru_cache(CACHE_SIZE)
def read(graph: bytes) -> Circuit | None:
    """Return the circuit of an ONNX file's bytes; None if its graph is something else."""
    import onnx

    return of_model(onnx.load_model_from_string(graph))


def of_model(model: onnx.ModelProto) -> Circuit | None:
    """Return the circuit of an ONNX model; None if its graph is something else."""
    from onnx import numpy_helper

    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    rows: dict[str, np.ndarray] = {}  # Boolean values: their outputs by row, [4, gates]
    wires: dict[str, list[np.ndarray]] = {}  # bits of the pixels and finished layers: who reads
    thresholds: list[int] = []
    layers: list[Layer] = []
    for node in model.graph.node:
        source, result = node.input[0], node.output[0]
        is_finished = node.op_type in ("Gather", "Reshape") and source in rows
        if is_finished and source not in wires:  # the first reader of a layer
            layers.append(_layer(source, wires[[*wires][-1]], rows[source]))
            wires[source] = []
        if node.op_type == "Greater" and node.input[1] in constants:
            thresholds = constants[node.input[1]].ravel().tolist()
        elif node.op_type == "Flatten" and thresholds and not wires:
            wires[result] = []
        elif node.op_type == "Gather" and source in wires:
            if len(wires[source]) == 2:  # gates of more inputs
                return None
            rows[result] = (A, B)[len(wires[source])]
            wires[source].append(constants[node.input[1]])
        elif node.op_type in OPERATORS:
            values = [rows[name] if name in rows else constants[name] for name in node.input]
            rows[result] = OPERATORS[node.op_type](*values)
        elif is_finished:  # the votes, by class: [batch, classes, votes]
            return Circuit(thresholds, layers, int(constants[node.input[1]][1]))
    return None


def _layer(name: str, wires: Sequence[np.ndarray], rows: np.ndarray) -> Layer:
    first, second = (np.asarray(each, np.int64) for each in wires)
    bits = np.broadcast_to(rows, (4, len(first)))
    tables = (bits * np.array([8, 4, 2, 1])[:, None]).sum(0).astype(np.uint8)
    return Layer(name, first, second, tables)

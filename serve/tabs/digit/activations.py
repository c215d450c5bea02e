"""The values inside a digit graph: its convolutions, activations, hidden layer and outputs.

Layers are found by the names that `export/node_names.py` gives. onnx is imported with the first
graph, not when the page starts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from serve.backends.onnx_backend import open_session
from serve.strings import activations as texts

if TYPE_CHECKING:
    import onnx

IMAGE, PROBABILITIES = "image", "probabilities"  # input and output of the graph
CALIBRATED = "div_temperature"  # the logits divided by the temperature
KINDS = {"convolution": re.compile(r"conv\d*"), "activation": re.compile(r"(relu|gelu|silu)\d*")}


@dataclass(frozen=True)
class Layer:
    """The output of one layer for one image.

    Attributes:
        name: of the value in the graph, such as conv1.
        title: such as "Convolution 1".
        values: float32 [C, H, W] of channels, or [U] of units.
    """

    name: str
    title: str
    values: np.ndarray


class ActivationModel:
    """A session of a graph that also returns the outputs of its layers.

    Args:
        graph: bytes of an ONNX file with the input `image`, uint8 [batch, 28, 28].

    Attributes:
        metadata: of the graph.
    """

    def __init__(self, graph: bytes) -> None:
        import onnx

        model = onnx.load_model_from_string(graph)
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        nodes = list(model.graph.node)
        last = max(index for index, node in enumerate(nodes) if node.op_type == "Gemm")
        self._features: str = nodes[last].input[0]  # the hidden layer's activations
        self._layers = _find_layers(nodes, last)

        # Declare these values as outputs, which is all that onnxruntime needs to return them.
        outputs = {output.name for output in model.graph.output}
        for name in sorted({*self._layers, self._features} - outputs):
            model.graph.output.append(onnx.ValueInfoProto(name=name))
        self._session = open_session(Path("activations"), model.SerializeToString())

    def layers(self, image: np.ndarray) -> list[Layer]:
        """Return all layers' outputs for `image`, uint8 [1, 28, 28], from the first to the last.

        The last layer has eleven units: the calibrated logits of the digits and of "no digit".
        """
        values = self._session.run(list(self._layers), {IMAGE: np.ascontiguousarray(image)})
        return [
            Layer(name, title, value[0].astype(np.float32))
            for (name, title), value in zip(self._layers.items(), values, strict=True)
        ]

    def features(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the hidden layer's activations and the probabilities of uint8 [B, 28, 28].

        They are float32 [B, units] and float32 [B, 10].
        """
        names = [self._features, PROBABILITIES]
        features, probs = self._session.run(names, {IMAGE: np.ascontiguousarray(images)})
        return features.astype(np.float32), probs


def _find_layers(nodes: Sequence[onnx.NodeProto], last: int) -> dict[str, str]:
    """Return name -> title of the layers; `last` is the index of the last matrix product."""
    layers: dict[str, str] = {}
    # Convolutions and activations, each numbered among its kind.
    counts: Counter[str] = Counter()
    for node in nodes[:last]:
        name = node.output[0]
        for kind, pattern in KINDS.items():
            if pattern.fullmatch(name):
                counts[kind] += 1
                function = name.rstrip("0123456789")
                layers[name] = texts.LAYERS[kind].format(number=counts[kind], function=function)
    # The activation that the last product reads is the hidden layer.
    hidden = nodes[last].input[0].removesuffix("_dequantized")
    if hidden in layers:
        layers[hidden] = texts.LAYERS["hidden"]
    # The last product's output, divided by the temperature if the graph does that.
    is_calibrated = any(node.output[0] == CALIBRATED for node in nodes)
    layers[CALIBRATED if is_calibrated else nodes[last].output[0]] = texts.LAYERS["outputs"]
    return layers

"""The values inside a digit graph: its blocks for one image, and its hidden layer for many.

onnx is imported with the first graph, not when the page starts.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from serve.backends.onnx_backend import open_session
from serve.tabs.digit import circuit_graph
from serve.tabs.digit.network import blocks
from serve.tabs.digit.network.paths import Activity

IMAGE, PROBABILITIES = "image", "probabilities"  # input and output of the graph
CACHE_SIZE = 2  # graphs; each takes 15 MB


class ActivationModel:
    """A session of a graph that also returns the values of its blocks.

    Args:
        graph: bytes of an ONNX file with the input `image`, uint8 [batch, 28, 28].

    Attributes:
        metadata: of the graph.
        blocks: the chain of its layers; empty if it is none.
        mean: of the pixels, which the graph subtracts.
        std: by which it divides.
    """

    def __init__(self, graph: bytes) -> None:
        import onnx

        model = onnx.load_model_from_string(graph)
        self.metadata = {entry.key: entry.value for entry in model.metadata_props}
        self.blocks = blocks.find(model)
        self.mean, self.std = blocks.normalisation(model)
        products = [node for node in model.graph.node if node.op_type == "Gemm"]
        # The last product reads the hidden layer's activations.
        self._features: str = products[-1].input[0] if products else PROBABILITIES
        circuit = circuit_graph.of_model(model)
        if circuit is not None:  # or, of a circuit, the votes
            self._features = circuit.layers[-1].name

        # Declare these values as outputs, which is all that onnxruntime needs to return them.
        values = {v for b in self.blocks for v in (b.input, b.product, b.before, b.output)}
        self._values = sorted(values)
        outputs = {output.name for output in model.graph.output}
        for name in sorted({*values, self._features} - outputs):
            model.graph.output.append(onnx.ValueInfoProto(name=name))
        self._session = open_session(Path("activations"), model.SerializeToString())

    def run(self, image: np.ndarray) -> list[Activity]:
        """Return what each block computes for `image`, uint8 [1, 28, 28]."""
        results = self._session.run(self._values, {IMAGE: np.ascontiguousarray(image)})
        values = {
            name: value[0].astype(np.float32)
            for name, value in zip(self._values, results, strict=True)
        }
        activity = []
        for block in self.blocks:
            inputs, outputs = block.kernel.shape[1], len(block.kernel)
            side = round((values[block.input].size / inputs) ** 0.5)
            x = values[block.input].reshape(inputs, side, side)
            y = values[block.output].reshape(outputs, *_sides(values[block.output]))
            winner = _winner(values[block.product], block.pool)
            activity.append(Activity(x, values[block.before].reshape(y.shape), y, winner))
        return activity

    def features(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the hidden layer's activations and the probabilities of uint8 [B, 28, 28].

        They are float32 [B, units] and float32 [B, 10]. Of a circuit of logic gates the first are
        its votes, as packed bits, uint8 [B, ceil(votes / 8)].
        """
        names = [self._features, PROBABILITIES]
        features, probs = self._session.run(names, {IMAGE: np.ascontiguousarray(images)})
        if features.dtype == bool:
            return np.packbits(features, axis=1), probs
        return features.astype(np.float32), probs


def _sides(value: np.ndarray) -> tuple[int, ...]:
    return value.shape[1:] or (1, 1)


def _winner(product: np.ndarray, pool: int) -> np.ndarray:
    """Return the place of the largest value in each window of [O, H, W]; empty without a pool."""
    if pool == 1:
        return np.empty(0, np.uint8)
    channels, height, width = product.shape
    height, width = height // pool, width // pool
    covered = product[:, : pool * height, : pool * width]
    windows = covered.reshape(channels, height, pool, width, pool).transpose(0, 1, 3, 2, 4)
    return windows.reshape(channels, height, width, -1).argmax(3).astype(np.uint8)


@lru_cache(CACHE_SIZE)
def activation_model(graph: bytes) -> ActivationModel:
    """Return the model of an ONNX file's bytes, which is opened once."""
    return ActivationModel(graph)

"""What a graph of digits computes on the way: the values after each layer, and the features.

Only values with the names that `export/names.py` gives are found; what a graph does not have is
left out.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.errors import UserError
from serve.predictor import open_session
from serve.texts import inside as say

CALLED = "inside"  # in the message of a graph that cannot be opened
IMAGE = "image"
CALIBRATED = "div_temperature"  # the last product, divided by the temperature
CONVOLUTION = re.compile(r"conv\d*")
ACTIVATION = re.compile(r"(relu|gelu|silu)\d*")


@dataclass(frozen=True)
class Layer:
    """The values of one picture after one layer.

    Attributes:
        name: of the value in the graph, such as conv1.
        words: what a person calls the layer, such as "Convolution 1".
        values: float32 [C, H, W] of channels, or [U] of units.
    """

    name: str
    words: str
    values: np.ndarray


class Inside:
    """A second session of a graph, whose outputs are also the values between its layers.

    Args:
        graph: bytes of an ONNX file with the one input `image`, uint8 [batch, 28, 28].

    Attributes:
        about: the graph's metadata.

    Raises:
        UserError: the graph takes something else, or is none.
    """

    def __init__(self, graph: bytes) -> None:
        model = _model(graph)
        self.about = {each.key: each.value for each in model.metadata_props}
        self._layers = _layers(model)
        self._features = _features(model)
        names = [*self._layers, *([self._features] if self._features else [])]
        self._session = _session(model, names)

    def layers(self, image: np.ndarray) -> list[Layer]:
        """Return what each layer makes of `image`, uint8 [1, 28, 28], from the first to the last.

        The last one is the eleven outputs: the calibrated logits of the ten digits, and of none.
        """
        values = self._session.run([*self._layers], {IMAGE: np.ascontiguousarray(image)})
        return [
            Layer(name, words, value[0].astype(np.float32))
            for (name, words), value in zip(self._layers.items(), values, strict=True)
        ]

    def features(self, images: np.ndarray) -> np.ndarray:
        """Return what the last product is given for `images`, uint8 [B, 28, 28]: float32 [B, d].

        Raises:
            UserError: the graph does not end in a matrix product.
        """
        return self.features_and(images)[0]

    def features_and(self, images: np.ndarray, *outputs: str) -> list[np.ndarray]:
        """Return the features of `images` as `features` does, and those outputs of the graph."""
        if not self._features:
            raise UserError(say.NO_FEATURES)
        given = {IMAGE: np.ascontiguousarray(images)}
        features, *others = self._session.run([self._features, *outputs], given)
        return [features.astype(np.float32), *others]


def _model(graph: bytes) -> Any:
    """Return the ONNX model in `graph`."""
    import onnx  # late: only who looks inside needs it

    try:
        model = onnx.load_model_from_string(graph)
    except Exception as error:  # protobuf's DecodeError, which onnx does not pass on by name
        raise UserError(say.NO_GRAPH.format(found=say.ELSE)) from error
    inputs = [value.name for value in model.graph.input]
    if inputs != [IMAGE]:
        names = ", ".join(inputs) or say.NONE
        raise UserError(say.NO_GRAPH.format(found=say.INPUTS.format(names=names)))
    return model


def _session(model: Any, names: Sequence[str]) -> Any:
    """Return a session of `model` that can give the values `names` as well as its outputs."""

    import onnx

    there = {value.name for value in model.graph.output}
    added = [onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in there]
    model.graph.output.extend(added)
    return open_session(Path(CALLED), model.SerializeToString())


def _layers(model: Any) -> dict[str, str]:
    """Return name -> words of the convolutions, activations, hidden layer and outputs."""
    made = [node.output[0] for node in model.graph.node]
    last = _last_product(model)
    found: dict[str, str] = {}
    for name in made[: made.index(last.output[0])] if last else made:
        kind = CONVOLUTION if CONVOLUTION.fullmatch(name) else ACTIVATION
        if kind.fullmatch(name):
            template = say.CONVOLUTION if kind is CONVOLUTION else say.ACTIVATION
            place = 1 + sum(bool(kind.fullmatch(earlier)) for earlier in found)
            found[name] = template.format(place=place, function=name.rstrip("0123456789"))
    if last:
        hidden = _features(model).removesuffix("_dequantized")
        if hidden in found:
            found[hidden] = say.HIDDEN
        found[CALIBRATED if CALIBRATED in made else last.output[0]] = say.OUTPUTS
    return found


def _features(model: Any) -> str:
    """Return the name of what goes into the last matrix product; empty if there is none."""
    last = _last_product(model)
    return last.input[0] if last else ""


def _last_product(model: Any) -> Any:
    return next((node for node in reversed(model.graph.node) if node.op_type == "Gemm"), None)

"""What the browser gets: a network's kernels once per model, its values once per drawing.

Arrays are sent in 16 bits, with a scale for each map or kernel: the page computes with them what
onnxruntime computed, to four digits.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from experiments.evaluation.calibration import NO_DIGIT
from serve.refusals import refusal
from serve.strings import network as texts
from serve.tabs.digit.activations import ActivationModel
from serve.tabs.digit.network import paths
from serve.tabs.digit.network.blocks import SIDE, Block, side_of

Json = dict[str, object]
MAX_WEIGHTS = 1_000_000  # a browser gets 2.7 MB of them
LARGEST = 32767  # of a signed integer with 16 bits


def pack(array: np.ndarray) -> Json:
    """Return float [N, ...] as integers in base64, with a scale for each of the N."""
    rows = array.reshape(len(array), -1)
    scales = np.maximum(np.abs(rows).max(1, initial=0) / LARGEST, 1e-12)
    integers = np.rint(rows / scales[:, None]).astype("<i2")
    return {"shape": array.shape, "scales": _numbers(scales), "data": _base64(integers)}


def describe(model: ActivationModel, labels: Sequence[str], title: str) -> Json:
    """Return a network's layers and kernels.

    Args:
        labels: of the digits.
        title: of the model, for errors.

    Raises:
        UserError: the graph is no chain of convolutions and linear layers, or it is too large.
    """
    if not model.blocks:
        raise refusal("layers-unreadable", "another graph", model=title)
    weights = sum(block.kernel.size for block in model.blocks)
    if weights > MAX_WEIGHTS:
        raise refusal("network-too-large", weights, model=title, limit=MAX_WEIGHTS)
    channels, side = model.blocks[0].kernel.shape[1], side_of(model.blocks)
    numbers = {"mean": model.mean, "std": model.std, "channels": channels, "side": side}
    low, high = ((value - model.mean) / model.std for value in (0, 255))
    steps = [texts.STEPS["drawing"], texts.STEPS["normalise"].format(low=low, high=high, **numbers)]
    if channels > 1:
        steps[-1] += " " + texts.STEPS["unshuffle"].format(**numbers)
    layers = []
    for index, block in enumerate(model.blocks, 1):
        side = (side + 2 * block.padding - block.kernel.shape[2] + 1) // block.pool
        layers.append(_layer(block, index, side))
        steps.append(_step(block))
    names = [*labels, NO_DIGIT][: len(model.blocks[-1].kernel)]
    return {"channels": channels, "layers": layers, "steps": steps, "labels": names}


def _layer(block: Block, number: int, side: int) -> Json:
    return {
        "title": texts.LAYERS[block.kind].format(number=number),
        "kind": block.kind,
        "count": len(block.kernel),
        "side": side,
        "kernel": pack(block.kernel),
        "bias": _numbers(block.bias),
        "scale": _numbers(block.scale),
        "shift": _numbers(block.shift),
        "padding": block.padding,
        "pool": block.pool,
        "activation": block.activation,
    }


def _step(block: Block) -> str:
    """Return the sentences that explain a block."""
    outputs, inputs, side, _ = block.kernel.shape
    words = {"outputs": outputs, "inputs": inputs, "side": side, "activation": block.activation}
    channels = texts.ONE_CHANNEL if inputs == 1 else texts.CHANNELS.format(**words)
    sentences = [texts.STEPS[block.kind].format(**words, channels=channels)]
    if block.pool > 1:
        sentences.append(texts.STEPS["pool"].format(pool=block.pool))
    if block.activation:
        sentences.append(texts.STEPS[block.activation])
    return " ".join(sentences)


def values(model: ActivationModel, image: np.ndarray, target: int) -> Json:
    """Return what a network computes for `image`, uint8 [1, 28, 28].

    Args:
        target: the class whose strongest paths are lit.
    """
    activity = model.run(image)
    shares = paths.shares(model.blocks, activity, target)
    return {
        "image": _base64(image.reshape(SIDE, SIDE)),
        "input": pack(activity[0].input),
        "layers": [pack(active.output) for active in activity],
        "winners": [_base64(active.winner) for active in activity],
        "target": target,
        "paths": paths.strongest(shares),
    }


def lit(model: ActivationModel, image: np.ndarray, target: int) -> Json:
    """Return the strongest paths to another class alone."""
    shares = paths.shares(model.blocks, model.run(image), target)
    return {"target": target, "paths": paths.strongest(shares)}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def _numbers(array: np.ndarray) -> list[float]:
    return [float(f"{value:.7g}") for value in array]

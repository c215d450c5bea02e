"""The shape of a network: its layers, their outputs, their connections, their activations."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from experiments.plots import style

READABLE = {
    "Normalize": "normalise",
    "PixelUnshuffle": "fold to channels",
    "Conv2d": "conv",
    "MaxPool2d": "max pool",
    "BatchNorm2d": "batch norm",
    "BatchNorm1d": "batch norm",
    "Linear": "linear",
    "Flatten": "flatten",
}
ACTIVATIONS = {"ReLU", "Tanh", "Sigmoid", "GELU", "SiLU"}
MAIN = {"Conv2d": style.BLUE, "Linear": style.GREEN}
MOST_NEURONS = 12
UPRIGHT = 0.62  # a unit of y over a unit of x on paper, so that squares are square


class Layer(Protocol):
    """What this room needs to know of a layer; see `experiments.layers.Layer`."""

    @property
    def kind(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def parameters(self) -> int: ...


def blocks(layers: Sequence[Layer], input_name: str, input_shape: tuple[int, ...]) -> Figure:
    """Return the net from left to right: what each step puts out, and which layers make it.

    Args:
        layers: in calling order; a convolution or a linear layer opens a new block.
        input_name, input_shape: of one sample.
    """
    groups: list[list[Layer]] = [[]]
    for layer in layers:
        if layer.kind in MAIN:
            groups.append([])
        groups[-1].append(layer)
    total = sum(layer.parameters for layer in layers)
    made = style.figure(
        2.15 * len(groups) + 1.6, 4.8, f"{total:,} parameters in {len(groups) - 1} weighted layers"
    )
    axes = style.bare(made.subplots())
    axes.set_xlim(-0.75, len(groups) + 0.6)
    axes.set_ylim(-1.8, 1.3)
    shapes = [input_shape, *(group[-1].shape if group else input_shape for group in groups)]
    _volume(axes, 0, shapes[0], style.GREY, f"{input_name}\n{_times(shapes[0])}")
    for column, group in enumerate(groups, start=1):
        color = MAIN.get(group[0].kind, style.ORANGE) if group else style.ORANGE
        _volume(axes, column, shapes[column], color, _times(shapes[column]))
        axes.annotate(
            "",
            (column - 0.42, 0.1),
            (column - 0.62, 0.1),
            arrowprops={"arrowstyle": "-|>", "color": style.INK, "lw": 1.8},
        )
        _card(axes, column, group, color)
    return made


def neurons(sizes: Sequence[int], activations: Sequence[str], copies: str) -> Figure:
    """Return a fully connected net: every neuron, every connection, every activation.

    Args:
        sizes: neurons of each layer, the inputs first; a layer of more than 12 is abridged.
        activations: name of the activation of each layer after the inputs.
        copies: a line that says how many such nets there are.
    """
    total = sum((a + 1) * b for a, b in pairwise(sizes))
    made = style.figure(8, 5, f"One network: {total} parameters{copies}")
    axes = style.bare(made.subplots())
    shown = [
        np.linspace(1, -1, n) if n > 1 else np.zeros(1) for n in np.minimum(sizes, MOST_NEURONS)
    ]
    for column, (left, right) in enumerate(pairwise(shown)):
        for a in left:
            for b in right:
                axes.plot((column, column + 1), (a, b), color=style.GREY, linewidth=1, zorder=1)
    for column, (places, size) in enumerate(zip(shown, sizes, strict=True)):
        kind = activations[column - 1] if column else "0 to 1"
        color = (style.GREY, style.BLUE, style.VERMILION)[min(column, 2)] if column else style.GREY
        axes.scatter([column] * len(places), places, s=620, color=color, zorder=2)
        for place in places:
            _glyph(axes, column, place, kind)
        more = f" ({len(places)} shown)" if size > len(places) else ""
        role = "inputs" if not column else "output" if column == len(sizes) - 1 else "hidden units"
        axes.text(column, -1.3, f"{size} {role}{more}\n{kind}", ha="center", va="top", fontsize=13)
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.set_ylim(-1.85, 1.3)
    return made


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _volume(axes: Axes, column: float, shape: tuple[int, ...], color: str, caption: str) -> None:
    """Draw the output as a slab: side by its pixels, depth by its channels."""
    *channels, height, width = (1, *shape) if len(shape) == 2 else shape if shape[1:] else (1, 1, 1)
    if len(shape) == 1:
        tall, wide, deep = min(1.0, 0.12 + shape[0] / 160), 0.07, 0.0
    else:
        tall, wide = 0.9 * height / 28 + 0.1, (0.9 * width / 28 + 0.1) * UPRIGHT
        deep = 0.03 * np.log2(channels[0]) if channels else 0.0
    left, low = column - wide / 2, 0.1 - tall / 2
    up = deep * 1.5
    axes.add_patch(
        Polygon(
            [
                (left, low + tall),
                (left + deep, low + tall + up),
                (left + wide + deep, low + tall + up),
                (left + wide + deep, low + up),
                (left + wide, low),
                (left + wide, low + tall),
            ],
            facecolor=color,
            alpha=0.35,
            edgecolor=style.INK,
        )
    )
    axes.add_patch(Rectangle((left, low), wide, tall, facecolor=color, edgecolor=style.INK))
    axes.text(column, 0.92, caption, ha="center", va="bottom", fontsize=11)


def _card(axes: Axes, column: float, group: Sequence[Layer], color: str) -> None:
    lines = []
    for layer in group:
        name = (
            f"⟨ {layer.kind} ⟩"
            if layer.kind in ACTIVATIONS
            else READABLE.get(layer.kind, layer.kind)
        )
        lines.append(f"{name} {layer.detail}".strip())
    parameters = sum(layer.parameters for layer in group)
    lines.append(f"{parameters:,} parameters" if parameters else "nothing learned")
    axes.text(
        column,
        -0.75,
        "\n".join(lines),
        ha="center",
        va="top",
        fontsize=10.5,
        linespacing=1.4,
        bbox={"boxstyle": "round,pad=0.5", "facecolor": style.PAPER, "edgecolor": color, "lw": 2},
    )


def _glyph(axes: Axes, x: float, y: float, kind: str) -> None:
    """Draw the activation function's curve inside its neuron."""
    line = np.linspace(-3, 3, 41)
    curves = {"tanh": np.tanh(line), "sigmoid": 2 / (1 + np.exp(-line)) - 1}
    curves["relu"] = np.maximum(line, 0) / 1.5 - 1
    if kind in curves:
        axes.plot(
            x + line * 0.02, y + curves[kind] * 0.055, color=style.PAPER, linewidth=2, zorder=3
        )

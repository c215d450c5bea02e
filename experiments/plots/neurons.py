"""A fully connected net: every neuron, every connection, every activation function."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from experiments.plots import style

CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
    "silu": lambda x: x / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
MOST_NEURONS = 12
GAP = 3.4  # from one layer to the next, in inches


def neurons(sizes: Sequence[int], activations: Sequence[str], copies: str) -> Figure:
    """Return a fully connected net: every neuron, every connection, every activation.

    Args:
        sizes: neurons of each layer, the inputs first; a layer of more than 12 is abridged.
        activations: name of the activation of each layer after the inputs.
        copies: a line that says how many such nets there are.
    """
    total, macs = (
        sum((a + 1) * b for a, b in pairwise(sizes)),
        sum(a * b for a, b in pairwise(sizes)),
    )
    height = max(3.0, 0.62 * min(max(sizes), MOST_NEURONS))
    made = style.figure(
        max(8.0, GAP * len(sizes) - 1.2),
        height + 2.2,
        f"One network: {total:,} parameters, {macs:,} multiply-adds{copies}",
    )
    axes = style.bare(made.subplots())
    places = [_spread(size, height) for size in sizes]
    for column, (left, right) in enumerate(pairwise(places)):
        for a in left:
            for b in right:
                ends = ((column * GAP, (column + 1) * GAP), (a, b))
                axes.plot(*ends, color=style.GREY, linewidth=1, zorder=1)
    for column, where in enumerate(places):
        kind = activations[column - 1] if column else ""
        _neurons(axes, column, where, sizes, kind)
        _foot(axes, (column * GAP, -height / 2 - 0.4), sizes, column, len(where), kind)
    axes.set(xlim=(-1.4, GAP * (len(sizes) - 1) + 1.4), aspect="equal")
    axes.set_ylim(-height / 2 - 1.25, height / 2 + 0.1)
    return made


def glyph(axes: Axes, x: float, y: float, size: float, kind: str, color: str) -> None:
    """Draw the activation function from -3 to 3 around a place, `size` to each side."""
    if (curve := CURVES.get(kind.lower())) is None:
        return
    line = np.linspace(-3, 3, 41)
    value = curve(line)
    middle, reach = (value.max() + value.min()) / 2, np.ptp(value) / 2
    axes.plot(
        x + size * line / 3,
        y + 0.5 * size * (value - middle) / reach,
        color=color,
        linewidth=1.8,
        zorder=3,
    )


def _neurons(axes: Axes, column: int, where: np.ndarray, sizes: Sequence[int], kind: str) -> None:
    """Draw a layer: the activation function in each neuron, a letter in each input."""
    x, last = column * GAP, column == len(sizes) - 1
    color = style.VERMILION if last else style.BLUE if column else style.GREY
    for index, y in enumerate(where):
        axes.add_patch(Circle((x, y), 0.26, color=color, zorder=2))
        if column:
            glyph(axes, x, y, 0.16, kind, style.PAPER)
        elif len(where) == sizes[0]:
            letter: dict[str, Any] = {"fontsize": 12, "color": style.PAPER, "zorder": 3}
            axes.text(x, y, chr(97 + index), ha="center", va="center", **letter)
    if sizes[column] > len(where):
        axes.text(x, 0, "⋮", ha="center", va="center", fontsize=20, color=style.INK)


def _spread(size: int, height: float) -> np.ndarray:
    """Return the places of a layer's neurons, with a gap in the middle if some are left out."""
    shown = min(size, MOST_NEURONS)
    reach = height / 2 - 0.26
    places = np.linspace(reach, -reach, shown + (size > shown)) if shown > 1 else np.zeros(1)
    return np.delete(places, shown // 2) if size > shown else places


def _foot(
    axes: Axes,
    place: tuple[float, float],
    sizes: Sequence[int],
    column: int,
    shown: int,
    kind: str,
) -> None:
    size, last = sizes[column], column == len(sizes) - 1
    role = "output" if last else "hidden unit" if column else "input"
    more = f" ({shown} shown)" if size > shown else ""
    learned = f"\n{(sizes[column - 1] + 1) * size:,} parameters" if column else ""
    text = f"{size} {role}{'s' * (size > 1)}{more}\n{kind or '0 to 1'}{learned}"
    axes.text(*place, text, ha="center", va="top", fontsize=12)

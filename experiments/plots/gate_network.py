"""One gate's network in full: every neuron, every weight, every bias."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.plots.gate_planes import strongest

CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0) / 1.5 - 1,
    "sigmoid": lambda z: 2 / (1 + np.exp(-z)) - 1,
}
MOST_LOOSE = 6  # inputs whose numbers have room
MOST_NUMBERS = 40  # weights of the first layer that are all written
GREATEST = 16  # of more weights: as many are written
THICKEST, CROWDED = 7.0, 24  # line width of the greatest weight in points; edges that are many


def network(label: str, weights: Mapping[str, np.ndarray], activation: str) -> Figure:
    """Return one network with its numbers; of more than 8 hidden units the 8 strongest.

    Of a first layer of many weights only the greatest have their numbers.

    Args:
        label: name of the gate.
        weights: weight1 [hidden, n], bias1 [hidden], weight2 [hidden], bias2 [].
        activation: name of the hidden units' activation function.
    """
    kept = strongest(weights["weight2"])
    weight1, bias1, weight2 = (weights[name][kept] for name in ("weight1", "bias1", "weight2"))
    hidden, inputs = weights["weight1"].shape
    made = style.figure(
        min(10.5, 8.5 + 0.55 * max(0, inputs - 2)),
        max(4.6, 1.6 + 0.72 * max(len(kept), inputs)),
        _finding(label, weights, len(kept)),
    )
    axes = style.bare(made.subplots())
    places = columns(inputs, len(kept))
    thickest = THICKEST if weight1.size <= CROWDED else THICKEST / 2
    last = 2.0 if inputs <= MOST_LOOSE else 1.5  # many inputs have many numbers: more room
    edges(axes, places, *looks(weight1, weight2, thickest), last)
    _numbers(axes, places, weight1, weight2, last)
    for i, y in enumerate(places[0]):
        _neuron(axes, 0, y, style.PAPER, chr(97 + i))
    for y, bias in zip(places[1], bias1, strict=True):
        _neuron(axes, 1, y, style.PAPER, _signed(bias, "+"), activation)
    _neuron(axes, last, 0.0, style.PAPER, _signed(float(weights["bias2"]), "+"), "sigmoid")
    some = f" ({len(kept)} shown)" if hidden > len(kept) else ""
    roles = (f"{inputs} inputs\n0 or 1", f"{hidden} hidden{some}\n{activation}", "output\nsigmoid")
    for column, role in zip((0, 1, last), roles, strict=True):
        axes.text(column, -1.34, role, ha="center", va="top", fontsize=11.5)
    axes.set_xlim(-0.2, last + 0.25)
    axes.set_ylim(-1.6, 1.15)
    few = f"\nof the first layer, the {GREATEST} greatest weights have their numbers"
    made.supxlabel(
        "vermilion, solid: adds; blue, dashed: subtracts; width: size of the weight; "
        "under a neuron: its bias" + few * (weight1.size > MOST_NUMBERS),
        fontsize=10,
        color=style.INK,
    )
    return made


def columns(inputs: int, hidden: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the heights of the neurons of each layer, from 1 down to -1."""
    heights = [np.linspace(1, -1, n) if n > 1 else np.zeros(1) for n in (inputs, hidden, 1)]
    return heights[0], heights[1], heights[2]


def looks(
    weight1: np.ndarray, weight2: np.ndarray, thickest: float, most: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the edges' widths in points and whether their weights are above 0, layer by layer.

    Args:
        weight1: float [hidden, n].
        weight2: float [hidden].
        thickest: width of a weight of size `most`; by default of the greatest there is.
    """
    flat = np.concatenate([weight1.ravel(), weight2])
    most = max(float(abs(flat).max()), 1e-9) if most is None else most
    return 0.4 + (thickest - 0.4) * abs(flat) / most, flat > 0


def edges(
    axes: Axes,
    places: tuple[np.ndarray, np.ndarray, np.ndarray],
    widths: np.ndarray,
    adds: np.ndarray,
    last: float = 2.0,
) -> LineCollection:
    """Draw all connections: those into hidden unit 0 first, then 1, ...; then to the output.

    The inputs stand at 0, the hidden units at 1, the output at `last`.
    """
    first, hidden, output = places
    ends: list[tuple[Any, ...]] = [
        (0, first[i], 1, hidden[j]) for j, i in np.ndindex(len(hidden), len(first))
    ]
    ends += [(1, y, last, output[0]) for y in hidden]
    lines = list(np.array(ends, float).reshape(-1, 2, 2))
    drawn = LineCollection(lines, linewidths=widths, zorder=1)
    drawn.set(color=colors(adds), linestyle=["-" if add else (0, (3, 1)) for add in adds])
    axes.add_collection(drawn)
    return drawn


def colors(adds: np.ndarray) -> list[str]:
    """Return an edge's colour for each weight that is, or is not, above 0."""
    return [style.VERMILION if add else style.BLUE for add in adds]


def _numbers(
    axes: Axes,
    places: tuple[np.ndarray, np.ndarray, np.ndarray],
    weight1: np.ndarray,
    weight2: np.ndarray,
    last: float,
) -> None:
    """Write each weight on its line; those of one input stand in one column, clear of others."""
    inputs, hidden = len(places[0]), len(places[1])
    first = 0.5 if inputs == 1 else 0.38 if inputs < 4 else 0.26 if inputs <= MOST_LOOSE else 0.2
    along = np.linspace(first, 0.82 if inputs <= MOST_LOOSE else 0.89, inputs)
    sizes = np.sort(abs(weight1), axis=None)
    least = sizes[-GREATEST] if weight1.size > MOST_NUMBERS else 0.0
    for j, i in np.argwhere(abs(weight1) >= least):
        _number(axes, along[i], along[i], places[0][i], places[1][j], weight1[j, i])
    for j in range(hidden):
        _number(axes, 1 + 0.42 * (last - 1), 0.42, places[1][j], 0.0, weight2[j])


def _number(axes: Axes, x: Any, t: Any, start: Any, end: Any, value: Any) -> None:
    axes.text(
        x,
        start + t * (end - start),
        _signed(value),
        ha="center",
        va="center",
        fontsize=9.5,
        color=style.VERMILION if value > 0 else style.BLUE,
        fontweight="bold",
        bbox={"boxstyle": "round,pad=0.12", "facecolor": style.PAPER, "lw": 0, "alpha": 0.92},
        zorder=2,
    )


def _signed(value: float, plus: str = "") -> str:
    return f"{value:{plus}.2f}".replace("-", "\N{MINUS SIGN}")


def _neuron(axes: Axes, x: float, y: float, color: str, text: str, kind: str = "") -> None:
    """Draw a neuron; with a `kind` its activation's curve is inside and the text beneath."""
    axes.scatter(x, y, s=640, color=color, edgecolors=style.INK, linewidths=1.4, zorder=3)
    if kind not in CURVES:
        axes.text(x, y, text, ha="center", va="center", fontsize=12, zorder=4)
        return
    z = np.linspace(-3, 3, 41)
    inside = np.stack([z / 3, CURVES[kind](z)], 1) * 8  # points of the page
    axes.annotate(
        text,
        (x, y),
        (0, -15),
        textcoords="offset points",
        ha="center",
        va="top",
        fontsize=9.5,
        bbox={"boxstyle": "round,pad=0.1", "facecolor": style.PAPER, "lw": 0, "alpha": 0.92},
        zorder=4,
    )
    axes.scatter(x, y, s=(16.0) ** 2, marker=_stroke(inside), color=style.INK, zorder=4)


def _stroke(points: np.ndarray) -> np.ndarray:
    """Return a curve as a marker: there and back, a little lower, so that it has a body."""
    thick = np.array([0.0, 1.3])
    return np.concatenate([points + thick / 2, (points - thick / 2)[::-1]])


def _finding(label: str, weights: Mapping[str, np.ndarray], shown: int) -> str:
    count = sum(np.size(value) for value in weights.values())
    hidden = len(weights["weight2"])
    most = max(float(abs(weights[name]).max()) for name in ("weight1", "weight2"))
    some = f"; {shown} of {hidden} hidden units" if hidden > shown else ""
    return f"{label}: {count} parameters, greatest weight {most:.1f}{some}"

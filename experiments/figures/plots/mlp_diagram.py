"""Networks of one hidden layer as diagrams: neurons, connections, weights."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.path import Path

from experiments.core.stats import sigmoid
from experiments.evaluation.arrays import Array, Real
from experiments.figures.analysis.gate_slices import letter
from experiments.figures.analysis.gates import Weights, take
from experiments.figures.plots import style

CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": sigmoid,
}
MAX_UNITS = 8  # hidden units in a diagram
MAX_NUMBERS = 16  # weights of the first layer with their numbers
MAX_WIDTH = 6.0  # line width of the largest weight, in points
COLUMNS = 4
SIGNS = "vermilion, solid: positive weight; blue, dashed: negative; width: size of the weight"


def strongest(weight2: Float[Array, " hidden"]) -> Int[Array, " units"]:
    """Return the 8 hidden units of largest output weight, the most positive first."""
    largest = np.argsort(-abs(weight2), kind="stable")[:MAX_UNITS]
    return largest[np.argsort(-weight2[largest], kind="stable")]


def architecture(inputs: int, hidden: int, activation: str, gates: int) -> Figure:
    """Return the network of a gate, without its weights: what is connected, and how large it is.

    Args:
        inputs, hidden: how many there are.
        activation: of the hidden units.
        gates: how many such networks there are.
    """
    parameters, macs = hidden * (inputs + 2) + 1, hidden * (inputs + 1)
    per_gate = f" for each of {gates} gates" if gates > 1 else ""
    title = f"{parameters:,} parameters, {macs:,} multiply-adds{per_gate}"
    empty = {"weight1": np.zeros((hidden, inputs)), "weight2": np.zeros(hidden)}
    fig, _, edges = _diagram(empty, activation, title)
    edges.set(color=style.GREY, linewidth=1, linestyle="-")
    return fig


def weights(label: str, weights: Weights, activation: str) -> Figure:
    """Return the network of one gate with its weights and biases, its strongest hidden units.

    Args:
        label: name of the gate.
        weights: weight1 [hidden, n], bias1 [hidden], weight2 [hidden], bias2 [].
        activation: of the hidden units.
    """
    units = strongest(weights["weight2"])
    weight1, bias1, weight2 = (weights[name][units] for name in ("weight1", "bias1", "weight2"))
    largest = max(abs(weights["weight1"]).max(), abs(weights["weight2"]).max())
    fig, axes, _ = _diagram(weights, activation, f"{label}: largest weight {largest:.1f}")
    # The numbers of an input's weights stand in one column, clear of those of other inputs.
    inputs = weight1.shape[1]
    along = np.linspace(0.32, 0.78, inputs) if inputs > 1 else np.array([0.5])
    left, middle = heights(inputs), heights(len(units))
    least = np.sort(abs(weight1), axis=None)[-MAX_NUMBERS:][0]
    for j, i in np.argwhere(abs(weight1) >= least):
        _number(axes, along[i], left[i] + along[i] * (middle[j] - left[i]), weight1[j, i])
    for y, weight in zip(middle, weight2, strict=True):
        _number(axes, 1.42, 0.58 * y, weight)
    spots = [*((1, y) for y in middle), (2, 0.0)]
    below: style.Look = {
        "xytext": (0, -15),
        "textcoords": "offset points",
        "ha": "center",
        "va": "top",
    }
    for spot, bias in zip(spots, [*bias1, float(weights["bias2"])], strict=True):
        axes.annotate(style.decimal(bias, 2), spot, fontsize=9.5, zorder=4, **below)
    caption = f"{SIGNS}; under a neuron: its bias"
    if weight1.size > MAX_NUMBERS:
        caption += f"\nnumbers: the {MAX_NUMBERS} largest weights of the first layer"
    style.note(fig, caption)
    return fig


def all_weights(labels: Sequence[str], weights: Weights, activation: str) -> Figure:
    """Return the networks of all gates side by side.

    Args:
        labels: names of the gates.
        weights: of networks of shape (gates,).
        activation: of the hidden units.
    """
    by_input = np.abs(weights["weight1"]).max(1)  # the largest weight of each input: [gates, n]
    ignoring = int((by_input.min(1) < 0.1 * by_input.max(1)).sum())
    largest = np.maximum(by_input.max(1), np.abs(weights["weight2"]).max(1))
    title = f"Largest weight {largest.max():.1f} ({labels[int(largest.argmax())]}); "
    title += f"{ignoring} of {len(labels)} gates ignore an input"
    rows = math.ceil(len(labels) / COLUMNS)
    fig = style.figure(9.5, 1.6 + 1.9 * rows, title)
    panels = fig.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in panels:
        style.bare(axes)
    for gate, label in enumerate(labels):
        one = take(weights, gate)
        style.bare(panels[gate], label)
        draw_network(panels[gate], one, strongest(one["weight2"]), size=160, width=3.0)
    style.note(
        fig,
        f"{SIGNS}, each network on its own scale\n"
        f"inputs, hidden units ({activation}), output (sigmoid); colour of a neuron: its bias",
    )
    return fig


def draw_network(
    axes: Axes,
    weights: Weights,
    units: Int[Array, " units"],
    *,
    size: float,
    width: float = MAX_WIDTH,
    max_weight: float | None = None,
    max_bias: float | None = None,
    activation: str = "",
) -> LineCollection:
    """Draw inputs, hidden units and output; return the connections between them.

    Args:
        weights: weight1 [hidden, n], weight2 [hidden]; with bias1 [hidden] and bias2 [] the
            neurons have the colours of their biases.
        units: the hidden units that are drawn, from above.
        size: of a neuron, in points squared.
        width: of the line of a weight of size `max_weight`; by default the largest of these.
        max_bias: the bias of the strongest colour; by default the largest of these.
        activation: draws its curve in the neurons.
    """
    weight1, weight2 = weights["weight1"][units], weights["weight2"][units]
    inputs = weight1.shape[1]
    left, middle = heights(inputs), heights(len(units))
    # 1. Connections: those into the first hidden unit, the second, ...; then to the output.
    lines = [np.array([(0, left[i]), (1, middle[j])]) for j, i in np.ndindex(weight1.shape)]
    lines += [np.array([(1, y), (2, 0)]) for y in middle]
    flat = np.concatenate([weight1.ravel(), weight2])
    max_weight = max_weight or max(float(abs(flat).max()), 1e-9)
    edges = LineCollection(
        lines,
        linewidths=0.4 + (width - 0.4) * abs(flat) / max_weight,
        colors=[style.VERMILION if weight > 0 else style.BLUE for weight in flat],
        linestyles=["-" if weight > 0 else (0, (3, 1)) for weight in flat],
        zorder=1,
    )
    axes.add_collection(edges)
    # 2. Neurons, the inputs first.
    colors: list[style.Color] = [style.PAPER] * (inputs + len(units) + 1)
    if "bias1" in weights:
        biases = np.append(weights["bias1"][units], weights["bias2"])
        max_bias = max_bias or max(float(abs(biases).max()), 1e-9)
        colors[inputs:] = style.DIVERGING(0.5 + biases / max_bias / 2)
    x = [0] * inputs + [1] * len(units) + [2]
    y = np.concatenate([left, middle, [0.0]])
    axes.scatter(x, y, size, color=colors, edgecolors=style.INK, zorder=3)
    # 3. Letters of the inputs, curves of the activations.
    side = math.sqrt(size)
    for i, height in enumerate(left):
        text = axes.text(0, height, letter(i), ha="center", va="center", zorder=4)
        text.set_fontsize(max(8, 0.5 * side))
    if activation:
        for kind, column, rows in ((activation, 1, middle), ("sigmoid", 2, np.zeros(1))):
            line = np.linspace(-3, 3, 41)
            value = CURVES[kind](line)
            curve = Path(np.stack([line, 3 * (value - value.mean()) / np.ptp(value)], 1))
            look: style.Look = {"mfc": "none", "mec": style.INK, "mew": 1.6, "lw": 0, "zorder": 4}
            axes.plot([column] * len(rows), rows, marker=curve, ms=0.6 * side, **look)
    axes.set(xlim=(-0.3, 2.3), ylim=(-1.3, 1.3))
    return edges


def heights(count: int) -> Float[Array, " count"]:
    """Return the heights of a layer's neurons, from 1 down to -1; one alone is at 0."""
    return np.linspace(1, -1, count) if count > 1 else np.zeros(1)


def _diagram(weights: Weights, activation: str, title: str) -> tuple[Figure, Axes, LineCollection]:
    """Return a figure of a network with the names of its layers, its axes and connections."""
    hidden, inputs = weights["weight1"].shape
    units = strongest(weights["weight2"])
    fig = style.figure(8.5, max(4.0, 1.6 + 0.65 * max(len(units), inputs)), title)
    axes = style.bare(fig.subplots())
    without_biases = {name: weights[name] for name in ("weight1", "weight2")}
    edges = draw_network(axes, without_biases, units, size=600, activation=activation)
    some = f" ({len(units)} shown)" if hidden > len(units) else ""
    layers = (
        f"{inputs} inputs\n0 or 1",
        f"{hidden} hidden units{some}\n{activation}, {hidden * (inputs + 1):,} parameters",
        f"output\nsigmoid, {hidden + 1:,} parameters",
    )
    for x, text in enumerate(layers):
        axes.text(x, -1.36, text, ha="center", va="top", fontsize=11)
    axes.set(xlim=(-0.3, 2.4), ylim=(-1.6, 1.2))
    return fig, axes, edges


def _number(axes: Axes, x: float, y: float, value: Real) -> None:
    color = style.VERMILION if value > 0 else style.BLUE
    box: style.Look = {
        "boxstyle": "round,pad=0.1",
        "facecolor": style.PAPER,
        "lw": 0,
        "alpha": 0.92,
    }
    look: style.Look = {"fontsize": 9.5, "fontweight": "bold", "color": color, "bbox": box}
    axes.text(x, y, style.decimal(value, 2), ha="center", va="center", zorder=2, **look)

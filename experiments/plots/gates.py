"""What gate networks compute: their tables, their surfaces, their weights."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import gate_planes, style

MOST_NUMBERED = 4  # hidden units, and gates, whose weights are written beside their lines
MOST_NAMED = 6  # gates that a title names
IGNORED = 0.1  # of the largest weight of any input: below it an input counts for nothing
MOST_ROWS = 32  # of a truth table that is written out; a longer one shows colours alone
GRID_SIDE, LOW, HIGH = 81, -0.25, 1.25  # of a decision surface, in units of the inputs


def grid() -> np.ndarray:
    """Return the points of a decision surface: float32 [GRID_SIDE^2, 2], second input fastest."""
    line = np.linspace(LOW, HIGH, GRID_SIDE, dtype=np.float32)
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


def truth_tables(labels: Sequence[str], x: np.ndarray, y: np.ndarray, logits: np.ndarray) -> Figure:
    """Return every gate's probabilities of a 1, row by row, with the wrong ones marked.

    Args:
        labels: names of the gates.
        x: float [2^n, n] of 0 and 1.
        y: float [2^n, gates] of 0 and 1, the true outputs.
        logits: float [2^n, gates].
    """
    probability = 1 / (1 + np.exp(-logits))
    wrong = (logits > 0) != (y > 0.5)
    solved = int((~wrong.any(0)).sum())
    rows, gates = y.shape
    made = style.figure(
        min(11.0, max(5.0, 1.8 + 0.58 * gates)),
        2.4 + 0.42 * min(rows, MOST_ROWS),
        f"{solved} of {gates} gates solved" if gates > 1 else _verdict(labels[0], wrong),
    )
    axes = made.subplots()
    image = axes.imshow(probability, cmap=style.DIVERGING, vmin=0, vmax=1, aspect="auto")
    if rows <= MOST_ROWS:
        axes.set_yticks(range(rows), ["".join(str(int(v)) for v in row) for row in x])
        for row, gate in np.ndindex(rows, gates):
            sure = abs(probability[row, gate] - 0.5) > 0.3
            axes.text(
                gate,
                row,
                f"{probability[row, gate]:.2f}" + (" ✗" if wrong[row, gate] else ""),
                ha="center",
                va="center",
                fontsize=10,
                color=style.PAPER if sure else style.INK,
            )
    axes.set_xticks(range(gates), labels, rotation=45, ha="right")
    style.tidy(axes, "", "gate", "inputs, first input first")
    made.colorbar(image, ax=axes, label="probability of a 1")
    return made


def surfaces(labels: Sequence[str], y: np.ndarray, probability: np.ndarray) -> Figure:
    """Return the decision surface of each gate of two inputs, with its four corners.

    Args:
        labels: names of the gates.
        y: float [4, gates], the true outputs for the rows 00, 01, 10, 11.
        probability: float [GRID_SIDE^2, gates] at the points of `grid`.
    """
    corners = np.searchsorted(np.linspace(LOW, HIGH, GRID_SIDE), [0, 1])
    at = probability.reshape(GRID_SIDE, GRID_SIDE, -1)[np.ix_(corners, corners)]
    right = int((((at > 0.5) == (y > 0.5).reshape(2, 2, -1)).all((0, 1))).sum())
    square = probability.reshape(GRID_SIDE, GRID_SIDE, -1)
    more = [label for gate, label in enumerate(labels) if _lines(square[..., gate]) > 1]
    title = f"{right} of {len(labels)} gates right at all corners" + _line_finding(more)
    made = style.figure(*_size(len(labels), 2.25), title)
    image, columns = None, min(4, len(labels))
    for axes, gate, label in _panels(made, labels):
        surface = probability[:, gate].reshape(GRID_SIDE, GRID_SIDE).T  # first input to the right
        extent = (LOW, HIGH, LOW, HIGH)
        image = axes.imshow(
            surface, origin="lower", extent=extent, cmap=style.DIVERGING, vmin=0, vmax=1
        )
        if surface.min() < 0.5 < surface.max():
            axes.contour(
                surface, [0.5], origin="lower", extent=extent, colors=style.INK, linewidths=2
            )
        for row in range(4):
            marker, color = gate_planes.LOOKS[bool(y[row, gate] > 0.5)]
            axes.plot(
                row // 2,
                row % 2,
                marker=marker,
                markersize=9,
                markerfacecolor=color,
                markeredgecolor=style.PAPER,
                markeredgewidth=1.5,
            )
        left, lowest = gate % columns == 0, gate + columns >= len(labels)
        style.tidy(axes, label, "input a" * lowest, "input b" * left)
        axes.set_xticks([0, 1], ["0", "1"] if lowest else ["", ""])
        axes.set_yticks([0, 1], ["0", "1"] if left else ["", ""])
    caption = gate_planes.CAPTION if columns > 2 else gate_planes.CAPTION.replace("; ", "\n")
    made.supxlabel(caption, fontsize=10, color=style.INK)
    if image is not None:
        made.colorbar(image, ax=made.axes, label="probability of a 1", shrink=0.6)
    return made


def _lines(surface: np.ndarray) -> int:
    """Return how many lines of probability 0.5 cross the square: each enters and leaves it.

    Counted along the square's edge, so that a loop within it is not.
    """
    sides = (surface[0, :-1], surface[:-1, -1], surface[-1, :0:-1], surface[:0:-1, 0])
    edge = np.concatenate(sides) > 0.5
    return int((edge != np.roll(edge, 1)).sum()) // 2


def _line_finding(more: Sequence[str]) -> str:
    """Return which gates, if any, have more than one line, in words."""
    if not more:
        return "; none with more than one line"
    if len(more) > MOST_NAMED:
        return f"; {len(more)} of them use two lines"
    return f"; {listed(more)} {'uses' if len(more) == 1 else 'use'} two lines"


def listed(names: Sequence[str]) -> str:
    """Return names as in a sentence: "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def networks(labels: Sequence[str], weights: Mapping[str, np.ndarray], activation: str) -> Figure:
    """Return each gate's network: a line's width is the weight's size, its colour the sign.

    Hidden units of two inputs stand in the order of the angle of their weights, so that gates
    with mirrored weights look mirrored.

    Args:
        labels: names of the gates.
        weights: weight1 [gates, hidden, n], bias1 [gates, hidden], weight2 [gates, hidden],
            bias2 [gates].
        activation: name of the hidden units' activation function.
    """
    made = style.figure(*_size(len(labels), 2.25), _weight_finding(labels, weights))
    for axes, gate, label in _panels(made, labels):
        first, second = weights["weight1"][gate], weights["weight2"][gate]
        hidden, inputs = first.shape
        order = np.argsort(np.arctan2(*first.T[::-1])) if inputs == 2 else np.arange(hidden)
        first, second, biases = first[order], second[order], weights["bias1"][gate][order]
        columns = (_column(inputs), _column(hidden), np.zeros(1))
        for to, origin in np.ndindex(hidden, inputs):
            _edge(axes, 0, columns[0][origin], columns[1][to], first[to, origin], abs(first).max())
        for origin in range(hidden):
            _edge(axes, 1, columns[1][origin], 0.0, second[origin], abs(second).max())
        nodes = (
            [(0, place, chr(97 + i), 0.0) for i, place in enumerate(columns[0])]
            + [(1, place, "", biases[i]) for i, place in enumerate(columns[1])]
            + [(2, 0.0, "", weights["bias2"][gate])]
        )
        for column, place, name, bias in nodes:
            color = style.PAPER if column == 0 else style.VERMILION if bias > 0 else style.BLUE
            axes.scatter(column, place, s=190, color=color, edgecolors=style.INK, zorder=3)
            axes.text(column, place, name, ha="center", va="center", fontsize=10, zorder=4)
        if max(hidden, len(labels)) <= MOST_NUMBERED and inputs <= 2:
            _weights(axes, columns, first, second)
        style.bare(axes, label)
        axes.set_xlim(-0.3, 2.3)
        axes.set_ylim(-1.3, 1.3)
        for part in (*axes.texts, *axes.lines, *axes.collections):
            part.set_in_layout(False)  # all within the axes: nothing that takes room beside them
    made.supxlabel(
        f"left: inputs; middle: hidden units ({activation}); right: output (sigmoid)\n"
        "vermilion, solid: adds; blue, dashed: subtracts; a neuron's colour: the sign of its bias\n"
        "width: size of the weight, each network on a scale of its own",
        fontsize=10,
        color=style.INK,
    )
    return made


def _weight_finding(labels: Sequence[str], weights: Mapping[str, np.ndarray]) -> str:
    """Return the title: which gates leave an input out, and the network of the largest weight."""
    sizes = np.abs(weights["weight1"]).max(1)  # of each input: [gates, n]
    least = sizes.min(1) < IGNORED * sizes.max(1)
    deaf = [label for label, ignored in zip(labels, least, strict=True) if ignored]
    largest = np.maximum(sizes.max(1), np.abs(weights["weight2"]).max(1))
    most = f"{labels[int(largest.argmax())]} has the largest weight, {largest.max():.1f}"
    if not deaf:
        return most
    names = listed(deaf) if len(deaf) <= MOST_NAMED else f"{len(deaf)} of {len(labels)} gates"
    return f"{names} all but ignore{'s' * (len(deaf) == 1)} an input; {most}"


def _verdict(label: str, wrong: np.ndarray) -> str:
    return f"{label}: {int((~wrong).sum())} of {wrong.size} rows right"


def _size(count: int, panel: float) -> tuple[float, float]:
    columns = min(4, count)
    return max(5.5, panel * columns + 1), max(4.2, panel * math.ceil(count / columns) + 0.8)


def _panels(made: Figure, labels: Sequence[str]) -> Iterator[tuple[Axes, int, str]]:
    columns = min(4, len(labels))
    panels = made.subplots(math.ceil(len(labels) / columns), columns, squeeze=False).ravel()
    for unused in panels[len(labels) :]:
        unused.set_visible(False)
    for gate, label in enumerate(labels):
        yield panels[gate], gate, label


def _column(count: int) -> np.ndarray:
    return np.linspace(1, -1, count) if count > 1 else np.zeros(1)


def _weights(
    axes: Axes, columns: Sequence[np.ndarray], first: np.ndarray, second: np.ndarray
) -> None:
    """Write each weight on its line; those of one input stand in one column, clear of others."""
    hidden, inputs = first.shape
    along = np.linspace(0.36, 0.74, inputs) if inputs > 1 else np.array([0.5])
    spots: list[tuple[Any, ...]] = [
        (along[i], columns[0][i], columns[1][j], 0, first[j, i])
        for j, i in np.ndindex(hidden, inputs)
    ]
    spots += [(0.36, columns[1][j], 0.0, 1, second[j]) for j in range(hidden)]
    for t, start, end, column, weight in spots:
        axes.text(
            column + t,
            start + t * (end - start),
            f"{round(float(weight), 1) + 0.0:.1f}".replace("-", "\N{MINUS SIGN}"),
            ha="center",
            va="center",
            fontsize=9.5,
            bbox={"boxstyle": "round,pad=0.05", "facecolor": style.PAPER, "lw": 0, "alpha": 0.9},
            zorder=2,
        )


def _edge(axes: Axes, column: int, start: Any, end: Any, weight: Any, most: Any) -> None:
    axes.plot(
        (column, column + 1),
        (start, end),
        color=style.VERMILION if weight > 0 else style.BLUE,
        linestyle="-" if weight > 0 else (0, (3, 1)),
        linewidth=0.3 + 4 * abs(weight) / max(most, 1e-9),
        zorder=1,
    )

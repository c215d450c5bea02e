"""By how much gate networks are right: their margins, and cuts through their inputs."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.plots import gate_planes, style
from experiments.plots.gates import MOST_ROWS

REACH = 15.0  # nats of margin at which the colours end: a probability of 1 - 3e-7
GAP = (19, 10)  # points of a surface between slices, for their titles


def margins(labels: Sequence[str], x: np.ndarray, margin: np.ndarray) -> Figure:
    """Return by how much each row of each gate is right: a table, or dots if rows are many.

    Args:
        labels: names of the gates.
        x: float [rows, n] of 0 and 1.
        margin: float [rows, gates] in nats of log-odds; negative is wrong.
    """
    bits = ["".join(str(int(bit)) for bit in row) for row in x]
    title = _margin_finding(labels, bits, margin)
    return (_table if len(x) <= MOST_ROWS else _strips)(labels, bits, margin, title)


def slices(
    label: str,
    names: Sequence[str],
    target: np.ndarray,
    probability: np.ndarray,
    line: np.ndarray,
) -> Figure:
    """Return a gate's surface over pairs of its inputs, the others fixed; at most 15 panels.

    Args:
        label: name of the gate.
        names: of the slices: the input to the right, the input upwards, the fixed ones:
            "a, b | c=1, d=0".
        target: bool [slices, 4], true outputs at the corners 00, 01, 10, 11.
        probability: float [slices, S, S] of a 1, the second input by the first.
        line: float [S], values of each input.
    """
    count, side = len(names), len(line)
    columns = min(count, 3 if count <= 9 else 5)
    rows = math.ceil(count / columns)
    nearest = [int(np.abs(line - end).argmin()) for end in (0, 1)]
    corners = probability[:, nearest][:, :, nearest].transpose(0, 2, 1).reshape(count, 4)
    right = int(((corners > 0.5) == (target > 0.5)).sum())
    made = style.figure(
        max(5.0, 1.3 + (2.3 if columns < 4 else 1.9) * columns),
        1.2 + (3.4 if count == 1 else 2.55 if columns < 4 else 2.15) * rows,
        f"{label}: {right} of {4 * count} corners right on {count} slice{'s' * (count > 1)}",
    )
    axes = style.bare(made.subplots())
    full = np.full((rows * columns, side, side), np.nan)
    full[:count] = probability
    corner = np.zeros((rows * columns, 4), bool)
    corner[:count] = target > 0.5
    image = gate_planes.mosaic(
        axes,
        full.reshape(rows, columns, side, side),
        corner.reshape(rows, columns, 4),
        line,
        GAP,
    )
    for panel, name in enumerate(names):
        low, left = gate_planes.place(panel // columns, panel % columns, rows, side, GAP)
        _name_slice(axes, name, low, left, side)
    made.supxlabel(gate_planes.CAPTION.replace("; ", "\n"), fontsize=10, color=style.INK)
    made.colorbar(image, ax=axes, label="probability of a 1", pad=0.02, shrink=0.8)
    return made


def _name_slice(axes: Axes, name: str, low: int, left: int, side: int) -> None:
    pair, _, fixed = name.partition(" | ")
    first, second = pair.split(", ")
    middle: dict[str, Any] = {"ha": "center", "fontsize": 10}
    said = f"{first}, {second} | {fixed}" if fixed else f"{first}, {second}"
    axes.text(left + side / 2, low + side + 2, said, **middle, va="bottom")
    axes.text(left + side / 2, low - 2, f"{first} →", **middle, va="top")
    axes.text(left - 2.5, low + side / 2, f"{second} →", rotation=90, va="center", **middle)


def _margin_finding(labels: Sequence[str], bits: Sequence[str], margin: np.ndarray) -> str:
    row, gate = (int(place) for place in np.unravel_index(margin.argmin(), margin.shape))
    wrong = int((margin <= 0).sum())
    closest = f"{labels[gate]} at {bits[row]}, {_signed(margin[row, gate])} nats"
    if wrong:
        return f"{wrong} of {margin.size} rows wrong; the worst is {closest}"
    return f"All {margin.size} rows right; the closest call is {closest}"


def _table(labels: Sequence[str], bits: Sequence[str], margin: np.ndarray, title: str) -> Figure:
    rows, gates = margin.shape
    made = style.figure(
        min(11.0, max(7.6, 2.2 + 0.6 * gates)), 2.6 + 0.4 * min(rows, MOST_ROWS), title
    )
    axes = made.subplots()
    low, high = float(margin.min()), float(margin.max())
    if low > 0:  # nothing is wrong: no need for a colour of its own for that
        words = f"margin (nats of log-odds)\n{low:.1f} to {high:.1f}"
        image = axes.imshow(margin, cmap="viridis", vmin=low, vmax=high, aspect="auto")
    else:
        words = f"margin (nats of log-odds)\n\N{PLUS-MINUS SIGN}{REACH:.0f} and beyond"
        colors = style.DIVERGING.reversed()
        image = axes.imshow(margin, cmap=colors, vmin=-REACH, vmax=REACH, aspect="auto")
    least = margin.argmin(0)
    for row, gate in np.ndindex(rows, gates):
        value = margin[row, gate]
        axes.text(
            gate,
            row,
            _signed(value) + ("\n✗" if value < -9.95 else " ✗" * bool(value <= 0)),
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold" if least[gate] == row else "normal",
            color=_readable(image.to_rgba(value)),
        )
    for gate, row in enumerate(least):
        spot = (gate - 0.46, row - 0.45)
        axes.add_patch(Rectangle(spot, 0.92, 0.9, fill=False, edgecolor=style.INK, lw=2.2))
    axes.set_xticks(range(gates), labels, rotation=35 if gates > 4 else 0)
    for tick in axes.get_xticklabels() if gates > 4 else ():
        tick.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(rows), bits)
    style.tidy(axes, "framed: the gate's smallest margin", "gate", "row, first input first")
    made.colorbar(image, ax=axes, extend="neither" if low > 0 else "both", pad=0.02, label=words)
    return made


def _strips(labels: Sequence[str], bits: Sequence[str], margin: np.ndarray, title: str) -> Figure:
    rows, gates = margin.shape
    made = style.figure(9.5, 2.4 + 0.75 * gates, title)
    axes = made.subplots()
    jitter = (np.arange(rows) * 0.618034) % 1 * 0.5 - 0.25  # even, and the same each time
    for gate in range(gates):
        mine, wrong = margin[:, gate], margin[:, gate] <= 0
        spread, size = gate + jitter, 26 if rows <= 256 else 10
        axes.scatter(mine[~wrong], spread[~wrong], size, color=style.BLUE, alpha=0.6, lw=0)
        axes.scatter(mine[wrong], spread[wrong], 50, color=style.VERMILION, marker="x")
        least = int(mine.argmin())
        axes.scatter(mine[least], spread[least], 150, facecolors="none", edgecolors=style.INK)
        said = f"{int((~wrong).sum())} of {rows} right"
        axes.text(1.01, gate, said, transform=axes.get_yaxis_transform(), va="center", fontsize=10)
    axes.axvline(0, color=style.INK, lw=2)
    axes.set_yticks(range(gates), labels)
    axes.set_ylim(gates - 0.5, -0.5)
    style.tidy(
        axes,
        "a dot a row; ✗ wrong, ring: the smallest margin",
        "margin (nats of log-odds; left of the line is wrong)",
        "gate",
    )
    return made


def _readable(ground: Any) -> str:
    return max((style.INK, style.PAPER), key=lambda ink: style.contrast(ink, ground))


def _signed(value: Any) -> str:
    return f"{value:.1f}".replace("-", "\N{MINUS SIGN}")

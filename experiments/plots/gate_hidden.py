"""What the hidden layer makes of the truth table: rows that no line parts, parted by one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import gate_planes, style
from experiments.plots.gates import listed

MOST_NAMED = 8  # rows whose bits are written beside their dots


def hidden_space(
    labels: Sequence[str],
    x: np.ndarray,
    y: np.ndarray,
    distance: np.ndarray,
    rest: np.ndarray,
    share: np.ndarray,
    parted: Sequence[bool],
) -> Figure:
    """Return where the hidden layer puts the rows of each gate, below their places in the input.

    Args:
        labels: of at most 4 gates.
        x: float [rows, n] of 0 and 1, in counting order.
        y: float [rows, gates] of 0 and 1.
        distance: float [rows, gates], signed, to the output's boundary, in units of activations.
        rest: float [rows, gates], along the first principal component of what is left.
        share: float [gates], of the variance that is left, what `rest` shows, 0 to 1.
        parted: for each gate, whether one line (or plane) parts its rows in the input space.
    """
    right = (distance > 0) == (y > 0.5)
    there = right.all(0)
    gates, plane = len(labels), {1: "point", 2: "line"}.get(x.shape[1], "plane")
    size = (9.6, 4.9) if gates == 1 else (0.8 + 2.3 * gates, 6.6)
    made = style.figure(*size, _space_finding(labels, right, parted, plane))
    shape = (1, 2) if gates == 1 else (2, gates)
    panels = made.subplots(*shape, squeeze=False).reshape(2, gates)
    for gate, label in enumerate(labels):
        said = f"{label}: {'a' if parted[gate] else 'no'} {plane} parts them"
        _input_space(style.tidy(panels[0, gate], said), x, y[:, gate])
        below = panels[1, gate]
        does = "a line parts" if there[gate] else "this line does not part"
        style.tidy(
            below,
            ("hidden space: " if gates == 1 else "hidden space:\n") + f"{does} them",
            "distance to the line",
            f"the rest ({share[gate]:.0%} of it)",
        )
        below.axvline(0, color=style.INK, lw=2)
        _rows(below, np.stack([distance[:, gate], rest[:, gate]], 1), x, y[:, gate])
        below.margins(0.34, 0.2)
        below.locator_params(nbins=4)
        if not np.ptp(rest[:, gate]) > 1e-9:
            below.set_ylim(-1, 1)
    made.supxlabel(
        "vermilion circle: target 1, blue square: 0. In units of activations: left of the thick "
        "line the output is 0,\nright of it 1; upwards the first principal component of what the "
        "distance leaves",
        fontsize=10,
    )
    return made


def _input_space(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Draw the rows on a grid whose neighbours differ in one input: for n = 2 the square."""
    n = x.shape[1]
    right = (n + 1) // 2
    places = np.stack([_gray(x[:, :right]), _gray(x[:, right:])], 1)
    _rows(axes, places, x, y)
    names = [chr(97 + i) for i in range(n)]
    for set_ticks, inputs in ((axes.set_xticks, right), (axes.set_yticks, n - right)):
        codes = [i ^ (i >> 1) for i in range(2**inputs)] if 0 < inputs <= 3 else []
        set_ticks(range(len(codes)), [f"{code:0{inputs}b}" for code in codes])
    axes.set_xlabel("input " + "".join(names[:right]), fontsize=11)
    axes.set_ylabel("input " + "".join(names[right:]) if n > 1 else "", fontsize=11)
    axes.set(xlim=(-0.5, 2**right - 0.5), ylim=(-0.5, 2 ** (n - right) - 0.4))


def _gray(bits: np.ndarray) -> np.ndarray:
    """Return each row's place in the order in which neighbours differ in one bit: int [rows]."""
    place = np.zeros(len(bits), int)
    before = np.zeros(len(bits), int)
    for column in bits.astype(int).T:
        before = before ^ column
        place = 2 * place + before
    return place


def _rows(axes: Axes, places: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
    """Draw a dot for each row, float [rows, 2]; few rows have their bits beside them."""
    size = 130 if len(x) <= 16 else 45 if len(x) <= 64 else 14
    for one, (marker, color) in gate_planes.LOOKS.items():
        mine = places[(y > 0.5) == one]
        look: dict[str, Any] = {"edgecolors": style.PAPER, "lw": 1.0, "zorder": 3}
        axes.scatter(mine[:, 0], mine[:, 1], size, color=color, marker=marker, **look)
    if len(x) > MOST_NAMED:
        return
    for spot, rows in _together(places):
        said = ", ".join("".join(str(int(bit)) for bit in x[row]) for row in rows)
        said = "\n".join(said[i : i + 16] for i in range(0, len(said), 16))
        named: dict[str, Any] = {
            "textcoords": "offset points",
            "fontsize": 10,
            "ha": "center",
            "zorder": 4,
        }
        axes.annotate(said, spot, (0, 8), va="bottom", **named).set_in_layout(False)


def _together(places: np.ndarray) -> list[tuple[tuple[float, float], list[int]]]:
    """Return groups of rows so close that one label must do: the highest one's place, and rows."""
    reach = np.maximum(np.ptp(places, axis=0), 1e-6) * (0.3, 0.2)
    groups: list[list[int]] = []
    for row, place in enumerate(places):
        near = [g for g in groups if (abs(places[g] - place) < reach).all(1).any()]
        joined = [member for group in near for member in group]
        groups = [g for g in groups if g not in near] + [[*joined, row]]
    middles = [(places[g][:, 0].mean(), places[g][:, 1].max()) for g in groups]
    return [((float(a), float(b)), sorted(g)) for (a, b), g in zip(middles, groups, strict=True)]


def _space_finding(
    labels: Sequence[str], right: np.ndarray, parted: Sequence[bool], plane: str
) -> str:
    there, rows = np.asarray(right.all(0)), right[:, 0]
    if len(labels) > 1:
        return _common_finding(labels, there, parted, plane)
    wrong = len(rows) - int(rows.sum())
    inside = f"its line in hidden space fails on {wrong} of {len(rows)} rows"
    inside = inside if wrong else "a line parts its rows in hidden space"
    link = "and" if parted[0] == (not wrong) else "but"
    return f"{labels[0]}: {inside}, {link} {'a' if parted[0] else 'no'} {plane} parts the inputs"


def _common_finding(
    labels: Sequence[str], there: np.ndarray, parted: Sequence[bool], plane: str
) -> str:
    """Return what is to be seen in several gates: what fails first, then what no line parts."""
    states = list(zip(labels, there, parted, strict=True))
    failed = [label for label, solved, _ in states if not solved]
    if failed:
        return f"{listed(failed)}: no line parts the hidden space as the output needs it"
    hard = [label for label, _, simple in states if not simple]
    if hard:
        return f"{listed(hard)}: no {plane} parts the inputs, a line parts the hidden space"
    return f"A {plane} parts the inputs of all {len(labels)} gates, a line their hidden space"

"""How often a network's start is a lucky one."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.plots import style

COLORS = (style.BLUE, style.ORANGE, style.GREEN, style.VERMILION, style.INK)
MARKERS, LINES = ("o", "s", "^", "D", "v", "P", "X"), ("-", "--", ":", "-.")
ASIDE = 0.07  # from one activation's points to the next one's, in hidden units
HALF = 0.5  # share of the starts that the title asks for


class Cell(Protocol):
    """What this room needs to know of a kind of network; see `experiments.luck.Cell`."""

    @property
    def activation(self) -> str: ...
    @property
    def optimizer(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def starts(self) -> int: ...
    @property
    def solved(self) -> int: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


def luck(gate: str, cells: Sequence[Cell]) -> Figure:
    """Return the share of starts that learn `gate`, over the width; a panel an optimiser.

    Args:
        cells: at least one, in any order; bars are their intervals, `low` to `high`.
    """
    optimizers = list(dict.fromkeys(c.optimizer for c in cells))
    names = list(dict.fromkeys(c.activation for c in cells))
    made = style.figure(min(13.0, max(8.5, 5.6 * len(optimizers))), 5.2, _finding(gate, cells))
    panels = np.atleast_1d(made.subplots(1, len(optimizers), sharex=True, sharey=True))
    for axes, optimizer in zip(panels, optimizers, strict=True):
        style.tidy(axes, f"optimiser: {optimizer}", "hidden units", "starts that learn every row")
        for number, name in enumerate(names):
            row = [c for c in cells if (c.optimizer, c.activation) == (optimizer, name)]
            _curve(axes, row, number, len(names))
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xticks(sorted({c.width for c in cells}))
        axes.grid(axis="y", alpha=0.3)
        axes.label_outer()
    handles = [_curve(panels[0], [], number, len(names), name) for number, name in enumerate(names)]
    made.legend(
        handles=handles, title="activation", loc="outside right center", frameon=False, fontsize=10
    )
    made.supxlabel(
        "bars: 95 % intervals (Wilson); points stand a little aside so that bars can be told apart",
        fontsize=9,
        color=style.GREY,
    )
    return made


def _curve(axes: Axes, row: Sequence[Cell], number: int, of: int, label: str = "") -> object:
    """Draw an activation's shares over the width, by its number among all; none is a legend's."""
    row = sorted(row, key=lambda c: c.width)
    share = np.array([_share(c) for c in row])
    reach = np.array([(c.low, c.high) for c in row]).reshape(-1, 2).T
    return axes.errorbar(
        np.array([c.width for c in row]) + ASIDE * (number - (of - 1) / 2),
        share,
        abs(reach - share),
        color=COLORS[number % len(COLORS)],
        marker=MARKERS[number % len(MARKERS)],
        linestyle=LINES[number % len(LINES)],
        capsize=3,
        linewidth=2,
        label=label or "_",
    )


def _share(cell: Cell) -> float:
    return cell.solved / cell.starts


def _finding(gate: str, cells: Sequence[Cell]) -> str:
    """Return the title: the narrowest network that at least half of the starts of a kind learn."""
    best = max(cells, key=lambda c: (_share(c), -c.width))
    if not best.solved:
        return f"No start learned {gate}"
    enough = [c for c in cells if _share(c) >= HALF]
    if not enough:
        return (
            f"{gate}: no kind of network learns it in half of its starts; "
            f"best: {_named(best)}, {_share(best):.1%} of {best.starts}"
        )
    best = min(enough, key=lambda c: (c.width, -_share(c)))
    narrower = min(c.width for c in cells) < best.width
    return (
        f"{gate}: {_named(best)} learn{'s' * (best.width == 1)} it in "
        f"{_share(best):.0%} of {best.starts} starts"
        f"{'; narrower nets in under half' if narrower else ''}"
    )


def _named(cell: Cell) -> str:
    units = f"{cell.width} hidden unit{'s' * (cell.width > 1)}"
    return f"{units} ({cell.activation}, {cell.optimizer})"

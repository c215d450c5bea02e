"""How often a network's start is a lucky one."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.plots import style

LOOKS = ((style.BLUE, "o", "-"), (style.ORANGE, "s", "--"), (style.GREEN, "^", ":"))


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
        cells: any order; bars are their intervals, `low` to `high`.
    """
    narrow = min((c for c in cells if c.solved), key=lambda c: (c.width, -c.solved), default=None)
    finding = (
        f"{gate}: {narrow.width} hidden unit{'s' * (narrow.width > 1)} learn it in "
        f"{narrow.solved / narrow.starts:.0%} of {narrow.starts} starts at best"
        if narrow
        else f"No start learned {gate}"
    )
    optimizers = list(dict.fromkeys(c.optimizer for c in cells))
    made = style.figure(5.2 * len(optimizers) + 0.6, 4.6, finding)
    for axes, optimizer in zip(
        np.atleast_1d(made.subplots(1, len(optimizers), sharey=True)), optimizers, strict=True
    ):
        mine = [c for c in cells if c.optimizer == optimizer]
        names = dict.fromkeys(c.activation for c in mine)
        for name, (color, marker, line) in zip(names, LOOKS, strict=False):
            row = sorted((c for c in mine if c.activation == name), key=lambda c: c.width)
            share = np.array([c.solved / c.starts for c in row])
            reach = np.array([(c.low, c.high) for c in row]).T
            axes.errorbar(
                [c.width for c in row],
                share,
                abs(reach - share),
                color=color,
                marker=marker,
                linestyle=line,
                capsize=3,
                label=name,
                linewidth=2,
            )
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xticks(sorted({c.width for c in mine}))
        axes.grid(axis="y", alpha=0.3)
        style.tidy(axes, optimizer, "hidden units", "starts that learn every row (bars: 95 %)")
        axes.label_outer()
    axes.legend(title="activation", loc="lower right", frameon=False)
    return made

"""Which initialisations learn a gate: the restarts of a bank, and fractions by width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.evaluation.arrays import Array
from experiments.figures.plots import style

if TYPE_CHECKING:
    from experiments.figures.spec import InitResult

MAX_NAMES = 4  # gates in a title
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SHIFT = 0.07  # between the points of two activations, in hidden units


def restarts(
    labels: Sequence[str],
    loss: Float[Array, "gates restarts"],
    solved: Bool[Array, "gates restarts"],
) -> Figure:
    """Return the final loss of every restart of every gate, and which ones learned every row.

    Args:
        labels: names of the gates.
        loss: final, in nats; NaN where a restart diverged.
        solved: whether every row is correct.
    """
    gates, count = loss.shape
    learned = solved.sum(1)
    title = _restarts_title(labels, count - learned, count)
    fig = style.figure(9, max(3.6, 2.0 + 0.3 * gates), title)
    axes = style.tidy(fig.subplots(), "", "final loss (nats)", "gate (learned / restarts)")
    rows = np.arange(gates)[:, None] + np.linspace(-0.25, 0.25, count)
    for which, marker, color, name in (
        (solved, "o", style.BLUE, "every row correct"),
        (~solved, "x", style.VERMILION, "failed initialisation"),
    ):
        look: style.Look = {"color": color, "marker": marker, "label": name}
        axes.scatter(loss[which], rows[which], 36, alpha=0.7, **look)
    axes.set_xscale("log")
    ticks = [f"{label}  {n}/{count}" for label, n in zip(labels, learned, strict=True)]
    axes.set_yticks(range(gates), ticks)
    axes.set_ylim(gates - 0.4, -0.6)
    axes.grid(axis="y", alpha=0.3)
    style.legend(fig)
    return fig


def _restarts_title(labels: Sequence[str], failed: Int[Array, " gates"], count: int) -> str:
    """Return the gates that fail most often, and how many never fail."""
    most, never = int(failed.max()), int((failed == 0).sum())
    if not most:
        return f"No failed initialisation in {count} restarts per gate"
    worst = [label for label, number in zip(labels, failed, strict=True) if number == most]
    names = ", ".join(worst)
    if len(worst) > MAX_NAMES:
        names = f"{len(worst)} gates"
    title = f"{names}: {most} of {count} initialisations fail"
    return f"{title}; {never} of {len(labels)} gates never fail" if len(labels) > 1 else title


def by_width(gate: str, cells: Sequence[InitResult]) -> Figure:
    """Return the fraction of initialisations that learn `gate` by width, a panel an optimiser.

    Args:
        cells: at least one, in any order; bars are their intervals, `low` to `high`.
    """
    optimizers = list(dict.fromkeys(c.optimizer for c in cells))
    activations = list(dict.fromkeys(c.activation for c in cells))
    fig = style.figure(max(8.5, 5.0 * len(optimizers)), 5.0, _width_title(gate, cells))
    panels = fig.subplots(1, len(optimizers), sharex=True, sharey=True, squeeze=False)[0]
    for axes, optimizer in zip(panels, optimizers, strict=True):
        label = "initialisations that learn every row"
        style.tidy(axes, f"optimiser: {optimizer}", "hidden units", label)
        for number, activation in enumerate(activations):
            kind = (optimizer, activation)
            row = [c for c in cells if (c.optimizer, c.activation) == kind]
            row.sort(key=lambda c: c.width)
            rate = np.array([c.solved / c.starts for c in row])
            interval = np.array([(c.low, c.high) for c in row]).T
            shift = SHIFT * (number - (len(activations) - 1) / 2)
            axes.errorbar(
                np.array([c.width for c in row]) + shift,
                rate,
                abs(interval - rate),
                marker=MARKERS[number % len(MARKERS)],
                capsize=3,
                linewidth=2,
                label=activation,
                **style.look(number),
            )
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xticks(sorted({c.width for c in cells}))
        axes.grid(axis="y", alpha=0.3)
        axes.label_outer()
    legend = {"title": "activation", "frameon": False, "fontsize": 10}
    fig.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", **legend)
    style.note(fig, "bars: 95 % intervals (Wilson); points are shifted so that bars do not overlap")
    return fig


def _width_title(gate: str, cells: Sequence[InitResult]) -> str:
    """Return the success rate of the narrowest network with 50 % or more, or else the best rate."""
    best = max(cells, key=lambda c: (c.solved / c.starts, -c.width))
    enough = [c for c in cells if c.solved >= c.starts / 2]
    if enough:
        best = min(enough, key=lambda c: (c.width, -c.solved / c.starts))
    kind = f"{best.width} hidden ({best.activation}, {best.optimizer})"
    rate = f"{best.solved / best.starts:.0%} of {best.starts}"
    return f"{gate} with {kind}: {rate} initialisations learn it"

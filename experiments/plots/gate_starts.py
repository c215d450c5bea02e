"""Where trainings start and where they lead: the loss around a path, the luck of the starts."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.plots import style
from experiments.plots.gates import MOST_NAMED, listed

FLOOR = 1e-8  # the least loss that is told from none
STEPS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5)  # between a landscape's contours, in decades
LEAST = -6  # decades of loss that the colours of the starts tell apart, up to 0


def landscape(
    label: str,
    steps: Sequence[int],
    path: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    loss: np.ndarray,
    share: np.ndarray,
    *,
    ends: Sequence[float] = (),
) -> Figure:
    """Return the loss on the plane that holds most of a training's path, and the path on it.

    Args:
        label: name of the gate.
        steps: T of them, in epochs.
        path: float [T, 2], places of the recorded steps along the two components.
        first, second: float [S], the grid's places along the components.
        loss: float [S, S], second by first, cross-entropy in nats.
        share: float [2], of the path's variance along each component, 0 to 1.
        ends: loss at the path's start and end, in nats; without, those of the grid nearby.
    """
    ends = ends or [
        float(loss[np.abs(second - y).argmin(), np.abs(first - x).argmin()])
        for x, y in (path[0], path[-1])
    ]
    made = style.figure(8.2, 6.2, f"{label}: from {_nats(ends[0])} to {_nats(ends[1])} nats")
    axes = made.subplots()
    height = np.log10(np.maximum(loss, FLOOR))
    step = next((s for s in STEPS if np.ptp(height) <= 24 * s), STEPS[-1])
    levels = np.arange(np.floor(height.min() / step), np.ceil(height.max() / step) + 2) * step
    filled = axes.contourf(first, second, height, levels, cmap="viridis")
    axes.contour(first, second, height, levels, colors=style.PAPER, linewidths=0.3, alpha=0.5)
    axes.plot(*path.T, color=style.PAPER, lw=3.6, zorder=2)
    axes.plot(*path.T, color=style.VERMILION, lw=1.8, marker="o", markersize=4.5, zorder=3)
    middle = path.mean(0)
    for spot, name, marker, size in (
        (0, "start", "s", 9),
        (-1, f"end, epoch {steps[-1]}", "*", 17),
    ):
        axes.plot(*path[spot], marker, markersize=size, color=style.VERMILION, mec=style.PAPER)
        right = bool(path[spot, 0] < (first[0] + first[-1]) / 2)
        axes.annotate(
            name,
            path[spot],
            (12 if right else -12, 14 if path[spot, 1] >= middle[1] else -20),
            textcoords="offset points",
            ha="left" if right else "right",
            fontsize=11,
            fontweight="bold",
            bbox={"boxstyle": "round,pad=0.25", "facecolor": style.PAPER, "alpha": 0.9, "lw": 0},
            zorder=5,
        )
    style.tidy(axes, "", *(_component(i, share[i]) for i in range(2)))
    axes.set_aspect("equal")
    made.colorbar(
        filled,
        ax=axes,
        label="log10 of the loss (mean cross-entropy, nats)",
    )
    made.supxlabel(
        f"this plane holds {share.sum():.1%} of the path's variance; dots: the recorded epochs",
        fontsize=10,
        color=style.INK,
    )
    return made


def luck_of_starts(labels: Sequence[str], loss: np.ndarray, solved: np.ndarray) -> Figure:
    """Return the final losses of every start of every gate: which starts learned every row.

    Args:
        labels: names of the gates.
        loss: float [gates, starts], final, in nats; no number where a start diverged.
        solved: bool [gates, starts], whether every row is right.
    """
    gates, starts = loss.shape
    order = np.lexsort((np.where(np.isfinite(loss), loss, np.inf), ~solved))
    height = np.log10(np.maximum(np.take_along_axis(loss, order, 1), FLOOR))
    count = solved.sum(1)
    made = style.figure(10, 2.5 + 0.34 * gates, _luck_finding(labels, starts - count, starts))
    axes = made.subplots()
    shown = np.ma.masked_invalid(height)
    image = axes.imshow(
        shown, aspect="auto", cmap="viridis", vmin=LEAST, vmax=0, interpolation="nearest"
    )
    axes.set_facecolor(style.GREY)  # a start that diverged has no loss
    for row, edge in enumerate(count):
        ends = (row - 0.5, row + 0.5)
        if 0 < edge < starts:
            axes.plot((edge - 0.5, edge - 0.5), ends, color=style.PAPER, lw=5)
            axes.plot((edge - 0.5, edge - 0.5), ends, color=style.VERMILION, lw=2.6)
        share = f"{edge} of {starts}, {edge / starts:.0%}"
        axes.text(1.01, row, share, transform=axes.get_yaxis_transform(), va="center", fontsize=10)
    axes.set_yticks(range(gates), labels)
    style.tidy(axes, "", "starts: those that learned every row first, then by loss", "")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(-0.5, starts - 0.5)
    axes.set_ylim(gates - 0.5, -0.5)
    axes.text(
        1.01,
        -0.6,
        "learned every row",
        transform=axes.get_yaxis_transform(),
        va="bottom",
        fontsize=10,
    )
    made.colorbar(
        image,
        ax=axes,
        location="bottom",
        aspect=50,
        pad=0.3 / (gates + 2),
        extend="both",
        label="log10 of the final loss (mean cross-entropy, nats; grey: no number)",
    )
    if ((count > 0) & (count < starts)).any():
        made.supxlabel(
            "right of the vermilion mark: starts that did not learn every row",
            fontsize=10,
            color=style.INK,
        )
    return made


def _luck_finding(labels: Sequence[str], failed: np.ndarray, starts: int) -> str:
    """Return the gates that most starts fail on, which may be several, and how the others fare."""
    gates, most = len(labels), int(failed.max())
    if not most:
        return f"All {starts} starts learn {f'all {gates} gates' if gates > 1 else labels[0]}"
    if gates == 1:
        return f"{starts - most} of {starts} starts learn {labels[0]}, {1 - most / starts:.0%}"
    worst = [label for label, count in zip(labels, failed, strict=True) if count == most]
    names = listed(worst) if len(worst) <= MOST_NAMED else f"{len(worst)} gates"
    said = f"{names} fail{'s' * (len(worst) == 1)} from {most} of {starts} starts"
    fewer, never = int((failed > 0).sum()) - len(worst), int((failed == 0).sum())
    if fewer:
        said += f", {fewer} other gate{'s' * (fewer > 1)} from fewer"
    if not never:
        return said
    rest = f"the other {never}" if never > 1 and not fewer else str(never)
    return f"{said}; {rest} gate{'s' * (never > 1)} always learn{'s' * (never == 1)}"


def _nats(loss: float) -> str:
    """Return a loss with one digit that counts, two from 0.1 on, and no power of ten."""
    if loss < FLOOR:
        return "less than 0.00000001"
    return f"{loss:.2f}" if loss >= 0.1 else f"{loss:.{1 - math.floor(math.log10(loss)) - 1}f}"


def _component(place: int, share: float) -> str:
    return f"weights along component {place + 1} ({share:.1%} of the path's variance)"

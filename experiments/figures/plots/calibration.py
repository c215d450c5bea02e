"""Reliability diagrams."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, PercentFormatter, StrMethodFormatter

from experiments.core.stats import wilson_interval
from experiments.evaluation.calibration import Reliability
from experiments.figures.plots import style


def reliability(kinds: Mapping[str, Reliability]) -> Figure:
    """Reliability diagram: accuracy per confidence bin, above the number of digits in each bin.

    Args:
        kinds: title -> bins, and their expected calibration error (ECE).
    """
    errors = "; ".join(f"{kind} {bins.error:.2%}" for kind, bins in kinds.items())
    title = f"Expected calibration error (ECE):\n{errors}"
    fig = style.figure(max(6.6, 5.2 * len(kinds)), 7.2, title)
    grid = fig.subplots(2, len(kinds), squeeze=False, height_ratios=(1, 0.25), sharex=True)
    largest = max(bins.counts.max() for bins in kinds.values())
    for (above, below), (kind, bins) in zip(grid.T, kinds.items(), strict=True):
        style.tidy(above, kind[:1].upper() + kind[1:], "", "accuracy")
        _bins(above, bins)
        style.tidy(below, "", "confidence: probability of the prediction", "test digits\n(log)")
        edges = np.linspace(0, 1, len(bins.counts) + 1)
        below.bar(edges[:-1], bins.counts, 1 / len(bins.counts), align="edge", color=style.SKY)
        below.set(yscale="log", ylim=(0.8, 2 * max(largest, 5)), box_aspect=0.25)
        below.xaxis.set_major_formatter(PercentFormatter(1))
        below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        below.yaxis.set_minor_formatter(NullFormatter())
    handles, labels = grid[0, 0].get_legend_handles_labels()
    fig.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    return fig


def _bins(axes: Axes, bins: Reliability) -> None:
    """Draw each bin's accuracy with its 95 % interval over its mean confidence."""
    filled = bins.counts > 0
    counts, confidence = bins.counts[filled], bins.confidence[filled]
    accuracy = bins.accuracy[filled]
    right = np.rint(accuracy * counts).astype(int)
    limits = [wilson_interval(int(k), int(n)) for k, n in zip(right, counts, strict=True)]
    away = abs(np.array(limits).T - accuracy)
    axes.plot([0, 1], [0, 1], ":", color=style.GREY, label="perfect calibration")
    label = "accuracy, 95% interval"
    axes.errorbar(confidence, accuracy, away, fmt="o", color=style.BLUE, capsize=3, label=label)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), box_aspect=1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))

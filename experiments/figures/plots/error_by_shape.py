"""Error rate by stroke width, slant and size of the digits."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.evaluation.arrays import Array
from experiments.figures.analysis.digits import ErrorBins
from experiments.figures.plots import style

UNITS = {
    "stroke width": "mean stroke width, px",
    "slant": "slant, degrees (positive: to the right)",
    "size": "bounding box of the ink, px²",
}
ALPHA = 0.05


def error_by_shape(measures: Mapping[str, ErrorBins]) -> Figure:
    """Return a panel for each measure: the error rate of each bin, with 95 % intervals.

    Args:
        measures: measure (a key of UNITS) -> its bins; the same digits in each.
    """
    fig = style.figure(9.5, 1.5 + 2.5 * len(measures), title(measures))
    panels = fig.subplots(len(measures), 1, sharey=True, squeeze=False)[:, 0]
    for axes, (name, bins) in zip(panels, measures.items(), strict=True):
        _panel(axes, name, bins)
    panels[0].legend(frameon=False, fontsize=10, loc="upper left")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    highest = max(bins.high.max() for bins in measures.values())
    panels[0].set_ylim(-0.03 * highest, 1.5 * highest)  # room for the legend
    counts = np.concatenate([bins.counts for bins in measures.values()])
    style.note(
        fig,
        f"{counts.min():,} to {counts.max():,} digits in each of {len(counts)} bins; numbers: "
        "mistakes;\nbars: 95% intervals (Wilson), of which 1 in 20 misses the line by chance",
    )
    return fig


def title(measures: Mapping[str, ErrorBins]) -> str:
    """Return the finding: the bin with significantly more mistakes than chance, if there is one.

    The significance level is divided by the number of bins (Bonferroni's bound).
    """
    count = sum(len(bins.counts) for bins in measures.values())
    name, bins = min(measures.items(), key=lambda item: item[1].p_value.min())
    index, overall = int(bins.p_value.argmin()), bins.wrong.sum() / bins.counts.sum()
    low, high = (_edge(edge, bins.edges) for edge in bins.edges[index : index + 2])
    unit = UNITS[name].split(", ")[1].partition(" ")[0]
    hardest = f"{name} {low} to {high} {unit}"
    if bins.p_value[index] * count >= ALPHA:
        return (
            f"No bin of {count} has significantly more mistakes than chance;\n"
            f"closest: {hardest} (p = {bins.p_value[index]:.2g})"
        )
    rate = bins.wrong[index] / bins.counts[index]
    return (
        f"Error rate at {hardest}:\n"
        f"{rate:.2%}, {rate / overall:.1f} times that of all digits ({overall:.2%})"
    )


def _panel(axes: Axes, name: str, bins: ErrorBins) -> None:
    count = len(bins.counts)
    center, rate = np.arange(count) + 0.5, bins.wrong / bins.counts
    overall = bins.wrong.sum() / bins.counts.sum()
    style.tidy(axes, f"By {name}", UNITS[name], "error rate")
    axes.axhline(overall, color=style.INK, linestyle="--", label=f"all digits: {overall:.2%}")
    away = abs(np.stack([rate - bins.low, bins.high - rate]))
    axes.errorbar(center, rate, away, fmt="o", color=style.BLUE, capsize=4, markersize=7)
    for x, wrong, high in zip(center, bins.wrong, bins.high, strict=True):
        above: style.Look = {"xytext": (0, 4), "textcoords": "offset points", "ha": "center"}
        box: style.Look = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 1}
        axes.annotate(f"{wrong:,}", (x, high), **above, fontsize=10, bbox=box)
    axes.set_xticks(range(count + 1), [_edge(edge, bins.edges) for edge in bins.edges])
    axes.set_xlim(-0.1, count + 0.1)
    axes.grid(axis="x", color=style.GREY, alpha=0.3)


def _edge(edge: float, edges: Float[Array, " edges"]) -> str:
    """Return a bin edge as text, with one decimal where the scale is short."""
    return style.decimal(edge, 1 if np.ptp(edges) < 20 else 0)

"""Out-of-distribution detection: scores of digits and of other images, and the error rates."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.evaluation.arrays import Array, Vector
from experiments.figures.plots import style

DASHED: style.Look = {
    "color": style.GREY,
    "linestyle": (0, (6, 3)),
    "linewidth": 1.5,
}  # the threshold


def scores(
    digits: Vector, others: Mapping[str, tuple[Float[Array, " K"], float]], threshold: float
) -> Figure:
    """Return the score's distribution by kind of image, and the two error rates.

    Args:
        digits: scores of digits.
        others: kind -> scores of images that are no digits, and their AUROC.
        threshold: a lower score is rejected.
    """
    ranked = dict(sorted(others.items(), key=lambda item: item[1][1]))
    hardest, (lowest, _) = next(iter(ranked.items()))
    rejected, false_rejects = float((lowest < threshold).mean()), float((digits < threshold).mean())
    fig = style.figure(
        11,
        max(5.6, 3.4 + 0.42 * len(others)),
        f"The threshold rejects {style.percent(rejected)} of the hardest kind ({hardest})\n"
        f"and {style.percent(false_rejects)} of the digits",
    )
    boxes, curves = fig.subplots(1, 2, width_ratios=(1, 0.9))
    _boxes(boxes, {"digits": digits} | {k: values for k, (values, _) in ranked.items()}, threshold)
    rates = np.logspace(-3, 0, 60)
    floor = 0.5 / max(len(values) for values, _ in others.values())  # stands for zero on a log axis
    style.tidy(
        curves,
        "Error rates at every threshold (log scales)",
        f"digits rejected\nlowest line, {100 * floor:.2g}%: no other image accepted",
        "other images accepted",
    )
    for number, (kind, (values, area)) in enumerate(ranked.items()):
        accepted = (values[:, None] >= np.quantile(digits, rates)).mean(0)
        label = f"{kind}, AUROC {_area(area)}"
        curves.plot(rates, np.maximum(accepted, floor), **style.look(number), lw=2, label=label)
    if false_rejects >= rates[0]:
        curves.axvline(false_rejects, **DASHED)
    curves.set(xscale="log", yscale="log", xlim=(0.9e-3, 1.1), ylim=(0.85 * floor, 1.5))
    for axis in (curves.xaxis, curves.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:g}%"))
    style.legend(fig)
    return fig


def _boxes(axes: Axes, kinds: Mapping[str, Vector], threshold: float) -> None:
    """Draw a box plot for each kind, the first on top, and the threshold."""
    note = "score: log-odds of a digit\nboxes: quartiles; whiskers: 1% to 99%"
    style.tidy(axes, "Scores, the hardest kind below the digits", note)
    parts = axes.boxplot(
        list(kinds.values()),
        positions=range(len(kinds), 0, -1),
        orientation="horizontal",
        whis=(1, 99),
        sym="",
        widths=0.6,
        tick_labels=list(kinds),
    )
    for median in parts["medians"]:
        median.set(color=style.VERMILION, linewidth=2)
    axes.axvline(threshold, **DASHED, label=f"threshold {threshold:.2f}: lower is rejected")
    axes.set_ylim(0.4, len(kinds) + 0.6)


def _area(auroc: float) -> str:
    """Return an AUROC as text; rounding never makes it 1."""
    return ">0.9999" if 0.99995 <= auroc < 1 else f"{auroc:.4f}"

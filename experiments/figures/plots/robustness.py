"""Accuracy on corrupted digits, and on drawings by pen width."""

import math
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.evaluation.arrays import Array
from experiments.evaluation.robustness import Misclassified
from experiments.figures.plots import style
from experiments.figures.plots.digits import INK, KEY, outcome, show_tiles

SCALE_MIN = 0.8  # lower end of the scale of `drawings`, the same in every run
CONFIDENT = 0.9  # of `misclassified`: a mistake above this probability counts in the title
COLUMNS = 5  # of `misclassified`


def corruptions(accuracy: Mapping[str, float], champion: Mapping[str, float]) -> Figure:
    """Return a bar for each kind of corruption, the hardest at the bottom.

    Args:
        accuracy: kind -> accuracy, 0 to 1.
        champion: the same of the present champion; may be empty.
    """
    kinds = sorted(accuracy, key=lambda kind: accuracy[kind])
    values = [accuracy[kind] for kind in kinds]
    title = (
        f"Mean accuracy under corruption {style.percent(float(np.mean(values)))}; "
        f"hardest: {_words(kinds[0])} ({style.percent(values[0])})"
    )
    fig = style.figure(9.5, 2 + 0.32 * len(kinds), title)
    axes = style.tidy(fig.subplots(), "", "accuracy on corrupted validation digits", "")
    axes.barh(range(len(kinds)), values, color=style.SKY, label="this network")
    labels = [f"{_words(kind)}  {style.percent(accuracy[kind])}" for kind in kinds]
    if champion:
        others = [champion.get(kind, math.nan) for kind in kinds]
        axes.plot(others, range(len(kinds)), "D", color=style.VERMILION, label="present champion")
        pairs = zip(labels, map(style.percent, others), strict=True)
        labels = [f"{label} (champion {other})" for label, other in pairs]
        style.legend(fig)
    axes.set_yticks(range(len(kinds)), labels)
    axes.set(xlim=(0, 1.02), ylim=(-0.6, len(kinds) - 0.4))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return fig


def drawings(accuracy: Float[Array, "10 P"], pens: Sequence[int]) -> Figure:
    """Return a heat map of the accuracy on drawings, by digit and pen.

    Args:
        accuracy: 0 to 1; NaN where there is no drawing.
        pens: diameters in pixels on a canvas of 400.
    """
    title = f"{style.percent(float(np.nanmean(accuracy)))} of the drawings classified correctly"
    lowest = float(np.nanmin(accuracy))
    if lowest < 1:
        hardest = np.argwhere(np.isclose(accuracy, lowest, rtol=0, atol=1e-9))
        digit, pen = hardest[0]
        title += f";\nhardest ({style.percent(lowest)}): {digit} with a pen of {pens[pen]} px"
        if len(hardest) > 1:
            title += f", and {len(hardest) - 1} more"
    fig = style.figure(8.5, 6.4, title)
    axes = style.tidy(fig.subplots(), "", "pen diameter, pixels on a canvas of 400", "digit")
    colors = mpl.colormaps["Blues_r"].with_extremes(under=style.ORANGE, bad=style.PAPER)
    image = axes.imshow(accuracy, cmap=colors, vmin=SCALE_MIN, vmax=1, aspect="auto")
    grounds = image.to_rgba(accuracy)
    for (row, column), value in np.ndenumerate(accuracy):
        text = style.percent(float(value)) if value != 1 else ""
        below = " ▼" if value < SCALE_MIN else ""
        color = style.legible(grounds[row, column])
        axes.text(column, row, text + below, ha="center", va="center", fontsize=10, color=color)
    axes.set_xticks(range(len(pens)), [str(pen) for pen in pens])
    axes.set_yticks(range(10))
    label = f"accuracy (empty: 100%; orange and ▼: below {SCALE_MIN:.0%})"
    fig.colorbar(image, ax=axes, extend="min", label=label, format=PercentFormatter(1))
    return fig


def misclassified(worst: Sequence[Misclassified]) -> Figure:
    """Return the most confident mistake of each corruption; there is at least one."""
    ranked = sorted(worst, key=lambda mistake: -mistake.probability)
    confident = [mistake.probability > CONFIDENT for mistake in ranked]
    captions = []
    for mistake in ranked:
        caption, _ = outcome(mistake.label, mistake.predicted, mistake.probability)
        captions.append(f"{_words(mistake.kind)}\n{', '.join(caption.splitlines())}")
    title = (
        f"{sum(confident)} of {len(ranked)} corruptions cause a mistake with more than "
        f"{CONFIDENT:.0%} confidence;\nmost confident: {', '.join(captions[0].splitlines())}"
    )
    fig = style.figure(11, 1.4 + 1.85 * math.ceil(len(ranked) / COLUMNS), title)
    images = np.stack([mistake.image for mistake in ranked])
    colors = [style.VERMILION if each else style.INK for each in confident]
    show_tiles(fig.subplots(), images, COLUMNS, captions, colors, gap=(15, 16), **INK)
    style.note(fig, f"{KEY}; vermilion: more than {CONFIDENT:.0%}")
    return fig


def _words(kind: str) -> str:
    return kind.replace("_", " ")

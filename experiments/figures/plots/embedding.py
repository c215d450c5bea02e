"""A two-dimensional embedding of the digits, coloured by label, mistakes marked."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from experiments.evaluation.arrays import Array, Labels, Mask
from experiments.figures.plots import style

# A label has a colour and a marker; vermilion is kept for the mistakes.
# Digits that are often confused (4 and 9, 2 and 7, 3 and 5 and 8) differ in both.
COLORS = (
    *(style.BLUE, style.BLUE, style.ORANGE, style.GREEN, style.GREEN),
    *(style.ORANGE, style.SKY, style.GREY, style.GREY, style.SKY),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">")


def embedding(
    points: Float[Array, "N 2"],
    y: Labels,
    pred: Labels,
    agree: Mask,
    dimensions: int,
    perplexity: float,
    seed: int,
) -> Figure:
    """Return a scatter plot of the digits.

    Args:
        points: t-SNE's coordinates.
        agree: whether the nearest neighbour in all dimensions has the same label.
        dimensions: of the features that were embedded.
        perplexity, seed: of t-SNE.
    """
    wrong = pred != y
    title = f"The nearest neighbour has the same label for {_mean(agree[~wrong])} of the digits\n"
    title += f"classified correctly and {_mean(agree[wrong])} of the misclassified"
    fig = style.figure(9.5, 9, title)
    axes = style.bare(fig.subplots())
    outline = [withStroke(linewidth=4, foreground=style.PAPER)]
    for label in np.unique(y):
        members = points[(y == label) & ~wrong]
        mark: style.Look = {"color": COLORS[label], "marker": MARKERS[label]}
        axes.scatter(members[:, 0], members[:, 1], 30, alpha=0.75, linewidths=0, **mark)
        center = np.median(points[y == label], 0)
        name = axes.text(center[0], center[1], str(label), ha="center", va="center")
        name.set(path_effects=outline, color=style.INK, zorder=4, size=22, weight="bold")
    frame: style.Look = {
        "boxstyle": "square,pad=0.15",
        "fc": style.PAPER,
        "ec": style.VERMILION,
        "lw": 1.5,
    }
    for point, label in zip(points[wrong], y[wrong], strict=True):
        mistake = axes.text(point[0], point[1], str(label), bbox=frame)
        mistake.set(color=style.INK, zorder=5, size=9, ha="center", va="center")
    axes.set_aspect("equal", adjustable="datalim")
    style.note(
        fig,
        f"t-SNE of the last hidden layer ({dimensions} dimensions), perplexity {perplexity:g}, "
        f"seed {seed}; {len(y):,} digits.\nFramed: the correct label of each of the "
        f"{wrong.sum()} misclassified. The axes have no unit;\n"
        "distances between clusters and their sizes mean little.",
    )
    return fig


def _mean(agree: Mask) -> str:
    if not len(agree):
        return "none"
    return f"{style.percent(float(agree.mean()))} ({len(agree):,})"

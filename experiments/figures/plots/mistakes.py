"""Misclassified digits: by pair of labels, and the most confident with their neighbours."""

import math
from collections import Counter

import numpy as np
from jaxtyping import Integer, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.evaluation.arrays import Array, Images, Labels, Probabilities, Vector
from experiments.figures.plots import style
from experiments.figures.plots.digits import INK, count_mistakes, outcome, prob_text, show_tiles

MAX_PAIRS, MAX_PER_PAIR = 10, 6
GROUPS = 4  # mistakes in a row of `most_confident`, each with its neighbours
GAP = (20, 6)  # pixels below and to the right of a tile of `most_confident`


def confused_pairs(x: Images, y: Labels, pred: Labels, prob: Vector) -> Figure:
    """Return the ten most confused pairs of labels, up to six digits of each.

    Args:
        x: the misclassified digits, at least one, the most confident first.
        y, pred: correct and predicted labels.
        prob: of the prediction.
    """
    pairs = Counter(zip(y.tolist(), pred.tolist(), strict=True)).most_common(MAX_PAIRS)
    (label, other), most = pairs[0]
    covered = sum(count for _, count in pairs)
    title = f"Most frequent of {count_mistakes(len(y))}: {label} → {other}, {most:,} of them"
    if covered < len(y):
        title += f"; {covered:,} in the {len(pairs)} pairs shown"
    columns = min(2, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    fig = style.figure(max(8.5, 5.5 * columns), 1.1 + 1.35 * rows, title)
    for axes in fig.subplots(rows, columns, squeeze=False).flat:
        axes.set_axis_off()  # the last place stays empty where the pairs are odd
    for axes, ((label, other), count) in zip(fig.axes, pairs, strict=False):
        chosen = np.flatnonzero((y == label) & (pred == other))[:MAX_PER_PAIR]
        captions = [prob_text(value) for value in prob[chosen]]
        show_tiles(axes, x[chosen], MAX_PER_PAIR, captions, gap=(8, 9), **INK)
        shown = f", {len(chosen)} shown" if count > len(chosen) else ""
        axes.set_title(f"{label} → {other}: {count_mistakes(count)}{shown}", size=11, loc="left")
    key = "correct label → prediction; below each digit: the prediction's probability"
    style.note(fig, f"{key}, highest first")
    return fig


def most_confident(
    x: Images,
    y: Labels,
    probabilities: Probabilities,
    neighbors: UInt8[Array, "N K 28 28"],
    labels: Integer[Array, "N K"],
) -> Figure:
    """Return the most confident mistakes, each followed by its nearest training digits.

    Args:
        x: at least one digit, the most confident first.
        y: correct labels.
        neighbors, labels: the nearest training digits, the nearest first, and their labels.
    """
    pred = probabilities.argmax(1)
    agreeing = int(((labels == pred[:, None]).mean(1) > 0.5).sum())
    across, group = min(len(y), GROUPS), 1 + labels.shape[1]
    rows = math.ceil(len(y) / across)
    title = f"{agreeing} of the {len(y)} most confident mistakes lie among training digits\n"
    fig = style.figure(max(8.5, 3.1 * across), 1.3 + 1.15 * rows, f"{title}of the predicted class")
    # A group is the digit and its neighbours; the captions follow the same order.
    tiles = np.concatenate([x[:, None], neighbors], 1).reshape(-1, *x.shape[1:])
    marked = []
    tops = zip(y.tolist(), pred.tolist(), probabilities.max(1), labels.tolist(), strict=True)
    for label, other, prob, near in tops:
        marked += [outcome(label, other, prob), *(_mark(n, label, other) for n in near)]
    captions, colors = zip(*marked, strict=True)
    axes = fig.subplots()
    show_tiles(axes, tiles, across * group, captions, colors, gap=GAP, size=9, **INK)
    for index in range(len(y)):
        row, column = divmod(index, across)
        corner = (column * group * (28 + GAP[1]) - 1, row * (28 + GAP[0]) - 1)
        frame: style.Look = {"fill": False, "ec": style.VERMILION, "lw": 1.5, "clip_on": False}
        axes.add_patch(Rectangle(corner, 29, 29, **frame))
    style.note(
        fig,
        "framed: the digit, its correct label → prediction, and probability; then its nearest "
        f"{labels.shape[1]} training digits\nand their labels: ■ the predicted label, ● the "
        "digit's correct label, grey: another",
    )
    return fig


def _mark(neighbor: int, label: int, pred: int) -> tuple[str, str]:
    """Return a neighbour's label with its mark, and its colour."""
    if neighbor == pred:
        return f"■ {neighbor}", style.VERMILION
    if neighbor == label:
        return f"● {neighbor}", style.BLUE
    return f"{neighbor}", style.GREY

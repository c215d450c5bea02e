"""Digits as tiles with captions, test predictions, and the confusion matrix."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from experiments.evaluation.arrays import Array, Images, Labels, Probabilities, Real
from experiments.figures.plots import style

COLUMNS, MAX_SHOWN = 8, 16
INK: style.Look = {"cmap": "gray_r", "vmin": 0, "vmax": 255}  # how a digit is drawn: dark on white
KEY = "below each: correct label → prediction (✓: they agree), and the prediction's probability"


def predictions(x: Images, y: Labels, probabilities: Probabilities) -> Figure:
    """Return the first test digits and the hardest ones, each with its prediction."""
    pred = probabilities.argmax(1)
    wrong = int((pred != y).sum())
    hardest = np.argsort(probabilities[np.arange(len(y)), y], kind="stable")[:MAX_SHOWN]
    fig = style.figure(11, 8, f"{wrong:,} of {len(y):,} test digits misclassified")
    top, bottom = fig.subplots(2, 1)
    for axes, chosen in ((top, np.arange(len(y))[:MAX_SHOWN]), (bottom, hardest)):
        captions, colors = outcomes(y[chosen], probabilities[chosen])
        show_tiles(axes, x[chosen], COLUMNS, captions, colors, size=11, **INK)
    style.bare(top, "The first test digits")
    style.bare(bottom, "The hardest test digits: lowest probability of the correct label")
    style.note(fig, KEY)
    return fig


def confusion(y: Labels, pred: Labels, classes: int = 10) -> Figure:
    """Return the confusion matrix; only mistakes are coloured."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (y, pred), 1)
    errors = counts * (1 - np.eye(classes, dtype=int))
    title = f"{count_mistakes(int(errors.sum()))} in {len(y):,} test digits"
    if errors.any():
        label, other = np.unravel_index(errors.argmax(), errors.shape)
        title += f"; most frequent: {label} → {other}"
    fig = style.figure(7.5, 6.8, title)
    axes = style.tidy(fig.subplots(), "", "predicted label", "correct label")
    masked = np.ma.masked_array(errors, np.eye(classes, dtype=bool))
    image = axes.imshow(masked, cmap="Oranges", vmin=0, vmax=max(1, errors.max()))
    for (row, column), count in np.ndenumerate(counts):
        color = style.GREY if row == column else style.legible(image.to_rgba(count))
        if count:
            axes.text(column, row, f"{count:,}", ha="center", va="center", size=11, color=color)
    axes.set(xticks=range(classes), yticks=range(classes))
    whole = MaxNLocator(6, integer=True)
    label = "number of mistakes (the diagonal is correct, no colour)"
    fig.colorbar(image, ax=axes, label=label, shrink=0.8, ticks=whole)
    return fig


def mosaic(
    tiles: Shaped[Array, "N h w"], columns: int, gap: tuple[int, int]
) -> Shaped[Array, "H W"]:
    """Return tiles row by row as one float array, NaN between them.

    One image of many tiles draws much faster than many axes.

    Args:
        gap: pixels below and to the right of each tile.
    """
    count, height, width = tiles.shape
    rows = math.ceil(count / columns)
    pad = ((0, rows * columns - count), (0, gap[0]), (0, gap[1]))
    padded = np.pad(tiles.astype(float), pad, constant_values=np.nan)
    height, width = height + gap[0], width + gap[1]
    laid = padded.reshape(rows, columns, height, width).swapaxes(1, 2)
    return laid.reshape(rows * height, columns * width)


def show_tiles(
    axes: Axes,
    tiles: Shaped[Array, "N h w"],
    columns: int,
    captions: Sequence[str] = (),
    colors: Sequence[str] | None = None,
    gap: tuple[int, int] = (13, 9),
    size: float = 10,
    **image: Any,
) -> AxesImage:
    """Draw tiles row by row, each with a centred caption below it.

    Args:
        colors: of the captions; by default that of ink.
        gap: pixels below and to the right of each tile.
        size: of the captions, points.
        image: arguments of `imshow`.
    """
    height, width = tiles.shape[1:]
    colors = colors or [style.INK] * len(captions)
    for index, (caption, color) in enumerate(zip(captions, colors, strict=True)):
        row, column = divmod(index, columns)
        x = column * (width + gap[1]) + width / 2 - 0.5
        y = row * (height + gap[0]) + height + 1
        axes.text(x, y, caption, ha="center", va="top", fontsize=size, color=color)
    return style.bare(axes, axes.get_title()).imshow(mosaic(tiles, columns, gap), **image)


def outcomes(y: Labels, probabilities: Probabilities) -> tuple[list[str], list[str]]:
    """Return the captions of classified digits, and their colours."""
    rows = zip(y.tolist(), probabilities.argmax(1).tolist(), probabilities.max(1), strict=True)
    captions, colors = zip(*(outcome(*row) for row in rows), strict=True)
    return list(captions), list(colors)


def outcome(label: int, pred: int, prob: Real) -> tuple[str, str]:
    """Return the caption of a classified digit, two lines as `KEY` explains, and its colour."""
    if label == pred:
        return f"✓ {pred}\n{prob_text(prob)}", style.BLUE
    return f"{label} → {pred}\n{prob_text(prob)}", style.VERMILION


def prob_text(prob: Real) -> str:
    """Return a softmax probability as text; rounding never makes it 0 % or 100 %."""
    return style.percent(min(max(float(prob), 1e-9), 1 - 1e-9))


def count_mistakes(count: int) -> str:
    """Return `count` with its noun."""
    return f"{count:,} mistake" if count == 1 else f"{count:,} mistakes"

"""The samples on which two networks disagree."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Shaped
from matplotlib.figure import Figure

from experiments.evaluation.arrays import Array
from experiments.figures.plots import style
from experiments.figures.plots.digits import INK, show_tiles

COLUMNS = 8
MAX_SHOWN = 8 * COLUMNS
GAP = (18, 16)


def differing(
    samples: Sequence[np.ndarray | str],
    y: Shaped[Array, " N *outputs"],
    preds: tuple[Shaped[Array, " N *outputs"], Shaped[Array, " N *outputs"]],
    places: Int[Array, "K dimensions"],
    labels: Sequence[str],
    names: Sequence[str],
) -> Figure:
    """Return the first samples on which two networks predict differently.

    Args:
        samples: the first of those at `places`, at most `MAX_SHOWN`, as `Task.show` returns
            them: images uint8 [28, 28], or short texts.
        y: classes, or bits of each output.
        preds: the first and the second network's.
        places: where they differ: indices into y.
        labels: of the classes, or names of the outputs.
        names: of the two networks.
    """
    title = f"{names[0]} and {names[1]} differ on {len(places)} predictions"
    if len(samples) < len(places):
        title += f", the first {len(samples)} shown"
    rows = math.ceil(len(samples) / COLUMNS)
    fig = style.figure(11, 1.4 + 1.45 * rows, title)
    axes = fig.subplots()
    blank = np.zeros((28, 28), np.uint8)
    captions, colors = [], []
    for index, (sample, place) in enumerate(zip(samples, places, strict=False)):
        label, first, second = (int(values[tuple(place)]) for values in (y, *preds))
        if y.ndim == 1:
            captions.append(f"{labels[label]} → {labels[first]} | {labels[second]}")
        else:  # bits, of the output that the place names
            captions.append(f"{labels[place[1]]}\n{label} → {first} | {second}")
        colors.append(style.BLUE if first == label else style.VERMILION)
        if isinstance(sample, str):
            row, column = divmod(index, COLUMNS)
            x, top = column * (28 + GAP[1]) + 13.5, row * (28 + GAP[0]) + 13.5
            axes.text(x, top, sample, ha="center", va="center", fontsize=10, color=style.INK)
    images = np.stack([blank if isinstance(sample, str) else sample for sample in samples])
    show_tiles(axes, images, COLUMNS, captions, colors, gap=GAP, **INK)
    key = f"below each: correct label → {names[0]} | {names[1]}; blue: the first is correct"
    style.note(fig, key)
    return fig

"""The samples on which two networks differ."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.plots import style

COLUMNS, MOST_ROWS = 10, 6


def differing(
    x: np.ndarray,
    y: np.ndarray,
    said: tuple[np.ndarray, np.ndarray],
    places: np.ndarray,
    labels: Sequence[str],
    names: Sequence[str],
) -> Figure:
    """Return the samples on which two networks say different things, those that come first.

    Args:
        x: uint8 [N, 28, 28], pictures; or float [N, n], switches.
        y: int [N], classes; or float [N, gates], bits.
        said: what the first and the second network say, shaped as y.
        places: int [K, dimensions of y], where they differ.
        labels: of the classes, or the gates' names.
        names: of the two networks.
    """
    shown = places[: COLUMNS * MOST_ROWS]
    rows = -(-len(shown) // COLUMNS)
    more = f", the first {len(shown)} shown" if len(shown) < len(places) else ""
    made = style.figure(
        12, 1.1 + 1.55 * rows, f"{names[0]} and {names[1]} differ on {len(places)} samples{more}"
    )
    for axes, place in zip(made.subplots(rows, COLUMNS, squeeze=False).flat, shown, strict=False):
        where = tuple(place)
        truth, first, second = (int(values[where]) for values in (y, *said))
        if x.ndim > 2:
            axes.imshow(x[place[0]], cmap="gray_r", vmin=0, vmax=255)
            axes.set_title(f"is {labels[truth]}", fontsize=10)
        else:
            bits = "".join(str(int(bit)) for bit in x[place[0]])
            axes.text(0.5, 0.5, bits, ha="center", va="center", fontsize=14)
            axes.set_title(f"{labels[place[1]]}: is {truth}", fontsize=10)
        axes.set_xlabel(f"{first} | {second}", fontsize=11, fontweight="bold")
        color = style.BLUE if first == truth else style.VERMILION
        axes.xaxis.label.set_color(color)
    for axes in made.axes:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    made.supxlabel(
        f"below each: what {names[0]} | {names[1]} say; blue: the first is right",
        fontsize=10,
        color=style.INK,
    )
    return made

"""The samples on which two networks differ."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from experiments.plots import style
from experiments.plots.digits import EMPTY, mosaic, picture

COLUMNS, MOST_ROWS = 10, 6
BELOW, BESIDE = 24, 12  # paper below a picture of 28, for two lines, and beside it
ABOVE, MIDDLE, FIRST, SECOND = 1, 14, 32, 41  # rows from a cell's top to the middles of texts


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
    count = f"{len(places)} answer{'s' * (len(places) != 1)}"
    made = style.figure(
        10.5, 1.0 + 1.4 * rows, f"{names[0]} and {names[1]} differ on {count}{more}"
    )
    cells = np.full(max(1, rows) * COLUMNS, EMPTY)
    cells[: len(shown)] = np.arange(len(shown))
    pictures = x[shown[:, 0]] if x.ndim > 2 else np.zeros((len(shown), 28, 28), np.uint8)
    axes = picture(made.subplots(), mosaic(pictures, cells.reshape(-1, COLUMNS), BELOW, BESIDE))
    for cell, place in enumerate(shown):
        where, (row, column) = tuple(place), divmod(cell, COLUMNS)
        truth, first, second = (int(values[where]) for values in (y, *said))
        color = style.BLUE if first == truth else style.VERMILION
        words: list[tuple[int, str, float, str]] = [(SECOND, f"{first} | {second}", 12, color)]
        if x.ndim > 2:
            words += [(FIRST, f"is {labels[truth]}", 10, style.INK)]
        else:
            bits = "".join(str(int(bit)) for bit in x[place[0]])
            words += [(ABOVE, labels[place[1]], 9.5, style.INK), (MIDDLE, bits, 14, style.INK)]
            words += [(FIRST, f"is {truth}", 10, style.INK)]
        for down, text, size, shade in words:
            at = (column * (28 + BESIDE) + 13.5, row * (28 + BELOW) + down)
            axes.text(*at, text, ha="center", va="center", fontsize=size, color=shade)
    made.supxlabel(
        f"below each: what {names[0]} | {names[1]} say; blue: the first is right",
        fontsize=10,
        color=style.INK,
    )
    return made

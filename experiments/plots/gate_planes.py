"""Decision surfaces side by side as one image, which draws fast: corners, lines, units' sides."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.image import AxesImage

from experiments.plots import style

CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))  # (a, b) of the rows 00, 01, 10, 11
MOST_UNITS = 8  # hidden units that a picture can show; of more, those of most output weight
TICK = 0.09  # length of the mark on a unit's positive side, of the inputs' unit
LOOKS = {True: ("o", style.VERMILION), False: ("s", style.BLUE)}  # by target
CAPTION = (
    "dots: the rows of the truth table, vermilion circle = 1, blue square = 0; "
    "thick line: probability 0.5"
)


def strongest(weight2: np.ndarray, most: int = MOST_UNITS) -> np.ndarray:
    """Return the places of the hidden units of most output weight, in their order: int [<= most].

    Args:
        weight2: float [hidden].
    """
    return np.sort(np.argsort(-abs(weight2), kind="stable")[:most])


def zero_lines(
    weight1: np.ndarray, bias1: np.ndarray, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return where units' sums are zero within a square, and a tick on their positive sides.

    Args:
        weight1: float [hidden, 2].
        bias1: float [hidden].
        low, high: ends of the square along both inputs.

    Returns:
        Two float [lines, 2 ends, 2]; a unit whose line passes the square by has none.
    """
    size = np.linalg.norm(weight1, axis=1)
    weight1, bias1, size = weight1[size > 1e-9], bias1[size > 1e-9], size[size > 1e-9, None]
    normal = weight1 / size
    nearest = -normal * bias1[:, None] / size  # the line's point nearest to the origin
    along = np.stack([-normal[:, 1], normal[:, 0]], 1)
    safe = np.where(abs(along) < 1e-12, 1e-12, along)
    hits = np.stack([(low - nearest) / safe, (high - nearest) / safe])
    enter, leave = hits.min(0).max(1), hits.max(0).min(1)
    seen = enter < leave
    ends = np.stack([enter[seen], leave[seen]], 1)[..., None]
    lines = nearest[seen, None] + ends * along[seen, None]
    middle = lines.mean(1)
    return lines, np.stack([middle, middle + TICK * normal[seen]], 1)


def mosaic(
    axes: Axes,
    probability: np.ndarray,
    target: np.ndarray,
    line: np.ndarray,
    gap: tuple[int, int],
    weights: Mapping[str, np.ndarray] | None = None,
) -> AxesImage:
    """Draw surfaces in rows and columns as one image, whose unit is a point of a surface.

    Args:
        probability: float [rows, columns, S, S], of a 1; NaN leaves a panel empty.
        target: bool [rows, columns, 4], true outputs at `CORNERS`.
        line: float [S], values of each input.
        gap: points between rows and between columns.
        weights: weight1 [rows, columns, hidden, 2], bias1 and weight2 [rows, columns, hidden]:
            draws the zero lines of the units.
    """
    rows, columns, side = probability.shape[:3]
    down, right = side + gap[0], side + gap[1]
    image = np.full((rows * down - gap[0], columns * right - gap[1]), np.nan)
    for row, column in np.ndindex(rows, columns):
        top, left = place(row, column, rows, side, gap)
        image[top : top + side, left : left + side] = probability[row, column]
    image = np.ma.masked_invalid(image)
    shown = axes.imshow(
        image, origin="lower", cmap=style.DIVERGING, vmin=0, vmax=1, interpolation="bilinear"
    )
    if image.min() < 0.5 < image.max():
        axes.contour(image, [0.5], colors=style.INK, linewidths=2)
    if weights is not None:
        _units(axes, weights, line, gap)
    _dots(axes, probability, target, line, gap)
    return shown


def place(row: int, column: int, rows: int, side: int, gap: tuple[int, int]) -> tuple[int, int]:
    """Return a panel's lowest row and leftmost column in the image; row 0 is on top."""
    return (rows - 1 - row) * (side + gap[0]), column * (side + gap[1])


def draw_units(axes: Axes, lines: np.ndarray, ticks: np.ndarray) -> list[LineCollection]:
    """Draw units' zero lines and their ticks, float [lines, 2 ends, 2]; return the two artists."""
    dashed: Any = (0, (5, 2))
    thin = LineCollection(list(lines), colors=style.INK, linewidths=1, linestyles=dashed)
    thick = LineCollection(list(ticks), colors=style.INK, linewidths=2.6)
    for made in (thin, thick):
        axes.add_collection(made, autolim=False)
    return [thin, thick]


def _units(
    axes: Axes, weights: Mapping[str, np.ndarray], line: np.ndarray, gap: tuple[int, int]
) -> None:
    rows, columns = weights["bias1"].shape[:2]
    found = []
    for row, column in np.ndindex(rows, columns):
        kept = strongest(weights["weight2"][row, column])
        weight1, bias1 = (weights[name][row, column][kept] for name in ("weight1", "bias1"))
        both = np.stack(zero_lines(weight1, bias1, line[0], line[-1]))
        top, left = place(row, column, rows, len(line), gap)
        found.append(_points(both, line) + np.array([left, top]))
    draw_units(axes, *np.concatenate(found, axis=1))


def _dots(
    axes: Axes, probability: np.ndarray, target: np.ndarray, line: np.ndarray, gap: tuple[int, int]
) -> None:
    rows, columns, side = probability.shape[:3]
    size = np.clip(320 / max(rows, columns), 36, 90)
    for one, (marker, color) in LOOKS.items():
        spots = [
            _points(np.array(CORNERS[i], float), line)
            + np.array(place(row, column, rows, side, gap)[::-1])
            for row, column, i in np.argwhere((target > 0.5) == one)
            if np.isfinite(probability[row, column, 0, 0])
        ]
        x, y = np.array(spots).reshape(-1, 2).T
        axes.scatter(
            x, y, size, color=color, marker=marker, edgecolors=style.PAPER, lw=1.2, zorder=3
        )


def _points(values: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return values of inputs in points of a surface."""
    return (values - line[0]) / (line[1] - line[0])

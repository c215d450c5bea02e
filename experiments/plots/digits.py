"""What the digit network says about single digits, and which ones it confuses."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.plots import style

ROWS, COLUMNS = 4, 8
EMPTY = -1  # a place of a mosaic without a picture
CAPTION = 13  # rows of paper below a picture of 28, for two lines of caption
BESIDE = 9


def predictions(x: np.ndarray, y: np.ndarray, logits: np.ndarray) -> Figure:
    """Return digits with what was predicted: two rows as they come, two rows of the worst.

    Args:
        x: uint8 [N, 28, 28].
        y: int [N], the true digits.
        logits: float [N, 10].
    """
    probability = softmax(logits)
    predicted, on_truth = logits.argmax(1), probability[np.arange(len(y)), y]
    half = ROWS // 2 * COLUMNS
    places = np.full(ROWS * COLUMNS, EMPTY)
    for start, shown in ((0, np.arange(len(y))), (half, np.argsort(on_truth, kind="stable"))):
        places[start : start + min(half, len(y))] = shown[:half]
    wrong = int((predicted != y).sum())
    title = f"{wrong:,} of {len(y):,} wrong. Above: the first digits; below: the hardest"
    made = style.figure(11, 7.1, title)
    axes = made.subplots()
    picture(axes, mosaic(x, places.reshape(ROWS, COLUMNS), CAPTION, BESIDE))
    axes.axhline(ROWS // 2 * (28 + CAPTION) - 1, color=style.GREY, linewidth=1)
    for place, index in enumerate(places):
        if index != EMPTY:
            said, right = predicted[index], predicted[index] == y[index]
            mark = "✓" if right else f"✗ is {y[index]}"
            text = f"{said} {mark}\n{certainty(probability[index, said])}"
            color = style.BLUE if right else style.VERMILION
            caption(axes, text, divmod(place, COLUMNS), CAPTION, BESIDE, color, size=11)
    note = "below each: what was said, and its probability"
    made.supxlabel(note, fontsize=10, color=style.INK)
    return made


def confusion(y: np.ndarray, logits: np.ndarray) -> Figure:
    """Return the confusion matrix; the diagonal is written but kept out of the colour scale.

    Args:
        y: int [N], the true digits.
        logits: float [N, 10].
    """
    classes = logits.shape[1]
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (y, logits.argmax(1)), 1)
    errors = counts * (1 - np.eye(classes, dtype=int))
    truth, said = np.unravel_index(errors.argmax(), errors.shape)
    worst = f"most often a {truth} read as {said}" if errors.any() else "no digit confused"
    made = style.figure(7.5, 6.8, f"{mistakes(errors.sum())} in {len(y):,}: {worst}")
    axes = style.tidy(made.subplots(), "", "predicted digit", "true digit")
    image = axes.imshow(
        np.ma.masked_array(errors, np.eye(classes, dtype=bool)),
        cmap="Oranges",
        vmin=0,
        vmax=max(1, errors.max()),
    )
    for row in range(classes):
        for column in range(classes):
            if count := counts[row, column]:
                dark = row != column and count > errors.max() * 0.6
                color = style.PAPER if dark else style.GREY if row == column else style.INK
                text = f"{count:,}"
                axes.text(column, row, text, ha="center", va="center", fontsize=11, color=color)
    axes.set_xticks(range(classes))
    axes.set_yticks(range(classes))
    whole = MaxNLocator(6, integer=True)
    made.colorbar(
        image, ax=axes, label="mistakes (diagonal: read right, no colour)", shrink=0.8, ticks=whole
    )
    return made


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities, float [N, classes], of logits [N, classes]."""
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)


def certainty(share: float) -> str:
    """Return a network's probability in words; it is never quite 0 or 1, but for rounding."""
    return style.percent(min(max(float(share), 1e-9), 1 - 1e-9))


def mistakes(count: int) -> str:
    """Return `count` with its noun."""
    return f"{count:,} mistake" if count == 1 else f"{count:,} mistakes"


def mosaic(images: np.ndarray, places: np.ndarray, below: int, beside: int) -> np.ndarray:
    """Return many pictures as one, which is drawn far faster.

    Args:
        images: uint8 [N, height, width].
        places: int [rows, columns], which picture stands where; EMPTY is none.
        below, beside: rows and columns of paper after each picture.

    Returns:
        uint8 [rows * (height + below), columns * (width + beside)].
    """
    (rows, columns), (height, width) = places.shape, images.shape[1:]
    cells = np.zeros((rows, columns, height + below, width + beside), np.uint8)
    filled = places != EMPTY
    cells[filled, :height, :width] = images[places[filled]]
    return cells.swapaxes(1, 2).reshape(rows * (height + below), columns * (width + beside))


def picture(axes: Axes, pixels: np.ndarray) -> Axes:
    """Show ink, uint8 [H, W], dark on paper, without a scale."""
    axes.imshow(pixels, cmap="gray_r", vmin=0, vmax=255)
    return style.bare(axes)


def caption(
    axes: Axes,
    text: str,
    cell: tuple[int, int],
    below: int,
    beside: int,
    color: str,
    size: float = 9,
) -> None:
    """Write `text` under the 28 x 28 picture in the row and column `cell` of a mosaic."""
    row, column = cell
    x, y = column * (28 + beside) + 13.5, row * (28 + below) + 27.5 + below * 0.45
    axes.text(x, y, text, ha="center", va="center", fontsize=size, color=color)

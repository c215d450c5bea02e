"""What the digit network says about single digits, and which ones it confuses."""

import numpy as np
from matplotlib.figure import Figure

from experiments.plots import style

ROWS, COLUMNS = 4, 8


def predictions(x: np.ndarray, y: np.ndarray, logits: np.ndarray) -> Figure:
    """Return digits with what was predicted: two rows as they come, two rows of the worst.

    Args:
        x: uint8 [N, 28, 28].
        y: int [N], the true digits.
        logits: float [N, 10].
    """
    probability = _softmax(logits)
    predicted, on_truth = logits.argmax(1), probability[np.arange(len(y)), y]
    half = ROWS // 2 * COLUMNS
    shown = np.concatenate([np.arange(len(y))[:half], np.argsort(on_truth, kind="stable")[:half]])
    wrong = int((predicted != y).sum())
    made = style.figure(
        11, 7, f"{wrong} of {len(y):,} wrong. Above: the first digits; below: the hardest"
    )
    axes = made.subplots(ROWS, COLUMNS, squeeze=False).ravel()
    for place in axes:
        style.bare(place)
    for place, index in zip(axes, shown, strict=False):
        right = predicted[index] == y[index]
        place.imshow(x[index], cmap="gray_r", vmin=0, vmax=255)
        share = probability[index, predicted[index]]
        mark = "✓" if right else f"✗ is {y[index]}"
        style.bare(
            place,
            f"{predicted[index]}  {share:.0%}  {mark}",
            style.BLUE if right else style.VERMILION,
        )
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
    made = style.figure(7.5, 6.8, f"{errors.sum()} mistakes in {len(y):,}: {worst}")
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
                axes.text(column, row, count, ha="center", va="center", fontsize=10, color=color)
    axes.set_xticks(range(classes))
    axes.set_yticks(range(classes))
    made.colorbar(image, ax=axes, label="mistakes (diagonal left out)", shrink=0.8)
    return made


def _softmax(logits: np.ndarray) -> np.ndarray:
    power = np.exp(logits - logits.max(1, keepdims=True))
    return power / power.sum(1, keepdims=True)

"""Which pixels speak for the predicted digit: the trained net beside one with random weights."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from experiments.plots import style
from experiments.plots.digits import certainty
from experiments.plots.inside import mosaic

GAP = (12, 4)  # pixels below each tile, for its caption, and to its right
ALIKE = 0.5  # a mean rank correlation from which the title warns


def attributions(
    x: np.ndarray,
    y: np.ndarray,
    probabilities: np.ndarray,
    trained: Mapping[str, np.ndarray],
    untrained: Mapping[str, np.ndarray],
    similarity: Mapping[str, np.ndarray],
) -> Figure:
    """Return digits with what their pixels add to the predicted digit's logit, by two nets.

    Args:
        x: uint8 [M, 28, 28], M at least 1.
        y: int [M], the true digits.
        probabilities: float [M, 10], the trained net's.
        trained: method -> float [M, 28, 28], attributions in logits.
        untrained: the same of a net with random weights, for the same logit.
        similarity: method -> float [M], Spearman's rank correlation of the two nets' absolute
            attributions over the pixels of ink, -1 to 1.
    """
    means = {name: float(values.mean()) for name, values in similarity.items()}
    alike = max(means.values()) >= ALIKE
    agree = ", ".join(f"{_number(mean)} ({name})" for name, mean in means.items())
    verdict = "much the same" if alike else "different"
    rows = math.ceil(len(x) / 2)
    made = style.figure(
        11 if len(x) > 1 else 9.5,
        1.2 * rows + 2.9,
        f"Trained and random weights mark {verdict} pixels:\nrank correlation {agree}",
    )
    columns = {f"trained:\n{name}": values for name, values in trained.items()}
    columns |= {f"random:\n{name}": values for name, values in untrained.items()}
    halves = [part for part in (slice(0, rows), slice(rows, None)) if len(x[part])]
    panels = made.subplots(1, len(halves), squeeze=False)[0]
    for axes, part in zip(panels, halves, strict=True):
        drawn = _half(axes, x[part], {name: values[part] for name, values in columns.items()}, rows)
        _captions(axes, y[part], probabilities[part])
    bar = made.colorbar(drawn, ax=list(panels), location="bottom", shrink=0.5, aspect=50, pad=0.02)
    bar.set_label(
        "blue: against, vermilion: for the predicted digit; 1 is the picture's largest value, "
        "± logits below it",
        fontsize=10,
    )
    made.supxlabel(_caveat(similarity, len(x)), fontsize=10, color=style.INK)
    return made


def _half(axes: Axes, x: np.ndarray, columns: Mapping[str, np.ndarray], rows: int) -> AxesImage:
    """Draw the digits and, to the right of each, its attributions; return the latter's image."""
    count, side, pitch = len(columns) + 1, x.shape[1], (x.shape[1] + GAP[0], x.shape[2] + GAP[1])
    digits = np.full((rows, count, side, side), np.nan)
    parts, outlines = digits.copy(), np.zeros_like(digits)
    digits[: len(x), 0], outlines[: len(x), 1:] = x, x[:, None]
    for column, values in enumerate(columns.values(), start=1):
        most = abs(values).max((1, 2))
        parts[: len(x), column] = values / np.where(most > 0, most, 1)[:, None, None]
        for row, value in enumerate(most):
            where = (column * pitch[1] + side / 2, row * pitch[0] + side + 0.5)
            axes.text(*where, f"±{value:.2g}", ha="center", va="top", fontsize=10, color=style.INK)
    flat = [part.reshape(-1, side, side) for part in (digits, parts, outlines)]
    laid = [mosaic(part, count, GAP) for part in flat]
    axes.imshow(laid[0], cmap="gray_r", vmin=0, vmax=255)
    drawn = axes.imshow(laid[1], cmap=style.DIVERGING, vmin=-1, vmax=1)
    axes.contour(np.nan_to_num(laid[2]), [127.5], colors=style.INK, linewidths=0.6)
    for column, name in enumerate(("digit", *columns)):
        where = (column * pitch[1] + side / 2, -2)
        text = name.replace(" ", "\n")
        axes.text(*where, text, ha="center", va="bottom", fontsize=10, color=style.INK)
    style.bare(axes)
    axes.set_xlim(-0.5, laid[0].shape[1] - GAP[1] + 1)
    axes.set_ylim(laid[0].shape[0] + 0.5, -17)
    return drawn


def _captions(axes: Axes, y: np.ndarray, probabilities: np.ndarray) -> None:
    """Write under each digit what it is and what it was read as."""
    for row, (truth, shares) in enumerate(zip(y, probabilities, strict=True)):
        said = int(shares.argmax())
        right = said == truth
        text = f"{said} ✓" if right else f"is {truth}, read {said}"
        axes.text(
            14,
            row * (28 + GAP[0]) + 28.5,
            f"{text}\n{certainty(shares[said])}",
            ha="center",
            va="top",
            fontsize=10,
            color=style.BLUE if right else style.VERMILION,
        )


def _number(value: float) -> str:
    return f"{round(float(value), 2) + 0.0:.2f}".replace("-", "−")


def _caveat(similarity: Mapping[str, np.ndarray], count: int) -> str:
    spread = "; ".join(
        f"{name} {_number(values.min())} to {_number(values.max())}"
        for name, values in similarity.items()
    )
    return (
        f"Spearman's rank correlation of absolute values; single digits ({count}): {spread}.\n"
        "Over pixels of ink only: far from the ink every net attributes 0, so whole pages seem "
        "alike.\nIntegrated gradients multiply by the ink, which both nets share: a little "
        "agreement is no proof."
    )

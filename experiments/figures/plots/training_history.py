"""Predictions for the same few digits during training."""

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage

from experiments.evaluation.arrays import Array, Images, Labels
from experiments.figures.plots import style

MOST = 0.8  # fraction correct that the title dates
MAX_TICKS = 12


def history(
    x: Images, y: Labels, epochs: Float[Array, " T"], probabilities: Float[Array, "T N classes"]
) -> Figure:
    """Return the probability of the correct label, a row for each digit, a column a snapshot.

    Args:
        x, y: at least one digit, and the correct labels.
        epochs: of the snapshots, ascending.
    """
    fig = style.figure(11, 2.2 + 0.3 * len(y), title(y, epochs, probabilities))
    axes = style.tidy(fig.subplots(), "", "epoch", "digit, and its correct label")
    correct, pred = probabilities[:, np.arange(len(y)), y].T, probabilities.argmax(2).T
    image = axes.imshow(correct, cmap="magma", vmin=0, vmax=1, aspect="auto")
    for row, column in np.argwhere(pred != y[:, None]):
        text = axes.text(column, row, str(pred[row, column]), ha="center", va="center")
        text.set(size=9, weight="bold", color=style.legible(image.to_rgba(correct[row, column])))
    for row, digit in enumerate(x):
        axes.add_artist(
            AnnotationBbox(
                OffsetImage(digit, zoom=0.62, cmap="gray_r"),
                (0, row),
                (-14, 0),
                xycoords=axes.get_yaxis_transform(),
                boxcoords="offset points",
                frameon=False,
                pad=0,
            )
        )
    axes.set_yticks(range(len(y)), [str(label) for label in y])
    axes.tick_params(axis="y", length=0, pad=26)
    shown = np.unique(np.linspace(0, len(epochs) - 1, MAX_TICKS).round().astype(int))
    axes.set_xticks(shown, [_short(epochs[index]) for index in shown])
    fig.colorbar(image, ax=axes, label="probability of the correct label", pad=0.01)
    style.note(fig, "a digit in a cell: a wrong prediction; probabilities before calibration")
    return fig


def title(y: Labels, epochs: Float[Array, " T"], probabilities: Float[Array, "T N classes"]) -> str:
    """Return when most digits are classified correctly, and from when on all are."""
    right = probabilities.argmax(2) == y
    counts = right.sum(1)
    most = np.flatnonzero(counts >= MOST * len(y))
    first = int(most[0]) if len(most) else len(counts) - 1
    start = f"{counts[first]} of {len(y)} digits correct at epoch {_short(epochs[first])}"
    if not right[-1].all():
        return f"{start}; {counts[-1]} at the end"
    settled = len(counts) - int(right.all(1)[::-1].cumprod().sum())
    return f"{start}; all from epoch {_short(epochs[settled])} on"


def _short(epoch: float) -> str:
    return f"{epoch:.0f}" if epoch >= 10 else f"{epoch:.2g}"

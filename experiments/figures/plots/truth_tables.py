"""The truth tables of gate networks: the predicted probabilities, row by row."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from experiments.core.stats import sigmoid
from experiments.evaluation.arrays import Array
from experiments.figures.analysis.gates import bits
from experiments.figures.plots import style

MAX_ROWS = 32  # with numbers; a longer table shows colours alone


def predictions(
    labels: Sequence[str],
    x: Float[Array, "rows inputs"],
    y: Float[Array, "rows gates"],
    logits: Float[Array, "rows gates"],
) -> Figure:
    """Return every gate's probability of a 1 for each row, with the wrong ones marked.

    The title has the smallest margin, too: the logit towards the true output.

    Args:
        labels: names of the gates.
        x, y: inputs and true outputs, 0 or 1.
    """
    rows, gates = logits.shape
    size = max(7.0, 1.8 + 0.6 * gates), 2.6 + 0.4 * min(rows, MAX_ROWS / 2)
    fig = style.figure(min(11.0, size[0]), size[1], _title(labels, x, logits * (2 * y - 1)))
    axes = style.tidy(fig.subplots(), "", "gate", "row (inputs, a first)")
    probability, wrong = sigmoid(logits), (logits > 0) != (y > 0.5)
    look: style.Look = {"cmap": style.DIVERGING, "vmin": 0, "vmax": 1}
    image = axes.imshow(probability, aspect="auto", interpolation="nearest", **look)
    if rows <= MAX_ROWS:
        axes.set_yticks(range(rows), [bits(row) for row in x])
        for row, gate in np.ndindex(rows, gates):
            mark = " ✗" if wrong[row, gate] else ""
            text = axes.text(gate, row, f"{probability[row, gate]:.2f}{mark}", fontsize=9.5)
            color = style.legible(image.to_rgba(probability[row, gate]))
            text.set(ha="center", va="center", color=color)
    axes.set_xticks(range(gates), labels, rotation=35, ha="right", rotation_mode="anchor")
    fig.colorbar(image, ax=axes, pad=0.02, label="probability of a 1")
    return fig


def _title(
    labels: Sequence[str], x: Float[Array, "rows inputs"], margin: Float[Array, "rows gates"]
) -> str:
    """Return how much is correct, and which row of which gate is the least certain."""
    correct = margin > 0
    title = f"{labels[0]}: {int(correct.sum())} of {correct.size} rows correct"
    if len(labels) > 1:
        title = f"{int(correct.all(0).sum())} of {len(labels)} gates learned"
    row, gate = divmod(int(margin.argmin()), len(labels))
    least = style.decimal(margin.min(), 1)
    return f"{title}; smallest margin {least} nats ({labels[gate]} at {bits(x[row])})"

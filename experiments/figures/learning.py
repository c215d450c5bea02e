"""The learning curves, which every task has.

The import inside a function keeps matplotlib out of --help.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from experiments.figures.spec import FigureSpec

if TYPE_CHECKING:
    from experiments.figures.plots.training import Run
    from experiments.training.metrics import EpochMetrics


def figures(
    history: Sequence[EpochMetrics], others: Sequence[Run], exhaustive: bool
) -> Iterator[FigureSpec]:
    """Yield the learning curves together with those of other seeds.

    Args:
        others: epochs and metrics of trainings that differ by their seed alone.
        exhaustive: whether training and validation are the same rows.
    """
    from experiments.figures.plots import training

    epochs = [metrics.epoch for metrics in history]
    series = {name: [m.named()[name] for m in history] for name in history[0].named()}
    best = max(history, key=lambda metrics: metrics.rank)
    caption = "Look for validation loss that rises while training loss falls: overfitting."
    caveat = "It cannot show causes; training is measured on augmented data and moving weights."
    labels: dict[str, str] = {}
    if exhaustive:
        caption = "Look for the gap: starts that never learn keep the training loss high."
        caveat = "It cannot show generalisation: there are no other rows."
        note = "train: mean over all starts; val: the best start; both on all rows"
        labels = {"right": "of the rows right", "note": note}
    yield FigureSpec(
        "learning/curves",
        lambda: training.curves(epochs, series, best.epoch, others, **labels),
        caption,
        caveat,
        core=True,
    )

"""The likeliest reason why a network did not learn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from experiments.core.stats import wilson_interval

if TYPE_CHECKING:
    from experiments.training.metrics import EpochMetrics
    from experiments.training.trainer import Trainer

MIN_STEPS = 100
MAX_UNSURE = 0.5  # accuracy that few samples must be able to prove


def likely_cause(trainer: Trainer, best: EpochMetrics) -> str:
    """Return why the network that was trained by `trainer` is not above its task's floor.

    Args:
        best: its metrics.
    """
    splits, hparams = trainer.splits, trainer.hparams
    floor, count = trainer.task.floor(splits), trainer.val.y.numel()
    if wilson_interval(count, count)[0] <= min(floor, MAX_UNSURE):
        return f"too few samples: {count} for validation show nothing, even if all were right"
    if splits.unfit:
        return f"its data are unfit: {'; '.join(splits.unfit)}"
    if floor >= 1:
        return "a constant answer is right for every validation sample: give data of more classes"
    if of_task := trainer.task.likely_cause(splits, hparams):
        return of_task
    steps = math.ceil(hparams.epochs * len(trainer.train.x) / hparams.batch_size)
    if steps < MIN_STEPS:
        return (
            f"too short a training: {len(trainer.train.x):,} samples and epochs={hparams.epochs:g} "
            f"make {steps} steps of {hparams.batch_size}; pass more epochs, or give more samples"
        )
    if best.train_accuracy > floor:
        return (
            f"it knows its {len(trainer.train.x):,} training samples by heart "
            f"({best.train_accuracy:.1%} right): give more of them, or labels that fit"
        )
    return (
        f"it did not learn its training samples either ({best.train_accuracy:.1%} right): "
        f"lr={hparams.lr:g} is unsuitable, the network too small, or the labels are shuffled"
    )

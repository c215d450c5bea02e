"""Calibration of probabilities, and how well a score separates known classes from unknown.

The page imports it, without the packages that only state types.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from experiments.evaluation.arrays import (
        Binned,
        Counts,
        Labels,
        Logits,
        Mask,
        Probabilities,
        Scores,
    )

BINS = 15
NO_DIGIT: Final = "no digit"  # label of the digit network's eleventh class
FALSE_REJECT_RATE: Final = "false_reject_rate"  # the fact: fraction of validation digits refused
DRAWN_REJECT_RATE: Final = "drawn_reject_rate"  # the fact: of digits of simulated hands refused
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.2, 5.0  # limits for small data sets


def temperature(logits: Logits, y: Labels) -> float:
    """Return the temperature, a divisor of `logits`, of the lowest cross-entropy.

    The samples are some that training has not seen.

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logits = logits.astype(np.float64)
    rows = np.arange(len(y))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((logsumexp(scaled, axis=1) - scaled[rows, y]).mean())

    bounds = np.log([MIN_TEMPERATURE, MAX_TEMPERATURE])
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


@dataclass(frozen=True)
class Reliability:
    """Samples in bins of equal width by the probability of their predicted class.

    Attributes:
        counts: samples in each.
        confidence, accuracy: mean probability and fraction correct; 0 in an empty bin.
    """

    counts: Counts
    confidence: Binned
    accuracy: Binned

    @classmethod
    def of(cls, probabilities: Probabilities, y: Labels, bins: int = BINS) -> Reliability:
        """Return the reliability of probabilities of labels `y`."""
        prob, correct = probabilities.max(1), probabilities.argmax(1) == y
        index = np.minimum((prob * bins).astype(int), bins - 1)
        counts = np.bincount(index, minlength=bins)
        divisor = np.maximum(counts, 1)
        confidence = np.bincount(index, prob, bins) / divisor
        accuracy = np.bincount(index, correct, bins) / divisor
        return cls(counts, confidence, accuracy)

    @property
    def overall(self) -> float:
        """Return the accuracy on all samples."""
        return float((self.counts * self.accuracy).sum() / self.counts.sum())

    @property
    def error(self) -> float:
        """Return the expected calibration error, 0 to 1: the mean gap, weighted by count."""
        gaps = np.abs(self.confidence - self.accuracy)
        return float((self.counts * gaps).sum() / self.counts.sum())


def is_refused(outputs: Mapping[str, np.ndarray], facts: Mapping[str, object]) -> Mask:
    """Return which samples are below a model's own threshold, so of no known class.

    Args:
        outputs: of its graph, by name; without `score` none is refused.
        facts: of its metadata; without `score_threshold` none is refused.
    """
    threshold = facts.get("score_threshold")
    if "score" not in outputs or not isinstance(threshold, int | float):
        return np.zeros(len(outputs["probabilities"]), bool)
    return np.asarray(outputs["score"] < threshold)


def auroc(known: Scores, unknown: Scores) -> float:
    """Return how often a known sample has a higher score than an unknown one; ties count half."""
    from scipy.stats import mannwhitneyu

    known, unknown = known.astype(np.float64), unknown.astype(np.float64)
    return float(mannwhitneyu(known, unknown).statistic / (len(known) * len(unknown)))

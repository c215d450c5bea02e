"""Whether probabilities are true, and whether a score tells known from unknown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

BINS = 15
REFUSED = "refused_digits"  # the fact that is the share of validation digits refused by mistake
COLDEST, HOTTEST = 0.2, 5.0  # so far the few digits of a small set are believed


def temperature(logits: np.ndarray, y: np.ndarray) -> float:
    """Return what to divide `logits` by so that their softmax is likeliest on the true classes.

    Args:
        logits: float [N, classes], of samples that training has not seen.
        y: int [N].

    Source: C. Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    logits, rows = logits.astype(np.float64), np.arange(len(y))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float((logsumexp(scaled, axis=1) - scaled[rows, y]).mean())

    found = minimize_scalar(loss, bounds=np.log([COLDEST, HOTTEST]), method="bounded")
    return float(np.exp(found.x))


@dataclass(frozen=True)
class Reliability:
    """Samples sorted into bins of equal width by the probability of their most likely class.

    Attributes:
        counts: int [bins], samples in each.
        confidence, accuracy: float [bins], means of that probability and of being right; 0 where
            there is no sample.
    """

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray, y: np.ndarray, bins: int = BINS) -> "Reliability":
        """Sort probabilities, float [N, classes], of true classes y, int [N]."""
        top, right = probabilities.max(1), probabilities.argmax(1) == y
        place = np.minimum((top * bins).astype(int), bins - 1)
        counts = np.bincount(place, minlength=bins)
        sums = (np.bincount(place, weights, bins) for weights in (top, right))
        confidence, accuracy = (total / np.maximum(counts, 1) for total in sums)
        return cls(counts, confidence, accuracy)

    @property
    def overall(self) -> float:
        """Return the share right of all samples, 0 to 1."""
        return float((self.counts * self.accuracy).sum() / self.counts.sum())

    @property
    def error(self) -> float:
        """Return the expected calibration error, 0 to 1: the mean gap, bins weighted by count."""
        return float(
            (self.counts * np.abs(self.confidence - self.accuracy)).sum() / self.counts.sum()
        )


def refuses(outputs: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> np.ndarray:
    """Return which samples are of no known class by a model's own threshold: bool [N].

    Args:
        outputs: of its graph, by name; without `score` none is refused.
        facts: what it says of itself; without `score_threshold` none is refused.
    """
    if "score" not in outputs or "score_threshold" not in facts:
        return np.zeros(len(outputs["probabilities"]), bool)
    return outputs["score"] < facts["score_threshold"]


def auroc(known: np.ndarray, unknown: np.ndarray) -> float:
    """Return how often a known sample has a higher score than an unknown one, ties as half."""
    from scipy.stats import mannwhitneyu

    known, unknown = known.astype(np.float64), unknown.astype(np.float64)
    return float(mannwhitneyu(known, unknown).statistic / (len(known) * len(unknown)))

"""Statistics and activations on arrays: Wilson's interval, McNemar's test, softmax, sigmoid."""

from __future__ import annotations

import math

import numpy as np

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def wilson_interval(successes: int, count: int) -> tuple[float, float]:
    """Return low and high of Wilson's 95 % interval of a proportion; (0, 1) where count is 0.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 1927.
    """
    if not count:
        return 0.0, 1.0
    rate, scale = successes / count, 1 + Z_95**2 / count
    center = rate + Z_95**2 / (2 * count)
    margin = Z_95 * math.sqrt(rate * (1 - rate) / count + Z_95**2 / (4 * count**2))
    return max((center - margin) / scale, 0.0), min((center + margin) / scale, 1.0)


def mcnemar(first: int, second: int) -> float:
    """Return the two-sided p of McNemar's exact test.

    Args:
        first, second: numbers of samples that only the first, only the second got right.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated
    proportions or percentages", Psychometrika 12, 1947; exact, by the binomial distribution.
    """
    from scipy.stats import binomtest

    if first + second == 0:
        return 1.0
    return float(binomtest(first, first + second).pvalue)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities [..., classes] of logits [..., classes]."""
    power = np.exp(logits - logits.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits of any shape, without overflow."""
    return np.exp(-np.logaddexp(0, -logits))

"""Statistics against scipy, an implementation of its own."""

import numpy as np
import pytest
from scipy import special
from scipy.stats import binomtest

from experiments.core import stats


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (10, 10), (46, 200), (9967, 10_000)])
def test_wilson_interval_is_scipys(successes: int, count: int) -> None:
    interval = binomtest(successes, count).proportion_ci(0.95, "wilson")
    result = stats.wilson_interval(successes, count)
    assert result == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_wilson_interval_of_nothing_is_everything() -> None:
    assert stats.wilson_interval(0, 0) == (0, 1)


def test_softmax_and_sigmoid_do_not_overflow() -> None:
    logits = np.array([[-1000.0, 0.0, 3.0], [1000.0, 999.0, -5.0]])
    assert np.allclose(stats.softmax(logits), special.softmax(logits, axis=-1))
    assert np.allclose(stats.sigmoid(logits), special.expit(logits))

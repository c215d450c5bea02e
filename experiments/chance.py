"""What chance alone would do: an interval of a share, and a test of two networks' answers."""


def interval(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's interval of the share `right` of `count`, with 95 % confidence."""
    from scipy.stats import binomtest

    found = binomtest(right, count).proportion_ci(0.95, "wilson")
    return float(found.low), float(found.high)


def mcnemar(first: int, second: int) -> float:
    """Return the two-sided p of McNemar's exact test.

    Args:
        first, second: how many samples only the first, only the second got right.

    Source: Q. McNemar, "Note on the sampling error of the difference between correlated
    proportions or percentages", Psychometrika 12, 1947; exact, by the binomial distribution.
    """
    from scipy.stats import binomtest

    if first + second == 0:
        return 1.0
    return float(binomtest(first, first + second).pvalue)

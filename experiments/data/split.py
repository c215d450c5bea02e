"""Which training digits are kept for validation: the same ones for every run and every reader."""

import numpy as np

VAL_SHARE = 1 / 12  # 5,000 of 60,000
SPLIT_SEED = 0  # never the run's seed: validation accuracies of all runs compare


def stratified(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return a bool mask [N] that holds `share` of each class of `labels`, drawn with `seed`."""
    random = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = (random.permutation(len(members)) + 0.5) / len(members)
    mask[np.argsort(rank, kind="stable")[: round(share * len(labels))]] = True
    return mask

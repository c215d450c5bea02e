"""The split of the training digits into training, validation and calibration."""

import numpy as np

VAL_SHARE = 1 / 12  # 5,000 of 60,000
CALIBRATION_SHARE = 0.4  # 2,000 of these; the other 3,000 validate
SPLIT_SEED = 0  # of all runs, so that their validation accuracies compare


def stratified(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return a mask of a fraction `share` of each class of `labels`, by `seed`: bool [N]."""
    random = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members] = (random.permutation(len(members)) + 0.5) / len(members)
    mask[np.argsort(rank, kind="stable")[: round(share * len(labels))]] = True
    return mask

"""The last hidden layer's features in two dimensions.

Source: L. van der Maaten and G. Hinton, "Visualizing Data using t-SNE", 2008.
"""

import numpy as np

from experiments.errors import DataError

PERPLEXITY = 30.0  # about how many neighbours a point has
FEWEST, MOST, MOST_MISTAKES = 10, 500, 50
STEPS = 500  # of the optimisation; the divergence falls by less than a tenth after them


def select(y: np.ndarray, predicted: np.ndarray, seed: int, most: int = MOST) -> np.ndarray:
    """Return int [<= most + 50], in order: as many of each class, and up to 50 of the mistakes.

    Args:
        y, predicted: int [N], true and predicted digits.
        seed: of the draw.
    """
    random = np.random.default_rng(seed)
    classes = np.unique(y)
    share = most // max(1, len(classes))
    members = [random.permutation(np.flatnonzero(y == label))[:share] for label in classes]
    wrong = random.permutation(np.flatnonzero(predicted != y))[:MOST_MISTAKES]
    return np.unique(np.concatenate([*members, wrong]).astype(int))


def perplexity(count: int) -> float:
    """Return t-SNE's perplexity for `count` points: 30, or less where they are few."""
    return min(PERPLEXITY, (count - 1) / 3)


def embed(features: np.ndarray, seed: int) -> np.ndarray:
    """Return t-SNE's places of the samples: float32 [N, 2], the same for the same seed.

    It runs in one thread: the order in which several add up would change the picture.

    Args:
        features: float [N, D], finite, N at least 10.

    Raises:
        DataError: if they are too few, not finite or all the same.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if features.ndim != 2 or len(features) < FEWEST:
        raise DataError(
            f"Expected features [N, D] of at least {FEWEST} digits, got shape {features.shape}."
        )
    if not np.isfinite(features).all() or not np.ptp(features, axis=0).any():
        raise DataError("Expected finite features that differ; they are constant or not finite.")
    if features.shape[1] < 2:  # a single hidden unit: the start of t-SNE needs two columns
        features = np.pad(features, ((0, 0), (0, 1)))
    method = TSNE(
        perplexity=perplexity(len(features)), init="pca", max_iter=STEPS, random_state=seed
    )
    with threadpool_limits(limits=1):
        found = method.fit_transform(np.asarray(features, np.float32))
    return np.asarray(found, np.float32)


def neighbours_agree(features: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return for each sample whether the nearest other one, in all dimensions, has its label.

    Args:
        features: float [N, D], N at least 2.
        y: int [N].

    Returns:
        bool [N].

    Raises:
        DataError: if there is no other sample.
    """
    if len(features) < 2:
        raise DataError(f"Expected at least 2 digits to compare, got {len(features)}.")
    wide = features.astype(np.float64) - features.mean(0, dtype=np.float64)
    square = (wide**2).sum(1)
    distance = square[:, None] + square - 2 * wide @ wide.T
    np.fill_diagonal(distance, np.inf)
    return np.asarray(y[distance.argmin(1)] == y)

"""The last hidden layer's features in two dimensions.

Source: L. van der Maaten and G. Hinton, "Visualizing Data using t-SNE", 2008.
"""

import numpy as np
from jaxtyping import Float, Int

from experiments.core.errors import DataError
from experiments.evaluation.arrays import Array, Labels, Mask

PERPLEXITY = 30.0  # about how many neighbours a point has
MIN_SAMPLES, MAX_SAMPLES, MAX_MISTAKES = 10, 500, 50
STEPS = 500  # of the optimisation; the divergence falls by less than a tenth after them


def select(y: Labels, pred: Labels, seed: int, count: int = MAX_SAMPLES) -> Int[Array, " chosen"]:
    """Return ascending indices: as many of each class, `count` in all, and up to 50 mistakes."""
    random = np.random.default_rng(seed)
    classes = np.unique(y)
    each = count // max(1, len(classes))
    members = [random.permutation(np.flatnonzero(y == label))[:each] for label in classes]
    wrong = random.permutation(np.flatnonzero(pred != y))[:MAX_MISTAKES]
    return np.unique(np.concatenate([*members, wrong]).astype(int))


def perplexity(count: int) -> float:
    """Return t-SNE's perplexity for `count` points: 30, or less where they are few."""
    return min(PERPLEXITY, (count - 1) / 3)


def embed(features: Float[Array, "N D"], seed: int) -> Float[Array, "N 2"]:
    """Return t-SNE's coordinates, the same for the same seed.

    It runs in one thread: the order in which several add up would change the result.

    Raises:
        DataError: the features are fewer than 10, not finite or all the same.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if len(features) < MIN_SAMPLES:
        expected = f"at least {MIN_SAMPLES} digits"
        raise DataError("data-too-few", "features", expected, f"shape {features.shape}")
    if not np.isfinite(features).all() or not np.ptp(features, axis=0).any():
        expected = "finite numbers that differ"
        raise DataError("features-invalid", "features", expected, "all the same, or not finite")
    if features.shape[1] < 2:  # a single hidden unit: t-SNE's initialisation needs two columns
        features = np.pad(features, ((0, 0), (0, 1)))
    tsne = TSNE(perplexity=perplexity(len(features)), init="pca", max_iter=STEPS, random_state=seed)
    with threadpool_limits(limits=1):
        return np.asarray(tsne.fit_transform(features.astype(np.float32)), np.float32)


def neighbors_agree(features: Float[Array, "N D"], y: Labels) -> Mask:
    """Return whether each sample's nearest other one, in all dimensions, has its label."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(features)
    neighbors = search.kneighbors(return_distance=False)  # of the samples, without themselves
    return np.asarray(y[neighbors[:, 0]] == y)

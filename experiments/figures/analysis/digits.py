"""Numbers behind the figures of digits: mistakes, nearest neighbours, shapes, error by shape."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice, zip_longest

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from experiments.core.errors import DataError
from experiments.core.stats import wilson_interval
from experiments.evaluation.arrays import Array, Images, Labels, Mask, Probabilities, Vector
from experiments.training.device import has_bf16
from experiments.training.metrics import predict
from models.cnn import DigitCNN

Ink = Bool[Array, "N 28 28"]


def features(net: DigitCNN, x: Images) -> Float[Array, "N hidden"]:
    """Return the last hidden layer.

    In bf16 where the machine is faster at it: two digits are enough for a figure.
    """
    device = next(net.parameters()).device
    batches: list[torch.Tensor] = []
    hook = net.get_submodule("hidden").register_forward_hook(
        lambda _, __, output: batches.append(output.float().cpu())
    )
    with hook, torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
        predict(net, torch.tensor(x, device=device))
    return torch.cat(batches).numpy()


def nearest(
    queries: Float[Array, "Q D"], train: Float[Array, "M D"], count: int
) -> Int[Array, "Q count"]:
    """Return the indices of the rows of `train` nearest to each query.

    Raises:
        DataError: there are fewer than `count` rows.
    """
    from sklearn.neighbors import NearestNeighbors

    if len(train) < count:
        raise DataError("data-too-few", "training digits", f"at least {count}", len(train))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(train)
    return np.asarray(search.kneighbors(queries, return_distance=False))


def mistakes(probabilities: Probabilities, y: Labels) -> Int[Array, " wrong"]:
    """Return the indices of the misclassified digits, the most confident first.

    Raises:
        DataError: no digit is misclassified.
    """
    wrong = np.flatnonzero(probabilities.argmax(1) != y)
    if not len(wrong):
        raise DataError("data-too-few", "misclassified digits", "at least 1", f"0 of {len(y):,}")
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")]


def tracked(y: Labels, count: int = 25, seed: int = 0) -> Int[Array, " chosen"]:
    """Return the indices of digits to follow during training, in order of class.

    They are chosen by label alone, classes balanced.
    """
    order = np.random.default_rng(seed).permutation(len(y))
    members = [order[y[order] == label] for label in np.unique(y)]
    # One of each class in turn, until there are enough.
    turns = chain.from_iterable(zip_longest(*members, fillvalue=-1))
    chosen = np.array(list(islice((index for index in turns if index >= 0), count)))
    return chosen[np.argsort(y[chosen], kind="stable")]


def shapes(x: Images) -> dict[str, Vector]:
    """Return stroke width in pixels, slant in degrees and size in square pixels, by name.

    A pixel is ink if it is more than half as dark as the darkest one. All are 0 for an empty
    image; slant is positive if the digit leans to the right.
    """
    ink = x > x.max((1, 2), keepdims=True) / 2
    return {"stroke width": _stroke_width(ink), "slant": _slant(x), "size": _size(ink)}


def _stroke_width(ink: Ink) -> Vector:
    """Return four times the mean distance of ink from its edge.

    Of upright lines w pixels wide it is w where w is even, else w + 1/w; of slanted ones it is
    right to about half a pixel.
    """
    from scipy.ndimage import distance_transform_edt

    # All images below each other, a pixel of background around each, so that one call does.
    padded = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    distance = distance_transform_edt(padded.reshape(-1, padded.shape[2])).reshape(len(ink), -1)
    count = np.maximum(ink.sum((1, 2)), 1)
    # The distance is to the centre of a background pixel, half a pixel beyond the edge.
    return np.maximum(4 * (distance.sum(1) / count - 0.5), 0)


def _slant(x: Images) -> Vector:
    """Return the angle of the regression of columns on rows, weighted with ink."""
    rows, columns = (axis.ravel().astype(float) for axis in np.indices(x.shape[1:]))
    mass = np.maximum(x.sum((1, 2), dtype=float), 1)
    weight = x.reshape(len(x), -1) / mass[:, None]
    row, column = weight @ rows, weight @ columns
    covariance = weight @ (rows * columns) - row * column
    variance = weight @ rows**2 - row**2
    # Rows count downwards: a digit that leans to the right has a negative covariance.
    return np.degrees(np.arctan2(-covariance, variance)) * (variance > 1e-6)


def _size(ink: Ink) -> Vector:
    """Return the area of the bounding box of the ink."""
    area = np.ones(len(ink))
    for axis in (1, 2):
        filled = np.asarray(ink.any(axis))
        last = filled.shape[1] - filled[:, ::-1].argmax(1)
        area *= np.where(filled.any(1), last - filled.argmax(1), 0)
    return area


@dataclass(frozen=True)
class ErrorBins:
    """Digits binned by one measure, about as many in each bin, and their mistakes.

    Attributes:
        edges: values of the measure; an upper edge belongs to its bin.
        counts, wrong: digits and mistakes.
        low, high: 95 % interval (Wilson) of the error rate.
        p_value: the probability of that many mistakes or more, were the mistakes spread over the
            digits at random.
    """

    edges: Float[Array, " edges"]
    counts: Int[Array, " bins"]
    wrong: Int[Array, " bins"]
    low: Float[Array, " bins"]
    high: Float[Array, " bins"]
    p_value: Float[Array, " bins"]

    @classmethod
    def of(cls, values: Vector, wrong: Mask, bins: int = 8) -> ErrorBins:
        """Bin by `values`; equal ones share a bin."""
        from scipy.stats import hypergeom

        quantiles = np.arange(1, bins + 1) / bins
        uppers = np.unique(np.quantile(values, quantiles, method="inverted_cdf"))
        bin_of = np.searchsorted(uppers, values)
        counts = np.bincount(bin_of)
        missed = np.bincount(bin_of[wrong], minlength=len(counts))
        limits = [wilson_interval(int(k), int(n)) for k, n in zip(missed, counts, strict=True)]
        low, high = np.array(limits).T
        p_value = hypergeom.sf(missed - 1, len(values), int(wrong.sum()), counts)
        return cls(np.append(values.min(), uppers), counts, missed, low, high, p_value)

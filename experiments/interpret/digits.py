"""Numbers behind the pictures of misread digits: neighbours, shapes, and error by shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from experiments.errors import DataError

if TYPE_CHECKING:
    from torch import nn

CHUNK = 256  # queries at a time: 256 x 55,000 distances are 56 MB
CONFIDENCE = 0.95


def features(net: nn.Module, x: np.ndarray) -> np.ndarray:
    """Return the penultimate layer of a DigitCNN, float32 [N, hidden], for x, uint8 [N, 28, 28].

    In bf16 where the machine is faster at it: right to about two digits, enough to look at.
    """
    import torch

    from experiments.device import has_bf16
    from experiments.metrics import predict

    device = next(net.parameters()).device
    kept: list[torch.Tensor] = []
    hook = net.get_submodule("hidden").register_forward_hook(
        lambda _, __, output: kept.append(output.float().cpu())
    )
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device)):
            predict(net, torch.tensor(x, device=device))
    finally:
        hook.remove()
    return torch.cat(kept).numpy()


def nearest(queries: np.ndarray, train: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k rows of `train` nearest to each query, the nearest first, and how far they are.

    Args:
        queries: float [Q, D].
        train: float [M, D].
        k: how many, 1 to M.

    Returns:
        Indices into `train`, int [Q, k], and Euclidean distances, float64 [Q, k].

    Raises:
        DataError: there are fewer than k rows in `train`.
    """
    if len(train) < k:
        raise DataError(f"expected at least {k} training digits to look among, found {len(train)}.")
    found = np.empty((len(queries), k), int)
    lengths = np.square(train).sum(1)
    for start in range(0, len(queries), CHUNK):
        part = slice(start, start + CHUNK)
        # |q - t|^2 but for |q|^2, which is the same for every t
        found[part] = np.argpartition(lengths - 2 * queries[part] @ train.T, k - 1)[:, :k]
    # The candidates are measured again: differences of large squares lose digits.
    gaps = np.linalg.norm(queries[:, None].astype(np.float64) - train[found], axis=2)
    order = gaps.argsort(1, kind="stable")
    return np.take_along_axis(found, order, 1), np.take_along_axis(gaps, order, 1)


def surest(logits: np.ndarray, y: np.ndarray, count: int = 25) -> np.ndarray:
    """Return which digits are misread with the highest probability, the surest first.

    Where none is misread, those read right with the lowest probability come instead.

    Args:
        logits: float [N, classes].
        y: int [N], N at least 1.

    Returns:
        Indices, int, at most `count`.

    Raises:
        DataError: there is no digit.
    """
    from scipy.special import softmax

    _some(len(y))
    top, wrong = softmax(logits, axis=1).max(1), logits.argmax(1) != y
    order = np.argsort(-top, kind="stable")
    return order[wrong[order]][:count] if wrong.any() else order[::-1][:count]


def watched(y: np.ndarray, count: int = 25, seed: int = 0) -> np.ndarray:
    """Return digits to watch in training: `count` of them or all, of each class as many as can be.

    They are drawn from labels alone, so no network has a say in it.

    Args:
        y: int [N], N at least 1.

    Returns:
        Indices, int, in order of class.

    Raises:
        DataError: there is no digit.
    """
    _some(len(y))
    order = np.random.default_rng(seed).permutation(len(y))
    turn = np.empty(len(y), int)  # a class's first, its second, ...
    for label in np.unique(y):
        members = order[y[order] == label]
        turn[members] = np.arange(len(members))
    chosen = order[np.argsort(turn[order], kind="stable")][:count]
    return chosen[np.lexsort((chosen, y[chosen]))]


def shapes(x: np.ndarray) -> dict[str, np.ndarray]:
    """Return stroke width in pixels, slant in degrees and size in square pixels by name.

    Args:
        x: uint8 [N, 28, 28]; a pixel is ink if it is more than half as dark as the darkest one.

    Returns:
        Each float64 [N]; 0 for an empty picture. Slant is positive if the digit leans to the right.
    """
    ink = x > x.max((1, 2), keepdims=True) / 2
    return {"stroke width": _stroke_width(ink), "slant": _slant(x), "size": _box(ink)}


def _stroke_width(ink: np.ndarray) -> np.ndarray:
    """Four times the mean distance of ink from its edge.

    Of upright lines w pixels wide it is w where w is even, else w + 1/w; of slanted ones it is
    right to about half a pixel.
    """
    from scipy.ndimage import distance_transform_edt

    apart = np.pad(ink, ((0, 0), (1, 1), (1, 1)))  # a pixel of paper around each
    parts = np.split(apart, range(CHUNK, len(apart), CHUNK))  # as many as fit the cache
    tall = np.concatenate([distance_transform_edt(p.reshape(-1, p.shape[2])) for p in parts])
    sums, counts = tall.reshape(len(ink), -1).sum(1), ink.sum((1, 2))
    # A transform measures to the centre of the first pixel of paper, half a pixel beyond the edge.
    return np.where(counts, 4 * (sums / np.maximum(counts, 1) - 0.5), 0.0)


def _slant(x: np.ndarray) -> np.ndarray:
    """The angle that undoes the covariance of rows and columns, weighted with ink."""
    rows, columns = (axis.ravel() - (np.array(x.shape[1:]).mean() - 1) / 2 for axis in _grid(x))
    basis = np.stack([np.ones_like(rows), rows, columns, rows * columns, rows**2], 1)
    mass, down, across, mixed, square = (x.reshape(len(x), -1).astype(np.float64) @ basis).T
    mass = np.maximum(mass, 1)
    covariance, height = mixed - down * across / mass, square - down**2 / mass
    # Rows count downwards: what leans to the right has a negative covariance.
    return np.degrees(np.arctan2(-covariance, height)) * (height > 1e-6)


def _grid(x: np.ndarray) -> np.ndarray:
    return np.indices(x.shape[1:]).astype(np.float64)


def _box(ink: np.ndarray) -> np.ndarray:
    """The area of the smallest upright box around the ink."""
    area = np.ones(len(ink))
    for axis in (1, 2):
        there: np.ndarray = np.asarray(ink.any(axis))
        last = there.shape[1] - there[:, ::-1].argmax(1)
        area *= np.where(there.any(1), last - there.argmax(1), 0)
    return area


@dataclass(frozen=True)
class Slices:
    """Digits sorted by one measure into bins of about equal count, and how many are misread.

    Attributes:
        edges: float [bins + 1], values of the measure; an upper edge belongs to its bin, so equal
            values are never parted.
        counts, wrong: int [bins].
        low, high: float [bins], Wilson's interval of the share wrong, 95 %.
        chance: float [bins], the probability of that many mistakes or more in a bin, were the
            mistakes dealt to the digits at random.
    """

    edges: np.ndarray
    counts: np.ndarray
    wrong: np.ndarray
    low: np.ndarray
    high: np.ndarray
    chance: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, wrong: np.ndarray, bins: int = 8) -> Slices:
        """Sort by `values`, float [N]; `wrong` is bool [N]. Fewer bins where values are equal.

        Raises:
            DataError: there is no digit.
        """
        from scipy.stats import binomtest, hypergeom

        _some(len(values))
        parts = np.arange(1, bins + 1) / bins
        uppers = np.unique(np.quantile(values, parts, method="inverted_cdf"))
        place = np.searchsorted(uppers, values)
        counts = np.bincount(place)
        missed = np.bincount(place[wrong], minlength=len(counts))
        bounds = [
            binomtest(int(k), int(n)).proportion_ci(CONFIDENCE, "wilson")
            for k, n in zip(missed, counts, strict=True)
        ]
        low, high = np.array(bounds).T
        chance = hypergeom.sf(missed - 1, len(values), int(wrong.sum()), counts)
        edges = np.append(values.min(), uppers)
        return cls(edges, counts, missed, low, high, chance)


def _some(count: int) -> None:
    if not count:
        raise DataError("expected at least one digit to look at, found none.")

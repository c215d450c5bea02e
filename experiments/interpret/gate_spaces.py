"""The spaces a gate network lives in: its hidden layer's and that of its weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from experiments.errors import DataError
from experiments.interpret import gates

GRID = 41  # points along each side of a landscape


class HiddenSpace(NamedTuple):
    """Where the hidden layer puts each row of the truth table; units are those of activations.

    Attributes:
        distance: float [rows, gates], signed, to the output's boundary (probability 0.5).
        rest: float [rows, gates], along the first principal component of what is left.
        share: float [gates], of the variance that is left, how much `rest` holds; 1 if none is.
    """

    distance: np.ndarray
    rest: np.ndarray
    share: np.ndarray


def hidden_space(weights: gates.Weights, activation: str, x: np.ndarray) -> HiddenSpace:
    """Return the hidden layer's picture of `x`, float [rows, n], for networks of shape (gates,).

    Raises:
        DataError: the output weights of a network are all zero, so that it has no boundary.
    """
    import torch

    points = torch.tensor(np.asarray(x, weights["weight1"].dtype))
    net = gates.bank(weights, activation)
    with torch.inference_mode():
        active = net.activation(net.hidden(points)).numpy()
    size = np.linalg.norm(weights["weight2"], axis=-1)
    if not size.all():
        raise DataError("hidden space: expected an output weight other than 0, found none.")
    normal = weights["weight2"] / size[:, None]
    along = (active * normal).sum(-1)
    left = active - along[..., None] * normal
    parts = [_first_component(left[:, gate]) for gate in range(left.shape[1])]
    rest, share = np.stack([p[0] for p in parts], 1), np.array([p[1] for p in parts])
    return HiddenSpace(along + weights["bias2"] / size, rest, share)


def parted(x: np.ndarray, y: np.ndarray) -> bool:
    """Say whether one hyperplane parts the rows of `x` with y = 1 from those with y = 0.

    Args:
        x: float [rows, n].
        y: float [rows] of 0 and 1.
    """
    from scipy.optimize import linprog

    sign = 2.0 * y - 1
    rows = -sign[:, None] * np.c_[x, np.ones(len(x))]  # sign (w x + b) >= 1
    free = [(None, None)] * rows.shape[1]
    return linprog(np.zeros(rows.shape[1]), rows, -np.ones(len(x)), bounds=free).status == 0


class Landscape(NamedTuple):
    """A plane of the weight space through the end of a training's path.

    Attributes:
        path: float [T, 2], the recorded steps projected to the plane; the end is (0, 0).
        first, second: float [41], places of the grid along the two components.
        loss: float [41, 41], second by first: the mean cross-entropy on the plane.
        share: float [2], of the path's variance along each component.
    """

    path: np.ndarray
    first: np.ndarray
    second: np.ndarray
    loss: np.ndarray
    share: np.ndarray


def landscape(weights: gates.Weights, activation: str, x: np.ndarray, y: np.ndarray) -> Landscape:
    """Return the loss around the path of one gate's weights, of networks of shape (T,).

    The plane is that of the path's first two principal components (H. Li et al., "Visualizing
    the Loss Landscape of Neural Nets", 2018, section 7.2); each recorded step counts alike.

    Args:
        x: float [rows, n].
        y: float [rows] of 0 and 1.

    Raises:
        DataError: fewer than 3 steps are recorded, or the weights never moved.
    """
    theta = np.concatenate([v.reshape(len(v), -1) for v in weights.values()], 1).astype(float)
    moved = theta - theta.mean(0)
    if len(theta) < 3 or not moved.any():
        raise DataError(
            f"landscape: expected weights that move over 3 or more steps, found {len(theta)} "
            f"step{'s' * (len(theta) != 1)}{'' if moved.any() else ' without a move'}."
        )
    _, size, components = np.linalg.svd(moved, full_matrices=False)
    path = (theta - theta[-1]) @ components[:2].T
    middle = (path.max(0) + path.min(0)) / 2
    reach = 0.65 * float(np.ptp(path, axis=0).max())  # one scale on both axes
    first, second = (np.linspace(m - reach, m + reach, GRID) for m in middle)
    places = np.stack(np.meshgrid(first, second), -1)
    loss = np.empty((GRID, GRID))
    for row, line in enumerate(places):  # a row at a time: all would take gigabytes for wide nets
        shaped = _shaped((theta[-1] + line @ components[:2]).astype(np.float32), weights)
        loss[row] = gates.losses(gates.margins(shaped, activation, x, y))
    return Landscape(path, first, second, loss, (size**2 / sum(size**2))[:2])


def _shaped(theta: np.ndarray, like: gates.Weights) -> dict[str, np.ndarray]:
    """Cut vectors of all weights, float [*nets, P], into weights shaped as one of `like`."""
    ends = np.cumsum([value[0].size for value in like.values()])[:-1]
    parts = zip(like.items(), np.split(theta, ends, axis=-1), strict=True)
    return {name: part.reshape(*theta.shape[:-1], *v.shape[1:]) for (name, v), part in parts}


def _first_component(points: np.ndarray) -> tuple[np.ndarray, float]:
    centred = points - points.mean(0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    total = float((size**2).sum())
    return left[:, 0] * size[0], float(size[0] ** 2 / total) if total > 1e-12 else 1.0

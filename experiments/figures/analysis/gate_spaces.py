"""The spaces of a gate network: that of its hidden layer, and that of its weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.core.errors import DataError
from experiments.evaluation.arrays import Array
from experiments.figures.analysis import gates

GRID = 41  # points along each side of a landscape


class HiddenSpace(NamedTuple):
    """Where the hidden layer puts each row of the truth table; units are those of activations.

    Attributes:
        distance: signed, to the output's boundary (probability 0.5).
        component: along the first principal component of the remainder.
        explained: the fraction of the remainder's variance along it; 1 if there is none.
    """

    distance: Float[Array, "rows gates"]
    component: Float[Array, "rows gates"]
    explained: Float[Array, " gates"]


def hidden_space(weights: gates.Weights, activation: str, x: Float[Array, "rows n"]) -> HiddenSpace:
    """Return the hidden activations of `x` for networks of shape (gates,).

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
        expected = "an output weight other than 0"
        raise DataError("weights-zero", "hidden space", expected, "none")
    # 1. The component along the output weights is the distance to the boundary.
    normal = weights["weight2"] / size[:, None]
    along = (active * normal).sum(-1)
    # 2. Of what remains, the first principal component, one gate at a time.
    remainder = active - along[..., None] * normal
    remainder = (remainder - remainder.mean(0)).swapaxes(0, 1)
    left, scale, _ = np.linalg.svd(remainder, full_matrices=False)
    total = (scale**2).sum(-1)
    explained = np.where(total > 1e-12, scale[:, 0] ** 2 / np.maximum(total, 1e-12), 1.0)
    component = (left[..., 0] * scale[:, :1]).T
    return HiddenSpace(along + weights["bias2"] / size, component, explained)


def separable(x: Float[Array, "rows n"], y: Float[Array, " rows"]) -> bool:
    """Return whether one hyperplane separates the rows of `x` with y = 1 from those with y = 0."""
    from scipy.optimize import linprog

    sign = 2.0 * y - 1
    rows = -sign[:, None] * np.c_[x, np.ones(len(x))]  # sign (w x + b) >= 1
    free = [(None, None)] * rows.shape[1]
    return linprog(np.zeros(rows.shape[1]), rows, -np.ones(len(x)), bounds=free).status == 0


class Landscape(NamedTuple):
    """A plane of the weight space through the end of a training's trajectory.

    Attributes:
        path: the recorded epochs projected to the plane; the end is (0, 0).
        first, second: the grid along the two components.
        loss: second by first: the mean cross-entropy on the plane.
        explained: the fraction of the trajectory's variance along each component.
    """

    path: Float[Array, "T 2"]
    first: Float[Array, 41]
    second: Float[Array, 41]
    loss: Float[Array, "41 41"]
    explained: Float[Array, 2]


def landscape(
    weights: gates.Weights,
    activation: str,
    x: Float[Array, "rows n"],
    y: Float[Array, " rows"],
) -> Landscape:
    """Return the loss around the trajectory of one gate's weights, of networks of shape (T,).

    The plane is that of the trajectory's first two principal components (H. Li et al.,
    "Visualizing the Loss Landscape of Neural Nets", 2018, section 7.2).

    Raises:
        DataError: fewer than 3 epochs are recorded, or the weights never changed.
    """
    # 1. Each epoch's weights as one vector, and the plane that holds most of their variance.
    theta = np.concatenate([v.reshape(len(v), -1) for v in weights.values()], 1).astype(float)
    centred = theta - theta.mean(0)
    if len(theta) < 3 or not centred.any():
        raise DataError(
            "trajectory-too-short",
            "landscape",
            expected="weights that change over 3 or more epochs",
            found=f"{len(theta)} epochs, the largest change {np.abs(centred).max(initial=0):.2g}",
        )
    _, scale, components = np.linalg.svd(centred, full_matrices=False)
    path = (theta - theta[-1]) @ components[:2].T
    # 2. A square grid around the trajectory.
    middle = (path.max(0) + path.min(0)) / 2
    reach = 0.65 * float(np.ptp(path, axis=0).max())
    first, second = (np.linspace(m - reach, m + reach, GRID) for m in middle)
    # 3. The loss there, a row at a time: all would take gigabytes for wide networks.
    loss = np.empty((GRID, GRID))
    for row, points in enumerate(np.stack(np.meshgrid(first, second), -1)):
        vectors = (theta[-1] + points @ components[:2]).astype(np.float32)
        shaped = _unflatten(vectors, weights)
        loss[row] = gates.losses(gates.margins(shaped, activation, x, y))
    return Landscape(path, first, second, loss, (scale**2 / sum(scale**2))[:2])


def _unflatten(theta: Float[Array, " *nets P"], like: gates.Weights) -> dict[str, np.ndarray]:
    """Cut vectors of all weights into weights shaped as one of `like`."""
    ends = np.cumsum([value[0].size for value in like.values()])[:-1]
    parts = zip(like.items(), np.split(theta, ends, axis=-1), strict=True)
    return {name: part.reshape(*theta.shape[:-1], *v.shape[1:]) for (name, v), part in parts}

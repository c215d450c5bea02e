"""Cuts through gates of many inputs: two inputs vary, the others stand at a stated setting."""

from __future__ import annotations

from itertools import combinations, product
from typing import NamedTuple

import numpy as np

from experiments.errors import DataError
from experiments.interpret import gates

MOST_INPUTS = 6  # 15 pairs; more do not fit a picture
EDGES = ((0, 1), (0, 2), (1, 3), (2, 3))  # of the square of the rows 00, 01, 10, 11


class Slice(NamedTuple):
    """A square of the input space.

    Attributes:
        pair: the two inputs that vary; the first is drawn to the right, the second upwards.
        others: setting of the other inputs, (input, 0 or 1) each, in their order.
        target: bool [4], the gate's outputs for the pair at 00, 01, 10, 11.
    """

    pair: tuple[int, int]
    others: tuple[tuple[int, int], ...]
    target: np.ndarray

    @property
    def name(self) -> str:
        fixed = ", ".join(f"{_letter(i)}={value}" for i, value in self.others)
        return f"{_letter(self.pair[0])}, {_letter(self.pair[1])}" + f" | {fixed}" * bool(fixed)

    @property
    def changes(self) -> int:
        """Edges of the square along which the output changes: 0, 2 or, least linear, 4."""
        return sum(bool(self.target[i] != self.target[j]) for i, j in EDGES)


def slices(x: np.ndarray, y: np.ndarray, margin: np.ndarray) -> list[Slice]:
    """Return the slices worth a look of one gate: all of 2 or 3 inputs, else one for each pair.

    Of a pair's settings it is the one with most changes of the output; of equals, the one with
    the least margin.

    Args:
        x: float [2^n, n], rows in counting order.
        y: float [2^n], the gate's outputs.
        margin: float [2^n], the network's, of `gates.margins`.

    Raises:
        DataError: n is not 2 to 6.
    """
    n = x.shape[1]
    if not 2 <= n <= MOST_INPUTS:
        raise DataError(f"slices: expected a gate of 2 to {MOST_INPUTS} inputs, found {n}.")
    found = []
    for pair in combinations(range(n), 2):
        every = [_cut(x, y, margin, pair, setting) for setting in product((0, 1), repeat=n - 2)]
        if n > 3:
            every = [max(every, key=lambda cut: (cut[0].changes, -cut[1]))]
        found += [cut for cut, _ in every]
    return found


def plane(weights: gates.Weights, cut: Slice) -> dict[str, np.ndarray]:
    """Return the networks of two inputs that the networks are on `cut`.

    The inputs that stand still only shift the biases of the hidden units.
    """
    weight1, still = weights["weight1"], [i for i, _ in cut.others]
    values = np.array([value for _, value in cut.others], weight1.dtype)
    shift = weight1[..., still] @ values
    return {
        **weights,
        "weight1": weight1[..., list(cut.pair)],
        "bias1": weights["bias1"] + shift,
    }


def _cut(
    x: np.ndarray, y: np.ndarray, margin: np.ndarray, pair: tuple[int, int], setting: tuple
) -> tuple[Slice, float]:
    still = [i for i in range(x.shape[1]) if i not in pair]
    rows = np.flatnonzero((x[:, still] == np.array(setting)).all(1))  # 00, 01, 10, 11
    others = tuple(zip(still, setting, strict=True))
    return Slice(pair, others, y[rows] > 0.5), float(margin[rows].min())


def _letter(place: int) -> str:
    return chr(97 + place)

"""Slices through gates of many inputs: two inputs vary, the others are fixed."""

from __future__ import annotations

from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from experiments.core.errors import DataError
from experiments.evaluation.arrays import Array
from experiments.figures.analysis import gates

MAX_INPUTS = 6  # 15 pairs; more do not fit a figure
EDGES = ((0, 1), (0, 2), (1, 3), (2, 3))  # of the square of the rows 00, 01, 10, 11


class Slice(NamedTuple):
    """A square of the input space.

    Attributes:
        pair: the two inputs that vary; the first is drawn to the right, the second upwards.
        others: the fixed inputs, (input, 0 or 1) each, in their order.
        target: the gate's outputs for the pair at 00, 01, 10, 11.
    """

    pair: tuple[int, int]
    others: tuple[tuple[int, int], ...]
    target: Bool[Array, 4]

    @property
    def axes(self) -> tuple[str, str]:
        """The labels of the two axes."""
        first, second = map(letter, self.pair)
        return f"input {first}", f"input {second}"

    @property
    def fixed(self) -> str:
        """The fixed inputs, "c=1, d=0"; empty for a gate of two inputs."""
        return ", ".join(f"{letter(i)}={value}" for i, value in self.others)

    def title(self, gate: str) -> str:
        """Return the gate's name and its fixed inputs: "parity4 (c=1, d=0)"."""
        return f"{gate} ({self.fixed})" if self.fixed else gate

    @property
    def changes(self) -> int:
        """Edges of the square along which the output changes: 0, 2 or, least linear, 4."""
        return sum(bool(self.target[i] != self.target[j]) for i, j in EDGES)


def letter(number: int) -> str:
    """Return the name of an input by its number: a, b, c."""
    return chr(97 + number)


def slices(x: Float[Array, "rows n"], y: Float[Array, " rows"]) -> list[Slice]:
    """Return all slices of a gate of 2 or 3 inputs; of a larger gate one for each pair of inputs.

    That one has the most changes of the output: the least linear one, the first of equals.

    Args:
        x: rows in counting order.
        y: the gate's outputs.

    Raises:
        DataError: n is not 2 to 6.
    """
    n = x.shape[1]
    if not 2 <= n <= MAX_INPUTS:
        expected = f"a gate of 2 to {MAX_INPUTS} inputs"
        raise DataError("gate-inputs-out-of-range", "slices", expected, n)
    result = []
    for pair in combinations(range(n), 2):
        fixed = [i for i in range(n) if i not in pair]
        candidates = []
        for values in product((0, 1), repeat=n - 2):
            rows = np.flatnonzero((x[:, fixed] == np.array(values)).all(1))  # 00, 01, 10, 11
            others = tuple(zip(fixed, values, strict=True))
            candidates.append(Slice(pair, others, y[rows] > 0.5))
        if n > 3:
            candidates = [max(candidates, key=lambda each: each.changes)]
        result += candidates
    return result


def restrict(weights: gates.Weights, cut: Slice) -> dict[str, np.ndarray]:
    """Return the networks of two inputs that equal the networks on `cut`.

    The fixed inputs only shift the biases of the hidden units.
    """
    weight1, fixed = weights["weight1"], [i for i, _ in cut.others]
    values = np.array([value for _, value in cut.others], weight1.dtype)
    shift = weight1[..., fixed] @ values
    return {
        **weights,
        "weight1": weight1[..., list(cut.pair)],
        "bias1": weights["bias1"] + shift,
    }

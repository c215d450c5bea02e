"""What a model reads from ink: one digit, or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.calibration import refuses
from serve.digit import ink as inks
from serve.digit import numbers
from serve.predictor import Predictor

LEAST_SIDE = 0.16  # of the paper's shorter side; ink within less is a dot, of the widest pen too


@dataclass(frozen=True)
class Reading:
    """A model's answers on the digits that one drawing holds, from left to right.

    Attributes:
        parts: uint8 [H, W] each, the ink of each digit.
        images: uint8 [N, 28, 28], what the network saw of them.
        outputs: the graph's, by name, float32 [N, ...].
        labels: what the columns of the probabilities stand for.
        facts: what else the model says of itself.
    """

    parts: Sequence[np.ndarray]
    images: np.ndarray
    outputs: dict[str, np.ndarray]
    labels: Sequence[str]
    facts: Any

    @property
    def said(self) -> list[str]:
        """Return the likeliest label of each digit, refused or not."""
        return [self.labels[index] for index in self.outputs["probabilities"].argmax(1)]

    @property
    def shares(self) -> np.ndarray:
        """Return the probability of what was said, float32 [N]."""
        return self.outputs["probabilities"].max(1)

    @property
    def refused(self) -> np.ndarray:
        """Return which are no digits by the model's own threshold, bool [N]."""
        return refuses(self.outputs, self.facts)

    @property
    def focus(self) -> int:
        """Return the number of the digit that is least sure, a refused one before all."""
        return int(np.argmin(self.shares - 2 * self.refused))


def too_little(ink: np.ndarray) -> bool:
    """Return whether ink, uint8 [H, W], covers too little room to be a digit."""
    rows, columns = np.nonzero(ink)
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    return bool(longest < LEAST_SIDE * min(ink.shape))


def read(predictor: Predictor, ink: np.ndarray) -> Reading:
    """Return what `predictor` reads from ink, uint8 [H, W], of which there must be some."""
    parts = numbers.split(ink)
    images = np.concatenate([inks.to_image(part) for part in parts])
    return Reading(parts, images, predictor(images), predictor.labels, predictor.facts)


def warm_up(predictor: Predictor) -> None:
    """Read two strokes, so that all that the first reading imports and makes is at hand."""
    ink = np.zeros((40, 40), np.uint8)
    ink[5:35, [10, 30]] = 255
    read(predictor, ink)

"""Two trained networks on the same test set: where they differ, and whether that is chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from experiments import rebuilt
from experiments.chance import mcnemar
from experiments.errors import UserError

if TYPE_CHECKING:
    from experiments.tasks.base import Splits, Task
    from experiments.versions import Version


@dataclass(frozen=True)
class Comparison:
    """What two networks say of the same samples, one by one.

    Attributes:
        splits: the data; the test split is compared on.
        said: of each network, what it says, shaped as the targets y are.
        both, first, second, neither: how many both got right, only one of them, none.
        p: McNemar's exact test: how probable so uneven a division of those that one got right and
            the other wrong would be, if both erred equally often.
    """

    splits: Splits
    said: tuple[np.ndarray, np.ndarray]
    both: int
    first: int
    second: int
    neither: int
    p: float

    @classmethod
    def of(cls, splits: Splits, first: np.ndarray, second: np.ndarray) -> Comparison:
        """Compare what two networks say of the test split."""
        a, b = first == splits.test.y, second == splits.test.y
        both, neither = int((a & b).sum()), int((~a & ~b).sum())
        one, other = int((a & ~b).sum()), int((~a & b).sum())
        return cls(splits, (first, second), both, one, other, neither, mcnemar(one, other))

    @property
    def differing(self) -> np.ndarray:
        """Return where they say different things: int [K, dimensions of y]."""
        return np.argwhere(self.said[0] != self.said[1])


def compare(task: Task, first: Version, second: Version) -> Comparison:
    """Return how two versions of a task differ on its test set.

    Raises:
        UserError: they were trained on different data, or cannot be rebuilt.
    """
    digests = [version.metadata["data_digest"] for version in (first, second)]
    if digests[0] != digests[1]:
        raise UserError(
            f"against: expected a version trained on the data of {first} ({digests[0]}); {second} "
            f"was trained on {second.metadata['data_name']} ({digests[1]})."
        )
    splits = rebuilt.data(task, first)
    return Comparison.of(splits, *(_said(task, version, splits) for version in (first, second)))


def _said(task: Task, version: Version, splits: Splits) -> np.ndarray:
    import torch

    from experiments.metrics import predict

    net, _ = rebuilt.network(task, version)
    return task.decide(predict(net, torch.tensor(splits.test.x))).numpy()

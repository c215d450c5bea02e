"""Two versions on the same test set: where they differ, and whether that is chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int, Shaped

from experiments.core.errors import UserError
from experiments.core.stats import mcnemar
from experiments.evaluation.arrays import Array
from experiments.registry import loading
from experiments.training.metrics import predict

if TYPE_CHECKING:
    from experiments.registry.versions import Version
    from experiments.tasks.task import Split


@dataclass(frozen=True)
class Comparison:
    """The predictions of two networks for the same samples.

    Attributes:
        test: the split.
        labels: of the data.
        predictions: of each network, like `test.y`.
        both_correct, only_first_correct, only_second_correct, none_correct: counts.
        p: of McNemar's exact test that both err equally often.
    """

    test: Split
    labels: tuple[str, ...]
    predictions: tuple[Shaped[Array, " N *outputs"], Shaped[Array, " N *outputs"]]
    both_correct: int
    only_first_correct: int
    only_second_correct: int
    none_correct: int
    p: float

    @classmethod
    def of(
        cls,
        test: Split,
        labels: tuple[str, ...],
        first: Shaped[Array, " N *outputs"],
        second: Shaped[Array, " N *outputs"],
    ) -> Comparison:
        """Compare the predictions of two networks, like `test.y`."""
        a, b = first == test.y, second == test.y
        only_first, only_second = int((a & ~b).sum()), int((~a & b).sum())
        return cls(
            test,
            labels,
            (first, second),
            both_correct=int((a & b).sum()),
            only_first_correct=only_first,
            only_second_correct=only_second,
            none_correct=int((~a & ~b).sum()),
            p=mcnemar(only_first, only_second),
        )

    @property
    def disagreements(self) -> Int[Array, "K dimensions"]:
        """Return the indices of different predictions."""
        return np.argwhere(self.predictions[0] != self.predictions[1])


def compare(first: Version, second: Version) -> Comparison:
    """Compare two versions of a task on its test set.

    Raises:
        UserError: they were trained on different data, or cannot be loaded.
    """
    digests = [version.metadata["data_digest"] for version in (first, second)]
    if digests[0] != digests[1]:
        raise UserError(
            "data-differ",
            "against",
            expected=f"a version trained on the data of {first} ({digests[0]})",
            found=f"{second}, trained on {second.metadata['data_name']} ({digests[1]})",
            fix="Compare two versions that were trained on the same data.",
        )
    task = loading.task_of(first)
    splits = loading.load_splits(task, first)
    test = splits.test.open(f"comparison of {first} with {second}")
    predictions = []
    for version in (first, second):
        net, _ = loading.load_model(task, version)
        predictions.append(task.predict(predict(net, torch.tensor(test.x))).numpy())
    return Comparison.of(test, splits.labels, *predictions)

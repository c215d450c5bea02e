"""Whether two implementations of one network say the same, sample by sample."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from torch import Tensor

BATCH = 2000
TOLERANCE = 1e-4  # on logits, which are of the order of 10


@dataclass(frozen=True)
class Parity:
    """A comparison: samples compared, samples with the same decision, largest gap of logits."""

    count: int
    same: int
    largest: float

    @property
    def holds(self) -> bool:
        """Return whether every decision is the same and no logit differs by more than 1e-4."""
        return self.same == self.count and self.largest <= TOLERANCE

    def __str__(self) -> str:
        return (
            f"{self.same:,} of {self.count:,} decisions the same, "
            f"largest difference of logits {self.largest:.1e}"
        )


@torch.inference_mode()
def compare(
    reference: Callable[[Tensor], Tensor],
    session: onnxruntime.InferenceSession,
    x: np.ndarray,
    decide: Callable[[Tensor], Tensor],
) -> Parity:
    """Return how the session's logits compare with those of `reference` on all of x [N, ...].

    Args:
        reference: torch program, x [B, ...] to logits [B, ...].
        session: of a graph with one input and an output named `logits`.
        decide: logits to decisions; a sample is the same if all of its decisions are.
    """
    name = session.get_inputs()[0].name
    same, largest = 0, 0.0
    for start in range(0, len(x), BATCH):
        batch = np.ascontiguousarray(x[start : start + BATCH])
        ours = torch.from_numpy(session.run(["logits"], {name: batch})[0])
        theirs = reference(torch.tensor(batch)).float()
        agree = decide(ours) == decide(theirs)
        same += int(agree.reshape(len(batch), -1).all(1).sum())
        largest = max(largest, float((ours - theirs).abs().max()))
    return Parity(len(x), same, largest)

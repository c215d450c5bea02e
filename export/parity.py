"""Whether two implementations of one network say the same, sample by sample."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from torch import Tensor

BATCH = 2000
TOLERANCE = 1e-4  # on outputs, which are of the order of 10


@dataclass(frozen=True)
class Parity:
    """A comparison: samples compared, samples with the same decision, largest gap of outputs."""

    count: int
    same: int
    largest: float

    @property
    def holds(self) -> bool:
        """Return whether every decision is the same and no output differs by more than 1e-4."""
        return self.same == self.count and self.largest <= TOLERANCE

    def __str__(self) -> str:
        return (
            f"{self.same:,} of {self.count:,} decisions the same, "
            f"largest difference of outputs {self.largest:.1e}"
        )


@torch.inference_mode()
def compare(
    reference: Callable[[Tensor], Mapping[str, Tensor]],
    session: onnxruntime.InferenceSession,
    x: np.ndarray,
    decide: Callable[[Tensor], Tensor],
) -> Parity:
    """Return how the session's outputs compare with those of `reference` on all of x [N, ...].

    Args:
        reference: x [B, ...] to outputs by name, `logits` among them, computed by torch.
        session: of a graph with one input and the same outputs.
        decide: logits to decisions; a sample is the same if all of its decisions are.
    """
    name = session.get_inputs()[0].name
    same, largest = 0, 0.0
    for start in range(0, len(x), BATCH):
        batch = np.ascontiguousarray(x[start : start + BATCH])
        theirs = reference(torch.tensor(batch))
        run = session.run(list(theirs), {name: batch})
        ours = {name: torch.from_numpy(value) for name, value in zip(theirs, run, strict=True)}
        agree = decide(ours["logits"]) == decide(theirs["logits"])
        same += int(agree.reshape(len(batch), -1).all(1).sum())
        gaps = [(ours[name] - theirs[name].float()).abs().max() for name in theirs]
        largest = max(largest, *map(float, gaps))
    return Parity(len(x), same, largest)

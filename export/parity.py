"""Whether two implementations of one network say the same, sample by sample."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from torch import Tensor

BATCH = 250  # what it computes with then fits into a processor's cache
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


def session(raw: bytes) -> onnxruntime.InferenceSession:
    """Return a session on the CPU that computes in the thread that asks, as `compare` wants it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def compare(
    reference: Callable[[Tensor], Mapping[str, Tensor]],
    session: onnxruntime.InferenceSession,
    x: np.ndarray,
    decide: Callable[[Tensor], Tensor],
) -> Parity:
    """Return how the session's outputs compare with those of `reference` on all of x [N, ...].

    Each processor compares batches of its own. A difference that is no number counts as one.

    Args:
        reference: x [B, ...] to outputs by name, `logits` among them, computed by torch.
        session: of a graph with one input and the same outputs, of any precision.
        decide: logits to decisions; a sample is the same if all of its decisions are.
    """
    name = session.get_inputs()[0].name

    @torch.inference_mode()
    def batch(start: int) -> tuple[int, Tensor]:
        part = np.ascontiguousarray(x[start : start + BATCH])
        theirs = reference(torch.tensor(part))
        run = session.run(list(theirs), {name: part})
        ours = {name: torch.from_numpy(value) for name, value in zip(theirs, run, strict=True)}
        agree = decide(ours["logits"]) == decide(theirs["logits"])
        gaps = [(ours[name] - theirs[name].float()).abs().max() for name in theirs]
        return int(agree.reshape(len(part), -1).all(1).sum()), torch.stack(gaps).max()

    workers = torch.get_num_threads()
    with _one_thread_each(), ThreadPoolExecutor(workers) as pool:
        same, largest = zip(*pool.map(batch, range(0, len(x), BATCH)), strict=True)
    return Parity(len(x), sum(same), float(torch.stack(largest).max()))


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let torch compute in the thread that asks: the batches keep the processors busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)

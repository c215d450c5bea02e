"""Whether a network and its graph are the same function, and how large and fast the graph is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

from experiments.core.exports import OPSET
from experiments.core.onnx_session import BATCH_SIZE, open_session, run_batches
from export import graph

if TYPE_CHECKING:
    from torch import Tensor, nn

    from experiments.tasks.task import Task

TOLERANCE = 1e-4  # on outputs, which are of the order of 10
LATENCY_RUNS = 50
UNVERIFIED: dict[str, object] = {"holds": False, "bytes": 0, "latency_ms": 0.0}  # if it fails


@dataclass(frozen=True)
class Parity:
    """A comparison: samples, samples with the same decision, largest difference of outputs."""

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


def verify_export(task: Task, net: nn.Module, x: np.ndarray) -> dict[str, object]:
    """Return, JSON-able, how the outputs of a net on the CPU compare with those of its fp32 graph.

    Args:
        x: samples [N, ...] as `task.input` says, on which both are run.
    """
    raw = to_bytes(graph.of_task(task, net, x[:2], {}))
    outputs = run_batches(open_session(raw), x)
    parity = compare(outputs, torch_outputs(task, net, x), task.predict)
    return {
        **asdict(parity),
        "holds": parity.holds,
        "parity": str(parity),
        "bytes": len(raw),
        "latency_ms": latency_ms(raw, x[:1]),
        "opset": OPSET,
    }


def to_bytes(model: onnx.ModelProto) -> bytes:
    """Return the bytes of a graph that onnx's checker accepts."""
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


@torch.inference_mode()
def torch_outputs(task: Task, net: nn.Module, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return torch's outputs for samples x [N, ...]: name -> float32 [N, ...]."""
    batches = torch.tensor(x).split(BATCH_SIZE)
    parts = [task.outputs(net, batch) for batch in batches]
    return {name: torch.cat([part[name] for part in parts]).float().numpy() for name in parts[0]}


def compare(
    outputs: Mapping[str, np.ndarray],
    expected: Mapping[str, np.ndarray],
    predict: Callable[[Tensor], Tensor],
) -> Parity:
    """Return how a graph's outputs compare with torch's: name -> [N, ...], `logits` among them.

    Args:
        predict: logits to decisions; a sample is the same if all its decisions are.
    """
    ours, theirs = (predict(torch.from_numpy(each["logits"])) for each in (outputs, expected))
    same = (ours == theirs).reshape(len(ours), -1).all(1)
    # numpy's max of differences with NaN is NaN, which is within no tolerance.
    largest = np.max([np.abs(outputs[name] - expected[name]).max() for name in expected])
    return Parity(len(same), int(same.sum()), float(largest))


def accuracy(task: Task, logits: np.ndarray, y: np.ndarray) -> float:
    """Return the fraction of the answers, logits [N, ...], that are correct by y [N, ...]."""
    correct = task.is_correct(torch.from_numpy(logits), torch.as_tensor(y))
    return float(correct.double().mean())


def latency_ms(raw: bytes, x: np.ndarray) -> float:
    """Return the median milliseconds of one sample, x [1, ...], on one thread."""
    session = open_session(raw, threads=1)
    seconds = []
    for _ in range(LATENCY_RUNS):
        start = time.perf_counter()
        run_batches(session, x)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)

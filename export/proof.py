"""Whether a network's graph is the same function, and how large and quick the graph is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from export import graph, parity

if TYPE_CHECKING:
    import onnx
    from torch import Tensor, nn

    from experiments.tasks.base import Split, Task
    from export.parity import Parity

RUNS = 50  # of which the median time counts
NONE: dict[str, Any] = {"holds": False, "bytes": 0, "latency_ms": 0.0}  # of what cannot be proven


def of_net(task: Task, net: nn.Module, x: np.ndarray) -> dict[str, Any]:
    """Return, JSON-able, the proof that a net on the CPU and its graph in fp32 are one function.

    Args:
        x: samples [N, ...] as `task.input` says, on which both are run.
    """
    made = graph.of_task(task, net, x[:2], {})
    raw = checked(made)
    found = compare(task, raw, lambda batch: task.outputs(net, batch), x)
    return {
        **asdict(found),
        "holds": found.holds,
        "parity": str(found),
        "bytes": len(raw),
        "latency_ms": latency(raw, x[:1]),
        "opset": graph.OPSET,
    }


def checked(made: onnx.ModelProto) -> bytes:
    """Return the bytes of a graph that onnx's checker finds well formed."""
    import onnx

    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def compare(
    task: Task, raw: bytes, reference: Callable[[Tensor], Mapping[str, Tensor]], x: np.ndarray
) -> Parity:
    """Return how a graph compares with `reference`, which computes its outputs by torch."""
    return parity.compare(reference, parity.session(raw), x, task.decide)


def accuracy(task: Task, raw: bytes, split: Split) -> float:
    """Return the share of answers on a split (arrays) that a graph has right."""
    import torch

    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    name, right = session.get_inputs()[0].name, []
    for start in range(0, len(split.x), parity.BATCH):
        batch = np.ascontiguousarray(split.x[start : start + parity.BATCH])
        logits = torch.from_numpy(session.run(["logits"], {name: batch})[0])
        y = torch.as_tensor(split.y[start : start + parity.BATCH])
        right.append(task.correct(logits, y).reshape(-1).numpy())
    return float(np.concatenate(right).mean())


def latency(raw: bytes, x: np.ndarray) -> float:
    """Return the median milliseconds for one sample, x [1, ...], on one thread."""
    session = parity.session(raw)
    given, seconds = {session.get_inputs()[0].name: np.ascontiguousarray(x)}, []
    for _ in range(RUNS):
        started = time.perf_counter()
        session.run(None, given)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)

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

    from experiments.tasks.base import Task
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


def outputs(raw: bytes, x: np.ndarray) -> dict[str, np.ndarray]:
    """Return what a graph says of samples x [N, ...]: output -> array [N, ...]."""
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    given, names = session.get_inputs()[0].name, [each.name for each in session.get_outputs()]
    told = [
        session.run(names, {given: np.ascontiguousarray(x[start : start + parity.BATCH])})
        for start in range(0, len(x), parity.BATCH)
    ]
    return dict(zip(names, map(np.concatenate, zip(*told, strict=True)), strict=True))


def accuracy(task: Task, logits: np.ndarray, y: np.ndarray) -> float:
    """Return the share of answers, logits [N, ...], that are right of true ones y [N, ...]."""
    import torch

    return float(task.correct(torch.from_numpy(logits), torch.as_tensor(y)).double().mean())


def latency(raw: bytes, x: np.ndarray) -> float:
    """Return the median milliseconds for one sample, x [1, ...], on one thread."""
    session = parity.session(raw)
    given, seconds = {session.get_inputs()[0].name: np.ascontiguousarray(x)}, []
    for _ in range(RUNS):
        started = time.perf_counter()
        session.run(None, given)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds)

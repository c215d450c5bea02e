"""What is stored with a version: all that rebuilds it, judges it and explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import provenance
from experiments.metrics import predict

if TYPE_CHECKING:
    from torch import nn

    from experiments.job import Job
    from experiments.metrics import EpochMetrics
    from experiments.tasks.base import Examination

SEARCHED = (
    "task",
    "recipe",
    "seed",
    "data_name",
    "data_digest",
    "val_accuracy",
    "val_loss",
    "test_accuracy",
    "parameters",
)


def gather(
    job: Job,
    net: nn.Module,
    kept: EpochMetrics,
    facts: Mapping[str, float],
    measured: Mapping[str, float],
    logits: np.ndarray,
    exam: Examination,
) -> dict[str, Any]:
    """Return, JSON-able, what is known of a trained and calibrated net.

    Args:
        kept: the epoch that was kept.
        facts: of its calibration, for its clients.
        measured: on the test set, and what the fit took.
        logits: of the test set, float32 [N, ...].
        exam: what the task's examination found.
    """
    splits, task = job.splits, job.task
    wrong = ~task.correct(predict(net, job.val.x), job.val.y).cpu().numpy().reshape(-1)
    return {
        "task": task.name,
        "config": net.config,
        "labels": list(splits.labels),
        "facts": {**splits.facts, **facts},
        "recipe": job.options["recipe"],
        "hparams": asdict(job.hparams),
        "seed": job.seed,
        "data_options": {name: value and str(value) for name, value in asdict(job.data).items()},
        "data_name": splits.name,
        "data_digest": splits.digest,
        "data_sizes": [len(split.x) for split in (splits.train, splits.val, splits.test)],
        "canonical": splits.canonical,
        "exhaustive": splits.exhaustive,
        "val_accuracy": kept.val_accuracy,
        "val_loss": kept.val_loss,
        "val_count": wrong.size,
        "val_wrong": np.flatnonzero(wrong).tolist(),
        "test_accuracy": measured["test_accuracy"],
        "test_count": int(measured["test_count"]),
        "confusion": confusion(task.decide, logits, splits.test.y),
        "fit_seconds": measured["fit_seconds"],
        "robustness": dict(exam.numbers),
        "reported": dict(exam.reported),
        "parameters": sum(p.numel() for p in net.parameters()),
        "environment": provenance.environment(),
        "code": provenance.commit(),
    }


def confusion(decide: Any, logits: np.ndarray, y: np.ndarray) -> list[list[int]]:
    """Return how often each true value (rows) was given each answer (columns).

    Args:
        decide: logits (tensor) -> answers, shaped as `y` is: whole numbers from 0 on.
    """
    import torch

    said = decide(torch.as_tensor(logits)).numpy().reshape(-1).astype(int)
    truth = y.reshape(-1).astype(int)
    side = max(said.max(), truth.max()) + 1
    return np.bincount(truth * side + said, minlength=side**2).reshape(side, side).tolist()


def searched(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of it becomes tags, to search versions by."""
    tags = {name: evidence[name] for name in SEARCHED}
    tags |= {f"code_{name}": value for name, value in evidence["code"].items()}
    tags |= {"onnx_bytes": evidence["proof"]["bytes"], "parity": evidence["proof"]["holds"]}
    found = {**evidence["robustness"], **evidence["reported"]}
    named = {"corruption/mean": "corruption_mean", "test_ece": "test_ece"}
    return tags | {tag: found[name] for name, tag in named.items() if name in found}

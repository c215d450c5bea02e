"""A network from the tab for the rest of the page: calibrated, as an ONNX file."""

from __future__ import annotations

import copy
import json
from pathlib import Path

from experiments import evaluation
from export import graph
from serve.tabs.learn.worker.fits import Fit


def export(fit: Fit, path: str) -> str:
    """Write a calibrated copy of a net, as it is now, as an ONNX file; return the path."""
    trainer, net = fit.trainer, copy.deepcopy(fit.net).cpu().eval()
    calibrate = evaluation.get(trainer.task.name).calibrate
    assert calibrate is not None and trainer.calibration is not None
    facts = calibrate(net, trainer.calibration, trainer.val, trainer.splits.canonical)
    metadata = {
        "task": trainer.task.name,
        "labels": json.dumps(trainer.splits.labels),
        "facts": json.dumps(facts),
        "precision": "fp32",
    }
    model = graph.of_task(trainer.task, net, trainer.splits.val.x[:2], metadata)
    Path(path).write_bytes(model.SerializeToString())
    return path

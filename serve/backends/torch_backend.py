"""A predictor on torch, of a registered torch program; imported on request only."""

from collections.abc import Mapping

import numpy as np
import torch

from experiments import tasks
from experiments.core import cli
from experiments.registry import loading, versions
from serve.backends.onnx_backend import Facts
from serve.models.model_ref import ModelRef
from serve.refusals import refusal


class TorchPredictor:
    """A predictor on torch, rebuilt from a registered version of a task's model."""

    def __init__(self, version: versions.Version) -> None:
        stored = version.metadata
        self._task = tasks.get(stored["task"])
        self._net, _ = loading.load_model(self._task, version)
        self.task: str = stored["task"]
        self.labels: list[str] = stored["labels"]
        self.facts: Facts = stored["facts"]
        self.key, self.graph = version.uri, b""
        self.metadata: Mapping[str, str] = {}
        self.title = f"{version.name}/{version.number}, torch"

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            outputs = self._task.outputs(self._net, torch.tensor(x))
        return {name: value.numpy() for name, value in outputs.items()}


def load(ref: ModelRef) -> TorchPredictor:
    """Return the predictor of a registered version.

    Raises:
        UserError: there is none, or another program registered it.
    """
    how_to_make = cli.HOW_TO_TRAIN.format(task=ref.name) if ref.name in tasks.names() else ""
    version = versions.find(ref.uri, how_to_make)
    if "task" not in version.metadata:
        raise refusal("metadata-missing", "one without its task", file=version)
    return TorchPredictor(version)

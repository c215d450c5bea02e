"""The same predictor on the registered torch program; imported only when asked for."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from experiments import rebuilt, tasks, versions


class TorchPredictor:
    """A predictor on torch, rebuilt from a registered version of a task's model."""

    def __init__(self, version: versions.Version) -> None:
        stored = version.metadata
        self._task = tasks.get(stored["task"])
        self._net, _ = rebuilt.network(self._task, version)
        self.task: str = stored["task"]
        self.labels: list[str] = stored["labels"]
        self.facts: Mapping[str, Any] = stored["facts"]
        self.key, self.graph = version.uri, b""
        self.metadata: Mapping[str, str] = {}
        self.title = f"{version.name}/{version.number}, torch"

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            outputs = self._task.outputs(self._net, torch.tensor(x))
        return {name: value.numpy() for name, value in outputs.items()}

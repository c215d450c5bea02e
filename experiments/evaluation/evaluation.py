"""The type of a task's evaluation beyond accuracy: what it measures, and how that is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments.tasks.task import Split, Splits

if TYPE_CHECKING:
    import numpy as np
    from torch import nn


@dataclass(frozen=True)
class Metric:
    """How a number, or a group of numbers GROUP/NAME, is used.

    Attributes:
        noise: by how much it may be worse than the champion's.
        lower_is_better: whether a smaller value is better.
        maximum: bound for promotion on the task's canonical data; None for no bound.
        tag: of the registered version, to search by; empty for none.
        label: of its row in the model card; empty for none.
    """

    noise: float = 0.0
    lower_is_better: bool = False
    maximum: float | None = None
    tag: str = ""
    label: str = ""


@dataclass(frozen=True)
class EvaluationResult:
    """What a task measured of a trained net beyond accuracy.

    Attributes:
        numbers: compared by promotion, by names GROUP/NAME.
        reported: only reported.
        metrics: how both are used, by name or by group; stored with the version.
        table: the numbers as Markdown.
        details: data of the figures, in the form that `figures/TASK.py` takes.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    table: str = ""
    details: Any = None


@dataclass(frozen=True)
class Evaluation:
    """What a task measures of a trained net; each attribute has a default that does nothing.

    Attributes:
        calibrate: net, split to fit on, split to judge on (tensors), whether the data are the
            canonical ones -> facts for clients; what belongs in the net is set there. None for a
            task without calibration.
        evaluate: calibrated net, its facts, splits, opened test split, test logits (numpy), the
            champion's numbers -> result.
    """

    calibrate: Callable[[nn.Module, Split, Split, bool], Mapping[str, float]] | None = None
    evaluate: Callable[
        [nn.Module, Mapping[str, float], Splits, Split, np.ndarray, Mapping[str, float]],
        EvaluationResult,
    ] = lambda *_: EvaluationResult()

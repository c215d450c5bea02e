"""What a task is: its data, its network, its loss, its hyper-parameters and its search space.

The modules of tasks import torch and the models inside their functions, so that listing the tasks
and their options takes no time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

if TYPE_CHECKING:
    import numpy as np
    from torch import Generator, Tensor, nn


EXCERPT_SIZE = 8  # numbers of a sample that figures show

# Fields of several tasks, each with a default of its own: rule and description are written once.
Epochs = Annotated[
    float,
    Field(gt=0, le=10_000, description="passes over the training set; 0.5 is half a pass"),
]
LearningRate = Annotated[
    float, Field(gt=0, le=100, description="peak learning rate, above 0, at most 100")
]
WeightDecay = Annotated[float, Field(ge=0, le=1, description="decoupled weight decay, 0 to 1")]
LabelSmoothing = Annotated[
    float, Field(ge=0, lt=1, description="fraction of each label spread over all classes")
]
UpdateRule = Annotated[Literal["adamw", "sgd", "muon"], Field(description="update rule")]
EvalEvery = Annotated[int, Field(ge=1, description="epochs from one evaluation to the next")]


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class Hparams:
    """Hyper-parameters that every task has; a task adds its own and sets its defaults.

    Numbers may be given as text, as on a command line. Invalid values raise pydantic's
    ValidationError.
    """

    epochs: Epochs = 4
    batch_size: int = Field(default=256, ge=2, description="samples a step")
    optimizer: UpdateRule = "adamw"
    lr: LearningRate = 0.01
    warmup_frac: float = Field(
        default=0.2, ge=0, lt=1, description="fraction of the steps in which lr rises"
    )
    weight_decay: WeightDecay = 0.01
    label_smoothing: LabelSmoothing = 0.0
    eval_every: EvalEvery = 1


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class DataOptions:
    """Options of a task's data; this one has none."""


@dataclass(frozen=True)
class Range:
    """A dimension of a search space: low to high, whole numbers if both are."""

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' by its logarithm' if self.log else ''}"


@dataclass(frozen=True)
class Choice:
    """A dimension of a search space: one of the options."""

    options: tuple[str | int | float, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.options

    def __str__(self) -> str:
        return " or ".join(map(str, self.options))


@dataclass(frozen=True)
class Split:
    """Inputs x [N, ...] and targets y [N, ...]: numpy arrays from disk, tensors in training."""

    x: Any
    y: Any


class HeldOut:
    """The test split; every read of it states its purpose and is recorded.

    Attributes:
        reads: the purposes in order; a version stores them, and its model card lists them.
    """

    def __init__(self, x: Any, y: Any) -> None:
        self._split = Split(x, y)
        self.reads: list[str] = []

    def __len__(self) -> int:
        return len(self._split.x)

    def open(self, purpose: str) -> Split:
        """Return the split, and record the `purpose`."""
        self.reads.append(purpose)
        return self._split


@dataclass(frozen=True)
class Splits:
    """A task's data, divided in the same way for every seed.

    Attributes:
        train: fits the weights.
        val: selects the epoch, the trial, the champion and the precisions of the export.
        test: is opened once, after all choices, and selects nothing.
        labels: of the columns of the logits.
        name, source, digest: of the data set; the digest has at most 36 characters.
        canonical: whether it is the data set that the task is known by.
        exhaustive: whether the data are all there are, so that the three splits are the same.
        calibration: fits temperature and thresholds; None for a task that calibrates nothing.
        export_metadata: other facts that a client of the model needs, JSON-able.
        unfit: what keeps a network trained on these data from being champion, a phrase each.
    """

    train: Split
    val: Split
    test: HeldOut
    labels: tuple[str, ...]
    name: str
    source: str
    digest: str
    canonical: bool
    exhaustive: bool = False
    calibration: Split | None = None
    export_metadata: Mapping[str, object] = field(default_factory=dict)
    unfit: tuple[str, ...] = ()

    def sizes(self) -> dict[str, int]:
        """Return the number of samples in each split."""
        splits = {"train": self.train, "val": self.val, "calibration": self.calibration}
        sizes = {name: len(split.x) for name, split in splits.items() if split}
        return {**sizes, "test": len(self.test)}


@dataclass(frozen=True)
class Input:
    """The input of a task's ONNX graph: its name, numpy dtype and meaning."""

    name: str
    dtype: str
    meaning: str


def _same_samples(
    x: Tensor, y: Tensor, hparams: Any, generator: Generator
) -> tuple[Tensor, Tensor]:
    return x, y


def constant_answer(splits: Splits) -> float:
    """Return the validation accuracy of the best constant answer, which is at least chance."""
    import numpy as np

    y = np.asarray(splits.val.y).reshape(len(splits.val.y), -1)
    return float(
        np.mean([np.unique(column, return_counts=True)[1].max() for column in y.T]) / len(y)
    )


def _numbers(x: np.ndarray) -> str:
    """Return a sample's first numbers as text, two a line."""
    shown = [f"{value:.3g}" for value in x.reshape(-1)[:EXCERPT_SIZE].tolist()]
    lines = [" ".join(shown[start : start + 2]) for start in range(0, len(shown), 2)]
    return "\n".join(lines) + ("\n…" if x.size > EXCERPT_SIZE else "")


@dataclass(frozen=True)
class Task:
    """One task; everything that differs between tasks is a field here.

    Fields with a default may be left out. Calibration and evaluation beyond accuracy are in
    `evaluation/NAME.py`, figures in `figures/NAME.py`; both files are optional.

    Attributes:
        load: data options -> Splits.
        network: keyword arguments (a net's `config`) -> an untrained net.
        build: splits, hyper-parameters -> the net to train.
        recipes: named sets of hyper-parameters, `default` among them.
        loss: logits, y, label smoothing -> float32 loss of each sample (and net of a bank).
        predict: logits -> predictions, as y states the truth (for a bank, of every net).
        is_correct: logits, y -> bool, of the loss's shape.
        outputs: net, x -> the graph's outputs by name, `logits` and `probabilities` among them.
        space: what a search varies.
        output_docs: descriptions of the graph's outputs, by name.
        limitations: of its networks: a few sentences.
        licence: of its data: a sentence.
        objective: the metric of `metrics.EpochMetrics` that a search optimises.
        mixed_precision: whether its training gains from bf16 where the hardware has it.
        foreign_hparams: hyper-parameters for data that are not canonical, unless given.
        data_options: the type of its data options.
        default_recipe: data options -> the name of the recipe to use when none is given.
        select_model: trained net, validation split (tensors) -> the net to register.
        monitor: net in training, validation split (tensors) -> further metrics of an evaluation.
        augment: x, y, hyper-parameters, generator -> x, y to train on, of any number of samples.
        augment_at: hyper-parameters, fraction of the steps done -> those that augment gets then.
        floor: splits -> the validation accuracy that a network is above if it learned.
        likely_cause: splits, hyper-parameters -> why a network is not above it, as far as the task
            knows: a clause, or "" for the causes that every task has.
        show: one input x (numpy) -> an image uint8 [28, 28], or a short text, for figures.
        trial_epochs: epochs of a trial, at most, if no number of trials is given.
    """

    name: str
    input: Input
    hparams: type[Hparams]
    load: Callable[[Any], Splits]
    network: Callable[..., nn.Module]
    build: Callable[[Splits, Any], nn.Module]
    recipes: Mapping[str, Hparams]
    loss: Callable[[Tensor, Tensor, float], Tensor]
    predict: Callable[[Tensor], Tensor]
    is_correct: Callable[[Tensor, Tensor], Tensor]
    outputs: Callable[[Any, Tensor], dict[str, Tensor]]
    space: Mapping[str, Range | Choice]
    output_docs: Mapping[str, str]
    limitations: str
    licence: str
    objective: Literal["val_loss", "val_accuracy"] = "val_accuracy"
    mixed_precision: bool = False
    foreign_hparams: Mapping[str, Any] = field(default_factory=dict)
    data_options: type[DataOptions] = DataOptions
    default_recipe: Callable[[Any], str] = lambda _: "default"
    select_model: Callable[[Any, Split], nn.Module] = lambda net, _: net
    monitor: Callable[[Any, Split], Mapping[str, float]] = lambda *_: {}
    augment: Callable[[Tensor, Tensor, Any, Generator], tuple[Tensor, Tensor]] = _same_samples
    augment_at: Callable[[Any, float], Any] = lambda hparams, _: hparams
    floor: Callable[[Splits], float] = constant_answer
    likely_cause: Callable[[Splits, Any], str] = lambda *_: ""
    show: Callable[[np.ndarray], np.ndarray | str] = _numbers
    trial_epochs: float = math.inf

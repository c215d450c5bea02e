"""What a task is: its data, its network, its loss, its hyper-parameters and its pictures.

The modules of tasks import torch, the models and the plots only inside their functions, so
that listing the tasks and their options costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from experiments.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Generator, Tensor, nn


# What several tasks have, each with a default of its own: the rule and its words stand here.
Epochs = Annotated[
    float,
    Field(gt=0, le=10_000, description="passes over the training set; 0.5 is half a pass"),
]
LearningRate = Annotated[
    float, Field(gt=0, le=100, description="peak learning rate, above 0, at most 100")
]
WeightDecay = Annotated[float, Field(ge=0, le=1, description="decoupled weight decay, 0 to 1")]
LabelSmoothing = Annotated[
    float, Field(ge=0, lt=1, description="share of each label spread over all classes")
]
UpdateRule = Annotated[Literal["adamw", "sgd", "muon"], Field(description="update rule")]
EvalEvery = Annotated[int, Field(ge=1, description="epochs from one evaluation to the next")]


@checked_dataclass(frozen=True)
class Hparams:
    """Hyper-parameters that every task has; a task adds its own and sets its defaults.

    Text is accepted for numbers, since command lines carry text. A value that breaks its rule
    raises pydantic's ValidationError.
    """

    epochs: Epochs = 4
    batch_size: int = Field(default=256, ge=2, description="samples a step")
    optimizer: UpdateRule = "adamw"
    lr: LearningRate = 0.01
    warmup: float = Field(
        default=0.2, ge=0, lt=1, description="share of the steps in which lr rises"
    )
    weight_decay: WeightDecay = 0.01
    label_smoothing: LabelSmoothing = 0.0
    eval_every: EvalEvery = 1


@checked_dataclass(frozen=True)
class DataOptions:
    """What a task's data can be told; a task without any uses this as it is."""


@dataclass(frozen=True)
class Range:
    """A dimension of a search space: low to high, whole numbers if both are."""

    low: float
    high: float
    log: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """A dimension of a search space: one of the options."""

    options: tuple[Any, ...]

    def __contains__(self, value: object) -> bool:
        return value in self.options


@dataclass(frozen=True)
class Split:
    """Inputs x [N, ...] and targets y [N, ...]: numpy arrays from disk, tensors in training."""

    x: Any
    y: Any


@dataclass(frozen=True)
class Splits:
    """A task's data, divided once and the same way for every seed.

    Attributes:
        train, val, test: train fits, val chooses, test is read once, at the end.
        labels: what the columns of the logits stand for.
        name, source, digest: of the data set; the digest has at most 36 characters.
        canonical: True for the data set that the task is known by.
        exhaustive: True if the data are all there is, so that the three splits are one.
        facts: what else a client of the model needs, as JSON-able values.
    """

    train: Split
    val: Split
    test: Split
    labels: tuple[str, ...]
    name: str
    source: str
    digest: str
    canonical: bool
    exhaustive: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Input:
    """The one input of a task's graph: its name, numpy dtype and meaning, for any client."""

    name: str
    dtype: str
    meaning: str


class Film(NamedTuple):
    """A picture that moves: what it found, and the bytes of a GIF."""

    title: str
    gif: bytes


@dataclass(frozen=True)
class Exhibit:
    """A picture, and what a reader needs to be told of it.

    Attributes:
        name: FOLDER/NAME below figures/; the folder says what is shown.
        draw: makes it; a DataError says why it cannot be drawn.
        look: a sentence that says what to look for.
        limit: a sentence that says what the picture cannot show.
        core: whether `figures=core` has it.
        scalable: whether it is kept as SVG, too, on light ground and on dark.
        text: the same in words, Markdown.
        slides: (step, picture, uint8 [H, W, 3]) in the course of training.
    """

    name: str
    draw: Callable[[], Figure | Film]
    look: str
    limit: str
    core: bool = False
    scalable: bool = False
    text: str = ""
    slides: Callable[[], Iterator[tuple[int, Any]]] | None = None


@dataclass(frozen=True)
class Examination:
    """What a task found about a trained net beyond accuracy; empty where it looks no further.

    Attributes:
        numbers: what the promotion rule compares, by names GROUP/WHAT.
        reported: what is only told.
        table: all of it for people, Markdown.
        exhibits: its pictures.
    """

    numbers: Mapping[str, float] = field(default_factory=dict)
    reported: Mapping[str, float] = field(default_factory=dict)
    table: str = ""
    exhibits: Iterable[Exhibit] = ()


@dataclass(frozen=True)
class Moment:
    """A net in the course of its training: after how many steps, and what `Task.watch` saw."""

    step: int
    epoch: float
    seen: Mapping[str, Any]


@dataclass(frozen=True)
class Trained:
    """A trained and calibrated net, and all that its pictures are made of.

    Attributes:
        net: on the device that trained it, in evaluation mode.
        splits: numpy arrays.
        logits: of the test split, numpy.
        moments: of the training, the first before the first step, the last of the weights that
            were kept; none where nobody watched.
    """

    net: Any
    splits: Splits
    logits: Any
    moments: Sequence[Moment]

    def watched(self) -> Sequence[Moment]:
        """Return the moments.

        Raises:
            DataError: the training was not watched, or not from its beginning.
        """
        if not self.moments or self.moments[0].step or not self.moments[0].seen:
            raise DataError(
                "course of the training: expected moments of it from its first step on, found "
                f"{len(self.moments)}: its beginning was not watched, or the bank is too large "
                "(give fewer restarts)."
            )
        return self.moments


@dataclass(frozen=True)
class Task:
    """One task; everything that differs between tasks is a field here.

    Attributes:
        load: data options -> Splits.
        network: plain keyword arguments (a net's `config`) -> the net, freshly initialised.
        build: splits, hyper-parameters -> the net to train.
        recipes: named sets of hyper-parameters, `default` among them.
        suits: data options -> the name of the recipe to take when none is asked for.
        loss: logits, y, label smoothing -> float32 loss of each sample (and net of a bank).
        decide: logits -> what they say, as y says it (for a bank, of every net).
        correct: logits, y -> bool, of the loss's shape.
        outputs: net, x -> the graph's outputs by name, `logits` and `probabilities` among them.
        choose: trained net, validation split (tensors) -> the net to keep.
        augment: x, y, hyper-parameters, generator -> x, y to train on, of any number of samples.
        watch: net in training, validation split (tensors) -> tensors to keep of this moment.
        exhibits: trained net and all about it -> its pictures, in reading order.
        calibrate: trained net, validation split (tensors) -> facts that its clients need; what
            belongs into the net itself is set there.
        examine: trained and calibrated net, its facts, splits, test logits (numpy), the present
            champion's numbers -> how robust it is.
        space: what a search may vary.
        objective: the metric of `metrics.EpochMetrics` that a search optimises.
        mixed_precision: whether its training gains from bf16 where the hardware has it.
        limits: what its networks cannot do, as far as it is known: a few sentences.
        licence: of its data: a sentence.
        meanings: of the graph's outputs, by name.
    """

    name: str
    input: Input
    hparams: type[Hparams]
    data_options: type[DataOptions]
    load: Callable[[Any], Splits]
    network: Callable[..., nn.Module]
    build: Callable[[Splits, Any], nn.Module]
    recipes: Mapping[str, Hparams]
    suits: Callable[[Any], str]
    loss: Callable[[Tensor, Tensor, float], Tensor]
    decide: Callable[[Tensor], Tensor]
    correct: Callable[[Tensor, Tensor], Tensor]
    outputs: Callable[[Any, Tensor], dict[str, Tensor]]
    choose: Callable[[Any, Split], nn.Module]
    augment: Callable[[Tensor, Tensor, Any, Generator], tuple[Tensor, Tensor]]
    watch: Callable[[Any, Split], Mapping[str, Tensor]]
    exhibits: Callable[[Trained], Iterator[Exhibit]]
    calibrate: Callable[[Any, Split], Mapping[str, float]]
    examine: Callable[[Any, Mapping[str, float], Splits, Any, Mapping[str, float]], Examination]
    space: Mapping[str, Range | Choice]
    objective: Literal["val_loss", "val_accuracy"]
    mixed_precision: bool
    limits: str
    licence: str
    meanings: Mapping[str, str]

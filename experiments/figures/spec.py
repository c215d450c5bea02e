"""What a figure is, and what a task's figures are drawn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from experiments.core.errors import DataError
from experiments.evaluation.evaluation import EvaluationResult
from experiments.tasks.task import Split, Splits

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from experiments.training.snapshots import Snapshot


class Animation(NamedTuple):
    """An animation: its title, and the bytes of a GIF."""

    title: str
    gif: bytes


@dataclass(frozen=True)
class FigureSpec:
    """A figure and its caption.

    Attributes:
        name: FOLDER/NAME below figures/; the folder is the report's chapter.
        draw: returns the figure; raises DataError where it cannot be drawn.
        caption: a sentence that says what to look for.
        caveat: a sentence that says what the figure cannot show.
        core: whether `figures=core` includes it.
        scalable: whether it is also saved as SVG, for light and for dark pages.
        text: the same content as Markdown.
    """

    name: str
    draw: Callable[[], Figure | Animation]
    caption: str
    caveat: str
    core: bool = False
    scalable: bool = False
    text: str = ""


@dataclass(frozen=True)
class Trained:
    """A trained and calibrated net, with everything its figures need.

    Attributes:
        net: on the training device, in evaluation mode.
        splits: numpy arrays.
        test: the test split as the evaluation opened it, numpy arrays.
        logits: of the test split.
        snapshots: of the training, the first before the first step, the last with the selected
            weights; empty if none were recorded.
        evaluation: result of the task's evaluation.
    """

    net: nn.Module
    splits: Splits
    test: Split
    logits: np.ndarray
    snapshots: Sequence[Snapshot]
    evaluation: EvaluationResult = field(default_factory=EvaluationResult)

    def watched(self) -> Sequence[Snapshot]:
        """Return the snapshots.

        Raises:
            DataError: there are none, or they do not start at step 0.
        """
        if not self.snapshots or self.snapshots[0].step or not self.snapshots[0].arrays:
            raise DataError(
                "data-too-few",
                "training snapshots",
                expected="snapshots from the first step on",
                found=len(self.snapshots),
                fix="The start was not recorded, or the bank is too large: use fewer restarts.",
            )
        return self.snapshots


@dataclass(frozen=True)
class Figures:
    """What a task records and draws; the defaults do nothing.

    Attributes:
        snapshot: net in training, validation split (tensors) -> tensors to record.
        figures: trained net -> its figures, in reading order.
    """

    snapshot: Callable[[nn.Module, Split], Mapping[str, Tensor]] = lambda *_: {}
    figures: Callable[[Trained], Iterable[FigureSpec]] = lambda _: ()


@dataclass(frozen=True)
class InitResult:
    """One kind of network: how many of its initialisations learn every row of the truth table.

    Attributes:
        low, high: Wilson's interval of the share, with 95 % confidence.
    """

    activation: str
    optimizer: str
    width: int
    starts: int
    solved: int
    low: float
    high: float

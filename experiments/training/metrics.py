"""The metrics of a training, and the evaluation of a network on a split."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from experiments.tasks.task import Split, Task

LATENCY_RUNS = 50
NOT_NAMED = ("epoch", "other")  # of an evaluation's fields, those that are no metric
EVAL_BATCH = 500  # samples at a time: large enough for speed, small enough for memory


@dataclass(frozen=True)
class EpochMetrics:
    """One evaluation during training; accuracies are fractions, 0 to 1.

    Attributes:
        epoch: rounded up; the last one may be partial.
        train_loss, train_accuracy: means over the batches since the last evaluation, augmented
            and smoothed as trained on, and over all nets of a bank.
        val_loss, val_accuracy: at the end of `epoch`, without smoothing, of `Task.select_model`.
        lr: of the epoch's last step.
        other: what `Task.monitor` measures, by name.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    other: Mapping[str, float] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[float, float]:
        """The greater, the better: by accuracy on validation, then by a lower loss."""
        return self.val_accuracy, -self.val_loss

    def named(self) -> dict[str, float]:
        """Return the metrics by name, without the epoch."""
        own = {name: value for name, value in asdict(self).items() if name not in NOT_NAMED}
        return {**own, **self.other}


class Meter:
    """Running means of loss and accuracy over batches."""

    def __init__(self) -> None:
        self.count = 0
        self.loss, self.correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)

    def add(self, loss: Float[Tensor, "*shape"], correct: Bool[Tensor, "*shape"]) -> None:
        """Add the losses of a batch and whether its predictions are correct."""
        self.count += loss.numel()
        self.loss = self.loss + loss.detach().sum()
        self.correct = self.correct + correct.sum()

    def means(self) -> tuple[float, float]:
        """Return mean loss and accuracy."""
        return float(self.loss) / self.count, float(self.correct) / self.count

    def state(self) -> dict[str, Tensor]:
        """Return the sums by name."""
        return {"count": torch.tensor(self.count), "loss": self.loss, "correct": self.correct}

    def restore(self, sums: Mapping[str, Tensor]) -> None:
        """Continue from the sums of `state`."""
        self.count, self.loss, self.correct = int(sums["count"]), sums["loss"], sums["correct"]


@torch.inference_mode()
def predict(net: nn.Module, x: Shaped[Tensor, "batch ..."]) -> Float[Tensor, "batch ..."]:
    """Return the logits of `net` in evaluation mode."""
    net.eval()
    return torch.cat([net(batch) for batch in x.split(EVAL_BATCH)]).float()


def mean_loss_and_accuracy(
    task: Task, logits: Float[Tensor, "batch ..."], y: Shaped[Tensor, "batch ..."]
) -> tuple[float, float]:
    """Return mean loss (labels not smoothed) and accuracy of `logits` against `y`."""
    meter = Meter()
    meter.add(task.loss(logits, y, 0.0), task.is_correct(logits, y))
    return meter.means()


def evaluate(task: Task, net: nn.Module, split: Split) -> tuple[float, float]:
    """Return mean loss (labels not smoothed) and accuracy of `net` on `split` (tensors)."""
    return mean_loss_and_accuracy(task, predict(net, split.x), split.y)


@torch.inference_mode()
def cost(net: nn.Module, x: Shaped[Tensor, "batch ..."]) -> dict[str, float]:
    """Return the median milliseconds for one sample of x, and the parameter count."""
    net.eval()
    latency = statistics.median(_seconds(net, x[:1]) for _ in range(LATENCY_RUNS))
    return {"latency_ms": 1000 * latency, "parameters": sum(p.numel() for p in net.parameters())}


@torch.inference_mode()
def time_ratio(
    first: Callable[[Tensor], Tensor],
    second: Callable[[Tensor], Tensor],
    x: Shaped[np.ndarray, "1 ..."],
) -> float:
    """Return the median of the first network's time for `x` divided by the second's.

    They alternate, so that other load on the machine affects both alike.
    """
    sample = torch.tensor(x)
    return statistics.median(
        _seconds(first, sample) / _seconds(second, sample) for _ in range(LATENCY_RUNS)
    )


def _seconds(network: Callable[[Tensor], Tensor], x: Tensor) -> float:
    started = time.perf_counter()
    network(x)
    return time.perf_counter() - started

"""What is measured in training, and the measuring of a network on a split."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.tasks.base import Split, Task

LATENCY_RUNS = 50
EVAL_BATCH = 500  # samples at a time: enough for speed, little enough for memory


@dataclass(frozen=True)
class EpochMetrics:
    """One evaluation in the course of training.

    `train_*` are means over the batches since the last one, as they were trained on (augmented,
    labels smoothed, weights moving) and over all nets of a bank; `val_*` are measured at the end
    of `epoch`, without smoothing, on the net that `Task.choose` would keep; the last epoch may be
    a part of one. `lr` is that of the epoch's last step. Accuracies are shares, 0 to 1.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float

    @property
    def rank(self) -> tuple[float, float]:
        """More accurate on validation is better; of equals, the one with the lower loss."""
        return self.val_accuracy, -self.val_loss

    def named(self) -> dict[str, float]:
        """Return the metrics by name, without the epoch."""
        return {name: value for name, value in asdict(self).items() if name != "epoch"}


class Meter:
    """Running means of loss and accuracy over batches."""

    def __init__(self) -> None:
        self.count = 0
        self.loss, self.correct = torch.zeros(()), torch.zeros((), dtype=torch.int64)

    def add(self, loss: Tensor, correct: Tensor) -> None:
        """Take in a batch: loss, float32, and correct, bool, of any one shape."""
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
        """Go on from the sums that `state` gave."""
        self.count, self.loss, self.correct = int(sums["count"]), sums["loss"], sums["correct"]


@torch.inference_mode()
def predict(net: nn.Module, x: Tensor) -> Tensor:
    """Return the logits of `net`, set to evaluation, for all of x [N, ...]."""
    net.eval()
    return torch.cat([net(batch) for batch in x.split(EVAL_BATCH)]).float()


def mean_loss_and_accuracy(task: Task, logits: Tensor, y: Tensor) -> tuple[float, float]:
    """Return mean loss (labels not smoothed) and accuracy of `logits` against `y`."""
    meter = Meter()
    meter.add(task.loss(logits, y, 0.0), task.correct(logits, y))
    return meter.means()


def evaluate(task: Task, net: nn.Module, split: Split) -> tuple[float, float]:
    """Return mean loss (labels not smoothed) and accuracy of `net` on `split` (tensors)."""
    return mean_loss_and_accuracy(task, predict(net, split.x), split.y)


@torch.inference_mode()
def cost(net: nn.Module, x: Tensor) -> dict[str, float]:
    """Return what `net` costs its user: milliseconds for one of x [N, ...], and parameters."""
    net.eval()
    seconds = []
    for _ in range(LATENCY_RUNS):
        started = time.perf_counter()
        net(x[:1])
        seconds.append(time.perf_counter() - started)
    parameters = sum(p.numel() for p in net.parameters())
    return {"latency_ms": 1000 * statistics.median(seconds), "parameters": parameters}


@torch.inference_mode()
def time_ratio(
    first: Callable[[Tensor], Any], second: Callable[[Tensor], Any], x: np.ndarray
) -> float:
    """Return the first network's time for `x` [1, ...] as a share of the second's.

    They take turns, so that whatever else the machine does falls on both alike; the median counts.
    """
    sample, ratios = torch.tensor(x), []
    for _ in range(LATENCY_RUNS):
        seconds = []
        for network in (first, second):
            started = time.perf_counter()
            network(sample)
            seconds.append(time.perf_counter() - started)
        ratios.append(seconds[0] / seconds[1])
    return statistics.median(ratios)

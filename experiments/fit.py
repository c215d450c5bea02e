"""The training loop: a generator that knows no file, no tracker and no tuner."""

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, nn

from experiments import optim
from experiments.device import PRECISIONS
from experiments.errors import UserError
from experiments.metrics import EpochMetrics, Meter, evaluate
from experiments.tasks.base import Hparams, Split, Splits, Task


class Diverged(UserError):
    """The loss is no longer a number."""


class Seeds(NamedTuple):
    """Independent random streams of one run, so that changing one leaves the others alone."""

    init: int
    order: int
    noise: int


def seeds(seed: int) -> Seeds:
    """Return the streams of `seed`."""
    return Seeds(*(int(word) for word in np.random.SeedSequence(seed).generate_state(3)))


def initialise(task: Task, splits: Splits, hparams: Hparams, seed: int) -> nn.Module:
    """Return the task's net; the same seed gives the same weights, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds(seed).init)
        return task.build(splits, hparams)


def fit(
    task: Task,
    net: nn.Module,
    train: Split,
    val: Split,
    hparams: Hparams,
    *,
    seed: int = 0,
    precision: str = "fp32",
) -> Iterator[EpochMetrics]:
    """Train `net` in place; when the iterator is exhausted it holds its best epoch's weights.

    Args:
        train, val: tensors on the net's device, each a whole split; `val` picks the best epoch.
        seed: of the order of samples and of the augmentation.
        precision: fp32, or bf16 for forward and backward pass; weights are always fp32.

    Yields:
        EpochMetrics every `hparams.eval_every` epochs and after the last.

    Raises:
        Diverged: a loss is infinite or no number; the message names the epoch and lr.
    """
    count, device = len(train.x), train.x.device
    batches = max(1, (count + hparams.batch_size - 2) // hparams.batch_size)  # no last one of one
    optimizer, schedule = optim.build(net, hparams, steps=hparams.epochs * batches)
    order = Generator().manual_seed(seeds(seed).order)
    noise = Generator().manual_seed(seeds(seed).noise)
    autocast = torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32")
    best: EpochMetrics | None = None
    best_weights, meter = net.state_dict(), Meter()

    for epoch in range(1, hparams.epochs + 1):
        net.train()
        shuffled = torch.randperm(count, generator=order).to(device)
        for batch in shuffled.split(hparams.batch_size)[:batches]:
            x, y = task.augment(train.x[batch], hparams, noise), train.y[batch]
            with autocast:
                logits = net(x).float()
            loss = task.loss(logits, y, hparams.label_smoothing)
            meter.add(loss, task.correct(logits, y))
            optimizer.zero_grad()
            loss.mean(0).sum().backward()  # the sum keeps the nets of a bank independent
            lr = optimizer.param_groups[0]["lr"]
            optimizer.step()
            schedule.step()
        if epoch % hparams.eval_every and epoch < hparams.epochs:
            continue
        kept = task.choose(net, val)
        metrics = EpochMetrics(epoch, *meter.means(), *evaluate(task, kept, val), lr)
        if not math.isfinite(metrics.train_loss + metrics.val_loss):
            raise Diverged(
                f"training diverged in epoch {epoch}; try a smaller lr than {hparams.lr:g}."
            )
        if best is None or metrics.rank > best.rank:
            best, best_weights = metrics, copy.deepcopy(net.state_dict())
        meter = Meter()
        yield metrics
    net.load_state_dict(best_weights)

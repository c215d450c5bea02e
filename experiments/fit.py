"""The training loop: a generator that knows no file, no tracker and no tuner."""

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from experiments.device import PRECISIONS
from experiments.errors import UserError
from experiments.metrics import EpochMetrics, Meter, evaluate
from experiments.optim import Optimizer
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
    device = train.x.device
    epoch_steps = max(1, (len(train.x) + hparams.batch_size - 2) // hparams.batch_size)
    steps = max(1, round(hparams.epochs * epoch_steps))
    optimizer = Optimizer(net, hparams, steps)
    noise = Generator().manual_seed(seeds(seed).noise)
    autocast = torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "fp32")
    best: EpochMetrics | None = None
    best_weights, meter = net.state_dict(), Meter()

    order = shuffled(len(train.x), hparams.batch_size, epoch_steps, seeds(seed).order)
    for step, batch in zip(range(1, steps + 1), order, strict=False):
        sample = batch.to(device)
        x, y = task.augment(train.x[sample], hparams, noise), train.y[sample]
        net.train()
        with autocast:
            logits = net(x).float()
        loss = task.loss(logits, y, hparams.label_smoothing)
        meter.add(loss, task.correct(logits, y))
        lr = optimizer.lr
        loss.mean(0).sum().backward()  # the sum keeps the nets of a bank independent
        optimizer.step()
        if step < steps and step % (epoch_steps * hparams.eval_every):
            continue
        kept, epoch = task.choose(net, val), math.ceil(step / epoch_steps)
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


def shuffled(count: int, batch_size: int, batches: int, seed: int) -> Iterator[Tensor]:
    """Yield batches of indices, int64 [B], for ever: each epoch in a new order.

    Args:
        batches: of an epoch; a last one of a single sample is left out, for batch norm's sake.
    """
    random = Generator().manual_seed(seed)
    while True:
        yield from torch.randperm(count, generator=random).split(batch_size)[:batches]

"""The training loop: a generator that knows no file, no tracker and no tuner."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from experiments.core.errors import UserError
from experiments.tasks.task import Hparams, Split, Splits, Task
from experiments.training.batches import Batch, BatchSampler, ahead
from experiments.training.device import autocast
from experiments.training.metrics import EpochMetrics, Meter, evaluate
from experiments.training.optim import Optimizer


class DivergedError(UserError):
    """The loss is infinite or not a number."""


class Seeds(NamedTuple):
    """Seeds of independent random streams, so that changing one leaves the others alone."""

    init: int
    order: int
    augmentation: int


def seeds(seed: int) -> Seeds:
    """Return the streams' seeds for the run's `seed`."""
    return Seeds(*(int(word) for word in np.random.SeedSequence(seed).generate_state(3)))


def initialise(task: Task, splits: Splits, hparams: Hparams, seed: int) -> nn.Module:
    """Return the task's untrained net; its weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seeds(seed).init)
        return task.build(splits, hparams)


class State(NamedTuple):
    """A training between two steps: all that is needed to resume it bit by bit.

    Attributes:
        tensors: weights, the best epoch's weights, the optimiser's moments, generators.
        facts: JSON-able: steps done, the epochs' metrics.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def fit(
    task: Task,
    net: nn.Module,
    train: Split,
    val: Split,
    hparams: Hparams,
    *,
    seed: int = 0,
    precision: str = "fp32",
    resume: State | None = None,
    after_step: Callable[[Callable[[], State]], None] = lambda state: None,
    watch: Callable[[int, int], None] = lambda done, steps: None,
) -> Iterator[EpochMetrics]:
    """Train `net` in place; when the iterator is exhausted it holds its best epoch's weights.

    Args:
        train, val: tensors on the net's device; `val` selects the best epoch.
        seed: of the order of samples and of the augmentation.
        precision: fp32, or bf16 for forward and backward pass; weights are always fp32.
        resume: the state of an interrupted training with the same settings; its earlier epochs
            are yielded again.
        after_step: called after each step with a function that returns the present state.
        watch: called before the first step and after each, with the steps done and their total;
            it may use the net in evaluation mode.

    Yields:
        EpochMetrics every `hparams.eval_every` epochs and after the last.

    Raises:
        DivergedError: a loss is not finite; `what` has the epoch, `fix` the lr.
    """
    sampler = BatchSampler(len(train.x), hparams.batch_size, seeds(seed).order)
    steps = max(1, round(hparams.epochs * sampler.batches))
    steps_per_evaluation = hparams.eval_every * sampler.batches
    augmentation = Generator().manual_seed(seeds(seed).augmentation)
    state = TrainState(net, Optimizer(net, hparams, steps), sampler, augmentation)
    if resume is not None:
        state.restore(resume)
    yield from state.history
    if state.optimizer.done == 0:
        watch(0, steps)

    device = train.x.device

    def make(step: int) -> Batch:
        rows = next(sampler).to(device)
        now = task.augment_at(hparams, (step - 1) / steps)
        x, y = task.augment(train.x[rows], train.y[rows], now, augmentation)
        return Batch(x, y, {"order": sampler.state(), "augmentation": augmentation.get_state()})

    first = state.optimizer.done + 1
    for step, (x, y, random) in enumerate(ahead(make, first, steps), first):
        # forward pass of the next batch
        state.random = random
        net.train()
        with autocast(device, precision):
            logits = net(x).float()
        loss = task.loss(logits, y, hparams.label_smoothing)
        state.meter.add(loss, task.is_correct(logits, y))

        # backward pass: the mean over the batch; the sum over the independent nets of a bank
        loss.mean(0).sum().backward()
        lr = state.optimizer.lr
        state.optimizer.step()
        watch(step, steps)

        # evaluation; the best epoch's weights are copied
        if step == steps or step % steps_per_evaluation == 0:
            epoch = math.ceil(step / sampler.batches)
            val_means = evaluate(task, task.select_model(net, val), val)
            other = task.monitor(net, val)
            metrics = EpochMetrics(epoch, *state.meter.means(), *val_means, lr, other)
            _check_finite(metrics, hparams)
            state.record(metrics)
            yield metrics
        after_step(state.state)
    net.load_state_dict(state.best)


def _check_finite(metrics: EpochMetrics, hparams: Hparams) -> None:
    if not math.isfinite(metrics.train_loss + metrics.val_loss):
        raise DivergedError(
            "training-diverged",
            f"loss in epoch {metrics.epoch}",
            expected="a finite number",
            found=f"{metrics.train_loss} in training, {metrics.val_loss} in validation",
            fix=f"Try a smaller lr than {hparams.lr:g}.",
        )


class TrainState:
    """All that changes during a training."""

    def __init__(
        self, net: nn.Module, optimizer: Optimizer, sampler: BatchSampler, augmentation: Generator
    ) -> None:
        self.net, self.optimizer = net, optimizer
        self.sampler, self.augmentation = sampler, augmentation  # ahead of the network
        self.random: dict[str, Tensor] = {}  # their states after the present step's batch
        self.meter = Meter()
        self.history: list[EpochMetrics] = []
        self.best = net.state_dict()  # the best epoch's weights; before the first, the net's own

    def record(self, metrics: EpochMetrics) -> None:
        """Record an evaluation; if it is the best so far, copy the weights."""
        if all(metrics.rank > earlier.rank for earlier in self.history):
            self.best = copy.deepcopy(self.net.state_dict())
        self.history.append(metrics)
        self.meter = Meter()

    def state(self) -> State:
        """Return the whole state after a step; its tensors are not copies."""
        tensors = dict(self.random)
        parts = {
            "net": self.net.state_dict(),
            "best": self.best if self.history else {},
            "meter": self.meter.state(),
            "optimizer": self.optimizer.state(),
        }
        for part, named in parts.items():
            tensors |= {f"{part}/{name}": value for name, value in named.items()}
        history = [asdict(metrics) for metrics in self.history]
        return State(tensors, {"done": self.optimizer.done, "history": history})

    def restore(self, state: State) -> None:
        """Load a state that `state` has returned."""
        tensors, done = state.tensors, state.facts["done"]
        self.net.load_state_dict(_part(tensors, "net"))
        self.history = [EpochMetrics(**metrics) for metrics in state.facts["history"]]
        if self.history:
            self.best = _part(tensors, "best")
        self.meter.restore(_part(tensors, "meter"))
        self.optimizer.restore(_part(tensors, "optimizer"), done)
        self.sampler.restore(tensors["order"], done)
        self.augmentation.set_state(tensors["augmentation"])


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return the tensors called `part`/NAME, by NAME."""
    prefix = f"{part}/"
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

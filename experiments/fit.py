"""The training loop: a generator that knows no file, no tracker and no tuner."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn

from experiments.device import PRECISIONS
from experiments.errors import UserError
from experiments.metrics import EpochMetrics, Meter, evaluate
from experiments.optim import Optimizer
from experiments.parallel import ALONE, Group
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


class State(NamedTuple):
    """A training between two steps: all that it takes to go on as if nothing had happened.

    Attributes:
        tensors: weights, the best epoch's weights, the optimiser's memories, generators.
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
    group: Group = ALONE,
    resume: State | None = None,
    after_step: Callable[[Callable[[], State]], None] = lambda snapshot: None,
    watch: Callable[[int, int], None] = lambda done, steps: None,
) -> Iterator[EpochMetrics]:
    """Train `net` in place; when the iterator is exhausted it holds its best epoch's weights.

    Args:
        train, val: tensors on the net's device, each a whole split; `val` picks the best epoch.
        seed: of the order of samples and of the augmentation.
        precision: fp32, or bf16 for forward and backward pass; weights are always fp32.
        group: the processes among which each batch is divided.
        resume: where an interrupted training of the same settings stood; it goes on from there,
            and its earlier epochs are yielded again.
        after_step: called between steps with a function that takes the state of that moment.
        watch: called before the first step and after each, with the steps done and of all; it may
            look at the net, set to evaluation.

    Yields:
        EpochMetrics every `hparams.eval_every` epochs and after the last.

    Raises:
        Diverged: a loss is infinite or no number; the message names the epoch and lr.
    """
    order = Order(len(train.x), hparams.batch_size, seeds(seed).order)
    steps = max(1, round(hparams.epochs * order.batches))
    course = Course(net, Optimizer(net, hparams, steps), order, seeds(seed).noise)
    if resume is not None:
        course.restore(resume)
    yield from course.history
    if not course.optimizer.done:
        watch(0, steps)
    autocast = torch.autocast(
        train.x.device.type, PRECISIONS[precision], enabled=precision != "fp32"
    )
    while (step := course.optimizer.done + 1) <= steps:
        batch = next(order).to(train.x.device)
        x, y = task.augment(train.x[batch], train.y[batch], hparams, course.noise)
        mine = group.share(len(y))
        x, y, whole = x[mine], y[mine], len(y)
        net.train()
        with autocast:
            logits = net(x).float()
        loss = task.loss(logits, y, hparams.label_smoothing)
        course.meter.add(loss, task.correct(logits, y))
        lr = course.optimizer.lr
        # the mean over the batch, and the sum over the nets of a bank, which stay independent
        (loss.sum(0) / whole).sum().backward()
        group.add_gradients(net)
        course.optimizer.step()
        watch(step, steps)
        if step == steps or step % (order.batches * hparams.eval_every) == 0:
            kept, epoch = task.choose(net, val), math.ceil(step / order.batches)
            means = group.total(course.meter).means()
            metrics = EpochMetrics(epoch, *means, *evaluate(task, kept, val), lr)
            if not math.isfinite(metrics.train_loss + metrics.val_loss):
                raise Diverged(
                    f"training diverged in epoch {epoch}; try a smaller lr than {hparams.lr:g}."
                )
            course.take(metrics)
            yield metrics
        after_step(course.state)
    net.load_state_dict(course.kept)


class Order:
    """Batches of indices, int64 [B], for ever: each epoch in a new order.

    A last batch of a single sample is left out, for batch norm's sake.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size = count, batch_size
        self.batches = max(1, (count + batch_size - 2) // batch_size)
        self.random = Generator().manual_seed(seed)
        self.before = self.random.get_state()  # the epoch that is under way was drawn
        self.left: list[Tensor] = []

    def __next__(self) -> Tensor:
        if not self.left:
            self.before = self.random.get_state()
            drawn = torch.randperm(self.count, generator=self.random)
            self.left = list(drawn.split(self.batch_size)[: self.batches])
        return self.left.pop(0)

    def state(self) -> Tensor:
        """Return what `restore` needs: the generator as it was before the epoch under way."""
        return self.before if self.left else self.random.get_state()

    def restore(self, state: Tensor, done: int) -> None:
        """Go on after `done` batches, counted from the first of all."""
        self.random.set_state(state)
        for _ in range(done % self.batches):
            next(self)


class Course:
    """All that changes in the course of a training."""

    def __init__(self, net: nn.Module, optimizer: Optimizer, order: Order, noise: int) -> None:
        self.net, self.optimizer, self.order = net, optimizer, order
        self.noise = Generator().manual_seed(noise)
        self.meter = Meter()
        self.history: list[EpochMetrics] = []
        self.kept = net.state_dict()  # the best epoch's weights; before the first, the net's own

    def take(self, metrics: EpochMetrics) -> None:
        """Take in an evaluation; if it is the best so far, keep its weights."""
        if all(metrics.rank > earlier.rank for earlier in self.history):
            self.kept = copy.deepcopy(self.net.state_dict())
        self.history.append(metrics)
        self.meter = Meter()

    def state(self) -> State:
        """Return all of it; the tensors are those of the training, not copies."""
        tensors = {"order": self.order.state(), "noise": self.noise.get_state()}
        parts = {"net": self.net.state_dict(), "kept": self.kept if self.history else {}}
        parts |= {"meter": self.meter.state(), "optimizer": self.optimizer.state()}
        tensors |= {f"{part}/{k}": v for part, named in parts.items() for k, v in named.items()}
        history = [asdict(metrics) for metrics in self.history]
        return State(tensors, {"done": self.optimizer.done, "history": history})

    def restore(self, state: State) -> None:
        """Become what `state` was."""
        tensors, done = state.tensors, state.facts["done"]
        self.net.load_state_dict(_part(tensors, "net"))
        self.history = [EpochMetrics(**metrics) for metrics in state.facts["history"]]
        if self.history:
            self.kept = _part(tensors, "kept")
        self.meter.restore(_part(tensors, "meter"))
        self.optimizer.restore(_part(tensors, "optimizer"), done)
        self.order.restore(tensors["order"], done)
        self.noise.set_state(tensors["noise"])


def _part(tensors: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{part}/"): v for k, v in tensors.items() if k.startswith(f"{part}/")}

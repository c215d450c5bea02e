"""One training that takes a step when it is asked to, with the project's own training loop."""

from __future__ import annotations

import threading
import time
from dataclasses import fields, replace
from functools import cache

import numpy as np
from torch import nn

from experiments import tasks
from experiments.data.split import stratified
from experiments.tasks.mnist import DIGITS, RECIPES, DigitHparams
from experiments.tasks.task import Hparams, Split, Splits, Task
from experiments.training import device, loop
from experiments.training import options as command_line
from experiments.training.batches import BatchSampler
from experiments.training.config import RunConfig
from experiments.training.metrics import EpochMetrics
from experiments.training.trainer import Trainer
from serve.tabs.learn.options import RunOptions

EVALUATIONS = 10  # of a training, on the whole validation split; the best one's weights are kept
COMMAND = {  # what the command line would have without options
    "task": "mnist",
    "trials": 0,
    "resume": True,
    "device": "auto",
    "precision": "auto",
    "figures": "all",
    "workers": 1,
}


class _Stopped(Exception):
    """The training is not wanted any more."""


@cache
def task() -> Task:
    """Return the task of handwritten digits."""
    return tasks.get("mnist")


@cache
def splits() -> Splits:
    """Return MNIST's splits, loaded once.

    Raises:
        UserError: there is no MNIST on this machine.
    """
    return task().load(task().data_options())


@cache
def on_device() -> dict[str, Split]:
    """Return train, val and calibration as tensors."""
    chosen, parts = device.choose_device("auto"), splits()
    assert parts.calibration is not None
    named = {"train": parts.train, "val": parts.val, "calibration": parts.calibration}
    return {name: device.to_device(split, chosen) for name, split in named.items()}


def configure(options: RunOptions) -> RunConfig:
    """Return the configuration of a run on all training digits, as the command line reads it.

    Raises:
        UserError: a value is invalid, in the words of the command line.
    """
    names = ("recipe", "base_channels", "activation", "lr", "seed")
    given = {name: getattr(options, name) for name in names}
    source = RECIPES["default" if options.augment else "fast"]  # which has no augmentation
    augmentation = {name: getattr(source, name) for name in _augmentation()}
    return command_line.parse({**COMMAND, **given, **augmentation})


def command(options: RunOptions) -> str:
    """Return the command that trains and registers the same network; "" if none does."""
    if options.digits < len(splits().train.x) or options.noise_percent:
        return ""
    return configure(options).as_command()


def prepare(options: RunOptions) -> Trainer:
    """Return the trainer of a run.

    Its number of steps is the recipe's, however few digits there are: the fewer, the more often
    each is seen.

    Raises:
        UserError: a value is invalid, in the words of the command line.
    """
    config = configure(options)
    hparams = config.hparams
    parts = on_device()
    train = _choose(parts["train"], options)
    whole = BatchSampler(len(parts["train"].x), hparams.batch_size, 0).batches
    batches = BatchSampler(len(train.x), hparams.batch_size, 0).batches
    epochs = max(1, round(hparams.epochs * whole)) / batches
    hparams = replace(hparams, epochs=epochs, eval_every=max(1, round(epochs / EVALUATIONS)))
    return Trainer(
        task=config.task,
        data=config.data,
        options=config.options(),
        splits=_described(options),
        train=train,
        val=parts["val"],
        calibration=parts["calibration"],
        hparams=hparams,
        seed=options.seed,
        device=train.x.device,
        precision=device.choose_precision("auto", config.task, train.x.device),
    )


def _augmentation() -> list[str]:
    common = {field.name for field in fields(Hparams)}
    return [field.name for field in fields(DigitHparams) if field.name not in common]


def _choose(train: Split, options: RunOptions) -> Split:
    """Return as many training digits as asked for, some with another label; both by the seed."""
    x, y = train.x, train.y
    if options.digits < len(y):
        mask = stratified(y.cpu().numpy(), options.digits / len(y), options.seed)
        rows = np.flatnonzero(mask)
        x, y = x[rows], y[rows]
    if options.noise_percent:
        random = np.random.default_rng(options.seed)
        wrong = random.permutation(len(y))[: round(options.noise_percent / 100 * len(y))]
        y = y.clone()
        shift = y.new_tensor(random.integers(1, DIGITS, len(wrong)))
        y[wrong] = (y[wrong] + shift) % DIGITS
    return Split(x, y)


def _described(options: RunOptions) -> Splits:
    """Return the splits with what the run leaves of them; such a run is no champion."""
    whole, changes = splits(), []
    if options.digits < len(whole.train.x):
        changes.append(f"{options.digits:,} training digits")
    if options.noise_percent:
        changes.append(f"{options.noise_percent:g} % of them labelled wrong")
    return replace(whole, unfit=(*whole.unfit, *changes))


class Fit:
    """A training in a thread of its own that waits, before each step, for `advance`.

    Only one thread of a process works at any time: the caller's waits while a step is taken.

    Attributes:
        net: in training; when `finished`, with the best evaluation's weights.
        done, steps: taken, and of the whole training.
        history: evaluations on the whole validation split.
        seconds: of the steps alone.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.net: nn.Module = trainer.net()
        self.history: list[EpochMetrics] = []
        self.done, self.steps, self.seconds = 0, 1, 0.0
        self.finished = False
        self._error: Exception | None = None
        self._stopping = False
        self._go, self._arrived = threading.Semaphore(0), threading.Semaphore(0)
        threading.Thread(target=self._train, daemon=True).start()
        self._arrive()

    def advance(self) -> None:
        """Take a step; after the last one, finish the training.

        Raises:
            UserError: training-diverged.
        """
        started = time.perf_counter()
        self._go.release()
        self._arrive()
        self.seconds += time.perf_counter() - started

    def stop(self) -> None:
        """End the training where it is."""
        if not self.finished:
            self._stopping = True
            self._go.release()
            self._arrive()

    def _arrive(self) -> None:
        self._arrived.acquire()
        if self._error is not None:
            raise self._error

    def _train(self) -> None:
        trainer = self.trainer
        try:
            for metrics in loop.fit(
                trainer.task,
                self.net,
                trainer.train,
                trainer.val,
                trainer.hparams,
                seed=trainer.seed,
                precision=trainer.precision,
                watch=self._watch,
            ):
                self.history.append(metrics)
        except _Stopped:
            pass
        except Exception as error:  # for the caller's thread
            self._error = error
        self.finished = True
        self._arrived.release()

    def _watch(self, done: int, steps: int) -> None:
        self.done, self.steps = done, steps
        self._arrived.release()
        self._go.acquire()
        if self._stopping:
            raise _Stopped

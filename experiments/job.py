"""Everything one fit needs, prepared once: data on the device, hyper-parameters, seed."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from experiments import checkpoint, cli, parallel
from experiments import device as devices
from experiments.album import Album
from experiments.checkpoint import Keeper
from experiments.fit import State, fit, initialise
from experiments.metrics import EpochMetrics
from experiments.options import Request
from experiments.parallel import ALONE, Group
from experiments.paths import ALBUM
from experiments.tasks.base import DataOptions, Hparams, Split, Splits, Task


@dataclass(frozen=True)
class Job:
    """A task with its data and settings; `train` and `val` are tensors on `device`.

    Attributes:
        group: the processes that share each fit.
        folder: where the checkpoints of its fits are.
    """

    task: Task
    data: DataOptions
    options: Mapping[str, Any]
    splits: Splits
    train: Split
    val: Split
    hparams: Hparams
    seed: int
    device: torch.device
    precision: str
    group: Group = ALONE
    folder: Path | None = None

    @classmethod
    def prepare(cls, request: Request, folder: Path | None = None) -> Job:
        """Return the job that `request` asks for; the data are loaded and put on the device.

        Args:
            folder: for the checkpoints of its fits; none are made without.
        """
        device = devices.choose_device(request.device)
        splits = request.task.load(request.data)
        if not splits.canonical:
            tqdm.write(f"Data: {splits.name}, from {splits.source}, digest {splits.digest}")
        return cls(
            task=request.task,
            data=request.data,
            options=request.options(),
            splits=splits,
            train=devices.to_device(splits.train, device),
            val=devices.to_device(splits.val, device),
            hparams=request.hparams,
            seed=request.seed,
            device=device,
            precision=devices.choose_precision(request.precision, request.task, device),
            group=parallel.join(device),
            folder=folder,
        )

    def net(self) -> nn.Module:
        """Return a fresh net on the device; the same every time."""
        return initialise(self.task, self.splits, self.hparams, self.seed).to(self.device)

    def album(self) -> Album:
        """Return the album of the fit with these hyper-parameters."""
        folder = self._checkpoints()
        return Album(folder and folder / ALBUM)

    def fit(self, net: nn.Module, title: str, album: Album | None = None) -> Iterator[EpochMetrics]:
        """Train `net` as `fit.fit` does, under a progress bar called `title`.

        A fit of the same settings that was interrupted goes on from its checkpoint.

        Args:
            album: takes in moments of the training; None for none.
        """
        resume = self._interrupted()
        if self.group.size > 1:
            state = resume or State({}, {})
            facts = {"hparams": asdict(self.hparams), **state.facts}
            self.group.tell(checkpoint.pack(State(state.tensors, facts)))
        with tqdm(
            total=math.ceil(self.hparams.epochs),
            desc=title,
            unit="epoch",
            leave=False,
            disable=None,  # no bar where no terminal is
        ) as bar:
            for metrics in self._epochs(net, resume, album):
                bar.set_postfix_str(f"val {metrics.val_accuracy:.2%}, loss {metrics.val_loss:.3g}")
                bar.update(metrics.epoch - bar.n)
                yield metrics

    def follow(self) -> None:
        """Take part in the fits of the group's leader until it has no more."""
        while told := self.group.hear():
            state = checkpoint.unpack(told)
            hparams = self.task.hparams(**state.facts.pop("hparams"))
            job = replace(self, hparams=hparams)
            for _ in job._epochs(job.net(), state if state.facts else None):
                if not self.group.hear():
                    break
        self.group.end()

    def _epochs(
        self, net: nn.Module, resume: State | None, album: Album | None = None
    ) -> Iterator[EpochMetrics]:
        """Fit, keeping checkpoints and the group's processes together."""
        leads = self.group.rank == 0

        def watch(done: int, steps: int) -> None:
            if album is not None:
                album.take(done, steps, lambda: self.task.watch(net, self.val))

        keeper = Keeper(self._checkpoints() if leads else None)
        epochs = fit(
            self.task,
            net,
            self.train,
            self.val,
            self.hparams,
            seed=self.seed,
            precision=self.precision,
            group=self.group,
            resume=resume,
            after_step=keeper.after_step,
            watch=watch,
        )
        with cli.deferring(), self.group.normalising(net), self.group.telling():
            for metrics in epochs:
                goes_on = False
                try:
                    yield metrics
                    goes_on = True
                finally:
                    if leads:
                        self.group.tell(b"on" if goes_on else b"")

    def forget(self) -> None:
        """Delete the checkpoints of the fit with these hyper-parameters."""
        if folder := self._checkpoints():
            shutil.rmtree(folder, ignore_errors=True)

    def _interrupted(self) -> State | None:
        folder = self._checkpoints()
        return checkpoint.load(folder) if folder else None

    def _checkpoints(self) -> Path | None:
        """Return the folder of these hyper-parameters and this seed."""
        if self.folder is None:
            return None
        settings = json.dumps([asdict(self.hparams), self.seed, self.splits.digest, self.precision])
        return self.folder / f"fit-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    def settings(self) -> str:
        """Return a short name that fits of the same settings share, whatever their seed."""
        settings = [self.task.name, asdict(self.hparams), self.splits.digest, self.precision]
        return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]

    def named_hparams(self) -> dict[str, object]:
        """Return the hyper-parameters as `hparams/NAME`, apart from the options as given."""
        return {f"hparams/{name}": value for name, value in asdict(self.hparams).items()}

    def described(self) -> dict[str, Any]:
        """Return what else a record should hold of the job."""
        return {
            **self.options,
            "recipe_used": self.options["recipe"],
            "device_used": str(self.device),
            "precision_used": self.precision,
            "threads": torch.get_num_threads(),
            "data_name": self.splits.name,
            "data_source": self.splits.source,
            "data_digest": self.splits.digest,
            "data_sizes": " / ".join(
                f"{len(part.x):,}"
                for part in (self.splits.train, self.splits.val, self.splits.test)
            ),
            "data_canonical": self.splits.canonical,
            "data_exhaustive": self.splits.exhaustive,
        }

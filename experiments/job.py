"""Everything one fit needs, prepared once: data on the device, hyper-parameters, seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from experiments import cli
from experiments import device as devices
from experiments.fit import fit, initialise
from experiments.metrics import EpochMetrics
from experiments.options import Request
from experiments.tasks.base import DataOptions, Hparams, Split, Splits, Task


@dataclass(frozen=True)
class Job:
    """A task with its data and settings; `train` and `val` are tensors on `device`."""

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

    @classmethod
    def prepare(cls, request: Request) -> Job:
        """Return the job that `request` asks for; the data are loaded and put on the device."""
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
        )

    def net(self) -> nn.Module:
        """Return a fresh net on the device; the same every time."""
        return initialise(self.task, self.splits, self.hparams, self.seed).to(self.device)

    def fit(self, net: nn.Module, title: str) -> Iterator[EpochMetrics]:
        """Train `net` as `fit.fit` does, under a progress bar called `title`."""
        epochs = fit(
            self.task,
            net,
            self.train,
            self.val,
            self.hparams,
            seed=self.seed,
            precision=self.precision,
        )
        with tqdm(
            total=math.ceil(self.hparams.epochs),
            desc=title,
            unit="epoch",
            leave=False,
            disable=None,  # no bar where no terminal is
        ) as bar:
            for metrics in epochs:
                cli.stop_if_interrupted()
                bar.set_postfix_str(f"val {metrics.val_accuracy:.2%}, loss {metrics.val_loss:.3g}")
                bar.update(metrics.epoch - bar.n)
                yield metrics

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
            "data_canonical": self.splits.canonical,
            "data_exhaustive": self.splits.exhaustive,
        }

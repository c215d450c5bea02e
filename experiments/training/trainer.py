"""Everything one fit needs, prepared once: data on the device, hyper-parameters, seed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from experiments.core import cli, progress
from experiments.core.files import sha256_bytes
from experiments.core.paths import SNAPSHOTS
from experiments.tasks.task import DataOptions, Hparams, Split, Splits, Task
from experiments.training import checkpoint, threads
from experiments.training.checkpoint import CheckpointManager, CheckpointPolicy
from experiments.training.config import RunConfig
from experiments.training.device import autocast, choose_device, choose_precision, to_device
from experiments.training.loop import State, fit, initialise
from experiments.training.metrics import EpochMetrics
from experiments.training.snapshots import SnapshotRecorder

WHOLE_STEP = 1.1  # times the first step, which updates nothing, about
UNFIT = "a network trained on them is registered as challenger, not as champion."


@dataclass(frozen=True)
class Trainer:
    """A task with its data and settings; `train`, `val`, `calibration` are tensors on `device`.

    Attributes:
        options: of the command, by name.
        folder: of the checkpoints; None for no checkpoints.
        snapshot: net in training, validation split -> tensors of one snapshot.
        policy: of the checkpoints.
    """

    task: Task
    data: DataOptions
    options: Mapping[str, object]
    splits: Splits
    train: Split
    val: Split
    calibration: Split | None
    hparams: Hparams
    seed: int
    device: torch.device
    precision: str
    folder: Path | None = None
    snapshot: Callable[[nn.Module, Split], Mapping[str, Tensor]] = lambda *_: {}
    policy: CheckpointPolicy = checkpoint.DEFAULT

    @classmethod
    def prepare(cls, config: RunConfig, folder: Path | None = None) -> Trainer:
        """Load the data of `config`, put them on the device, choose the number of threads.

        Args:
            folder: of checkpoints, and of the number of threads that an interrupted run has chosen.
        """
        device = choose_device(config.device)
        splits, hparams = config.task.load(config.data), config.hparams
        if not splits.canonical:
            tqdm.write(f"Data: {splits.name}, from {splits.source}, digest {splits.digest}")
            foreign = config.task.foreign_hparams.items()
            changes = {name: value for name, value in foreign if name not in config.fixed}
            hparams = replace(hparams, **changes)
        if splits.unfit:
            tqdm.write(f"Warning: these data are unfit ({'; '.join(splits.unfit)}): {UNFIT}")
        trainer = cls(
            task=config.task,
            data=config.data,
            options=config.options(),
            splits=splits,
            train=to_device(splits.train, device),
            val=to_device(splits.val, device),
            calibration=splits.calibration and to_device(splits.calibration, device),
            hparams=hparams,
            seed=config.seed,
            device=device,
            precision=choose_precision(config.precision, config.task, device),
            folder=folder,
        )
        if device.type == "cpu":
            threads.choose(trainer.first_step(), folder)
        return trainer

    def first_step(self) -> Callable[[], None]:
        """Return a step on the first batch that changes nothing, for measurements.

        As in a fit, a thread augments a batch meanwhile if a processor is left over.
        """
        net, count = self.net().train(), self.hparams.batch_size
        x, y = self.train.x[:count], self.train.y[:count]

        def augment() -> None:
            self.task.augment(x, y, self.hparams, torch.Generator().manual_seed(0))

        def learn() -> None:
            with torch.random.fork_rng(devices=[]), autocast(self.device, self.precision):
                logits = net(x).float()
            self.task.loss(logits, y, self.hparams.label_smoothing).mean(0).sum().backward()

        def step() -> None:
            if threads.has_spare():
                with ThreadPoolExecutor(1) as thread:
                    augmented = thread.submit(augment)
                    learn()
                    augmented.result()
            else:
                augment()
                learn()

        return step

    def estimated_s(self) -> float:
        """Return the likely seconds of a fit, from one step."""
        step = self.first_step()
        step()  # the first one takes longer
        started = time.perf_counter()
        step()
        batches = max(1, len(self.train.x) // self.hparams.batch_size)
        seconds = time.perf_counter() - started
        return WHOLE_STEP * seconds * self.hparams.epochs * batches

    def net(self) -> nn.Module:
        """Return an untrained net on the device, the same on every call."""
        return initialise(self.task, self.splits, self.hparams, self.seed).to(self.device)

    def recorder(self) -> SnapshotRecorder:
        """Return the snapshot recorder of the fit with these hyper-parameters."""
        folder = self._checkpoints()
        return SnapshotRecorder(folder and folder / SNAPSHOTS)

    def fit(
        self, net: nn.Module, title: str, recorder: SnapshotRecorder | None = None
    ) -> Iterator[EpochMetrics]:
        """Train `net` as `loop.fit` does, with a progress bar called `title`.

        An interrupted fit of the same settings resumes from its checkpoint.
        """

        # disable=None: no bar without a terminal
        bar = tqdm(desc=title, unit="step", leave=False, disable=None)

        def watch(done: int, steps: int) -> None:
            bar.total = steps
            bar.update(done - bar.n)
            progress.detail(f"{title}, {done:,} of {steps:,} steps")
            if recorder is not None:
                recorder.record(done, steps, lambda: self.snapshot(net, self.val))

        epochs = fit(
            self.task,
            net,
            self.train,
            self.val,
            self.hparams,
            seed=self.seed,
            precision=self.precision,
            resume=self.interrupted(),
            after_step=CheckpointManager(self._checkpoints(), self.policy).after_step,
            watch=watch,
        )
        with cli.deferring(), bar:
            for metrics in epochs:
                bar.set_postfix_str(f"val {metrics.val_accuracy:.2%}, loss {metrics.val_loss:.3g}")
                yield metrics

    def interrupted(self) -> State | None:
        """Return the state of an interrupted fit with these settings, if there is one."""
        folder = self._checkpoints()
        return checkpoint.load(folder) if folder else None

    def delete_checkpoints(self) -> None:
        """Delete the checkpoints of the fit with these hyper-parameters."""
        if folder := self._checkpoints():
            shutil.rmtree(folder, ignore_errors=True)

    def _checkpoints(self) -> Path | None:
        """Return the folder of these hyper-parameters and this seed."""
        return self.folder and self.folder / f"fit-{self._hash(self.seed)}"

    def config_hash(self) -> str:
        """Return a short hash of all settings but the seed."""
        return self._hash()

    def _hash(self, *more: object) -> str:
        splits, settings = self.splits, asdict(self.hparams)
        facts = [self.task.name, settings, splits.digest, self.precision, *more]
        return sha256_bytes(json.dumps(facts).encode())[:16]

    def named_hparams(self) -> dict[str, object]:
        """Return the hyper-parameters as `hparams/NAME`, apart from the options as given."""
        return {f"hparams/{name}": value for name, value in asdict(self.hparams).items()}

    def params(self) -> dict[str, object]:
        """Return the other parameters of the training's run."""
        return {
            **self.options,
            "recipe_used": self.options["recipe"],
            "device_used": str(self.device),
            "precision_used": self.precision,
            "threads": torch.get_num_threads(),
            "data_name": self.splits.name,
            "data_source": self.splits.source,
            "data_digest": self.splits.digest,
            "data_sizes": " / ".join(f"{size:,}" for size in self.splits.sizes().values()),
            "data_canonical": self.splits.canonical,
            "data_exhaustive": self.splits.exhaustive,
        }

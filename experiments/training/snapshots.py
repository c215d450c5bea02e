"""Snapshots of a net during training, for its animation, on disk to survive an interruption."""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor
from tqdm import tqdm

Arrays = Mapping[str, np.ndarray]
TakeSnapshot = Callable[[], Mapping[str, Tensor]]
MAX_SNAPSHOTS = 40  # of a training, close together at first, when most is learned


@dataclass(frozen=True)
class Snapshot:
    """Arrays by name that were taken of a net after `step` steps."""

    step: int
    epoch: float
    arrays: Arrays


@cache
def snapshot_steps(steps: int) -> frozenset[int]:
    """Return the steps of a training's snapshots: 0, the last, growing distances between them."""
    return frozenset((steps * np.linspace(0, 1, MAX_SNAPSHOTS) ** 3).round().astype(int).tolist())


class SnapshotRecorder:
    """Records snapshots of one training.

    Args:
        folder: where they are stored; None for memory alone.

    Attributes:
        seconds: the time spent on recording.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self.seconds = folder, 0.0
        self.recorded: dict[int, Arrays] = {}
        self.best: tuple[float, Arrays] | None = None  # epoch, arrays

    def record(self, done: int, steps: int, take: TakeSnapshot) -> None:
        """Record what `take` returns, if a snapshot is due after `done` of `steps` steps."""
        if done not in snapshot_steps(steps):
            return
        started = time.perf_counter()
        arrays = _to_numpy(take())
        self.recorded[done] = arrays
        if self.folder is not None and arrays:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                save_file(arrays, self.folder / f"{done:08d}.safetensors")
            except (OSError, SafetensorError) as error:
                tqdm.write(f"A snapshot for the animation is not saved: {error}.")
        self.seconds += time.perf_counter() - started

    def finish(self, epoch: float, take: TakeSnapshot) -> None:
        """Record the net with the weights of the best epoch as the last snapshot."""
        self.best = (epoch, _to_numpy(take()))

    def snapshots(self, epochs: float) -> list[Snapshot]:
        """Return the snapshots up to the best epoch, in order, with those of earlier processes.

        Args:
            epochs: of the whole training.
        """
        arrays = self._load() | self.recorded
        last = max(arrays, default=0) or 1
        snapshots = [Snapshot(step, epochs * step / last, arrays[step]) for step in sorted(arrays)]
        if self.best is None:
            return snapshots
        epoch, best_arrays = self.best
        best = Snapshot(round(epoch / epochs * last), min(epoch, epochs), best_arrays)
        return [*(snapshot for snapshot in snapshots if snapshot.step < best.step), best]

    def _load(self) -> dict[int, Arrays]:
        """Return the snapshots on disk by step, without damaged files."""
        arrays: dict[int, Arrays] = {}
        for path in self.folder.glob("*.safetensors") if self.folder else ():
            with suppress(OSError, SafetensorError):
                arrays[int(path.stem)] = load_file(path)
        return arrays


def _to_numpy(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().cpu().numpy().copy() for name, value in tensors.items()}

"""Moments of a training, kept on disk, so that one that was interrupted has those before, too."""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError
from torch import Tensor
from tqdm import tqdm

from experiments.tasks.base import Moment

Look = Callable[[], Mapping[str, Tensor]]
MOMENTS = 40  # of a training, close together at first, when most is learned


@cache
def moments(steps: int) -> frozenset[int]:
    """Return the steps to look at: 0, the last, and between them ever farther apart."""
    return frozenset((steps * np.linspace(0, 1, MOMENTS) ** 3).round().astype(int).tolist())


class Album:
    """Takes in moments of one training.

    Args:
        folder: where they are kept; None for memory alone.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder, self.seconds = folder, 0.0
        self.taken: dict[int, dict[str, np.ndarray]] = {}
        self.kept: Moment | None = None

    def take(self, done: int, steps: int, look: Look) -> None:
        """Keep what `look` sees, if this is a moment to look at; `seconds` counts the time."""
        if done not in moments(steps):
            return
        started = time.perf_counter()
        self.taken[done] = _arrays(look())
        if self.folder is not None and self.taken[done]:
            try:
                _write(self.folder / f"{done:08d}.safetensors", self.taken[done])
            except (OSError, SafetensorError) as error:
                tqdm.write(f"A moment for the pictures is not kept: {error}.")
        self.seconds += time.perf_counter() - started

    def end(self, epoch: float, look: Look) -> None:
        """Take the weights that were kept, those of `epoch`, for the last moment."""
        self.kept = Moment(-1, epoch, _arrays(look()))

    def moments(self, epochs: float) -> list[Moment]:
        """Return them in order up to the epoch that was kept, earlier processes' among them.

        Args:
            epochs: of the whole training.
        """
        every = {**self._earlier(), **self.taken}
        last = max(every, default=0) or 1
        found = [Moment(step, epochs * step / last, every[step]) for step in sorted(every)]
        if self.kept is None:
            return found
        step, epoch = round(self.kept.epoch / epochs * last), min(self.kept.epoch, epochs)
        return [m for m in found if m.step < step] + [Moment(step, epoch, self.kept.seen)]

    def _earlier(self) -> dict[int, dict[str, np.ndarray]]:
        """Return what an earlier process took in, but for files that are damaged."""
        paths = self.folder.glob("*.safetensors") if self.folder else ()
        found = {}
        for path in paths:
            if int(path.stem) not in self.taken:
                with suppress(OSError, SafetensorError):
                    found[int(path.stem)] = safetensors.numpy.load_file(path)
        return found


def _arrays(seen: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.detach().cpu().numpy().copy() for name, value in seen.items()}


def _write(path: Path, seen: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{os.getpid()}.partial")
    try:
        safetensors.numpy.save_file(seen, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)

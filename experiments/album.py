"""Moments of a training, kept on disk, so that one that was interrupted has those before, too."""

import os
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import safetensors.numpy
from torch import Tensor

from experiments.tasks.base import Moment

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
        self.folder = folder
        self.taken: dict[int, dict[str, np.ndarray]] = {}

    def take(self, done: int, steps: int, look: Callable[[], Mapping[str, Tensor]]) -> None:
        """Keep what `look` sees, if this is a moment to look at."""
        if done not in moments(steps):
            return
        seen = {name: value.detach().cpu().numpy().copy() for name, value in look().items()}
        self.taken[done] = seen
        if self.folder is not None and seen:
            _write(self.folder / f"{done:08d}.safetensors", seen)

    def moments(self, epochs: float) -> list[Moment]:
        """Return them in order, those taken by an earlier process among them.

        Args:
            epochs: of the whole training.
        """
        paths = self.folder.glob("*.safetensors") if self.folder else ()
        earlier = {int(path.stem): safetensors.numpy.load_file(path) for path in paths}
        every = {**earlier, **self.taken}
        last = max(every, default=0) or 1
        return [Moment(step, epochs * step / last, every[step]) for step in sorted(every)]


def _write(path: Path, seen: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{os.getpid()}.partial")
    safetensors.numpy.save_file(seen, partial)
    partial.replace(path)

"""Training states on disk: written atomically, checked when read, free of pickle.

A file is called STEP-SHA256.safetensors, so that its name proves its bytes.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from tqdm import tqdm

from experiments.core import cli
from experiments.core.files import sha256_bytes
from experiments.training.loop import State


@dataclass(frozen=True)
class CheckpointPolicy:
    """How many checkpoints are kept, and how often they are saved.

    Attributes:
        keep_last: number of files; the older ones replace a damaged newest one.
        min_interval_s: seconds from one checkpoint to the next, at least.
        max_overhead: the largest fraction of a training's time spent on saving.
    """

    keep_last: int = 2
    min_interval_s: float = 1.0
    max_overhead: float = 0.02


DEFAULT = CheckpointPolicy()


def serialize(state: State) -> bytes:
    """Return `state` as the bytes of a safetensors file."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    return safetensors.torch.save(tensors, {"facts": json.dumps(state.facts)})


def deserialize(raw: bytes) -> State:
    """Return the state that `serialize` has turned into `raw`."""
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return State(safetensors.torch.load(raw), json.loads(header["__metadata__"]["facts"]))


def save(folder: Path, state: State, keep_last: int = CheckpointPolicy.keep_last) -> None:
    """Write `state` into `folder` atomically, and delete all but the newest `keep_last`."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = serialize(state)
    partial = folder / f"{os.getpid()}.partial"
    try:
        with partial.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / f"{state.facts['done']:08d}-{sha256_bytes(raw)}.safetensors")
    finally:
        partial.unlink(missing_ok=True)
    for path in _newest_first(folder)[keep_last:]:
        path.unlink(missing_ok=True)


def load(folder: Path) -> State | None:
    """Return the newest undamaged state in `folder`, or None; damaged files are reported."""
    for path in _newest_first(folder):
        raw = path.read_bytes()
        if sha256_bytes(raw) == path.stem.partition("-")[2]:
            return deserialize(raw)
        tqdm.write(f"{path.name[:16]}... is damaged (its hash differs); trying the one before.")
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-*.safetensors"), reverse=True)


class CheckpointManager:
    """Saves a training's state at intervals, and when the process is interrupted.

    Args:
        folder: of the checkpoints; None to save none.
        interrupted: returns whether the process must end.
    """

    def __init__(
        self,
        folder: Path | None,
        policy: CheckpointPolicy = DEFAULT,
        interrupted: Callable[[], bool] = cli.interrupted,
    ) -> None:
        self.folder, self.policy, self.interrupted = folder, policy, interrupted
        self.interval_s, self.saved_at = policy.min_interval_s, time.monotonic()

    def after_step(self, state: Callable[[], State]) -> None:
        """Save the present state if it is time.

        Raises:
            KeyboardInterrupt: the process must end; the state is saved.
        """
        interrupted = self.interrupted()
        due = time.monotonic() - self.saved_at >= self.interval_s
        if self.folder and (due or interrupted):
            self._save(self.folder, state())
        if interrupted:
            raise KeyboardInterrupt

    def _save(self, folder: Path, state: State) -> None:
        started = time.monotonic()
        try:
            save(folder, state, self.policy.keep_last)
        except OSError as error:
            tqdm.write(f"No checkpoint: {error}. The training continues without.")
        self.saved_at = time.monotonic()
        seconds = self.saved_at - started
        self.interval_s = max(self.policy.min_interval_s, seconds / self.policy.max_overhead)

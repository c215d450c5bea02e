"""Training states on disk: written whole or not at all, checked when read, free of pickle.

A file is called STEP-SHA256.safetensors, so that its name says whether its bytes are whole.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
from tqdm import tqdm

from experiments import cli
from experiments.fit import State

KEPT = 2  # the newest, and the one before in case of need
COST = 0.02  # the largest share of a training's time that saving may take
SOONEST = 1.0  # seconds from one checkpoint to the next


def pack(state: State) -> bytes:
    """Return `state` as the bytes of a safetensors file."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    return safetensors.torch.save(tensors, {"facts": json.dumps(state.facts)})


def unpack(raw: bytes) -> State:
    """Return the state that `pack` made `raw` of."""
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    return State(safetensors.torch.load(raw), json.loads(header["__metadata__"]["facts"]))


def save(folder: Path, state: State) -> None:
    """Write `state` into `folder`, as a whole or not at all; older ones but one are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = pack(state)
    name = f"{state.facts['done']:08d}-{hashlib.sha256(raw).hexdigest()}.safetensors"
    partial = folder / f"{os.getpid()}.partial"
    try:
        with partial.open("wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / name)
    finally:
        partial.unlink(missing_ok=True)
    for old in _newest_first(folder)[KEPT:]:
        old.unlink(missing_ok=True)


def load(folder: Path) -> State | None:
    """Return the newest state in `folder` that is whole, or None; damaged ones are told."""
    for path in _newest_first(folder):
        raw = path.read_bytes()
        if hashlib.sha256(raw).hexdigest() == path.stem.partition("-")[2]:
            return unpack(raw)
        tqdm.write(f"{path.name[:16]}... is damaged (its hash is another); taking the one before.")
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-*.safetensors"), reverse=True)


class Keeper:
    """Saves a training's state every so often, and when the process is told to end.

    Args:
        folder: for the checkpoints; None to keep none.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.wait, self.since = folder, SOONEST, time.monotonic()

    def after_step(self, snapshot: Callable[[], State]) -> None:
        """Save the state of this moment if it is time.

        Raises:
            KeyboardInterrupt: the process was told to end; the state is saved.
        """
        ending = cli.interrupted()
        if self.folder and (ending or time.monotonic() - self.since >= self.wait):
            self._save(self.folder, snapshot())
        if ending:
            raise KeyboardInterrupt

    def _save(self, folder: Path, state: State) -> None:
        started = time.monotonic()
        try:
            save(folder, state)
        except OSError as error:
            tqdm.write(f"No checkpoint: {error}. The training goes on without.")
        self.since = time.monotonic()
        self.wait = max(SOONEST, (self.since - started) / COST)

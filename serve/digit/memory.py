"""All of MNIST as one graph sees it: studied once by a child process, kept on disk, asked here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from experiments import hashes, outfile
from experiments.data import mnist
from experiments.errors import UserError
from experiments.paths import MNIST_CACHE, ROOT
from serve.texts import inside as say

BLOCK = 5000  # features that are compared at a time: the page stays small
TRIES = 3  # children that may fail
KEYS = {"features", "labels", "index", "data", "images", "truth", "said", "share", "place"}
_one = threading.Lock()  # one child of this page at a time


@dataclass(frozen=True)
class Neighbour:
    """A training digit: uint8 [28, 28], its label, its number in the file, and 1 - cosine."""

    image: np.ndarray
    label: int
    index: int
    distance: float


@dataclass(frozen=True)
class Mistake:
    """A test digit, uint8 [28, 28]: what it is, what was said of it how surely, its number."""

    image: np.ndarray
    label: int
    said: int
    probability: float
    index: int


class Memory:
    """What a graph makes of all of MNIST; safe to be asked by several threads.

    Args:
        graph: bytes of the ONNX file.
        folder: where it is kept; made if need be.
    """

    def __init__(self, graph: bytes, folder: Path) -> None:
        self._graph, self._path = graph, folder / f"{hashes.of_bytes(graph)}.onnx"
        self._lock = threading.Lock()
        self._known: dict[str, np.ndarray] | None = None
        self._done: float | None = None
        self._running = False
        self._tries = 0
        self._failed = ""  # a sentence why it cannot be had, whatever comes

    @property
    def missing(self) -> str:
        """Return a sentence why there is nothing to be had now; empty if nothing is amiss."""
        return self._failed or ("" if self.ready or at_hand() else say.NO_MNIST)

    @property
    def ready(self) -> bool:
        """Return whether all is known; it is read from the disk when first asked for."""
        with self._lock:
            if self._known is None and not self._running:
                self._known = read(self._path)
            return self._known is not None

    @property
    def running(self) -> bool:
        """Return whether a child is at work for it, or about to be."""
        return self._running

    def progress(self) -> float | None:
        """Return the share of the work that is done, 0 to 1; None: it was not begun."""
        return 1.0 if self.ready else self._done

    def start(self) -> None:
        """Have a child process do the work, unless it is done, being done, or impossible."""
        if self.ready or self.missing:
            return
        with self._lock:
            if self._running:
                return
            self._running, self._done = True, self._done or 0.0
            threading.Thread(target=self._work, daemon=True).start()

    def nearest(self, features: np.ndarray, count: int = 5) -> list[Neighbour]:
        """Return the training digits whose features, float32 [d], are most alike by cosine."""
        known = self._all()
        kept = known["features"]  # float16 [N, d], of length 1
        wanted = features.astype(np.float32) / max(float(np.linalg.norm(features)), 1e-12)
        blocks = (kept[at : at + BLOCK].astype(np.float32) for at in range(0, len(kept), BLOCK))
        alike = np.concatenate([block @ wanted for block in blocks])
        nearest = np.argsort(-alike, kind="stable")[:count].tolist()
        images = _pictures(self._path, known)
        labels, index = known["labels"], known["index"]
        return [
            Neighbour(images[n].copy(), int(labels[n]), int(index[n]), 1 - float(alike[n]))
            for n in nearest
        ]

    def mistakes(self) -> list[Mistake]:
        """Return the test digits it gets most wrong, the surest wrong answers first."""
        known = self._all()
        columns = (known[key].tolist() for key in ("truth", "said", "share", "place"))
        return [
            Mistake(image, *values)
            for image, *values in zip(known["images"], *columns, strict=True)
        ]

    def _all(self) -> dict[str, np.ndarray]:
        if not self.ready or self._known is None:
            raise UserError(self.missing or say.NOT_YET)
        return self._known

    def _work(self) -> None:
        """Run the child to its end, and note what it says."""
        why = ""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            outfile.write(self._graph, self._path)
            with _one:
                why = self._listen()
        except (OSError, ValueError, UserError) as error:
            why = str(error)
        with self._lock:
            self._running, self._known = False, read(self._path)
            self._tries += 1
            if self._known is None and not self._failed and self._tries >= TRIES:
                self._failed = say.FAILED.format(why=why or say.EARLY, path=self._path)

    def _listen(self) -> str:
        """Run the child and note what it says; return how it ended, in words."""
        folder = at_hand()
        named = {"MNIST_DIR": str(folder.resolve())} if folder else {}  # the child is elsewhere
        with subprocess.Popen(
            [sys.executable, "-m", "serve.digit.study", str(self._path.resolve())],
            cwd=ROOT,
            env=os.environ | named,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child:
            for line in child.stdout or ():
                told = json.loads(line)
                self._done = told.get("done", self._done)
                self._failed = told.get("missing", self._failed)
        return say.EXIT.format(code=child.returncode)


def at_hand() -> Path | None:
    """Return the folder on this machine that MNIST can be read from without fetching, if any."""
    if os.environ.get("MNIST_DIR"):
        return Path(os.environ["MNIST_DIR"])
    return MNIST_CACHE if all((MNIST_CACHE / n).is_file() for n in mnist.CANONICAL_MD5) else None


def read(path: Path) -> dict[str, np.ndarray] | None:
    """Return what is kept beside the graph file `path`; None if that is nothing, or damaged."""
    try:
        with path.with_suffix(".npz").open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            known = {key: file[key] for key in KEYS}
        count = len(_pictures(path, known))
        os.utime(path.with_suffix(".npz"))  # the last used are kept the longest
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None
    return known if len(known["features"]) == len(known["labels"]) == count else None


def _pictures(path: Path, known: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the training digits' pictures, uint8 [N, 28, 28], left on the disk until looked at."""
    return np.load(path.with_name(f"{known['data']}.npy"), mmap_mode="r", allow_pickle=False)

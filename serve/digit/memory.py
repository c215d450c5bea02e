"""All of MNIST as one graph sees it, read once and kept on disk.

python -m serve.digit.memory state/page/SHA256.onnx

A child process feeds the graph the digits it was trained on and the test set, so that the page
stays small and quick meanwhile, and writes beside the graph, whole or not at all, SHA256.npz with
the features and the worst mistakes, and DIGEST.npy with the training digits' pictures.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import click
import numpy as np

from experiments import cli, hashes, outfile
from experiments.data import mnist
from experiments.data.split import SPLIT_SEED, VAL_SHARE, stratified
from experiments.errors import UserError
from experiments.paths import MNIST_CACHE, ROOT
from serve.digit.inside import Inside
from serve.texts import inside as say

BATCH = 250  # digits
BLOCK = 5000  # features that are compared at a time: the page stays small
WORST = 20
WIDEST = 512  # units of the hidden layer: 56 MB
NICE = 15  # the page comes first
TRIES = 3  # children that may fail
KEYS = {"features", "labels", "index", "data", "images", "truth", "said", "share", "place"}


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

    Attributes:
        missing: a sentence why there is nothing to be had, empty if nothing is amiss.
    """

    def __init__(self, graph: bytes, folder: Path) -> None:
        self._graph, self._path = graph, folder / f"{hashes.of_bytes(graph)}.onnx"
        self._lock = threading.Lock()
        self._known: dict[str, np.ndarray] | None = None
        self._done: float | None = None
        self._running = False
        self._tries = 0
        self.missing = "" if self.ready or at_hand() else say.NO_MNIST

    @property
    def ready(self) -> bool:
        """Return whether all is known; it is read from the disk when first asked for."""
        with self._lock:
            if self._known is None and not self._running:
                self._known = _read(self._path)
            return self._known is not None

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
            why = self._listen()
        except (OSError, UserError) as error:
            why = str(error)
        with self._lock:
            self._running, self._known = False, _read(self._path)
            self._tries += 1
            if self._known is None and not self.missing and self._tries >= TRIES:
                self.missing = say.FAILED.format(why=why or "it ended early", path=self._path)

    def _listen(self) -> str:
        """Run the child and note what it says; return how it ended, in words."""
        folder = at_hand()
        named = {"MNIST_DIR": str(folder.resolve())} if folder else {}  # the child is elsewhere
        with subprocess.Popen(
            [sys.executable, "-m", "serve.digit.memory", str(self._path.resolve())],
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
                self.missing = told.get("missing", self.missing)
        return f"exit code {child.returncode}"


def at_hand() -> Path | None:
    """Return the folder on this machine that MNIST can be read from without fetching, if any."""
    if os.environ.get("MNIST_DIR"):
        return Path(os.environ["MNIST_DIR"])
    return MNIST_CACHE if all((MNIST_CACHE / n).is_file() for n in mnist.CANONICAL_MD5) else None


def _read(path: Path) -> dict[str, np.ndarray] | None:
    """Return what is kept beside the graph file `path`; None if that is nothing, or damaged."""
    try:
        with path.with_suffix(".npz").open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            known = {key: file[key] for key in KEYS}
        count = len(_pictures(path, known))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None
    return known if len(known["features"]) == len(known["labels"]) == count else None


def _pictures(path: Path, known: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the training digits' pictures, uint8 [N, 28, 28], left on the disk until looked at."""
    return np.load(path.with_name(f"{known['data']}.npy"), mmap_mode="r", allow_pickle=False)


def study(path: Path, tell: Callable[[float], None]) -> None:
    """Read all of MNIST with the graph in the file `path`, and write beside it what comes out.

    Args:
        tell: is given the share of the work that is done, now and then.

    Raises:
        UserError: MNIST is not at hand, or another than the graph's, or the graph will not do.
    """
    inside = Inside(path.read_bytes())
    folder = at_hand()
    if folder is None:
        raise UserError(say.NO_MNIST)
    data = mnist.load(folder)  # a folder that is named is never fetched into
    theirs = inside.about.get("data_digest", "unknown")
    if theirs != data.digest:
        raise UserError(say.OTHER_MNIST.format(theirs=theirs[:8], ours=data.digest[:8]))
    index = np.flatnonzero(~stratified(data.train_labels, VAL_SHARE, SPLIT_SEED))
    images = data.train_images[index]
    total = len(images) + len(data.test_images)
    features, _ = _run(inside, images, lambda done: tell(done / total))
    if features.shape[1] > WIDEST:
        raise UserError(say.WIDE.format(found=features.shape[1], most=WIDEST))
    _, shares = _run(inside, data.test_images, lambda done: tell((len(images) + done) / total))
    _save(path.with_name(f"{data.digest}.npy"), lambda file: np.save(file, images))
    kept: dict[str, Any] = {
        "features": features,
        "labels": data.train_labels[index],
        "data": data.digest,
    }
    kept |= {"index": index.astype(np.int32), **_worst(shares, data)}
    _save(path.with_suffix(".npz"), lambda file: np.savez(file, **kept))  # last: now it is there


def _run(
    inside: Inside, images: np.ndarray, tell: Callable[[int], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features, float16 [N, d] of length 1, and the probabilities, float32 [N, 10]."""
    features, shares = [], []
    for start in range(0, len(images), BATCH):
        found, share = inside.features_and(images[start : start + BATCH], "probabilities")
        lengths = np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        features.append((found / lengths).astype(np.float16))
        shares.append(share)
        tell(start + len(share))
    return np.concatenate(features), np.concatenate(shares)


def _worst(shares: np.ndarray, data: mnist.Mnist) -> dict[str, np.ndarray]:
    """Return the test digits that are said to be another, the surest first, at most `WORST`."""
    said, sure = shares.argmax(1).astype(np.uint8), shares.max(1)
    wrong = np.flatnonzero(said != data.test_labels)
    place = wrong[np.argsort(-sure[wrong], kind="stable")][:WORST]
    return {
        "images": data.test_images[place],
        "truth": data.test_labels[place],
        "said": said[place],
        "share": sure[place],
        "place": place,
    }


def _save(path: Path, save: Callable[[io.BytesIO], None]) -> None:
    file = io.BytesIO()
    save(file)
    outfile.write(file.getvalue(), path)


@click.command("serve.digit.memory", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("path", metavar="GRAPHFILE", type=click.Path(exists=True, path_type=Path))
def command(path: Path) -> None:
    """Read all of MNIST with a graph of digits, and write beside the file what the page shows.

    It says in lines of JSON how far it is ("done", 0 to 1) or why it cannot be ("missing").
    """
    from filelock import FileLock

    os.nice(NICE)
    with FileLock(path.with_name("reading.lock")):  # whoever dies lets go of it
        if _read(path) is None:
            try:
                study(path, lambda done: click.echo(json.dumps({"done": round(done, 3)})))
            except UserError as error:
                click.echo(json.dumps({"missing": str(error)}))
                raise


if __name__ == "__main__":
    cli.main(command)

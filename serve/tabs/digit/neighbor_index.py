"""MNIST as one graph sees it: nearest training digits, worst and most exciting test digits.

The index is built once by a background thread (build_index.py) and kept on disk.
"""

from __future__ import annotations

import os
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from experiments.core import files
from experiments.core.paths import MNIST_CACHE
from serve.tabs.digit import build_index

BLOCK_SIZE = 5000  # features that are compared at a time, to save memory
IMAGES, TEST_IMAGES = "images", "test_images"  # 51 MB, read for each answer
_one_build = threading.Lock()  # one index at a time is built


@dataclass(frozen=True)
class Neighbor:
    """A training digit near a drawing."""

    image: np.ndarray  # uint8 [28, 28]
    label: int
    index: int
    distance: float  # 1 - cosine similarity of the features


@dataclass(frozen=True)
class Mistake:
    """A misclassified test digit."""

    image: np.ndarray  # uint8 [28, 28]
    label: int
    pred: int
    prob: float  # of the prediction
    index: int


@dataclass(frozen=True)
class Exciting:
    """A test digit that excites a hidden unit."""

    image: np.ndarray  # uint8 [28, 28]
    label: int
    index: int
    value: float  # the unit's activation


class NeighborIndex:
    """The index of one graph; safe to use from several threads.

    Args:
        graph: bytes of the ONNX file.
        folder: of the indexes; created if it is missing.
        cache: folder of MNIST unless MNIST_DIR names another.
    """

    def __init__(self, graph: bytes, folder: Path, cache: Path = MNIST_CACHE) -> None:
        self._graph, self._cache = graph, cache
        self._path = folder / f"{files.sha256_bytes(graph)}.npz"
        self._arrays: dict[str, np.ndarray] | None = None
        self._lock = threading.Lock()  # of the three below
        self._is_building = False
        self._done = 0.0
        self._error: Exception | None = None

    def build(self) -> float:
        """Start the build unless it is done or running; return the fraction done, 1 when ready.

        Raises:
            UserError: the last build failed; the next call starts another.
        """
        with self._lock:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            if not self._is_building and self._arrays is None:
                self._arrays = load(self._path)
            if self._arrays is not None:
                return 1.0
            if not self._is_building:
                self._is_building, self._done = True, 0.0
                threading.Thread(target=self._run, daemon=True).start()
            return self._done

    def _run(self) -> None:
        """Build the index, or note the error."""

        def report(done: float) -> None:
            self._done = min(done, 0.999)  # 1 when it is written

        error, arrays = None, None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with _one_build:
                build_index.build(self._graph, self._path, report, cache=self._cache)
                arrays = load(self._path)
        except Exception as exception:  # raised by the next call of `build`
            error = exception
        with self._lock:
            self._arrays, self._error, self._is_building = arrays, error, False

    def nearest(self, features: np.ndarray, count: int = 5) -> list[Neighbor]:
        """Return the training digits whose features are nearest by cosine.

        Args:
            features: as of `ActivationModel.features`, float32 [units] or packed bits, uint8.
        """
        assert self._arrays is not None, "build() has returned 1"
        known = self._arrays["features"]  # float16 [N, units] of length 1, or packed bits
        compare = _cosine_of_bits if known.dtype == np.uint8 else _cosine
        blocks = (known[i : i + BLOCK_SIZE] for i in range(0, len(known), BLOCK_SIZE))
        similarity = np.concatenate([compare(block, features) for block in blocks])
        nearest = np.argsort(-similarity, kind="stable")[:count]
        with np.load(self._path) as file:
            images = file[IMAGES][nearest]
        labels, indices = (self._arrays[key][nearest].tolist() for key in ("labels", "indices"))
        distances = (1 - similarity[nearest]).tolist()
        return [Neighbor(*row) for row in zip(images, labels, indices, distances, strict=True)]

    def mistakes(self) -> list[Mistake]:
        """Return the misclassified test digits, the most probable predictions first."""
        assert self._arrays is not None, "build() has returned 1"
        names = ("labels", "preds", "probs", "indices")
        columns = (self._arrays[f"mistake_{name}"].tolist() for name in names)
        rows = zip(self._arrays["mistake_images"], *columns, strict=True)
        return [Mistake(*row) for row in rows]

    def exciting(self, unit: int) -> list[Exciting]:
        """Return the test digits with a hidden unit's largest activations; none that is 0."""
        assert self._arrays is not None, "build() has returned 1"
        indices, values = (self._arrays[f"unit_{name}"][unit] for name in ("indices", "values"))
        with np.load(self._path) as file:
            images = file[TEST_IMAGES][indices]
        labels = self._arrays["test_labels"][indices].tolist()
        rows = zip(images, labels, indices.tolist(), values.tolist(), strict=True)
        return [Exciting(*row) for row in rows if row[3] > 0]


def _cosine(known: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the cosine of features, float32 [units], with each of [N, units] of length 1."""
    return known.astype(np.float32) @ (features / max(float(np.linalg.norm(features)), 1e-12))


def _cosine_of_bits(known: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return the cosine of packed bits, uint8 [bytes], with each of [N, bytes]."""
    both, own, other = (
        np.bitwise_count(bits).sum(-1, dtype=np.float32)
        for bits in (known & features, known, features)
    )
    return both / np.maximum(np.sqrt(own * other), 1e-12)


def load(path: Path) -> dict[str, np.ndarray] | None:
    """Return the arrays of an index but its images; None if it is missing, damaged or older."""
    try:
        with path.open("rb") as raw, np.load(raw) as file:
            arrays = {key: file[key] for key in file.files}  # each with its checksum
        os.utime(path)  # the least recently used indexes are removed first
        for name in (IMAGES, TEST_IMAGES):
            del arrays[name]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error):
        return None
    return arrays

"""MNIST's four files: their location, checksums and arrays."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.core import cli
from experiments.core.errors import DataError
from experiments.core.paths import MNIST_CACHE
from experiments.data import download, idx

# File name -> md5 of its unpacked bytes. The last part of a name is its number of dimensions.
CANONICAL_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
SOURCE_NOTE = "SOURCE.txt"


@dataclass(frozen=True)
class Mnist:
    """Four arrays and their origin.

    Attributes:
        train_images, test_images: uint8 [N, 28, 28], 0 is background and 255 is ink.
        train_labels, test_labels: uint8 [N], 0 to 9.
        source: origin of the files, in words.
        digest: md5 of the md5s of the four files' unpacked bytes.
        foreign: names of the files that differ from MNIST's own; empty for canonical MNIST.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    source: str
    digest: str
    foreign: tuple[str, ...]


def load(data_dir: Path | None = None, cache: Path = MNIST_CACHE) -> Mnist:
    """Return MNIST from `data_dir`, else $MNIST_DIR, else the cache (filled when empty).

    Args:
        data_dir: a folder with four IDX files, plain or `.gz`: MNIST's own or any others of
            28x28 images with labels 0 to 9.
        cache: the project's own copy.

    Raises:
        DataError: a file is missing, damaged or mislabelled, or the download failed.
    """
    if data_dir is None and os.environ.get("MNIST_DIR"):
        data_dir = cli.user_path(os.environ["MNIST_DIR"], "MNIST_DIR")
    if data_dir is not None:
        return _read_folder(data_dir, f"folder {data_dir.resolve()}")
    if not all((cache / name).is_file() for name in CANONICAL_MD5):
        download.into(cache, CANONICAL_MD5, SOURCE_NOTE)
    note = cache / SOURCE_NOTE
    mnist = _read_folder(cache, note.read_text().strip() if note.is_file() else "cache")
    if mnist.foreign:
        raise DataError(
            "checksum-wrong",
            cache / mnist.foreign[0],
            expected=f"md5 {CANONICAL_MD5[mnist.foreign[0]]}",
            found="another: the cached file is damaged",
            fix="Delete the file and rerun the command.",
        )
    return mnist


def _read_folder(folder: Path, source: str) -> Mnist:
    read = {name: idx.read(_find(folder, name), ndim=int(name[-7])) for name in CANONICAL_MD5}
    train_images, train_labels, test_images, test_labels = (array for array, _ in read.values())
    paths = [folder / name for name in read]
    _check(train_images, train_labels, *paths[:2])
    _check(test_images, test_labels, *paths[2:])
    return Mnist(
        *(train_images, train_labels, test_images, test_labels),
        source=source,
        digest=idx.md5("".join(md5 for _, md5 in read.values()).encode()),
        foreign=tuple(name for name, (_, md5) in read.items() if md5 != CANONICAL_MD5[name]),
    )


def _find(folder: Path, name: str) -> Path:
    dotted = name.replace("-idx", ".idx")  # the older spelling of the same files
    candidates = [folder / f"{stem}{end}" for stem in (name, dotted) for end in ("", ".gz")]
    for path in candidates:
        if path.is_file():
            return path
    raise DataError(
        "file-missing",
        folder,
        expected=f"{name} or {name}.gz",
        found="neither",
        fix="Pass a folder with MNIST's four files, or none to download them.",
    )


def _check(images: np.ndarray, labels: np.ndarray, image_path: Path, label_path: Path) -> None:
    if images.shape[1:] != (28, 28) or len(images) == 0:
        raise DataError(
            "shape-wrong",
            image_path,
            expected="images of 28x28, one or more",
            found=f"an array of {images.shape}",
            fix="Scale the images to 28x28.",
        )
    if len(labels) != len(images):
        raise DataError(
            "label-count-wrong",
            label_path,
            expected=f"{len(images)} labels, one for each image",
            found=len(labels),
            fix="Use both files of the same data set.",
        )
    if labels.max() > 9:
        raise DataError(
            "label-out-of-range",
            label_path,
            expected="labels 0 to 9",
            found=labels.max(),
            fix="Use a data set of digits.",
        )

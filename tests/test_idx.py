"""The IDX reader on files written byte by byte, and on damaged ones."""

import gzip
import hashlib
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.core.errors import DataError
from experiments.data import idx
from tests.expect import refused

# Written by hand from the format's description: two images of 2x3.
TWO_IMAGES = bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 2, 3) + bytes(range(12))


def write(folder: Path, raw: bytes) -> Path:
    path = folder / "file"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_plain_and_gzip_and_packs_the_same(tmp_path: Path, pack) -> None:
    array, md5 = idx.read(write(tmp_path, pack(TWO_IMAGES)), ndim=3)
    assert array.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    assert md5 == hashlib.md5(TWO_IMAGES, usedforsecurity=False).hexdigest()
    assert idx.pack(array) == TWO_IMAGES and not array.flags.writeable


@given(cut=st.integers(0, len(TWO_IMAGES) - 1))
def test_any_truncation_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = write(tmp_path_factory.mktemp("cut"), TWO_IMAGES[:cut])
    code = "file-format-wrong" if cut < 4 else "file-damaged"
    with refused(code, DataError, what=path):
        idx.read(path, ndim=3)


@pytest.mark.parametrize(
    ("raw", "code", "facts"),
    [
        (TWO_IMAGES + b"x", "file-damaged", {"expected": "2x2x3 = 12 bytes", "found": "13"}),
        (b"\x89PNG" + TWO_IMAGES, "file-format-wrong", {"found": "89 50 4e 47"}),
        (gzip.compress(TWO_IMAGES, mtime=0)[:-9], "file-damaged", {}),
        (b"\x1f\x8b" + TWO_IMAGES, "file-damaged", {}),
        (bytes([0, 0, 8, 1, 0, 0, 0, 0]), "dimensions-wrong", {"expected": "3", "found": "1"}),
    ],
)
def test_damage_is_named(tmp_path: Path, raw: bytes, code: str, facts: dict[str, str]) -> None:
    path = write(tmp_path, raw)
    with refused(code, DataError, what=path, **facts):
        idx.read(path, ndim=3)


def test_missing_unreadable_and_too_large_files_are_named(tmp_path: Path) -> None:
    with refused("file-missing", DataError, what=tmp_path / "absent"):
        idx.read(tmp_path / "absent", ndim=1)
    with refused("file-unreadable", DataError, what=tmp_path):
        idx.read(tmp_path, ndim=1)
    path = write(tmp_path, gzip.compress(TWO_IMAGES))
    assert len(idx.read(path, 3, max_bytes=len(TWO_IMAGES))[0]) == 2
    with refused("file-too-large", DataError, what=path, expected=len(TWO_IMAGES) - 1):
        idx.read(path, 3, max_bytes=len(TWO_IMAGES) - 1)

"""The IDX reader against files written byte by byte, and against every way to damage one."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.data import idx
from experiments.errors import DataError

# Written by hand from the format's description: two images of 2x3.
TWO_IMAGES = bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 2, 3) + bytes(range(12))


def written(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "file"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_plain_and_gzip(tmp_path: Path, pack) -> None:
    array, md5 = idx.read(written(tmp_path, pack(TWO_IMAGES)), ndim=3)
    assert array.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    assert md5 == hashlib.md5(TWO_IMAGES, usedforsecurity=False).hexdigest()


def test_packs_what_it_reads(tmp_path: Path) -> None:
    array, _ = idx.read(written(tmp_path, TWO_IMAGES), ndim=3)
    assert idx.pack(array) == TWO_IMAGES


@given(cut=st.integers(0, len(TWO_IMAGES) - 1))
def test_any_truncation_is_told(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = written(tmp_path_factory.mktemp("cut"), TWO_IMAGES[:cut])
    with pytest.raises(DataError, match=str(path)):
        idx.read(path, ndim=3)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (TWO_IMAGES + b"x", "promises 2x2x3 = 12 bytes, found 13"),
        (b"\x89PNG" + TWO_IMAGES, "first bytes 00 00 08"),
        (gzip.compress(TWO_IMAGES, mtime=0)[:-9], "cannot be read"),
        (b"\x1f\x8b" + TWO_IMAGES, "cannot be read"),
        (b"", "found nothing"),
    ],
)
def test_damage_names_expectation_and_finding(tmp_path: Path, raw: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        idx.read(written(tmp_path, raw), ndim=3)


def test_swapped_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected 1 dimension.*found 3.*swapped"):
        idx.read(written(tmp_path, TWO_IMAGES), ndim=1)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        idx.read(tmp_path / "absent", ndim=1)


def test_array_is_read_only(tmp_path: Path) -> None:
    array, _ = idx.read(written(tmp_path, TWO_IMAGES), ndim=3)
    assert isinstance(array, np.ndarray) and not array.flags.writeable

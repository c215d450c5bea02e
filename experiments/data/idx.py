"""The IDX format of MNIST's files: a header of big-endian integers, then raw bytes.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits",
section "The IDX file format".
"""

import gzip
import hashlib
import math
import zlib
from pathlib import Path

import numpy as np

from experiments.core.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08
MAX_BYTES = 1 << 30  # unpacked; MNIST's largest file has 47 MB
HOW_TO_FIX = "Download the file again."


def read(path: Path, ndim: int, max_bytes: int = MAX_BYTES) -> tuple[np.ndarray, str]:
    """Return the array in an IDX file, plain or gzip, and the md5 of its unpacked bytes.

    Args:
        ndim: expected number of dimensions (3 of images, 1 of labels).
        max_bytes: limit of the unpacked size.

    Returns:
        uint8 array of `ndim` dimensions, read-only, and the md5 in hexadecimal.

    Raises:
        DataError: the file cannot be read, is no IDX file of bytes, has another number of
            dimensions, or another length than its header states.
    """
    raw = _unpack(path, max_bytes)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != UNSIGNED_BYTE:
        raise DataError(
            "file-format-wrong",
            path,
            expected="an IDX file of unsigned bytes (first bytes 00 00 08)",
            found=raw[:4].hex(" ") or "an empty file",
            fix="Put the original file there.",
        )
    if raw[3] != ndim:
        raise DataError(
            "dimensions-wrong",
            path,
            expected=f"an array of {ndim} dimension(s)",
            found=raw[3],
            fix="Check that image and label files are not swapped.",
        )
    start = 4 + 4 * ndim
    shape = [int.from_bytes(raw[at : at + 4]) for at in range(4, start, 4)]
    size, expected_size = len(raw) - start, math.prod(shape)  # below 0 in a truncated header
    if size != expected_size:
        sides = "x".join(map(str, shape))
        expected = f"{sides} = {expected_size} bytes after the header"
        raise DataError("file-damaged", path, expected, size, HOW_TO_FIX)
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape), md5(raw)


def pack(array: np.ndarray) -> bytes:
    """Return `array` (uint8, any shape) as the bytes of a plain IDX file."""
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + np.ascontiguousarray(array, np.uint8).tobytes()


def md5(raw: bytes) -> str:
    """Return the md5 of `raw` in hexadecimal, which identifies MNIST's files."""
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()


def _unpack(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise DataError("file-missing", path, "a file", "none", HOW_TO_FIX) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError("file-damaged", path, "a whole gzip file", error, HOW_TO_FIX) from error
    except OSError as error:
        reason = error.strerror or error
        raise DataError("file-unreadable", path, "a readable file", reason, HOW_TO_FIX) from error
    if len(raw) > max_bytes:
        expected = f"at most {max_bytes} bytes unpacked"
        raise DataError("file-too-large", path, expected, "more", "Give a smaller data set.")
    return raw

"""The IDX format: MNIST's own container, a header of big-endian integers and then raw bytes.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits",
section "The IDX file format".
"""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from experiments.errors import DataError

GZIP_MAGIC = b"\x1f\x8b"
UNSIGNED_BYTE = 0x08
MAX_BYTES = 1 << 30  # unpacked; MNIST's largest file has 47 MB


def read(path: Path, ndim: int) -> tuple[np.ndarray, str]:
    """Return the array in an IDX file, plain or gzip, and the md5 of its unpacked bytes.

    Args:
        path: the file.
        ndim: the number of dimensions it must have (3 for images, 1 for labels).

    Returns:
        uint8 array of `ndim` dimensions, read-only, and the md5 in hexadecimal.

    Raises:
        DataError: the file cannot be read, is no IDX file of bytes, has another number of
            dimensions, or holds more or fewer bytes than its header promises.
    """
    raw = _unpacked(path)
    if len(raw) < 4 or raw[:2] != b"\0\0" or raw[2] != UNSIGNED_BYTE:
        raise DataError(
            f"{path}: expected an IDX file of unsigned bytes (first bytes 00 00 08), "
            f"found {raw[:4].hex(' ') or 'nothing'}; put the original file there."
        )
    if raw[3] != ndim:
        raise DataError(
            f"{path}: expected {ndim} dimension(s), found {raw[3]}; "
            "are image and label files swapped?"
        )
    start = 4 + 4 * ndim
    if len(raw) < start:
        raise DataError(
            f"{path}: expected a header of {start} bytes, found {len(raw)} bytes in all; "
            "the file is damaged, fetch it again."
        )
    shape = struct.unpack_from(f">{ndim}I", raw, offset=4)
    promised, found = math.prod(shape), len(raw) - start
    if found != promised:
        raise DataError(
            f"{path}: its header promises {'x'.join(map(str, shape))} = {promised} bytes, "
            f"found {found}; the file is damaged, fetch it again."
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape), md5(raw)


def pack(array: np.ndarray) -> bytes:
    """Return `array` (uint8, any shape) as the bytes of a plain IDX file."""
    header = bytes([0, 0, UNSIGNED_BYTE, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + np.ascontiguousarray(array, np.uint8).tobytes()


def md5(raw: bytes) -> str:
    """Return the md5 of `raw` in hexadecimal: the checksum MNIST's files are known by."""
    return hashlib.md5(raw, usedforsecurity=False).hexdigest()


def _unpacked(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be read ({reason}); fetch it again.") from error
    if len(raw) > MAX_BYTES:
        raise DataError(f"{path}: expected at most {MAX_BYTES} bytes unpacked, found more.")
    return raw

"""The store of corrections: each a PNG of the ink as it was drawn, with its facts as text in it."""

from __future__ import annotations

import io
import os
import secrets
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from experiments.errors import DataError, UserError
from experiments.paths import CORRECTIONS

NONE = "none"  # said, or true, of what is no digit
ANSWERS = (*"0123456789", NONE)
LONGEST_SIDE = 1000  # pixels
LONGEST_TEXT = 200  # characters of a fact; the rest is cut off
MOST, MOST_BYTES = 10_000, 1_000_000_000  # files in the folder, and bytes of all of them
LARGEST = 2_000_000  # bytes of one file; one of pure noise has half of that
ROUNDING = 1e-5  # by which a share in float32 may be more than 1
WAIT = 10  # seconds for another process to write its correction
LOCK, HALF = ".lock", ".partial"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY = bytes([8, 0])  # bits and colour type, as a PNG's header has them
HEAD = struct.Struct(">II2s")  # width, height, bits and colour type; from byte 16 on


@dataclass(frozen=True)
class Correction:
    """What was drawn, what a model said, and what a person says it is.

    Attributes:
        ink: uint8 [H, W], white on black, as it was drawn.
        time: UTC, as ISO 8601 writes it.
        said, true: of ANSWERS.
        probability: of the likeliest digit, 0 to 1.
        score: of its being a digit at all, as the model gave it; None if it gave none.
        model: which one it was, for people.
        graph: SHA-256 of the graph, in hexadecimal; empty if there was none.
        path: of the file.
    """

    ink: np.ndarray
    time: str
    said: str
    true: str
    probability: float
    score: float | None
    model: str
    graph: str
    path: Path


def keep(
    ink: np.ndarray,
    *,
    said: str,
    true: str,
    probability: float,
    score: float | None,
    model: str,
    graph: str,
    folder: Path = CORRECTIONS,
) -> Path:
    """Write a correction, whole or not at all, and return its file; see `Correction`.

    Raises:
        UserError: there is no ink, or too much; an answer is none of ANSWERS; the folder is full,
            or cannot be written.
    """
    _check(ink, said, true, probability)
    now = datetime.now(UTC)
    facts = {
        "time": now.isoformat(timespec="microseconds"),
        "said": said,
        "true": true,
        "probability": repr(min(float(probability), 1.0)),
        "score": "" if score is None else repr(float(score)),
        "model": _line(model),
        "graph": _line(graph),
    }
    path = folder / f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}.png"
    raw = _packed(ink, facts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=WAIT):
            _make_room(folder, len(raw))
            beside = path.with_name(f".{path.name}{HALF}")
            beside.write_bytes(raw)
            beside.replace(path)  # so that no half file is ever seen
    except (OSError, Timeout) as error:
        reason = getattr(error, "strerror", None) or "another program holds its lock"
        raise UserError(f"The correction cannot be kept in {folder}: {reason}.") from error
    return path


def all(folder: Path = CORRECTIONS, damaged: list[str] | None = None) -> Iterator[Correction]:
    """Yield the corrections in `folder`, the oldest first; none if there is no such folder.

    Args:
        damaged: takes a sentence for each file that is none; it is passed over.
    """
    names = [entry.name for entry in _entries(folder)] if folder.is_dir() else []
    for name in sorted(name for name in names if not name.startswith(".")):
        try:
            yield read(folder / name)
        except DataError as error:
            if damaged is not None:
                damaged.append(str(error))


def read(path: Path) -> Correction:
    """Return the correction in a file.

    Raises:
        DataError: it is none that `keep` has written, or damaged.
    """
    try:
        ink, facts = _unpacked(_bytes(path))
        return _correction(ink, facts, path)
    except (OSError, SyntaxError, ValueError, KeyError, struct.error, zlib.error) as error:
        raise DataError(
            f"{path.name!r} in {path.parent}: expected a correction that the page has kept, found "
            f"another or a damaged file ({_line(str(error)) or type(error).__name__}); remove it."
        ) from error


def _check(ink: np.ndarray, said: str, true: str, probability: float) -> None:
    """Raise UserError unless these can be kept."""
    if ink.dtype != np.uint8 or ink.ndim != 2 or max(ink.shape) > LONGEST_SIDE:
        raise UserError(
            f"A correction takes ink of uint8 [H, W], at most {LONGEST_SIDE} a side; found "
            f"{ink.dtype} {list(ink.shape)}."
        )
    if not ink.any():
        raise UserError("Nothing is drawn, so there is nothing to correct; draw something first.")
    for answer in (said, true):
        if answer not in ANSWERS:
            raise UserError(f"A correction is one of {', '.join(ANSWERS)}; found {answer!r}.")
    if not 0 <= probability <= 1 + ROUNDING:
        raise UserError(f"A probability is a number from 0 to 1; found {probability}.")


def _line(text: str) -> str:
    """Return `text` as one short line that a terminal and a page can show."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(shown.split())[:LONGEST_TEXT]


def _packed(ink: np.ndarray, facts: Mapping[str, str]) -> bytes:
    info = PngInfo()
    for name, text in facts.items():
        info.add_itxt(name, text)
    file = io.BytesIO()
    Image.fromarray(ink).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def _make_room(folder: Path, more: int) -> None:
    """Remove what a killed process left half written; raise UserError if the folder is full."""
    count = size = 0
    for entry in _entries(folder):
        if not entry.name.startswith("."):
            count, size = count + 1, size + entry.stat(follow_symlinks=False).st_size
        elif entry.name.endswith(HALF):
            Path(entry.path).unlink()
    if count >= MOST or size + more > MOST_BYTES:
        raise UserError(
            f"{folder} is full: it holds {count:,} files of {size / 1e6:,.0f} MB, at most {MOST:,} "
            f"of {MOST_BYTES / 1e6:,.0f} MB are kept; move some elsewhere."
        )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return list(entries)


def _bytes(path: Path) -> bytes:
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):  # a pipe would never end
        raise ValueError("no plain file")
    if about.st_size > LARGEST:
        raise ValueError(f"more than {LARGEST:,} bytes")
    return path.read_bytes()


def _unpacked(raw: bytes) -> tuple[np.ndarray, Mapping[str, str]]:
    """Return the ink and the facts in a PNG, every checksum of which is looked at."""
    if not raw.startswith(SIGNATURE):
        raise ValueError("no PNG")
    width, height, kind = HEAD.unpack_from(raw, 16)  # before anything large is made of it
    if max(width, height) > LONGEST_SIDE or kind != GREY:
        raise ValueError(f"{width} x {height}, or not grey")
    _check_sums(raw)
    with Image.open(io.BytesIO(raw), formats=["PNG"]) as picture:
        ink = np.array(picture)
        return ink, {str(name): str(text) for name, text in picture.info.items()}


def _check_sums(raw: bytes) -> None:
    """Raise ValueError unless a PNG's chunks are whole, to the last byte; Pillow skips some."""
    start = len(SIGNATURE)
    while start < len(raw):
        (length,) = struct.unpack_from(">I", raw, start)
        end = start + 8 + length  # of a chunk's length, name and content
        if struct.unpack_from(">I", raw, end) != (zlib.crc32(raw[start + 4 : end]),):
            raise ValueError("a checksum is wrong")
        start = end + 4
    if raw[-8:-4] != b"IEND":
        raise ValueError("the end is missing")


def _correction(ink: np.ndarray, facts: Mapping[str, str], path: Path) -> Correction:
    """Return the correction of these parts; KeyError or ValueError if one of them is amiss."""
    datetime.fromisoformat(facts["time"])
    probability = float(facts["probability"])
    if not {facts["said"], facts["true"]} <= {*ANSWERS} or not 0 <= probability <= 1:
        raise ValueError("facts that none has")
    return Correction(
        ink=ink,
        time=_line(facts["time"]),
        said=facts["said"],
        true=facts["true"],
        probability=probability,
        score=float(facts["score"]) if facts["score"] else None,
        model=_line(facts["model"]),
        graph=_line(facts["graph"]),
        path=path,
    )

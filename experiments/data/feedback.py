"""The store of corrections: one PNG each, of the ink as it was drawn, with facts as its text."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from filelock import FileLock
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from experiments.core.errors import DataError, UserError
from experiments.core.paths import CORRECTIONS

NONE = "none"  # the label of what is no digit
ANSWERS = (*"0123456789", NONE)
MAX_SIDE_PX = 1000
MAX_TEXT_CHARS = 200  # of a fact; the rest is cut off
MAX_CORRECTIONS, MAX_TOTAL_BYTES = 10_000, 1_000_000_000  # in the folder
MAX_FILE_BYTES = 2_000_000  # twice a PNG of pure noise
LOCK_TIMEOUT_S = 10
LOCK, PARTIAL = ".lock", ".partial"


@dataclass(frozen=True)
class Correction:
    """A drawing, a model's prediction, and its correct label.

    Attributes:
        ink: uint8 [H, W], white on black, as it was drawn.
        time: UTC, ISO 8601.
        predicted, label: of ANSWERS.
        probability: of the most likely digit, 0 to 1.
        score: of being a digit at all; None of a model without one.
        model: its title.
        graph: SHA-256 of its graph, in hexadecimal; empty if there is none.
        path: of the file.
    """

    ink: np.ndarray
    time: str
    predicted: str
    label: str
    probability: float
    score: float | None
    model: str
    graph: str
    path: Path


def save(
    ink: np.ndarray,
    *,
    predicted: str,
    label: str,
    probability: float,
    score: float | None,
    model: str,
    graph: str,
    folder: Path = CORRECTIONS,
    max_files: int = MAX_CORRECTIONS,
    max_bytes: int = MAX_TOTAL_BYTES,
) -> Path:
    """Write a correction, completely or not at all, and return its file; see `Correction`.

    The folder takes at most `max_files` files of `max_bytes` bytes in all.

    Raises:
        UserError: there is no ink, or too much; an answer is none of ANSWERS; the folder is full
            or cannot be written.
    """
    if not ink.any() or max(ink.shape) > MAX_SIDE_PX:
        expected = f"a drawing of at most {MAX_SIDE_PX} pixels a side"
        found = f"{list(ink.shape)}, ink in {np.count_nonzero(ink)} pixels"
        raise UserError("ink-invalid", "ink", expected, found, "Draw something smaller.")
    for answer in (predicted, label):
        if answer not in ANSWERS:
            expected = f"one of {', '.join(ANSWERS)}"
            raise UserError("answer-unknown", "correction", expected, repr(answer), "Choose one.")

    now = datetime.now(UTC)
    info = PngInfo()
    info.add_itxt("time", now.isoformat(timespec="microseconds"))
    info.add_itxt("said", predicted)
    info.add_itxt("true", label)
    info.add_itxt("probability", repr(min(float(probability), 1.0)))  # float32 may round up
    info.add_itxt("score", "" if score is None else repr(float(score)))
    info.add_itxt("model", _line(model))
    info.add_itxt("graph", _line(graph))
    file = io.BytesIO()
    Image.fromarray(ink).save(file, "PNG", pnginfo=info)

    path = folder / f"{now:%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}.png"
    temporary = path.with_name(f".{path.name}{PARTIAL}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / LOCK, timeout=LOCK_TIMEOUT_S):
            _make_room(folder, len(file.getvalue()), max_files, max_bytes)
            temporary.write_bytes(file.getvalue())
            temporary.replace(path)
    except OSError as error:  # a timeout of the lock is one
        raise UserError(
            "folder-unwritable",
            folder,
            expected="a folder that takes corrections",
            found=error.strerror or error,
            fix="Make it writable, or make room on the disk.",
        ) from error
    return path


def load_all(folder: Path = CORRECTIONS, damaged: list[str] | None = None) -> Iterator[Correction]:
    """Yield the corrections in `folder`, the oldest first.

    Args:
        damaged: gets a sentence for each file that cannot be read, which is left out.
    """
    for path in sorted(folder.glob("*.png")):
        try:
            yield read(path)
        except DataError as error:
            if damaged is not None:
                damaged.append(str(error))


def read(path: Path) -> Correction:
    """Return the correction in a file.

    Raises:
        DataError: `save` has not written it, or it is damaged.
    """
    try:
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:  # a pipe would never end
            raise ValueError(f"no plain file of at most {MAX_FILE_BYTES:,} bytes")
        with Image.open(path, formats=["PNG"]) as image:
            if max(image.size) > MAX_SIDE_PX or image.mode != "L":  # before it is decoded
                raise ValueError(f"{image.width} x {image.height}, mode {image.mode}")
            image.verify()  # the checksums
        with Image.open(path) as image:  # verify() has closed the first
            ink, facts = np.array(image), image.info
        datetime.fromisoformat(facts["time"])
        if facts["said"] not in ANSWERS or facts["true"] not in ANSWERS:
            raise ValueError("unknown answers")
        return Correction(
            ink=ink,
            time=_line(facts["time"]),
            predicted=facts["said"],
            label=facts["true"],
            probability=float(facts["probability"]),
            score=float(facts["score"]) if facts["score"] else None,
            model=_line(facts["model"]),
            graph=_line(facts["graph"]),
            path=path,
        )
    except (OSError, SyntaxError, ValueError, KeyError, Image.DecompressionBombError) as error:
        raise DataError(
            "correction-damaged",
            f"{path.name!r} in {path.parent}",
            expected="a correction written by the page",
            found=f"another or a damaged file ({_line(str(error)) or type(error).__name__})",
            fix="Remove it.",
        ) from error


def _line(text: str) -> str:
    """Return `text` as one short line that a terminal and a page can show."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())[:MAX_TEXT_CHARS]


def _make_room(folder: Path, size: int, max_files: int, max_bytes: int) -> None:
    """Remove the partial files of killed processes; raise UserError if the folder is full."""
    for path in folder.glob(f".*{PARTIAL}"):
        path.unlink()
    sizes = [path.lstat().st_size for path in folder.glob("*.png")]
    if len(sizes) >= max_files or sum(sizes) + size > max_bytes:
        raise UserError(
            "folder-full",
            folder,
            expected=f"at most {max_files:,} files of {max_bytes / 1e6:,.0f} MB",
            found=f"{len(sizes):,} of {sum(sizes) / 1e6:,.0f} MB",
            fix="Move some elsewhere.",
        )

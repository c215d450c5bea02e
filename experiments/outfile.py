"""Files that a command writes where its user says: whole or not at all."""

import os
from pathlib import Path

from experiments.errors import UserError


def check(path: Path) -> None:
    """Raise UserError if no file can be called `path`, before any work is done for it."""
    if not path.name or path.is_dir():
        raise UserError(f"out: expected the name of a file, found the folder {str(path)!r}.")
    if not path.parent.is_dir():
        raise UserError(f"out: expected a file in a folder that exists; {path.parent} is none.")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"out: expected a folder that can be written; {path.parent} cannot.")


def write(raw: bytes, path: Path) -> None:
    """Write `raw` beside `path` and rename it, so that no half file is ever seen."""
    beside = path.with_name(f".{path.name}.partial")
    try:
        beside.write_bytes(raw)
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UserError(f"out: {path} cannot be written ({error.strerror}).") from error

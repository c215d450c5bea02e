"""Folders that a command writes where its user says: whole, and over none but its own."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from experiments.errors import UserError

SUMS = "SHA256SUMS"  # lists all the other files of such a folder


def check(folder: Path, option: str, expected: str, *, ours: bool) -> None:
    """Raise UserError if no folder can be written as `folder`, before any work is done for it.

    Args:
        option: what the user calls it.
        expected: what may stand there already, in words.
        ours: whether that stands there.
    """
    if not folder.name or not folder.parent.is_dir():
        raise UserError(
            f"{option}: expected a folder in a folder that exists; {folder.parent} is none."
        )
    if not os.access(folder.parent, os.W_OK):
        raise UserError(f"{option}: expected a folder that can be written; {folder.parent} cannot.")
    if folder.is_symlink() or (folder.exists() and not ours):
        raise UserError(f"{option}: expected a new folder or {expected}. Give another name.")


def listed(folder: Path) -> set[str]:
    """Return the paths that the folder's SHA256SUMS lists, and itself; empty if it has none."""
    if not (folder / SUMS).is_file():
        return set()
    lines = (folder / SUMS).read_text("utf-8", errors="replace").splitlines()
    return {line.partition("  ")[2] for line in lines} | {SUMS}


def write(folder: Path, option: str, files: Mapping[str, bytes]) -> None:
    """Write path -> content beside `folder` and rename; what has had the name goes after that.

    Raises:
        UserError: it cannot be written.
    """
    beside = folder.with_name(f".{folder.name}.partial")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        for path, content in files.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            (beside / path).write_bytes(content)
        _swap(beside, folder)
    except OSError as error:
        raise UserError(f"{option}: {folder} cannot be written ({error.strerror}).") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _swap(made: Path, folder: Path) -> None:
    """Give `made` the name `folder`; what has had it goes, but only after that."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        made.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)

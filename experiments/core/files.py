"""Files: SHA-256 hashes, and writes that are complete or do not happen."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from experiments.core.errors import UserError

SUMS = "SHA256SUMS"  # lists all other files of a folder that `write_folder` wrote
HOW_TO_WRITE = "Make it writable, make room on the disk, or give another name."
KINDS = {
    "missing": "{path} is missing",
    "new": "{path} is new",
    "changed": "{path} was changed",
    "unhashed": "registered without hashes, by another program or an earlier release",
    "unreadable": "{why}",
}


@dataclass(frozen=True)
class FileChange:
    """One difference between files and their recorded hashes.

    Attributes:
        kind: one of KINDS.
        path: of the file, if the difference is about one file.
        why: the reason why files are unreadable.
    """

    kind: str
    path: str = ""
    why: str = ""

    def __str__(self) -> str:
        return KINDS[self.kind].format(path=self.path, why=self.why)


def sha256_bytes(raw: bytes) -> str:
    """Return the SHA-256 of `raw`, in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_folder(folder: Path) -> dict[str, str]:
    """Return path below `folder` -> SHA-256 of all files in it, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in paths}


def compare(expected: Mapping[str, str], actual: Mapping[str, str]) -> Iterator[FileChange]:
    """Yield the differences between two mappings of path -> SHA-256."""
    for path in sorted(expected.keys() | actual.keys()):
        if path not in actual:
            yield FileChange("missing", path)
        elif path not in expected:
            yield FileChange("new", path)
        elif expected[path] != actual[path]:
            yield FileChange("changed", path)


def check_file(path: Path) -> None:
    """Raise UserError if `path` cannot become a file, before any work is done for it."""
    if not path.name or path.is_dir():
        found = f"the folder {str(path)!r}"
        raise UserError("file-is-folder", "out", "the name of a file", found, "Add a file name.")
    _check_parent("out", path, "a file in an existing folder")


def write(raw: bytes, path: Path) -> None:
    """Write a temporary file next to `path` and rename it: no partial file is ever visible.

    Raises:
        UserError: file-unwritable.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_bytes(raw)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        found = f"{path}: {error.strerror}"
        raise UserError("file-unwritable", "out", "a writable file", found, HOW_TO_WRITE) from error


def check_folder(folder: Path, option: str, expected: str, *, ours: bool) -> None:
    """Raise UserError if `folder` cannot be written, before any work is done for it.

    Args:
        option: the name of the user's option.
        expected: what may exist there already, in words: "an older bundle".
        ours: whether that exists.
    """
    what = f"{option} {folder}"
    _check_parent(what, folder, "a name in an existing folder")
    if folder.is_symlink() or (folder.exists() and not ours):
        expected = f"a new folder or {expected}"
        raise UserError("folder-occupied", what, expected, _kind(folder), "Give another name.")


def listed(folder: Path) -> set[str]:
    """Return the paths in the folder's SHA256SUMS, and SHA256SUMS; empty without that file."""
    if not (folder / SUMS).is_file():
        return set()
    lines = (folder / SUMS).read_text("utf-8", errors="replace").splitlines()
    return {line.partition("  ")[2] for line in lines} | {SUMS}


def write_folder(folder: Path, option: str, files: Mapping[str, bytes]) -> None:
    """Write path -> content and SHA256SUMS to a temporary folder, then replace `folder` by it.

    Raises:
        UserError: folder-unwritable.
    """
    temporary = folder.with_name(f".{folder.name}.partial")
    sums = "".join(f"{sha256_bytes(files[path])}  {path}\n" for path in sorted(files))
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        for path, content in {**files, SUMS: sums.encode()}.items():
            (temporary / path).parent.mkdir(parents=True, exist_ok=True)
            (temporary / path).write_bytes(content)
        _replace(temporary, folder)
    except OSError as error:
        what, found = f"{option} {folder}", error.strerror or str(error)
        raise UserError(
            "folder-unwritable", what, "a writable folder", found, HOW_TO_WRITE
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_parent(what: str, path: Path, expected: str) -> None:
    if not path.name or not path.parent.is_dir():
        found, fix = f"{path.parent}, which is no folder", "Create it or give another name."
        raise UserError("folder-missing", what, expected, found, fix)
    if not os.access(path.parent, os.W_OK):
        found = f"{path.parent}, which is read-only for this user"
        fix = "Make it writable or give another name."
        raise UserError("folder-unwritable", what, "a writable folder", found, fix)


def _kind(path: Path) -> str:
    if path.is_symlink():
        return "a symbolic link"
    if path.is_dir():
        return "a folder with other files"
    return "a file"


def _replace(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; an existing folder is deleted only after that."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        if old.exists():
            old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)

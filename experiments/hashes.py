"""The files of a folder by their SHA-256, and what has become of them."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path


def of_bytes(raw: bytes) -> str:
    """Return the SHA-256 of `raw`, in hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def of_folder(folder: Path) -> dict[str, str]:
    """Return path below `folder` -> SHA-256 of all files in it, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): of_file(path) for path in files}


def changes(known: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    """Yield a few words for each file of `found` that is not as it was `known`."""
    for path in sorted(known.keys() | found.keys()):
        if path not in found:
            yield f"{path} is missing"
        elif path not in known:
            yield f"{path} is new"
        elif known[path] != found[path]:
            yield f"{path} was changed"

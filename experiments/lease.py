"""Places of unfinished work, and who is at it: the operating system's lock on a file tells.

A place is a folder state/runs/KEY-RANDOM. Its file `lock` is held by the process that is at it, and
each process that ever was holds a file `lease-RANDOM` of its own there; the system lets go of both
when the process ends, however it dies. So a lease that is free means a dead process, without a
guess at process numbers or clocks.
"""

import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from experiments.errors import UserError
from experiments.paths import ALBUM, STATE

PLACES = STATE / "runs"
LOCK, LEASE, RUN = "lock", "lease-", "run.json"


@dataclass(frozen=True)
class Place:
    """A folder for the unfinished work of one process.

    Attributes:
        folder: where checkpoints and the search's journal go.
        run_id: of the MLflow run that a dead process had begun here; empty for a new place.
        token: of this process's lease.
    """

    folder: Path
    run_id: str
    token: str

    @property
    def lease(self) -> dict[str, str]:
        """What a run says of the process that is at it."""
        file = str(self.folder / f"{LEASE}{self.token}")
        return {"lease.host": host(), "lease.pid": str(os.getpid()), "lease.file": file}

    def belongs_to(self, run_id: str) -> None:
        """Note the run whose work this is, for whoever goes on with it."""
        partial = self.folder / f"{RUN}.partial"
        partial.write_text(json.dumps({"run_id": run_id}))
        partial.replace(self.folder / RUN)


def host() -> str:
    """Return this machine's name."""
    return socket.gethostname()


def is_held(file: Path) -> bool:
    """Return whether a living process of this machine holds the lock `file`."""
    if not file.exists():
        return False
    try:
        with FileLock(file, blocking=False):
            return False
    except Timeout:
        return True


@contextmanager
def place(key: str, *, afresh: bool = False) -> Iterator[Place]:
    """Open the place that a dead process with the same key has left, else a new one.

    It is deleted at the end, unless something failed or was interrupted after work was saved.

    Args:
        key: of everything that makes two commands the same.
        afresh: delete what dead processes have left, and begin anew.

    Raises:
        UserError: the project's folder cannot be written to.
    """
    try:
        PLACES.mkdir(parents=True, exist_ok=True)
        with _alone():
            lock, folder = _claim(key, afresh)
            mine = Place(folder, _run_id(folder), secrets.token_hex(4))
            held = FileLock(mine.lease["lease.file"])
            held.acquire()
    except OSError as error:
        raise UserError(
            f"{STATE}: expected a folder that can be written to, found: {error.strerror}."
        ) from None
    try:
        yield mine
    except BaseException:
        _end(folder, held, lock, keep=not _is_bare(folder))
        raise
    _end(folder, held, lock, keep=False)


def _is_bare(folder: Path) -> bool:
    """Return whether no work was saved in a place."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != ALBUM)
    return all(path.name.startswith((LOCK, LEASE, RUN)) for path in files)


def _end(folder: Path, *locks: FileLock, keep: bool) -> None:
    with _alone():
        if not keep:
            shutil.rmtree(folder)
        for lock in locks:
            lock.release()


def _alone() -> FileLock:
    """Let nobody else look at, take or delete a place while open."""
    return FileLock(PLACES.with_suffix(".lock"))


def _claim(key: str, afresh: bool) -> tuple[FileLock, Path]:
    """Return a dead process's folder, or a new one, and its lock."""
    for folder in sorted(PLACES.glob(f"{key}-*")):
        lock = FileLock(folder / LOCK)
        with suppress(Timeout):
            lock.acquire(blocking=False)
            if not afresh:
                return lock, folder
            shutil.rmtree(folder)
            lock.release()
    folder = PLACES / f"{key}-{secrets.token_hex(4)}"
    folder.mkdir()
    lock = FileLock(folder / LOCK)
    lock.acquire()
    return lock, folder


def _run_id(folder: Path) -> str:
    with suppress(OSError, ValueError, KeyError):
        return str(json.loads((folder / RUN).read_text())["run_id"])
    return ""

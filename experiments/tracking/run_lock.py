"""Folders of unfinished work; the operating system's lock on a file shows which process is alive.

A run's folder is state/runs/KEY-RANDOM. Its process holds the file `lock` there, and a file
`lease-RANDOM` of its own. The system releases both when the process ends, in whatever way: a lease
that nobody holds is that of a dead process.
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

from experiments.core import files
from experiments.core.errors import UserError
from experiments.core.paths import SNAPSHOTS, STATE, THREADS

RUN_DIRS = STATE / "runs"
LOCK, LEASE, RUN = "lock", "lease-", "run.json"


@dataclass(frozen=True)
class RunDir:
    """A folder for the unfinished work of one process.

    Attributes:
        folder: of checkpoints and the search's journal.
        run_id: of the MLflow run that a dead process began here; empty in a new folder.
        token: of this process's lease.
    """

    folder: Path
    run_id: str
    token: str

    @property
    def lease(self) -> dict[str, str]:
        """Tags that name the process of a run."""
        file = str(self.folder / f"{LEASE}{self.token}")
        return {"lease.host": host(), "lease.pid": str(os.getpid()), "lease.file": file}

    def belongs_to(self, run_id: str) -> None:
        """Store the run of this work, for the process that resumes it."""
        files.write(json.dumps({"run_id": run_id}).encode(), self.folder / RUN)


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
def acquire_run_dir(
    key: str, *, restart: bool = False, root: Path | None = None
) -> Iterator[RunDir]:
    """Open the folder that a dead process with the same key has left, else a new one.

    It is deleted at the end, unless something failed or was interrupted after work was saved.

    Args:
        key: of everything that makes two commands the same.
        restart: delete what dead processes have left, and start over.
        root: the parent of all such folders; the project's own if None.

    Raises:
        UserError: folder-unwritable.
    """
    root = root or RUN_DIRS
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _root_lock(root):
            lock, folder = _claim(root, key, restart)
            run_dir = RunDir(folder, _run_id(folder), secrets.token_hex(4))
            lease = FileLock(run_dir.lease["lease.file"])
            lease.acquire()
    except OSError as error:
        raise UserError(
            "folder-unwritable",
            root.parent,
            expected="a folder that can be written to",
            found=error.strerror,
            fix="Make it writable for this user, or free its disk, then run the same command.",
        ) from None
    unfinished = True
    try:
        yield run_dir
        unfinished = False
    finally:
        with _root_lock(root):
            if not unfinished or _is_bare(folder):
                shutil.rmtree(folder)
            lease.release()
            lock.release()


def _is_bare(folder: Path) -> bool:
    """Return whether no work was saved in a folder."""
    saved = (path for path in folder.rglob("*") if path.is_file() and path.parent.name != SNAPSHOTS)
    return all(path.name.startswith((LOCK, LEASE, RUN, THREADS)) for path in saved)


def _root_lock(root: Path) -> FileLock:
    """Return the lock under which folders are claimed and deleted."""
    return FileLock(root.with_suffix(".lock"))


def _claim(root: Path, key: str, restart: bool) -> tuple[FileLock, Path]:
    """Return a dead process's folder, or a new one, and its lock."""
    for folder in sorted(root.glob(f"{key}-*")):
        lock = FileLock(folder / LOCK)
        with suppress(Timeout):
            lock.acquire(blocking=False)
            if not restart:
                return lock, folder
            shutil.rmtree(folder)
            lock.release()
    folder = root / f"{key}-{secrets.token_hex(4)}"
    folder.mkdir()
    lock = FileLock(folder / LOCK)
    lock.acquire()
    return lock, folder


def _run_id(folder: Path) -> str:
    """Return the id that `belongs_to` has stored; files.write leaves no partial file."""
    path = folder / RUN
    return json.loads(path.read_text())["run_id"] if path.is_file() else ""

"""Where studies are stored: a journal file of one machine, or a PostgreSQL database."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from experiments.core import locks
from experiments.core.errors import UserError, without_password

if TYPE_CHECKING:
    import optuna

HEARTBEAT_S, GRACE_S = 10, 30  # between heartbeats to a database; until a process counts as dead
TABLES = "tables"  # name of the lock for creating a database's tables


def journal(folder: Path, name: str) -> optuna.storages.BaseStorage:
    """Return the journal file of a study in `folder`."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / f"{name}.journal"

    class Lock:
        """A lock, free once its process is dead, that removes a dead process's partial line."""

        def __init__(self) -> None:
            self.lock = FileLock(path.with_suffix(".journal.lock"))

        def acquire(self) -> bool:
            self.lock.acquire()
            raw = path.read_bytes() if path.exists() else b""
            end = raw.rfind(b"\n") + 1
            if end < len(raw):
                os.truncate(path, end)
            return True

        def release(self) -> None:
            self.lock.release()

    return JournalStorage(JournalFileBackend(str(path), lock_obj=Lock()))


def database(storage: str) -> optuna.storages.BaseStorage:
    """Return a PostgreSQL database with its tables; running trials send it heartbeats."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.storages import RDBStorage

    with warnings.catch_warnings(), locks.of_database(storage, TABLES)():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of heartbeats
        return RDBStorage(
            storage,
            engine_kwargs={"pool_pre_ping": True},
            heartbeat_interval=HEARTBEAT_S,
            grace_period=GRACE_S,
        )


@contextmanager
def wrap_errors(storage: str | None, what: str = "study") -> Iterator[None]:
    """Raise a database's error, or that of a damaged journal, as a UserError without a password."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except json.JSONDecodeError as error:
        expected, fix = "a journal of Optuna", "Delete it, or choose a new name: study=NEWNAME."
        raise UserError(
            "study-damaged", what, expected, f"a line {error.doc[:40]!r}", fix
        ) from None
    except (SQLAlchemyError, StorageInternalError) as error:
        if storage is None:
            raise
        first = error.__cause__ or error
        cause = str(getattr(first, "orig", None) or first).strip().splitlines()[0]
        raise UserError(
            "storage-unreachable",
            f"storage {without_password(storage)}",
            expected="a PostgreSQL database that can be read and written",
            found=without_password(cause),
            fix="Repair it, then rerun the same command to resume.",
        ) from None

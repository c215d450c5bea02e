"""Locks among processes: whoever dies lets go of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from experiments.paths import STATE

Lock = Callable[[], AbstractContextManager[Any]]  # opens it


def of_file(path: Path) -> Lock:
    """Return the lock on the file PATH.lock; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return lambda: FileLock(f"{path}.lock")


def of_database(address: str, name: str) -> Lock:
    """Return PostgreSQL's lock of that name: one for all machines that share the database."""

    from sqlalchemy import NullPool, create_engine, text

    engine = create_engine(address, poolclass=NullPool)
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)

    @contextmanager
    def lock() -> Iterator[None]:
        with engine.connect() as connection:  # closed with its process, and the lock with it
            connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": number})
            yield

    return lock


def of_store(address: str, name: str) -> Lock:
    """Return the lock `name` of MLflow's store at `address`.

    One for all processes that share a file or a PostgreSQL database; behind a server, one for
    those of this checkout.
    """
    if address.startswith("postgresql"):
        return of_database(address, name)
    if address.startswith("sqlite:///"):
        return of_file(Path(f"{address.removeprefix('sqlite:///')}-{name}"))
    return of_file(STATE / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{name}")

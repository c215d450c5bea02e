"""Locks between processes; a lock is released when its process ends, however it ends."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from filelock import FileLock

from experiments.core import store_address
from experiments.core.paths import STATE

Lock = Callable[[], AbstractContextManager[object]]  # a context that holds the lock


def of_file(path: Path) -> Lock:
    """Return the lock on the file PATH.lock, whose folder is created."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return lambda: FileLock(f"{path}.lock")


def of_database(address: str, name: str) -> Lock:
    """Return the PostgreSQL lock `name`, for all machines that share the database."""
    from sqlalchemy import NullPool, create_engine, text

    engine = create_engine(address, poolclass=NullPool)
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)

    @contextmanager
    def lock() -> Iterator[None]:
        with engine.connect() as connection:  # the server releases the lock when it closes
            connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": number})
            yield

    return lock


def of_store(address: str, name: str) -> Lock:
    """Return the lock `name` of the MLflow store at `address`.

    It holds for all processes that share the file or the PostgreSQL database; for a server, for
    those of this checkout.
    """
    if address.startswith("postgresql"):
        return of_database(address, name)
    if file := store_address.store_file(address):
        return of_file(file.with_name(f"{file.name}-{name}"))
    return of_file(STATE / f"{hashlib.sha256(address.encode()).hexdigest()[:16]}-{name}")

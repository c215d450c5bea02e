"""MLflow's store: its address, the project's own one, and where that keeps its files.

python -m experiments.tracking.store     corrects the places of a checkout that was moved or copied

MLflow records the absolute path of every file's folder. mlflow is imported inside functions: it
takes two seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from filelock import FileLock

from experiments.core import paths, store_address
from experiments.core.errors import UserError, without_password
from experiments.core.paths import STATE, STORE

if TYPE_CHECKING:
    from mlflow import MlflowClient

MAX_PATH_BYTES = 480  # of the store's file; SQLite allows 512, with what it appends
SPECIAL = "[%?#]"  # MLflow decodes a plain path, and splits it at '#' and '?'
BY_SERVER = "mlflow-artifacts:/"  # a place that only MLflow's server knows
COLUMNS = {  # that hold places, by table
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
EXPERIMENTS = "SELECT experiment_id, artifact_location FROM experiments"
MOVE = "UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?"


def connect() -> MlflowClient:
    """Set MLflow's tracking URI and switches; return its client.

    Raises:
        UserError: storage-unreachable, the store is a file that cannot be opened, or the project's
            own and cannot be made or corrected.
    """
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    uri = paths.tracking_uri()
    store_address.watch(uri)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)  # its errors become UserErrors
    if file := store_address.store_file(uri):
        _check(file)
        if file == STORE:
            prepare_own()
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient()


def address() -> str:
    """Return the tracking URI without any password."""
    return without_password(paths.tracking_uri())


def prepare_own() -> None:
    """Make the project's own store unless it exists, and correct its places."""
    try:
        if not STORE.exists() or not STORE.stat().st_size:
            _make()
        correct_places(STORE)
    except (OSError, sqlite3.Error) as error:
        raise unreachable(STORE, str(error)) from error


def unreachable(what: object, found: str) -> UserError:
    """Return the error of a store that cannot be used."""
    fix = f"Correct it or {store_address.VARIABLE}, then rerun the same command."
    if deleted := re.search(r"experiment (\d+) must be in the 'active' state", found):
        fix = f"Restore it with: {store_address.RESTORE.format(deleted[1])}"
    expected = "a store that MLflow can read and write"
    return UserError("storage-unreachable", f"MLflow's store at {what}", expected, found, fix)


def _check(file: Path) -> None:
    """Raise UserError if SQLite cannot open `file`: MLflow would try it again for minutes."""
    if len(os.fsencode(file)) > MAX_PATH_BYTES:
        raise unreachable(file, f"a path of more than {MAX_PATH_BYTES} bytes")
    if file.exists() and not os.access(file, os.R_OK):
        raise unreachable(file, "a file that this user cannot read")
    if not file.exists() and not os.access(_existing_parent(file), os.W_OK):
        raise unreachable(file, "no file, and a folder that this user cannot write")


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.parents if parent.exists())


def _make() -> None:
    """Make the project's own store: once, and never half."""
    import mlflow

    partial = STORE.with_suffix(".db.partial")
    STATE.mkdir(exist_ok=True)
    with FileLock(STATE / "store.lock"):
        if STORE.exists() and STORE.stat().st_size:
            return
        partial.unlink(missing_ok=True)
        try:
            with contextlib.chdir("/"):  # the folder's path becomes SQL, and may have quotes
                mlflow.MlflowClient(store_address.store_uri(partial)).get_experiment("0")
            correct_places(partial)
            partial.replace(STORE)
        finally:
            partial.unlink(missing_ok=True)


def correct_places(file: Path) -> list[str]:
    """Let a store that was moved or copied with its folder keep its files in the present folder.

    MLflow records absolute places; by them a copy would write into the original.

    Args:
        file: a SQLite store, in the folder that also has its `mlruns` and `state`.

    Returns:
        The places replaced, the first characters of paths; empty if all were right.
    """
    moves = misplaced(file)
    if moves:
        with closing(sqlite3.connect(file, timeout=60)) as store, store:
            for old, new in moves.items():
                for table, columns in COLUMNS.items():
                    for column in columns:
                        line = MOVE.format(table=table, column=column)
                        store.execute(line, (new, len(old) + 1, len(old), old))
                leases = MOVE.format(table="tags", column="value") + " AND key = 'lease.file'"
                store.execute(leases, (f"{file.parent}/", len(old) + 1, len(old), old))
    return list(moves)


def misplaced(file: Path) -> dict[str, str]:
    """Return the beginnings of wrong places in a store -> the right ones; nothing is written."""
    folder = file.parent
    root = folder.as_uri() if re.search(SPECIAL, str(folder)) else str(folder)
    moves = {}
    for number, place in _experiments(file):
        start = place.removesuffix(f"mlruns/{number}")
        moved = start not in (place, f"{root}/") and start.startswith(("/", "file:/"))
        if place == f"{BY_SERVER}{number}":
            if not (folder / "mlartifacts").exists():  # nothing was sent to the server
                moves[BY_SERVER] = f"{root}/mlruns/"
        elif number == 0 and moved and not _elsewhere(start, folder):
            moves[start] = f"{root}/"
        elif root != str(folder) and place.startswith(f"{folder}/"):
            moves[f"{folder}/"] = f"{root}/"
    return moves


def misplaced_or_deleted() -> tuple[str, str] | None:
    """Return what is wrong in a store that opens, and how to fix it; None if nothing is."""
    if paths.own_store() and (old := " and ".join(misplaced(STORE))):
        return f"its files are recorded below {old}, another checkout's", "make setup"
    if connect().get_experiment("0").lifecycle_stage == "deleted":
        return "the default experiment is deleted", store_address.RESTORE.format(0)
    return None


def schema() -> tuple[str | None, str]:
    """Return the store's schema, None if it has no tables, and the one that MLflow expects here.

    MLflow itself would create the tables. A server's schema is the one expected.
    """
    from mlflow.store.db.utils import _get_latest_schema_revision, _get_schema_version
    from sqlalchemy import create_engine, text
    from sqlalchemy.pool import NullPool

    uri = paths.tracking_uri()
    file = store_address.store_file(uri)
    if not re.match("sqlite|postgresql|mysql|mssql", uri):
        return "", ""
    if file and not file.exists():
        return None, ""
    engine = create_engine(uri, poolclass=NullPool)
    if file:
        with engine.connect() as connection:
            connection.execute(text("BEGIN IMMEDIATE"))  # fails if another process holds the lock
    return _get_schema_version(engine), _get_latest_schema_revision()


def _elsewhere(start: str, folder: Path) -> bool:
    """Return whether a store's files were put below `start` on purpose, next to no other store."""
    old = Path(unquote(start.removeprefix("file://")) if start.startswith("file:") else start)
    ours = (folder / "mlruns").exists() or (old / STORE.name).exists()
    return not ours and (old / "mlruns").exists()


def _experiments(file: Path) -> list[tuple[int, str]]:
    """Return number and place of each experiment; none where MLflow has made no tables yet."""
    with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as store:
        try:
            return store.execute(EXPERIMENTS).fetchall()
        except sqlite3.DatabaseError:  # MLflow says what is wrong
            return []


if __name__ == "__main__":
    if STORE.exists():
        prepare_own()

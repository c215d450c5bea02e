"""Addresses of MLflow's stores, made of paths and read back: only here.

`make setup` copies this file into .venv, whose Python then calls `prepare` at every start: the
command `mlflow` has the same addresses. It imports the standard library only.
"""

import os
import re
import sys
import threading
from collections.abc import MutableMapping
from contextlib import closing
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

VARIABLE = "MLFLOW_TRACKING_URI"
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
ANSWER_TIMEOUT_S = 8.0
RESTORE = "mlflow experiments restore --experiment-id {}"
DELETED = "SELECT 1 FROM experiments WHERE experiment_id = 0 AND lifecycle_stage = 'deleted'"
UNANSWERED = "The MLflow server at {uri} does not answer ({why}); MLflow keeps trying for minutes."


def store_uri(path: Path) -> str:
    """Return the address of the SQLite store in the file `path`.

    SQLAlchemy ends a path at '?' and decodes %HH. MLflow creates the folder that an address which
    starts with sqlite:/// spells, still encoded; it creates none if the driver is named, too.
    """
    if re.search("[%?]", str(path)):
        return f"sqlite+pysqlite:///{quote(str(path))}"
    return f"sqlite:///{path}"


def store_file(uri: str) -> Path | None:
    """Return the file of the SQLite store at `uri`, absolute; None for any other store."""
    match = re.match(r"sqlite(?:\+\w+)?:///([^?]+)", uri)
    return Path(unquote(match[1])).absolute() if match and match[1] != ":memory:" else None


def prepare(env: MutableMapping[str, str] = os.environ) -> None:
    """Give the command `mlflow` the address of its default store, ./mlflow.db, if it needs one.

    MLflow encodes that path, and creates a folder "with%20space" next to "with space".
    """
    words = [word for word in sys.orig_argv[1:] if word != "-m"]
    arguments = [os.path.basename(word) for word in words[:2]]  # noqa: PTH119
    if arguments[:1] != ["mlflow"]:
        return
    folder = os.getcwd()  # noqa: PTH109 - not resolved
    if quote(folder) != folder:
        env.setdefault(VARIABLE, store_uri(Path(folder, "mlflow.db")))
    if arguments[1:] == ["run"]:
        warn_if_dead(env.get(VARIABLE, ""))
        _warn_if_deleted(store_file(env.get(VARIABLE) or "sqlite:///mlflow.db"))


def _warn_if_deleted(file: Path | None) -> None:
    """Print how to restore the default experiment: MLflow's error does not say that."""
    chosen = " ".join([*sys.orig_argv, *os.environ]).lower().replace("_", "-")
    if not file or not file.is_file() or "experiment-" in chosen:
        return
    import sqlite3

    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as store:
            deleted = store.execute(DELETED).fetchone()
    except sqlite3.Error:  # MLflow says what is wrong
        return
    if deleted:
        print(
            f"The default experiment is deleted. Restore it with: {RESTORE.format(0)}",
            file=sys.stderr,
        )


@cache
def warn_if_dead(uri: str) -> None:
    """Print a line if the server at `uri` does not answer: MLflow would be silent for minutes."""
    if not uri.startswith("http") or RETRIES in os.environ:
        return
    why = [f"nothing within {ANSWER_TIMEOUT_S:g} s"]
    probe = threading.Thread(target=lambda: why.__setitem__(0, _why_dead(uri)), daemon=True)
    probe.start()  # a thread, since looking up a name has no time limit
    probe.join(ANSWER_TIMEOUT_S)
    if why[0]:
        shown = re.sub("//.*@", "//***@", uri)
        print(UNANSWERED.format(uri=shown, why=why[0]), file=sys.stderr, flush=True)


def _why_dead(uri: str) -> str:
    """Return why the server at `uri` does not answer; empty if it does."""
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        urlopen(
            f"{re.sub('//.*@', '//', uri).rstrip('/')}/health", timeout=ANSWER_TIMEOUT_S
        ).close()
    except HTTPError as error:  # an answer, unless a proxy gives it for a server that is down
        return f"status {error.code}" if error.code in (502, 503, 504) else ""
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))
    return ""

"""Addresses of MLflow's stores, made of paths and read back: only here.

`make setup` copies this file into .venv, whose Python then calls `prepare` at every start: the
command `mlflow` has the same addresses. It imports the standard library only.
"""

import os
import re
import sys
import threading
import time
from collections.abc import MutableMapping
from contextlib import closing, suppress
from functools import cache
from pathlib import Path
from urllib.parse import quote, unquote

VARIABLE = "MLFLOW_TRACKING_URI"
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
ANSWER_TIMEOUT_S = 8.0
WATCH_S = 2.0  # between two questions to a server
RESTORE = "mlflow experiments restore --experiment-id {}"
DELETED = "SELECT experiment_id FROM experiments WHERE {} = ? AND lifecycle_stage = 'deleted'"
CHOSEN = re.compile(r"(?:^|\0)--(experiment-id|experiment-name)[=\0]([^\0]+)")
COLUMNS = {"experiment-id": "experiment_id", "experiment-name": "name"}
UNANSWERED = "The MLflow server at {uri} does not answer ({why}); MLflow keeps trying for minutes."
ANSWERED = "The MLflow server at {uri} answers."
TRUST = {  # of MLflow's client alone: with one of these, it judges a certificate itself
    "CURL_CA_BUNDLE",
    "MLFLOW_TRACKING_INSECURE_TLS",
    "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "REQUESTS_CA_BUNDLE",
}
_dead: set[str] = set()  # servers that did not answer when last asked


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
    if any("%" in path for path in sys.path):
        _quote_migrations()
    words = [word for word in sys.orig_argv[1:] if word != "-m"]
    arguments = [os.path.basename(word) for word in words[:2]]  # noqa: PTH119
    if arguments[:1] != ["mlflow"]:
        return
    folder = os.getcwd()  # noqa: PTH109 - not resolved
    if quote(folder) != folder:
        env.setdefault(VARIABLE, store_uri(Path(folder, "mlflow.db")))
    if arguments[1:] == ["run"]:
        warn_if_dead(env.get(VARIABLE, ""))
        _warn_if_deleted(store_file(env.get(VARIABLE) or "sqlite:///mlflow.db"), env)


def _quote_migrations() -> None:
    """Let MLflow make its tables from a folder with a %, which Alembic takes for a reference."""
    with suppress(ImportError):
        from alembic.config import Config

        set_option = Config.set_main_option
        if set_option.__name__ == "quoted":  # by the copy of this module in .venv
            return

        def quoted(self: Config, name: str, value: str) -> None:
            is_path = name == "script_location"
            set_option(self, name, value.replace("%", "%%") if is_path else value)

        Config.set_main_option = quoted  # type: ignore[method-assign]


def _warn_if_deleted(file: Path | None, env: MutableMapping[str, str]) -> None:
    """Print how to restore the experiment of this command: MLflow's error does not say that."""
    if not file or not file.is_file():
        return
    variables = {name: env.get(f"MLFLOW_{name.upper().replace('-', '_')}") for name in COLUMNS}
    given = [f"--{name}={value}" for name, value in variables.items() if value]
    chosen = CHOSEN.findall("\0".join([*given, *sys.orig_argv])) or [("experiment-id", "0")]
    option, value = chosen[-1]
    import sqlite3

    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as store:
            deleted = store.execute(DELETED.format(COLUMNS[option]), [value]).fetchone()
    except sqlite3.Error:  # MLflow says what is wrong
        return
    if deleted:
        fix = RESTORE.format(*deleted)
        print(f"Experiment {value} is deleted. Restore it with: {fix}", file=sys.stderr)


@cache
def watch(uri: str) -> None:
    """Print a line whenever the server at `uri` stops answering, as long as this process lives."""

    def repeat() -> None:
        while True:
            time.sleep(WATCH_S)
            warn_if_dead(uri)

    warn_if_dead(uri)
    if uri.startswith("http") and RETRIES not in os.environ:
        threading.Thread(target=repeat, daemon=True).start()


def warn_if_dead(uri: str) -> None:
    """Print a line if the server at `uri` does not answer: MLflow would be silent for minutes.

    If it did not before, a line says when it answers.
    """
    if not uri.startswith("http") or RETRIES in os.environ:
        return
    why = [f"nothing within {ANSWER_TIMEOUT_S:g} s"]
    probe = threading.Thread(target=lambda: why.__setitem__(0, _why_dead(uri)), daemon=True)
    probe.start()  # a thread, since looking up a name has no time limit
    probe.join(ANSWER_TIMEOUT_S)
    was_dead, is_dead = uri in _dead, bool(why[0])
    if is_dead != was_dead:
        (_dead.add if is_dead else _dead.remove)(uri)
        line = UNANSWERED if is_dead else ANSWERED
        shown = re.sub("//.*@", "//***@", uri)
        print(line.format(uri=shown, why=why[0]), file=sys.stderr, flush=True)


def _why_dead(uri: str) -> str:
    """Return why the server at `uri` does not answer; empty if it does."""
    from http.client import HTTPException
    from ssl import SSLError
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        urlopen(
            f"{re.sub('//.*@', '//', uri).rstrip('/')}/health", timeout=ANSWER_TIMEOUT_S
        ).close()
    except HTTPError as error:  # an answer, unless a proxy gives it for a server that is down
        return f"status {error.code}" if error.code in (502, 503, 504) else ""
    except (OSError, ValueError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        is_judged = isinstance(reason, SSLError) and TRUST & os.environ.keys()
        return "" if is_judged else " ".join(str(reason).split()) or repr(reason)
    return ""

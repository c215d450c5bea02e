"""Checks of what the project keeps: MNIST, MLflow's store and its runs, unfinished work.

A check is a function that yields one `Finding` or more. Nothing is fetched, made or changed; a
store that is not there yet stays so. Every import of a package is inside a function, so that what
is not installed becomes a finding, too.
"""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import ssl
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote

from experiments.errors import without_password

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory
    from sqlalchemy import URL

Status = Literal["ok", "warning", "wrong"]
T = TypeVar("T")

PATIENCE = 3.0  # seconds for a server, a lock or a search through a file
IDS_SHOWN = 5
INSTALL = "python -m pip install -r requirements.txt"
OWN_STORE = "start or correct it, or take the project's own: unset MLFLOW_TRACKING_URI"
OWN_MNIST = "unset MNIST_DIR"
FETCH = 'python -c "from experiments.data import mnist; mnist.load()"'
END_RUNS = (
    'python -c "import sys; from experiments.tracking import connect; '
    "[connect().set_terminated(i, 'KILLED') for i in sys.argv[1:]]\" {}"
)
NOT_YET = "not there yet, the first run makes it"
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
SQLITE_MENDS = {  # the beginning of SQLite's name for an error -> what mends it
    "SQLITE_BUSY": "fuser -v {}   # names the process that holds it",
    "SQLITE_CANTOPEN": "ls -ld {}   # expected a file that this user may write",
    "SQLITE_": "mv {0} {0}.damaged   # the first run makes a new one",
}


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes:
        name: what was looked at.
        status: ok; warning, if everything works nevertheless; wrong.
        found: one line, without any password.
        mend: what to do, as a command where there is one; empty when all is well.
    """

    name: str
    status: Status
    found: str
    mend: str = ""


class Unwell(Exception):
    """What a check found to be not well, and what mends it."""

    def __init__(self, found: str, mend: str, status: Status = "wrong") -> None:
        super().__init__(found)
        self.mend, self.status = mend, status


def guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Yield what `check` finds, without passwords; an exception becomes a finding, too."""
    name = check.__name__.replace("_", " ")
    try:
        for finding in check():
            yield replace(finding, found=hidden(finding.found), mend=hidden(finding.mend))
    except Unwell as error:
        yield Finding(name, error.status, sentence(error), hidden(error.mend))
    except ImportError as error:
        yield Finding(name, "wrong", sentence(error), INSTALL)
    except Exception as error:
        yield Finding(name, "wrong", f"the check failed: {sentence(error)}")


def sentence(error: BaseException) -> str:
    """Return an exception's message on one line, without passwords; a database's own, if any."""
    error = getattr(error, "orig", None) or error
    text = " ".join(hidden(str(error)).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:400]}..."


def hidden(text: str) -> str:
    """Return `text` with *** for the passwords and tokens of the addresses in it."""
    for secret in _secrets(os.environ.get("MLFLOW_TRACKING_URI", "")):
        text = text.replace(secret, ":***@" if secret.startswith(":") else "***")
    return without_password(text)


def _secrets(address: str) -> list[str]:
    """Return the password in `address` in every form in which a message may quote it.

    One with signs that divide an address may be taken apart, and its parts quoted alone.
    """
    match = re.search(r"(?s)^(?:[^:]*://)?[^:/@]*:(.*)@", address)
    word = match[1] if match else ""
    parts = {word, unquote(word), *re.split(r"[/@:?#]", word)} if re.search(r"[^\w-]", word) else {}
    return [f":{word}@", *sorted((part for part in parts if len(part) > 3), key=len, reverse=True)]


def within(seconds: float, work: Callable[[], T]) -> T:
    """Return what `work` returns.

    Raises:
        TimeoutError: it takes longer; it is left behind in a thread that keeps nobody waiting.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise TimeoutError(str(error) or f"no answer within {seconds:g} s") from None


def write_a_little(folder: Path) -> None:
    """Write a small file into `folder` and remove it; raise OSError if that cannot be done."""
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
        file.write(b"The doctor was here.")
        file.flush()


def mnist_folder() -> Iterator[Finding]:
    """Check $MNIST_DIR, if it is set: four files that fit together, MNIST's own or not."""
    from experiments.data import mnist
    from experiments.errors import DataError

    folder = os.environ.get("MNIST_DIR")
    if not folder:
        return
    try:
        foreign = mnist.load(Path(folder)).foreign
    except DataError as error:
        yield Finding("MNIST_DIR", "wrong", sentence(error), OWN_MNIST)
        return
    if foreign:
        found = f"{folder}: {', '.join(foreign)}: not MNIST's own (another md5)"
        yield Finding("MNIST_DIR", "warning", found, f"if MNIST itself is meant: {OWN_MNIST}")
    else:
        yield Finding("MNIST_DIR", "ok", f"{folder}: MNIST's own four files")


def mnist_cache() -> Iterator[Finding]:
    """Check the project's copy of MNIST by its checksums."""
    from experiments.data import idx, mnist

    paths = {mnist.MNIST_CACHE / name: md5 for name, md5 in mnist.CANONICAL_MD5.items()}
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        found = f"{mnist.MNIST_CACHE}: {len(missing)} of {len(paths)} files are not there"
        needed = not os.environ.get("MNIST_DIR")
        rest = "the first training fetches them" if needed else "nor needed, for MNIST_DIR is set"
        status: Status = "warning" if needed else "ok"
        yield Finding("MNIST cache", status, f"{found}; {rest}", FETCH if needed else "")
        return
    wrong = [path for path, md5 in paths.items() if idx.md5(path.read_bytes()) != md5]
    if wrong:
        found = f"{mnist.MNIST_CACHE}: {', '.join(path.name for path in wrong)}: damaged"
        mend = f"{shlex.join(['rm', *map(str, wrong)])}   # the next training fetches MNIST anew"
        yield Finding("MNIST cache", "wrong", f"{found} (another md5)", mend)
    else:
        yield Finding("MNIST cache", "ok", f"{mnist.MNIST_CACHE}: four files, checksums agree")


def tracking_store() -> Iterator[Finding]:
    """Check MLflow's store: reachable, writable, its schema the installed MLflow's; then its runs.

    A store that is not well is not opened by MLflow, which would fill or change it, or wait long.
    """
    from experiments import tracking

    address = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{tracking.STORE}"
    scheme = re.split(r"[:+]", address)[0]
    looks = {"http": _server, "https": _server, **dict.fromkeys(DATABASES, _database)}
    try:
        found = looks.get(scheme, lambda _: "asked by MLflow alone")(address)
    except Unwell as error:
        raise Unwell(f"{address}: {error}", error.mend, error.status) from None
    except Exception as error:
        raise Unwell(f"{address}: {sentence(error)}", OWN_STORE) from None
    yield Finding("tracking store", "ok", f"{address}: {found}")
    if found != NOT_YET:
        yield from guarded(runs)


def _server(address: str) -> str:
    """Return what a server says of its health; no user or password is sent."""
    bare = re.sub(r"(?<=://)[^/?#]*@", "", address)
    unproved = ssl._create_unverified_context()  # noqa: S323 - nothing is told, nothing believed

    def ask() -> int:
        try:
            url = f"{bare.rstrip('/')}/health"
            with urllib.request.urlopen(url, timeout=PATIENCE, context=unproved) as answer:
                return int(answer.status)
        except HTTPError as error:
            error.close()
            return error.code

    try:
        status = within(PATIENCE, ask)
    except URLError as error:
        raise Unwell(f"does not answer: {error.reason}", OWN_STORE) from None
    if status >= 500:
        raise Unwell(f"answers /health with HTTP {status}", OWN_STORE)
    return "answers" if status == 200 else f"answers /health with HTTP {status}"


def _database(address: str) -> str:
    """Return that a database is well, or not there yet."""
    from sqlalchemy.engine import make_url

    url = make_url(address)
    if url.get_backend_name() == "sqlite":
        if url.database in (None, "", ":memory:"):
            raise Unwell("in memory: its runs end with the process", OWN_STORE, "warning")
        if not _sqlite_file(Path(str(url.database))):
            return NOT_YET
    script = _migrations()
    return within(PATIENCE, lambda: _schema(url, script))


def _sqlite_file(path: Path) -> bool:
    """Return whether there is a file; raise Unwell unless it, or its folder, can be written."""
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        write_a_little(folder)
        if path.is_file():
            path.open("r+b").close()  # SQLite says nothing of it before the first change
    except OSError as error:
        mend = shlex.join(["chmod", "u+w", str(folder), *([str(path)] if path.is_file() else [])])
        raise Unwell(f"it, or its folder, cannot be written: {error.strerror}", mend) from None
    if not path.exists():
        return False
    try:
        name = f"file:{quote(str(path.absolute()))}?mode=rw"
        with closing(sqlite3.connect(name, uri=True, timeout=PATIENCE)) as store:
            damage = _damage(store)
            store.execute("BEGIN IMMEDIATE")
            store.rollback()
    except sqlite3.Error as error:
        kind = next(kind for kind in SQLITE_MENDS if error.sqlite_errorname.startswith(kind))
        raise Unwell(str(error), SQLITE_MENDS[kind].format(shlex.quote(str(path)))) from None
    if damage:
        raise Unwell(damage, SQLITE_MENDS["SQLITE_"].format(shlex.quote(str(path))))
    return True


def _damage(store: sqlite3.Connection) -> str:
    """Return what SQLite finds damaged, as far as it comes in time."""
    end = time.monotonic() + PATIENCE
    store.set_progress_handler(lambda: time.monotonic() > end, 100_000)
    try:
        found = store.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if error.sqlite_errorname != "SQLITE_INTERRUPT":
            raise
        found = "ok"
    finally:
        store.set_progress_handler(None, 0)
    return "" if found == "ok" else f"damaged: {found}"


def _migrations() -> ScriptDirectory:
    """Return the steps from schema to schema that the installed MLflow knows, all loaded."""
    from alembic.script import ScriptDirectory

    package = find_spec("mlflow")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'mlflow'")
    script = ScriptDirectory(str(Path(package.origin).parent / "store" / "db_migrations"))
    script.get_heads()
    return script


def _schema(url: URL, script: ScriptDirectory) -> str:
    """Return that the schema is the installed MLflow's and may be written, or that there is none.

    Raises:
        Unwell: it is another.
    """
    from sqlalchemy import create_engine, inspect, text
    from sqlalchemy.pool import NullPool

    with create_engine(url, poolclass=NullPool).connect() as connection:
        tables = inspect(connection).get_table_names()
        if all(table.startswith("alembic_") for table in tables):
            return NOT_YET
        if not {"alembic_version", "runs"} <= set(tables):
            raise Unwell("a database, but not one of MLflow's", OWN_STORE)
        found = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
        if list(found) != script.get_heads():
            raise _other_schema(url, script, list(found))
        connection.execute(text("UPDATE runs SET name = name WHERE 1 = 0"))  # asks for the right
        connection.rollback()
    return f"writable, schema {found[0]}"


def _other_schema(url: URL, script: ScriptDirectory, found: list[str]) -> Unwell:
    known = {revision.revision for revision in script.walk_revisions()}
    text = (
        f"schema {' '.join(found)}, but MLflow {version('mlflow')} expects {script.get_heads()[0]}"
    )
    if not set(found) <= known:
        mend = "python -m pip install --upgrade mlflow   # and the new version in requirements.txt"
        return Unwell(f"{text}: a newer MLflow made it", mend)
    named = os.environ.get("MLFLOW_TRACKING_URI")
    address = '"$MLFLOW_TRACKING_URI"' if named else str(url)
    copy = "first a backup, then:"
    if url.get_backend_name() == "sqlite":
        copy = f"{shlex.join(['cp', str(url.database), f'{url.database}.before'])} &&"
    return Unwell(text, f"{copy} mlflow db upgrade {address}")


def runs() -> Iterator[Finding]:
    """Check the runs that are said to be RUNNING: which of their processes are alive."""
    from experiments import lease

    alive: list[str] = []
    dead: list[str] = []
    unknown: list[str] = []
    try:
        with _hasty():
            running = within(3 * PATIENCE, _running)
    except Exception as error:
        raise Unwell(f"MLflow does not tell: {sentence(error)}", OWN_STORE) from None
    for run in running:
        tags = run.data.tags
        if tags.get("lease.host") != lease.host() or "lease.file" not in tags:
            unknown.append(run.info.run_id)
        else:
            held = lease.is_held(Path(tags["lease.file"]))
            (alive if held else dead).append(run.info.run_id)
    if dead:
        found = f"{len(dead)} RUNNING, whose process on this machine has died: {_some(dead)}"
        yield Finding("dead runs", "warning", found, "the next train or tune ends them")
    if unknown:
        found = f"{len(unknown)} RUNNING on other machines, or nobody says where: {_some(unknown)}"
        mend = f"if they are dead: {END_RUNS.format(' '.join(unknown[:IDS_SHOWN]))}"
        yield Finding("runs elsewhere", "warning", found, mend)
    if not dead and not unknown:
        yield Finding("runs", "ok", f"{len(alive)} under way, none left behind")


def _some(ids: list[str]) -> str:
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return " ".join(ids[:IDS_SHOWN]) + more


def _running() -> list[Any]:
    from experiments import tracking

    client = tracking.connect()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    found: list[Any] = []
    token = None
    while token != "":
        page = client.search_runs(
            experiments, "attributes.status = 'RUNNING'", max_results=1000, page_token=token
        )
        found += page
        token = page.token or ""
    return found


@contextmanager
def _hasty() -> Iterator[None]:
    """Let MLflow's client give up on a server at once, while open; by itself it takes minutes."""
    limits = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    limits["MLFLOW_HTTP_REQUEST_TIMEOUT"] = str(round(PATIENCE) or 1)
    before = {name: os.environ.get(name) for name in limits}
    os.environ.update(limits)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def unfinished_work() -> Iterator[Finding]:
    """Check for what interrupted trainings and searches have left to go on with."""
    from experiments import lease

    places = sorted(path for path in lease.PLACES.glob("*") if path.is_dir())
    left = [place for place in places if not lease.is_held(place / lease.LOCK)]
    busy = len(places) - len(left)
    under_way = f"; {busy} under way" if busy else ""
    if not left:
        yield Finding("unfinished work", "ok", f"none{under_way}")
        return
    size = sum(map(_size, left)) / 1e3
    found = f"{len(left)} left in {lease.PLACES}, {size:,.0f} kB{under_way}"
    forget = shlex.join(["rm", "-r", *map(str, left if busy else [lease.PLACES])])
    mend = f"the same command goes on with it; or forget it: {forget}"
    yield Finding("unfinished work", "warning", found, mend)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # a training may delete it meanwhile
            total += path.lstat().st_size
    return total

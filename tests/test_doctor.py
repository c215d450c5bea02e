"""The doctor: each check against something really wrong, and what it advises."""

import http.server
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import date, timedelta
from pathlib import Path

import pytest
from alembic import command as alembic
from click.testing import CliRunner, Result
from mlflow import MlflowClient
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import create_engine

from experiments import checks, doctor, environment, lease, tracking
from experiments.checks import Finding
from experiments.data import fetch, mnist
from experiments.paths import ROOT
from tests.conftest import free_port


def examined(check: Callable[[], Iterator[Finding]]) -> dict[str, Finding]:
    """What one check finds, by name."""
    return {finding.name: finding for finding in checks.guarded(check)}


def outcome(*of: Callable[[], Iterator[Finding]], json: bool = False) -> Result:
    """The command's result with these checks only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "CHECKS", of)
        return CliRunner().invoke(doctor.command, ["--json"] if json else [])


def read_only(path: Path) -> None:
    """Take away the right to write; the test is skipped where that stops nobody."""
    path.chmod(path.stat().st_mode & 0o555)
    if os.access(path, os.W_OK):
        pytest.skip("root may write everywhere")


def follow(mend: str) -> None:
    """Do what the doctor says."""
    subprocess.run(mend, shell=True, cwd=ROOT, check=True, capture_output=True)  # noqa: S602


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "PATIENCE", 0.5)
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.delenv("CONDA_PREFIX", raising=False)


# --- the command


def fine() -> Iterator[Finding]:
    print("noise of a library")
    yield Finding("fine", "ok", "as it should be")


def careful() -> Iterator[Finding]:
    yield Finding("careful", "warning", "could be better", "do better")


def bad() -> Iterator[Finding]:
    yield Finding("bad", "wrong", "broken", "mend it")


def failing_check() -> Iterator[Finding]:
    yield Finding("half", "ok", "done")
    raise RuntimeError("first line\n  second line")


@pytest.mark.parametrize(("of", "code"), [((fine,), 0), ((fine, careful), 0), ((bad, fine), 1)])
def test_exit_code_tells_whether_something_is_wrong(of, code: int) -> None:
    assert outcome(*of).exit_code == outcome(*of, json=True).exit_code == code


def test_one_line_a_finding() -> None:
    lines = outcome(fine, careful, bad).stdout.splitlines()
    assert lines == [
        "✓ fine: as it should be",
        "! careful: could be better; mend: do better",
        "✗ bad: broken; mend: mend it",
    ]


def test_json_is_the_list_and_nothing_else() -> None:
    found = json.loads(outcome(fine, bad, json=True).stdout)
    assert found == [
        {"name": "fine", "status": "ok", "found": "as it should be", "mend": ""},
        {"name": "bad", "status": "wrong", "found": "broken", "mend": "mend it"},
    ]


def test_a_check_that_fails_is_a_line_and_the_others_go_on() -> None:
    result = outcome(failing_check, fine)
    assert result.stdout.splitlines() == [
        "✓ half: done",
        "✗ failing check: the check failed: first line second line",
        "✓ fine: as it should be",
    ]
    assert result.exit_code == 1 and "Traceback" not in result.output


def test_all_checks_of_this_machine(tmp_path: Path) -> None:
    """In a process of its own, as a user starts it."""
    store = tmp_path / "none.db"
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    start = [sys.executable, "-m", "experiments.doctor"]
    result = subprocess.run([*start, "--json"], cwd=ROOT, env=env, capture_output=True, text=True)
    found = {one["name"]: one for one in json.loads(result.stdout)}
    assert {"python", "mlflow run", "MNIST cache", "tracking store", "port 5000"} <= set(found)
    assert found["python"]["status"] == "ok" and not store.exists()
    assert result.returncode == any(one["status"] == "wrong" for one in found.values())
    assert "the check failed" not in result.stdout
    for one in found.values():
        assert bool(one["mend"]) is (one["status"] != "ok"), one


def test_a_terminal_without_the_marks() -> None:
    code = "from experiments import doctor as d; d.CHECKS = [d.project_folder]; d.command()"
    env = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    start = [sys.executable, "-c", code]
    result = subprocess.run(start, cwd=ROOT, env=env, capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith("\\u2713 project folder: ")


def test_without_packages_there_is_one_sentence() -> None:
    bare = [sys.executable, "-S", "-m", "experiments.doctor"]  # -S: no site-packages
    result = subprocess.run(bare, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == ""
    assert "make setup" in result.stderr and len(result.stderr.splitlines()) == 1


def test_import_is_light() -> None:
    heavy = {"torch", "mlflow", "optuna", "matplotlib", "onnxruntime", "gradio", "sqlalchemy"}
    code = f"import sys, experiments.doctor; print({heavy} & sys.modules.keys())"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout == "set()\n"


# --- python and packages


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the doctor takes for the project."""
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    return tmp_path


def install(folder: Path, name: str, version: str, *lines: str) -> None:
    """Put a package's metadata where the running Python finds them first."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    head = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}")
    (info / "METADATA").write_text("\n".join((*head, *lines)) + "\n")


def test_another_python_is_wrong(project: Path) -> None:
    (project / "python_env.yaml").write_text('python: "3.1"\n')  # not a beginning of 3.11
    found = examined(doctor.python)["python"]
    assert found.status == "wrong" and "3.1 is wanted" in found.found
    assert "PYTHON=python3.1" in found.mend


def test_packages_as_they_are_asked_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(project / "site")
    install(project / "site", "onnx", "1.20.5")
    install(project / "site", "torch", "2.14.1+cpu")
    brings = ("Provides-Extra: fast", "Requires-Dist: engine-of-it==1; extra == 'fast'")
    install(project / "site", "with-extra", "2", *brings)
    asked = ["# all", "torch==2.14.1", "click==0.1  # old", "no-such-package>=1", "onnx==1.23.2"]
    (project / "requirements.txt").write_text("\n".join([*asked, "with-extra[fast]==2", ""]))
    found = examined(doctor.packages)
    assert {name: one.status for name, one in found.items()} == {
        "package click": "warning",
        "package no-such-package": "wrong",
        "package onnx": "wrong",
        "package engine-of-it": "wrong",
    }
    assert "1.20.5; below 1.21" in found["package onnx"].found
    assert {one.mend for one in found.values()} == {"python -m pip install -r requirements.txt"}


def test_a_pin_below_the_floor_is_told_apart(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(project / "site")
    install(project / "site", "onnx", "1.20.5")
    (project / "requirements.txt").write_text("onnx==1.20.5\n")
    found = examined(doctor.packages)["package onnx"]
    assert found.status == "wrong" and "ask for onnx 1.21 or later" in found.mend


def test_the_projects_own_pins_are_above_the_floors() -> None:
    found = examined(doctor.packages).values()
    assert not [one for one in found if "known holes" in one.found]


@pytest.mark.parametrize(("age", "status"), [(179, "ok"), (182, "warning")])
def test_netron_grows_old(
    project: Path, monkeypatch: pytest.MonkeyPatch, age: int, status: str
) -> None:
    monkeypatch.syspath_prepend(project)
    install(project, "netron", "9")
    (project / "netron").mkdir()
    page = project / "netron" / "index.html"
    page.write_text(f'<meta name="date" content="{date.today() - timedelta(age)} 19:50:08">')
    assert examined(doctor.netron)["netron"].status == status
    page.write_text("no date")
    assert examined(doctor.netron) == {}


# --- mlflow run


def test_link_is_missing_right_or_leads_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path))
    monkeypatch.setenv("VIRTUAL_ENV", str(Path(sys.executable).parents[1]))
    found = examined(doctor.mlflow_run)["mlflow run"]
    assert found.status == "wrong" and found.mend == "make setup"
    script = Path(found.found.removesuffix(" is missing"))
    assert script.is_relative_to(tmp_path)
    script.parent.mkdir(parents=True)
    script.write_text(environment.ACTIVATE)
    assert examined(doctor.mlflow_run)["mlflow run"].status == "ok"
    other = tmp_path / "other" / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.symlink_to(sys.executable)
    monkeypatch.setenv("VIRTUAL_ENV", str(other.parents[1]))
    found = examined(doctor.mlflow_run)["mlflow run"]
    assert found.status == "wrong" and f"would use {other} instead of" in found.found


# --- MNIST


@pytest.fixture
def damaged(tmp_path: Path, digits: mnist.Mnist) -> Path:
    """MNIST, one label of which is another."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name in mnist.CANONICAL_MD5:
        (folder / name).symlink_to(mnist.MNIST_CACHE / name)
    labels = folder / "t10k-labels-idx1-ubyte"
    raw = bytearray(labels.read_bytes())
    raw[-1] = (raw[-1] + 1) % 10
    labels.unlink()
    labels.write_bytes(raw)
    return folder


@pytest.fixture
def no_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    def into(*arguments: object) -> None:
        raise AssertionError("the doctor fetches nothing")

    monkeypatch.setattr(fetch, "into", into)


def test_folder_of_the_users(
    damaged: Path, monkeypatch: pytest.MonkeyPatch, no_fetching: None
) -> None:
    assert examined(checks.mnist_folder) == {}
    monkeypatch.setenv("MNIST_DIR", str(mnist.MNIST_CACHE))
    assert examined(checks.mnist_folder)["MNIST_DIR"].status == "ok"
    monkeypatch.setenv("MNIST_DIR", str(damaged))
    found = examined(checks.mnist_folder)["MNIST_DIR"]
    assert found.status == "warning" and f"{damaged}: t10k-labels-idx1-ubyte: not" in found.found
    (damaged / "train-images-idx3-ubyte").unlink()
    found = examined(checks.mnist_folder)["MNIST_DIR"]
    assert found.status == "wrong" and "train-images-idx3-ubyte" in found.found


def test_cache(damaged: Path, monkeypatch: pytest.MonkeyPatch, no_fetching: None) -> None:
    assert examined(checks.mnist_cache)["MNIST cache"].status == "ok"
    monkeypatch.setattr(mnist, "MNIST_CACHE", damaged)
    found = examined(checks.mnist_cache)["MNIST cache"]
    assert found.status == "wrong" and "t10k-labels-idx1-ubyte: damaged" in found.found
    follow(found.mend)
    found = examined(checks.mnist_cache)["MNIST cache"]
    assert found.status == "warning" and "1 of 4 files are not there" in found.found
    monkeypatch.setenv("MNIST_DIR", str(damaged))
    assert examined(checks.mnist_cache)["MNIST cache"].status == "ok"
    assert not (damaged / "t10k-labels-idx1-ubyte").exists()


# --- the store: a database


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the installed MLflow."""
    path = tmp_path_factory.mktemp("filled") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which the doctor is to look at; its folder's name has a space."""
    path = tmp_path / "a folder" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(filled, path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return path


def stored() -> Finding:
    found = examined(checks.tracking_store)
    return found.get("tracking store") or found["tracking_store"]


def test_a_store_that_is_well(store: Path) -> None:
    found = examined(checks.tracking_store)
    assert {one.status for one in found.values()} == {"ok"}
    assert "0 under way" in found["runs"].found
    assert sorted(path.name for path in store.parent.iterdir()) == ["mlflow.db"]


@pytest.mark.parametrize("lock", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_a_store_that_is_locked(store: Path, lock: str) -> None:
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute(lock)
        found = examined(checks.tracking_store)
    assert list(found) == ["tracking store"]  # and its runs are not asked for
    assert found["tracking store"].status == "wrong"
    assert "locked" in found["tracking store"].found
    assert f"fuser -v '{store}'" in found["tracking store"].mend
    assert stored().status == "ok"


def test_a_store_that_is_damaged(store: Path) -> None:
    raw = bytearray(store.read_bytes())
    raw[8192:40960] = os.urandom(32768)
    store.write_bytes(raw)
    assert stored().status == "wrong" and f"mv '{store}'" in stored().mend
    store.write_text("this is no database, " * 100)
    assert stored().status == "wrong" and "not a database" in stored().found


def test_a_file_that_is_a_folder_or_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}")
    assert stored().status == "wrong" and "unable to open" in stored().found
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////proc/store/mlflow.db")
    assert stored().status == "wrong" and "cannot be written" in stored().found


@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_store_that_cannot_be_written(store: Path, which: str) -> None:
    read_only(store if which == "file" else store.parent)
    assert stored().status == "wrong" and "cannot be written" in stored().found
    follow(stored().mend)
    assert stored().status == "ok"


def test_a_store_that_is_not_there_stays_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "STORE", tmp_path / "mlflow.db")
    found = examined(checks.tracking_store)
    assert list(found) == ["tracking store"] and found["tracking store"].status == "ok"
    assert f"{tmp_path}/mlflow.db: not there yet" in found["tracking store"].found
    (tmp_path / "mlflow.db").touch()
    assert stored().status == "ok" and "not there yet" in stored().found
    assert (tmp_path / "mlflow.db").stat().st_size == 0


def test_a_database_of_others(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.unlink()
    with closing(sqlite3.connect(store)) as other:
        other.execute("CREATE TABLE letters (text TEXT)")
    before = store.read_bytes()
    assert stored().status == "wrong" and "not one of MLflow's" in stored().found
    assert store.read_bytes() == before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite://")
    assert stored().status == "warning" and "in memory" in stored().found


def test_an_older_schema_is_left_alone_and_the_mend_mends(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.unlink()
    address = f"sqlite:///{store}"
    Base.metadata.create_all(create_engine(address))
    _, older, *_ = (step.revision for step in checks._migrations().walk_revisions())
    alembic.upgrade(_get_alembic_config(address), older)
    before = store.read_bytes()
    found = stored()
    assert found.status == "wrong" and f"schema {older}" in found.found
    assert store.read_bytes() == before
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    follow(found.mend)
    assert stored().status == "ok"
    assert store.with_name("mlflow.db.before").read_bytes() == before


def test_a_newer_schema(store: Path) -> None:
    with closing(sqlite3.connect(store)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
    found = stored()
    assert found.status == "wrong" and "a newer MLflow" in found.found
    assert "--upgrade mlflow" in found.mend


# --- the store: a server


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where `answer` gets each connection, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


def silent(connection: socket.socket) -> None:
    with suppress(OSError), connection:
        time.sleep(20)


def dripping(connection: socket.socket) -> None:
    """An answer that comes letter by letter and never ends."""
    with suppress(OSError), connection:  # the client goes before the end
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(400):
            connection.sendall(b"x")
            time.sleep(0.05)


def healthy_then_silent(connection: socket.socket) -> None:
    with suppress(OSError), connection:
        asked = connection.recv(9999)
        if not asked.startswith(b"GET /prefix/health ") or b"uthorization" in asked:
            time.sleep(20)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")


@pytest.mark.parametrize("answer", [silent, dripping])
def test_a_server_that_hangs(answer, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(answer) as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        started = time.monotonic()
        found = stored()
        assert time.monotonic() - started < 3
    assert found.status == "wrong" and str(port) in found.found
    assert "unset MLFLOW_TRACKING_URI" in found.mend


def test_a_server_that_is_healthy_but_does_not_tell_its_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with listening(healthy_then_silent) as port:
        address = f"http://me:hidden-word@127.0.0.1:{port}/prefix"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        started = time.monotonic()
        found = examined(checks.tracking_store)
        assert time.monotonic() - started < 8
    assert found["tracking store"].status == "ok"
    assert f"http://me:***@127.0.0.1:{port}/prefix" in found["tracking store"].found
    assert found["runs"].status == "wrong"
    assert "hidden-word" not in str(found)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


class Broken(http.server.BaseHTTPRequestHandler):
    """Below /ill it is never well; elsewhere it says that it is, and fails when asked."""

    def do_GET(self) -> None:
        self.send_error(503) if self.path.startswith("/ill") else self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None: ...


def test_a_server_that_fails_or_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{address}/ill")
        assert stored().status == "wrong" and "HTTP 503" in stored().found
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        found = examined(checks.tracking_store)
        assert found["tracking store"].status == "ok"
        assert found["runs"].status == "wrong" and "503" in found["runs"].found  # not retried
        server.shutdown()
    assert stored().status == "wrong" and "refused" in stored().found


# --- passwords


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:hush-hush@127.0.0.1:1/runs",
        "postgresql+psycopg://me:hush%2Dhush@127.0.0.1:1/runs",
        "postgresql://127.0.0.1:1/runs?user=me&password=hush-hush",
        "postgresql://me:hush-hush@127.0.0.1:no-port/runs",
        "postgresql+nodriver://me:hush-hush@127.0.0.1/runs",
        "postgresql://me:with@hush-hush@127.0.0.1:1/runs",
        "mysql://me:hush-hush@127.0.0.1:1/runs",
        "http://me:hush-hush@127.0.0.1:1",
        "http://me:one/hush-hush@127.0.0.1:1",
        "https://hush-hush@127.0.0.1:1",
        "nonsense://me:hush-hush@127.0.0.1:1",
        "nonsense me:hush-hush@127.0.0.1:1",
    ],
)
def test_no_password_is_shown(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    for as_json in (False, True):
        result = outcome(checks.tracking_store, json=as_json)
        assert result.exit_code == 1, result.output
        assert "hush" not in result.output


def test_a_password_that_is_a_word_hides_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://mlflow:mlflow@127.0.0.1:1/mlflow")
    shown = checks.hidden("postgresql://mlflow:mlflow@127.0.0.1:1/mlflow; mend: mlflow db upgrade")
    assert shown == "postgresql://mlflow:***@127.0.0.1:1/mlflow; mend: mlflow db upgrade"


# --- runs and unfinished work

HOLD = """
import filelock, sys, time
lock = filelock.FileLock(sys.argv[1])
lock.acquire()
print(flush=True)
time.sleep(60)
"""


@contextmanager
def holding(lock: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock until it is killed."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        try:
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def test_runs_whose_process_is_alive_dead_or_elsewhere(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    file = tmp_path / "place" / "lock"
    begun = {"lease.host": lease.host(), "lease.file": str(file)}
    mine = client.create_run("0", tags=begun).info.run_id
    with holding(file):
        found = examined(checks.tracking_store)
        assert found["runs"].found.startswith("1 under way") and len(found) == 2
    dead = examined(checks.tracking_store)["dead runs"]
    assert dead.status == "warning" and mine in dead.found and "next train" in dead.mend
    begun["lease.host"] = "another-machine"
    others = [client.create_run("0", tags=begun), client.create_run("0")]
    others.append(client.create_run("0", tags={"lease.host": lease.host()}))
    ids = {run.info.run_id for run in others}
    found = examined(checks.tracking_store)
    assert mine in found["dead runs"].found and mine not in found["runs elsewhere"].found
    assert found["runs elsewhere"].status == "warning"
    assert all(run_id in found["runs elsewhere"].found for run_id in ids)
    running = client.search_runs(["0"], "attributes.status = 'RUNNING'")
    assert {run.info.run_id for run in running} == {mine, *ids}  # nothing was changed
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    follow(found["runs elsewhere"].mend.removeprefix("if they are dead: "))
    assert {client.get_run(run_id).info.status for run_id in ids} == {"KILLED"}
    assert client.get_run(mine).info.status == "RUNNING"


def test_many_runs_are_counted_not_listed(store: Path) -> None:
    client = MlflowClient(tracking_uri=f"sqlite:///{store}")
    for _ in range(7):
        client.create_run("0")
    found = examined(checks.tracking_store)["runs elsewhere"].found
    assert found.startswith("7 RUNNING") and found.endswith("and 2 more")


def test_unfinished_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = tmp_path / "my state" / "runs"
    monkeypatch.setattr(lease, "PLACES", places)
    assert examined(checks.unfinished_work)["unfinished work"].status == "ok"
    for name in ("left", "busy"):
        (places / name).mkdir(parents=True)
        (places / name / "1-a.safetensors").write_bytes(bytes(123_000))
    with holding(places / "busy" / lease.LOCK):
        found = examined(checks.unfinished_work)["unfinished work"]
        assert found.status == "warning" and "1 left" in found.found
        assert "123 kB; 1 under way" in found.found
        follow(found.mend.partition("forget it: ")[2])
        assert [path.name for path in places.iterdir()] == ["busy"]
        assert examined(checks.unfinished_work)["unfinished work"].found == "none; 1 under way"
    found = examined(checks.unfinished_work)["unfinished work"]
    assert found.mend.endswith(f"rm -r '{places}'")


# --- the machine


def test_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken, free = server.getsockname()[1], free_port()
        monkeypatch.setattr(doctor, "PORTS", {taken: "take {}", free: "unused {}"})
        with ExitStack() as stack:
            with suppress(OSError):  # if somebody else has the next port, it is taken all the same
                stack.enter_context(socket.create_server(("127.0.0.1", taken + 1)))
            found = examined(doctor.ports)
        assert found[f"port {taken}"].status == "warning" and found[f"port {free}"].status == "ok"
        other = int(found[f"port {taken}"].mend.removeprefix("take "))
        assert other > taken + 1
        socket.create_server(("127.0.0.1", other)).close()
        with socket.create_connection(("127.0.0.1", taken)):
            server.accept()[0].close()  # leaves the port waiting for a minute, but not taken
    assert examined(doctor.ports)[f"port {taken}"].status == "ok"


def test_a_port_taken_on_all_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104
        monkeypatch.setattr(doctor, "PORTS", {server.getsockname()[1]: "{}"})
        assert [one.status for one in examined(doctor.ports).values()] == ["warning"]


def test_disk_space(monkeypatch: pytest.MonkeyPatch) -> None:
    free = shutil.disk_usage(ROOT).free
    for scarce, full, status in ((free / 2, 0, "ok"), (free * 2, free / 2, "warning")):
        monkeypatch.setattr(doctor, "DISK_SCARCE", scarce)
        monkeypatch.setattr(doctor, "DISK_FULL", full)
        assert examined(doctor.disk_space)["project disk"].status == status
    monkeypatch.setattr(doctor, "DISK_FULL", free * 2)
    assert examined(doctor.disk_space)["project disk"].status == "wrong"


@pytest.mark.parametrize(
    ("asked", "status"),
    [("", "ok"), ("1", "ok"), ("1,2", "ok"), ("9999", "warning"), ("all", "warning")],
)
def test_threads(monkeypatch: pytest.MonkeyPatch, asked: str, status: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert examined(doctor.threads)["threads"].status == status


def test_threads_are_those_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert examined(doctor.threads)["threads"].status == "warning"


@pytest.mark.parametrize("folder", ["/proc", "/no/such/folder"])
def test_project_folder_that_takes_no_file(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    monkeypatch.setattr(doctor, "ROOT", Path(folder))
    assert examined(doctor.project_folder)["project folder"].status == "wrong"


def test_project_folder_is_left_as_it_was(project: Path) -> None:
    assert examined(doctor.project_folder)["project folder"].status == "ok"
    assert list(project.iterdir()) == []


def test_project_folder_that_is_read_only(project: Path) -> None:
    read_only(project)
    found = examined(doctor.project_folder)["project folder"]
    assert found.status == "wrong"
    follow(found.mend)
    assert examined(doctor.project_folder)["project folder"].status == "ok"


def test_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "POSTGRES", tmp_path / "postgresql")
    found = examined(doctor.programs)
    assert {name: one.status for name, one in found.items()} == {
        "git": "wrong",
        "browser for tests": "warning",
        "PostgreSQL for tests": "warning",
    }
    assert found["browser for tests"].mend == "sudo apt-get install chromium"
    for name in ("git", "chromium-browser", "postgresql/15/bin/initdb"):
        program = tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.touch(mode=0o755)
    assert {one.status for one in examined(doctor.programs).values()} == {"ok"}

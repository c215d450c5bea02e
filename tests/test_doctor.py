"""The doctor: each check against something really wrong, and the command as a user starts it."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from experiments import doctor
from experiments.core import mlflow_env
from experiments.core.errors import DataError
from experiments.core.files import sha256_folder
from experiments.core.paths import ROOT
from experiments.data import mnist
from experiments.doctor import CheckFailed
from experiments.tracking import run_lock
from tests.conftest import write_digits


@contextmanager
def failed(status: str, *facts: object, fix: str = "") -> Iterator[None]:
    """Expect CheckFailed of this status, whose text has these facts and whose fix has this."""
    with pytest.raises(CheckFailed) as caught:
        yield
    assert caught.value.status == status
    assert all(str(fact) in str(caught.value) for fact in facts), caught.value
    assert caught.value.fix and fix in caught.value.fix


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MNIST_DIR", "CONDA_PREFIX", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def run(*start: str, **env: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, *start, "-m", "experiments.doctor"]
    return subprocess.run(line, cwd=ROOT, env=os.environ | env, capture_output=True, text=True)


@pytest.mark.slow
def test_one_line_per_check_and_exit_code_1_if_one_failed(tmp_path: Path, empty_store) -> None:
    store = tmp_path / "mlflow.db"
    shutil.copy(empty_store, store)
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{store}", "MNIST_DIR": ""}
    lines = run(**env).stdout.splitlines()
    names = [check.__name__.replace("_", " ") for check in doctor.CHECKS]
    assert [line[6:].partition(":")[0] for line in lines] == [*names, "running runs", "champions"]
    broken = run(**env | {"MNIST_DIR": str(tmp_path)})
    assert broken.returncode == 1
    [line] = [line for line in broken.stdout.splitlines() if "mnist files" in line]
    assert line.startswith("FAIL  mnist files:") and str(tmp_path) in line and "FIX:" in line


def test_status_of_a_check(capsys: pytest.CaptureFixture[str]) -> None:
    def well() -> str:
        return "fine"

    def not_so_well() -> str:
        raise CheckFailed("broken", "mend it", "warn")

    def crashes() -> str:
        raise KeyError("first\n second")

    checks = (well, not_so_well, crashes)
    assert [doctor.report(check) for check in checks] == ["ok", "warn", "FAIL"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok    well: fine"
    assert lines[1].startswith("warn  not so well: broken") and lines[1].endswith("mend it")


@pytest.mark.slow
def test_without_packages_there_is_one_sentence() -> None:
    result = run("-S")  # no site-packages
    assert result.returncode == 1 and result.stdout == ""
    assert "make setup" in result.stderr and len(result.stderr.splitlines()) == 1


def test_another_python(tmp_path: Path) -> None:
    assert sys.executable in doctor.python_version()
    (tmp_path / "pyproject.toml").write_text('[project]\nrequires-python = ">=4"\n')
    with failed("FAIL", ">=4", fix="PYTHON=python3.11"):
        doctor.python_version(tmp_path)


@pytest.mark.parametrize("line", ["click==0.1  # old", "no-such-package>=1"])
def test_packages(tmp_path: Path, line: str) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# all\nclick>=8  # any\n")
    assert "1" in doctor.packages(tmp_path)
    requirements.write_text(f"# all\n{line}\n")
    with pytest.raises((CheckFailed, ImportError), match=line.partition("=")[0].rstrip(">")):
        doctor.packages(tmp_path)


def test_link_of_mlflow_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ENV_ROOT", str(tmp_path))
    with failed("FAIL", tmp_path, fix="make setup"):
        doctor.mlflow_environment()
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)  # the rest is test_outgoing's
    mlflow_env.main()
    assert Path(doctor.mlflow_environment()).read_text() == mlflow_env.ACTIVATE


def test_project_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True)
    assert head[:10] in doctor.git_commit()
    monkeypatch.setenv("PATH", str(tmp_path))
    with failed("warn", fix="git"):
        doctor.git_commit()


def test_disk(tmp_path: Path) -> None:
    assert str(tmp_path) in doctor.disk(tmp_path, min_free_gb=0)
    with failed("FAIL", tmp_path, fix="du"):
        doctor.disk(tmp_path, min_free_gb=1e9)
    tmp_path.chmod(0o555)
    if os.geteuid() != 0:  # root may write everywhere
        with failed("FAIL", tmp_path, fix="chmod u+w"):
            doctor.disk(tmp_path, min_free_gb=0)


def test_ports() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with failed("warn", port, fix="another"):
            doctor.ports({port: "another"})
    assert str(port) in doctor.ports({port: "another"})


def test_mnist(tmp_path: Path, digits: mnist.Mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "next training" in doctor.mnist_files(tmp_path) and not list(tmp_path.iterdir())
    whole = write_digits(tmp_path / "whole", digits, 60_000)
    part = write_digits(tmp_path / "part", digits, 10)
    assert str(whole) in doctor.mnist_files(whole)
    with pytest.raises(DataError) as caught:
        doctor.mnist_files(part)
    assert caught.value.code == "checksum-wrong"
    monkeypatch.setenv("MNIST_DIR", str(part))
    with failed("warn", part, fix="unset MNIST_DIR"):
        doctor.mnist_files(whole)


def test_file_store_of_an_older_mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meta = tmp_path / "mlruns" / "0" / "meta.yaml"
    (tmp_path / "mlruns" / "1" / "models").mkdir(parents=True)  # artifacts are no file store
    assert doctor.mlruns_folder(tmp_path)
    meta.parent.mkdir()
    meta.touch()
    with failed("FAIL", "mlflow.db", fix=f"rm {meta}"):
        doctor.mlruns_folder(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///elsewhere.db")
    assert doctor.mlruns_folder(tmp_path)


def test_unfinished_work(tmp_path: Path) -> None:
    assert doctor.unfinished_work(tmp_path) == "none"
    for name in ("left", "busy"):
        (tmp_path / name).mkdir()
    with FileLock(tmp_path / "busy" / run_lock.LOCK), failed("warn", 1, fix=f"{tmp_path}/left"):
        doctor.unfinished_work(tmp_path)


@pytest.fixture
def store(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "mlflow.db"
    shutil.copy(empty_store, path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{path}")
    return path


def test_a_store_without_tables_stays_so(store: Path) -> None:
    assert "1 experiments" in doctor.store()
    store.write_bytes(b"")
    assert "no tables" in doctor.store() and store.stat().st_size == 0
    store.unlink()
    assert "no tables" in doctor.store() and not store.exists()


def test_a_store_of_another_schema(store: Path) -> None:
    with closing(sqlite3.connect(store)) as other, other:
        other.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
    before = store.read_bytes()
    with failed("FAIL", store, "fedcba987654", fix="mlflow db upgrade"):
        doctor.store()
    assert store.read_bytes() == before


def test_a_store_that_is_locked_or_damaged(store: Path) -> None:
    with closing(sqlite3.connect(store)) as other:
        other.execute("BEGIN IMMEDIATE")
        with failed("FAIL", store, "locked", fix="fuser"):
            doctor.store()
    store.write_text("this is no database, " * 100)
    with failed("FAIL", store, "not a database"):
        doctor.store()


def test_dead_runs(store: Path, tmp_path: Path) -> None:
    tags = {"lease.host": run_lock.host(), "lease.file": str(tmp_path / "lease")}
    client = MlflowClient(f"sqlite:///{store}")
    client.create_run("0", tags=tags)
    client.create_run("0")
    with FileLock(tags["lease.file"]):
        assert doctor.running_runs().startswith("1 on this machine, 1 ")
    with failed("warn", 1):
        doctor.running_runs()
    assert len(client.search_runs(["0"], "attributes.status = 'RUNNING'")) == 2


def test_champions(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("MLmodel", "weights"):
        (folder / name).write_text("metadata: {}")
    client = MlflowClient(f"sqlite:///{store}")
    client.create_registered_model("gate")
    client.create_model_version(
        "gate", str(folder), tags={"files": json.dumps(sha256_folder(folder))}
    )
    client.set_registered_model_alias("gate", "champion", "1")
    assert doctor.champions()
    (folder / "weights").write_text("others")
    with failed("FAIL", "weights", fix="rollback gate"):
        doctor.champions()


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql+psycopg://me:hush%2Dhush@127.0.0.1:1/runs",
        "postgresql://127.0.0.1:1/runs?user=me&password=hush-hush",
        "postgresql://me:hush-hush@127.0.0.1:no-port/runs",
        "postgresql://me:with@hush-hush@127.0.0.1:1/runs",
        "http://me:one/hush-hush@127.0.0.1:1",
    ],
)
def test_no_password_is_printed(uri: str, monkeypatch, capsys) -> None:
    for name, value in {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "PGCONNECT_TIMEOUT": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert doctor.report(doctor.store) == "FAIL"
    printed = capsys.readouterr().out
    assert printed.startswith("FAIL  store: ") and "hush" not in printed

"""MLflow's store in every folder: moved, copied, or with a name that addresses cannot hold."""

import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.core import paths, store_address
from experiments.core.files import sha256_folder
from experiments.core.paths import ROOT
from experiments.registry import artifacts, versions
from experiments.tracking import run_lock, runs, store
from tests.expect import refused
from tests.inprocess import parsed
from tests.stores import X, drawn

GRAPH = drawn()

FOLDERS = (
    "with space", "a%20b", "a?b", "a#b", "ünï çödé", "a&b;c", "it's", 'say "hi"', "-x", "a:b",
    "a%", "%41", "a\\b", "back`tick $HOME",
)  # fmt: skip


def checkout(folder: Path, empty: Path, patch: pytest.MonkeyPatch) -> Path:
    """Let `folder` be the project's, with a store as MLflow makes it there."""
    folder.mkdir(parents=True)
    shutil.copy(empty, folder / "mlflow.db")
    place(folder, f"{folder}/mlruns/0")
    use(folder, patch)
    return folder


def use(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let `folder` be the project's."""
    patch.delenv(store_address.VARIABLE, raising=False)
    for module in (paths, store):
        patch.setattr(module, "STORE", folder / "mlflow.db")
        patch.setattr(module, "STATE", folder / "state")
    patch.chdir(folder)


def place(folder: Path, where: str) -> None:
    """Record another place of the store's files."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ?", [where])


def work(text: str = "first") -> runs.Run:
    """Log a file and register a graph in a run of the store."""
    outputs = {"logits": np.zeros((2, 16), np.float32)}
    with runs.start("test", state=store.STATE) as run:
        run.text("folder/file.txt", text)
        artifacts.register_onnx(GRAPH, "gate", {"x": X[:2]}, outputs, {})
    return run


def read(run: runs.Run) -> str:
    """Return the run's text, after all versions were read."""
    for version in versions.all_of("gate"):
        assert artifacts.onnx_graph(version)
    with tempfile.TemporaryDirectory() as folder:
        return runs.artifact(
            SimpleNamespace(run_id=run.id), "folder/file.txt", Path(folder)
        ).read_text()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_store_in_any_folder(name: str, tmp_path: Path, empty_store: Path, monkeypatch) -> None:
    folder = checkout(tmp_path / name, empty_store, monkeypatch)
    assert store_address.store_file(paths.tracking_uri()) == folder / "mlflow.db"
    assert read(work()) == "first"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlruns", "state"}


@pytest.mark.parametrize("names", [("proj", "proj2"), ("a%20b", "a b"), ("a b", "a%20b")], ids=str)
def test_a_moved_store_is_read_and_written(names, tmp_path, empty_store, monkeypatch) -> None:
    old, new = (tmp_path / name for name in names)
    checkout(old, empty_store, monkeypatch)
    run = work()
    old.rename(new)
    use(new, monkeypatch)
    assert read(run) == "first"
    assert read(work("second")) == "second" and not old.exists()
    assert store.misplaced(new / "mlflow.db") == {}


def test_unfinished_work_is_found_after_a_move(tmp_path, empty_store, monkeypatch) -> None:
    folder = checkout(tmp_path / "proj", empty_store, monkeypatch)
    key = parsed("--task gate").key("train")
    use(folder.rename(tmp_path / "proj2"), monkeypatch)
    assert parsed("--task gate").key("train") == key
    monkeypatch.setenv(store_address.VARIABLE, store_address.store_uri(tmp_path / "other.db"))
    assert parsed("--task gate").key("train") != key


def test_a_copy_never_writes_into_its_original(tmp_path, empty_store, monkeypatch) -> None:
    original = checkout(tmp_path / "proj", empty_store, monkeypatch)
    run = work()
    before = sha256_folder(original)
    copy = shutil.copytree(original, tmp_path / "copy")
    use(copy, monkeypatch)
    work("second")
    assert read(run) == "first" and sha256_folder(original) == before
    bare = tmp_path / "bare"  # a clone into which the database alone was copied
    bare.mkdir()
    shutil.copy(original / "mlflow.db", bare)
    use(bare, monkeypatch)
    work("third")
    assert sha256_folder(original) == before and list(bare.glob("mlruns/0/*/artifacts/folder/*"))
    use(original, monkeypatch)
    assert read(run) == "first"


def test_a_copy_does_not_wait_for_its_originals_run(tmp_path, empty_store, monkeypatch) -> None:
    checkout(tmp_path / "proj", empty_store, monkeypatch)
    with runs.start("test", state=store.STATE):
        copy = shutil.copytree(tmp_path / "proj", tmp_path / "copy")
    use(copy, monkeypatch)
    [begun] = store.connect().search_runs(["0"], "attributes.status = 'RUNNING'")
    lease = Path(begun.data.tags["lease.file"])
    assert lease.is_relative_to(copy) and lease.exists() and not run_lock.is_held(lease)


@pytest.mark.parametrize("known", [True, False], ids=["elsewhere on purpose", "by the server"])
def test_places_that_a_user_chose_are_kept(known: bool, tmp_path, empty_store, monkeypatch) -> None:
    folder = checkout(tmp_path / "proj", empty_store, monkeypatch)
    (tmp_path / "home" / "mlruns").mkdir(parents=True)
    if not known:
        (folder / "mlartifacts").mkdir()
    place(folder, f"{tmp_path}/home/mlruns/0" if known else "mlflow-artifacts:/0")
    assert store.misplaced(folder / "mlflow.db") == {}


def test_a_store_that_mlflow_ui_made_is_used(tmp_path, empty_store, monkeypatch) -> None:
    folder = checkout(tmp_path / "proj", empty_store, monkeypatch)
    place(folder, "mlflow-artifacts:/0")
    assert read(work()) == "first" and (folder / "mlruns").is_dir()


def test_a_path_too_long_for_sqlite_is_refused_at_once(tmp_path, monkeypatch) -> None:
    folder = tmp_path.joinpath(*["long" * 25] * 5)
    folder.mkdir(parents=True)
    use(folder, monkeypatch)
    with refused("storage-unreachable", what=folder, found="bytes"):
        store.connect()


@pytest.mark.parametrize("name", FOLDERS)
def test_addresses_are_read_back(name: str) -> None:
    file = Path("/") / name / "mlflow.db"
    assert store_address.store_file(store_address.store_uri(file)) == file


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///:memory:", "postgresql://x/y", "http://x"])
def test_other_stores_have_no_file(uri: str) -> None:
    assert store_address.store_file(uri) is None


def test_the_command_mlflow_finds_its_store(tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    for there, expected in ((folder, f"sqlite:///{folder}/mlflow.db"), (tmp_path, None)):
        monkeypatch.chdir(there)
        monkeypatch.setattr(sys, "orig_argv", ["python", "/x/bin/mlflow", "ui"])
        env: dict[str, str] = {}
        store_address.prepare(env)
        assert env.get(store_address.VARIABLE) == expected
    monkeypatch.setattr(sys, "orig_argv", ["python", "train.py"])
    store_address.prepare(env := {})
    assert env == {}


@pytest.mark.slow
def test_libraries_lie_in_a_folder_with_a_percent_sign(tmp_path: Path) -> None:
    """MLflow makes a store: Alembic would take the % of its migrations' folder for a reference."""
    packages = tmp_path / "a%20b"
    packages.symlink_to(sysconfig.get_path("purelib"))
    code = (
        "from experiments.core import store_address\n"
        "store_address.prepare()\n"
        "store_address.prepare()\n"
        "import mlflow\n"
        f"print(mlflow.__file__, mlflow.MlflowClient('sqlite:///{tmp_path}/mlflow.db')"
        ".get_experiment('0').name)"
    )
    env = {**os.environ, "PYTHONPATH": str(packages)}
    line = [sys.executable, "-S", "-c", code]
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1:] == ["Default"], done.stderr
    assert "a%20b" in done.stdout

"""Real faults of disk, database, server and clock: nothing is lost."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from tests.conftest import client, copy_project, environment, free_port, serving
from tests.expect import ending
from tests.test_survival import finish, start, until

pytestmark = pytest.mark.slow

EPOCHS, TRIALS = 300, 2
SEARCH = f"--trials {TRIALS} --epochs {EPOCHS}"
STARTED = "state/runs/*/*.journal"  # exists once a search has started


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory; without one the test is skipped, but never in CI."""
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder]
    mounted = subprocess.run(line, capture_output=True, text=True)
    if mounted.returncode:
        assert not os.environ.get("CI"), f"CI must let tests mount: {mounted.stderr}"
        pytest.skip(f"a small disk takes the right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def train(options: str, project: Path, figures: str = "none", **env: str) -> subprocess.Popen[str]:
    line = f"experiments.train --task gate --gate xor --seed 3 --figures {figures} {options}"
    return start(line, project, OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1", **env)


def nothing_is_lost(project: Path, store: MlflowClient | None = None, trainings: int = 1) -> None:
    """Check runs, metrics, versions and files of finished trainings with `SEARCH`."""
    store = store or client(project)
    logged = store.search_runs(["0"], max_results=1000)
    parents = [run for run in logged if "trial" not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"] * trainings
    trials = Counter(
        (r.data.tags["trial_state"], r.info.status) for r in logged if r not in parents
    )
    assert trials["complete", "FINISHED"] + trials["pruned", "KILLED"] == TRIALS * trainings, trials
    assert set(trials) <= {
        ("complete", "FINISHED"), ("pruned", "KILLED"), ("failed", "KILLED"), ("failed", "FAILED")
    }  # fmt: skip
    for run in logged:
        if run in parents or run.data.tags["trial_state"] == "complete":
            steps = [p.step for p in store.get_metric_history(run.info.run_id, "val_loss")]
            assert sorted(steps) == list(range(10, EPOCHS + 1, 10))
    versions = store.search_model_versions("name = 'gate'")
    assert {version.run_id for version in versions} == {run.info.run_id for run in parents}
    assert len(versions) == trainings and {version.status for version in versions} == {"READY"}
    archives = list(project.parent.rglob("*.pt2"))
    assert len(archives) == trainings and all(torch.export.load(path) for path in archives)
    assert store.get_model_version_by_alias("gate", "champion").version in {
        version.version for version in versions
    }
    assert not list((project / "state/runs").iterdir())
    assert not list(project.rglob("*.partial"))


def fill(disk: Path, but: int = 0) -> Path:
    """Fill `disk` except `but` bytes; return the file that fills it."""
    ballast = disk / "ballast"
    with suppress(OSError):
        ballast.write_bytes(bytes(shutil.disk_usage(disk).free - but))
    return ballast


def test_disk_full(small_disk: Path) -> None:
    """While the store is created, in the search, and among the figures; the command resumes."""
    project = copy_project(small_disk / "project")
    ballast = fill(small_disk, but=300_000)  # mlflow.db takes three times as much
    assert ending(finish(train(SEARCH, project), code=2)).code == "storage-unreachable"
    for sign in (STARTED, "mlruns/0/*/artifacts/figures/learning/curves.png"):
        ballast.unlink()
        process = train(SEARCH, project, figures="core")
        until(lambda sign=sign: list(project.glob(sign)), process)
        fill(small_disk)
        end = ending(finish(process, code=2))
        assert end.code in ("storage-unreachable", "disk-enospc")
        assert "database or disk is full" in end.sentence or "[Errno 28]" in end.sentence
        assert not list(project.rglob("*.partial"))
    ballast.unlink()
    finish(train(SEARCH, project))
    nothing_is_lost(project)


def test_folder_is_read_only(small_disk: Path) -> None:
    project = copy_project(small_disk / "project")
    before = sorted(project.rglob("*"))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    end = ending(finish(train(SEARCH, project), code=2))
    assert end.code == "folder-unwritable" and f"{project}/state" in end.sentence
    assert sorted(project.rglob("*")) == before


@contextmanager
def locked(project: Path) -> Iterator[None]:
    """Lock the store as a backup or another program would."""
    connection = sqlite3.connect(project / "mlflow.db", isolation_level=None, timeout=60)
    connection.execute("BEGIN EXCLUSIVE")
    yield
    connection.close()


def test_store_is_locked(project: Path) -> None:
    """For longer than SQLite's own timeout (5 seconds) and less than MLflow's (20)."""
    process = train(SEARCH, project)
    until(lambda: list(project.glob(STARTED)), process)
    with locked(project):
        time.sleep(6)
        assert process.poll() is None
    finish(process)
    nothing_is_lost(project)


DEAD_PROXY = "http://127.0.0.1:9"


@contextmanager
def tracking_server(folder: Path, port: int) -> Iterator[str]:
    """A real MLflow server on files in `folder`, killed at the end; its address."""
    url = f"http://127.0.0.1:{port}"
    line = (
        f"mlflow server --backend-store-uri sqlite:///{folder}/server.db --workers 1 "
        f"--artifacts-destination {folder}/artifacts --serve-artifacts --port {port}"
    )
    env = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with serving(line, folder, f"{url}/health", seconds=240, **env) as process:
        try:
            yield url
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_tracking_server_is_killed_and_comes_back(project: Path) -> None:
    """MLflow's client retries 7 times in 4 minutes."""
    folder, port = project.parent, free_port()
    with tracking_server(folder, port) as url:
        # The proxy is for other machines' servers.
        process = train(SEARCH, project, MLFLOW_TRACKING_URI=url, http_proxy=DEAD_PROXY)
        until(lambda: list(project.glob(STARTED)), process)
    with tracking_server(folder, port):
        finish(process)
        nothing_is_lost(project, MlflowClient(url))


def test_two_at_once(project: Path) -> None:
    """The same command twice, in a new checkout without a store."""
    for process in [train(SEARCH, project) for _ in range(2)]:
        finish(process)
    nothing_is_lost(project, trainings=2)


def test_a_run_folder_belongs_to_one_process(project: Path) -> None:
    """However many processes start and end."""
    code = (
        "from experiments.tracking import run_lock\n"
        "for _ in range(150):\n"
        "    with run_lock.acquire_run_dir('same') as place:\n"
        "        (place.folder / 'alone').touch(exist_ok=False)\n"
    )
    line = [sys.executable, "-c", code]
    how = {"cwd": project, "env": environment(), "stdout": subprocess.PIPE, "text": True}
    for process in [subprocess.Popen(line, stderr=subprocess.STDOUT, **how) for _ in range(4)]:
        finish(process)
    assert not list((project / "state/runs").iterdir())


def clock_shifter() -> str:
    """The library that shifts clocks; without it the test is skipped, but never in CI."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if library is None:
        assert not os.environ.get("CI"), "CI must have libfaketime: install Debian's faketime"
        pytest.skip("no faketime on this machine; Debian and Ubuntu have it as a package")
    return str(library)


def test_clock_goes_back(project: Path) -> None:
    shift = project.parent / "shift"
    shift.write_text("+0\n")
    fake = {"LD_PRELOAD": clock_shifter(), "FAKETIME_TIMESTAMP_FILE": str(shift)}
    fake |= {"FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    process = train(SEARCH, project, **fake)
    until(lambda: list(project.glob(STARTED)), process)
    shift.write_text("-3600\n")
    finish(process)
    logged = client(project).search_runs(["0"])
    assert any(run.info.end_time < run.info.start_time for run in logged)
    nothing_is_lost(project)

"""Faults that are really made: disk, database, server, checkpoints, clock; and nothing is lost."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient

from tests.conftest import client, copy_project, environment, free_port, serving
from tests.test_survival import finish, same, start, weights

EPOCHS, TRIALS = 300, 2
SEARCH = f"--trials {TRIALS} --epochs {EPOCHS}"
LONG_FIT = "--trials 0 --epochs 12000 --eval_every 1000"
BEGUN = "state/runs/*/*.journal"  # is there when a search has begun
CHECKPOINTS = "state/runs/*/fit-*/*.safetensors"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder]
    mounted = subprocess.run(line, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small disk takes the right to mount: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def train(options: str, project: Path, **env: str) -> subprocess.Popen[str]:
    line = f"experiments.train --task gate --gate xor --seed 3 {options}"
    return start(line, project, OMP_NUM_THREADS="1", PYTHONUNBUFFERED="1", **env)


def until(there: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait until `there` is true of what `process` does."""
    deadline = time.monotonic() + 120
    while not there():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.02)


def ends_with(sentence: str, process: subprocess.Popen[str]) -> str:
    """Let `process` end as a user's mistake does, with `sentence`; return what it says last."""
    said = finish(process, code=2)
    assert "Traceback" not in said, said
    last = said.strip().splitlines()[-1]
    assert last.startswith("Error: ") and sentence in last, said
    return last


def goes_well(process: subprocess.Popen[str]) -> str:
    said = finish(process)
    assert "Traceback" not in said, said
    return said


def nothing_is_lost(project: Path, store: MlflowClient | None = None, trainings: int = 1) -> None:
    """Check runs, metrics, versions and files of finished trainings with `SEARCH`."""
    store = store or client(project)
    found = store.search_runs(["0"], max_results=1000)
    parents = [run for run in found if "trial" not in run.data.tags]
    assert [run.info.status for run in parents] == ["FINISHED"] * trainings
    trials = Counter((r.data.tags["trial_state"], r.info.status) for r in found if r not in parents)
    assert trials["complete", "FINISHED"] + trials["pruned", "KILLED"] == TRIALS * trainings
    assert set(trials) <= {
        ("complete", "FINISHED"), ("pruned", "KILLED"), ("failed", "KILLED"), ("failed", "FAILED")
    }  # fmt: skip
    for run in found:
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
    """Fill `disk` up to `but` bytes; return the file that does it."""
    ballast = disk / "ballast"
    with suppress(OSError):
        ballast.write_bytes(bytes(shutil.disk_usage(disk).free - but))
    return ballast


def test_disk_full(small_disk: Path) -> None:
    """When the store is made, in the search, among the figures: room made, the command goes on."""
    project = copy_project(small_disk / "project")
    ballast = fill(small_disk, but=300_000)  # mlflow.db takes three times as much
    ends_with("database or disk is full. Once it is well, the same", train(SEARCH, project))
    for sign in (BEGUN, "mlruns/0/*/artifacts/figures/learning/curves.png"):
        ballast.unlink()
        process = train(SEARCH, project)
        until(lambda sign=sign: list(project.glob(sign)), process)
        fill(small_disk)
        last = ends_with("the same command", process)
        assert "database or disk is full" in last or "No space left on device" in last
        assert not list(project.rglob("*.partial"))
    ballast.unlink()
    goes_well(train(SEARCH, project))
    nothing_is_lost(project)


def test_disk_full_for_a_checkpoint_only(small_disk: Path) -> None:
    project = copy_project(small_disk / "project")
    process = train(f"{LONG_FIT} --gate all", project)
    until(lambda: list(project.glob(CHECKPOINTS)), process)
    ballast, said = fill(small_disk, but=200_000), ""  # a checkpoint has 300 kB
    while "No checkpoint: " not in said:
        said += (line := process.stdout.readline())
        assert line, said
    ballast.unlink()
    said += process.communicate()[0]
    assert "No space left on device. The training goes on without." in said
    assert process.returncode == 0 and "Traceback" not in said, said
    assert len(client(project).search_model_versions("name = 'gate'")) == 1


def test_folder_is_read_only(small_disk: Path) -> None:
    project = copy_project(small_disk / "project")
    before = sorted(project.rglob("*"))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    sentence = "expected a folder that can be written to, found: Read-only file system."
    ends_with(f"{project}/state: {sentence}", train(SEARCH, project))
    assert sorted(project.rglob("*")) == before


@contextmanager
def locked(project: Path) -> Iterator[None]:
    """Hold the store as a backup or another program would, so that nobody else may read it."""
    connection = sqlite3.connect(project / "mlflow.db", isolation_level=None, timeout=60)
    connection.execute("BEGIN EXCLUSIVE")
    yield
    connection.close()


def test_store_is_locked(project: Path) -> None:
    """Eight seconds pass unnoticed; MLflow itself gives up after 20."""
    process = train(SEARCH, project)
    until(lambda: list(project.glob(BEGUN)), process)
    with locked(project):
        time.sleep(8)
    time.sleep(1)
    with locked(project), suppress(subprocess.TimeoutExpired):
        process.wait(26)
    ends_with("database is locked. Once it is well, the same command goes on", process)
    goes_well(train(SEARCH, project))
    nothing_is_lost(project)


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def halve(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damages", [[flip], [halve, flip]])
def test_checkpoints_are_damaged(
    project: Path, tmp_path: Path, damages: list[Callable[[Path], None]]
) -> None:
    undisturbed = copy_project(tmp_path / "undisturbed")
    whole = train(LONG_FIT, undisturbed)
    process = train(LONG_FIT, project)
    until(lambda: len(list(project.glob(CHECKPOINTS))) >= 2, process)
    process.kill()
    process.communicate()
    damaged = sorted(project.glob(CHECKPOINTS), reverse=True)[: len(damages)]
    for damage, path in zip(damages, damaged, strict=True):
        damage(path)
    said = goes_well(train(LONG_FIT, project))
    assert all(f"{path.name[:16]}... is damaged" in said for path in damaged)
    assert said.count("is damaged") == len(damages)
    goes_well(whole)
    assert same(weights(project, "gate"), weights(undisturbed, "gate"))


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


def test_tracking_server_goes_for_20_seconds(project: Path) -> None:
    """MLflow's client tries again by itself, 7 times in 4 minutes."""
    folder, port = project.parent, free_port()
    with tracking_server(folder, port) as url:
        process = train(SEARCH, project, MLFLOW_TRACKING_URI=url)
        until(lambda: list(project.glob(BEGUN)), process)
    time.sleep(20)
    with tracking_server(folder, port):
        goes_well(process)
        nothing_is_lost(project, MlflowClient(url))


def test_two_at_once(project: Path) -> None:
    """The very same command twice, in a new checkout without a store."""
    for process in [train(SEARCH, project) for _ in range(2)]:
        goes_well(process)
    nothing_is_lost(project, trainings=2)


def test_a_place_is_never_two_processes(project: Path) -> None:
    """Who has a place is alone in it, however many come and go."""
    code = (
        "from experiments import lease\n"
        "for _ in range(150):\n"
        "    with lease.place('same') as place:\n"
        "        (place.folder / 'alone').touch(exist_ok=False)\n"
    )
    line = [sys.executable, "-c", code]
    how = {"cwd": project, "env": environment(), "stdout": subprocess.PIPE, "text": True}
    for process in [subprocess.Popen(line, stderr=subprocess.STDOUT, **how) for _ in range(4)]:
        goes_well(process)
    assert not list((project / "state/runs").iterdir())


def clock_shifter() -> str:
    """The library that shifts clocks; without it the test is skipped, but never in CI."""
    found = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)
    if found is None:
        assert not os.environ.get("CI"), "CI must have libfaketime: install Debian's faketime"
        pytest.skip("no faketime on this machine; Debian and Ubuntu have it as a package")
    return str(found)


def test_clock_goes_back(project: Path) -> None:
    shift = project.parent / "shift"
    shift.write_text("+0\n")
    fake = {"LD_PRELOAD": clock_shifter(), "FAKETIME_TIMESTAMP_FILE": str(shift)}
    fake |= {"FAKETIME_CACHE_DURATION": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    process = train(SEARCH, project, **fake)
    until(lambda: list(project.glob(BEGUN)), process)
    shift.write_text("-3600\n")
    goes_well(process)
    found = client(project).search_runs(["0"])
    assert any(run.info.end_time < run.info.start_time for run in found)
    nothing_is_lost(project)

"""Many workers: two on one machine; four on a real PostgreSQL and a real tracking server."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
import psycopg
import pytest
from mlflow import MlflowClient

from tests.conftest import Command, client, copy_project, free_port, serving
from tests.test_survival import finish, start

SECRET = "not-for-logs-7391"  # noqa: S105
TRIALS = 60


def server_programs() -> Path:
    """The folder of PostgreSQL's programs; without it the test is skipped, but never in CI."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    if not found:
        assert not os.environ.get("CI"), "CI must have PostgreSQL: install Debian's postgresql"
        pytest.skip("no PostgreSQL on this machine; Debian and Ubuntu have it as a package")
    return found[-1]


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of its own; its address, with the password, without a database."""
    programs, port = server_programs(), free_port()
    who = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}  # root is refused

    def call(program: str, *arguments: str) -> None:
        line, env = (
            [str(programs / program), *arguments],
            {"PGPASSWORD": SECRET, "LC_ALL": "C.UTF-8"},
        )
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL, cwd="/", env=env, **who)

    with tempfile.TemporaryDirectory() as folder:
        if who:
            shutil.chown(folder, *who.values())
        data, words = f"{folder}/data", Path(folder, "password")
        words.write_text(SECRET)
        call("initdb", "-D", data, "-U", "them", "-A", "scram-sha-256", "--pwfile", str(words))
        options = f"-p {port} -k {folder} -h 127.0.0.1"
        call("pg_ctl", "-D", data, "-l", f"{folder}/log", "-w", "start", "-o", options)
        try:
            for name in ("optuna", "mlflow"):
                call("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "them", name)
            yield f"postgresql+psycopg://them:{SECRET}@127.0.0.1:{port}"
        finally:
            call("pg_ctl", "-D", data, "-m", "immediate", "stop")


def test_two_workers_share_a_study(tmp_path: Path, run: Command) -> None:
    project = copy_project(tmp_path / "project")
    line = "mlflow run . -e tune -P task=gate -P study=pair -P workers=2 -P epochs=200 -P trials="
    for trials in (6, 6, 8):  # the count is the study's
        run(f"{line}{trials}", cwd=project)
        storage = optuna.storages.journal.JournalFileBackend(
            str(project / "state/studies/pair.journal")
        )
        study = optuna.load_study(
            study_name="pair", storage=optuna.storages.JournalStorage(storage)
        )
        assert len(study.trials) == trials
    assert len({trial.user_attrs["lease"]["lease.pid"] for trial in study.trials[:6]}) == 2
    found = client(project).search_runs(["0"], max_results=100)
    children = [r for r in found if "trial" in r.data.tags]
    ended = Counter(r.info.status for r in children)
    assert (ended["FINISHED"], ended["KILLED"]) == (8 - pruned(study), pruned(study))
    parents = {r.data.tags["mlflow.parentRunId"] for r in children}
    assert parents == {study.user_attrs["run"]}


def pruned(study: optuna.Study) -> int:
    return sum(trial.state.name == "PRUNED" for trial in study.trials)


def test_four_workers_on_postgresql_lose_nothing(tmp_path: Path) -> None:
    projects = [copy_project(tmp_path / f"machine{n}") for n in range(2)]
    port = free_port()
    with postgresql() as address:
        line = (
            f"mlflow server --backend-store-uri {address}/mlflow --serve-artifacts --workers 1 "
            f"--artifacts-destination {tmp_path}/artifacts --host 127.0.0.1 --port {port}"
        )
        url = f"http://127.0.0.1:{port}"
        with serving(
            line, tmp_path, f"{url}/health", seconds=240, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false"
        ):
            storage = f"{address}/optuna"
            work = (
                "experiments.tune --task gate --study wide --epochs 1000 "
                f"--trials {TRIALS} --storage {storage}"
            )
            env = {"MLFLOW_TRACKING_URI": url, "OMP_NUM_THREADS": "1"}
            workers = [start(work, projects[n % 2], **env) for n in range(4)]
            reached(storage, 12)
            killed = busy(storage, workers)
            killed.kill()
            reached(storage, 20)
            ended = busy(storage, [worker for worker in workers if worker is not killed])
            ended.send_signal(signal.SIGTERM)
            logs = [killed.communicate()[0], finish(ended, code=130)]
            logs += [finish(worker) for worker in workers if worker not in (killed, ended)]
            with opened(storage) as study:
                check(study, MlflowClient(url))
            text = dumped(MlflowClient(url))
        assert "The same command goes on from here" in logs[1]
    assert SECRET not in "".join(logs) + text
    for project in projects:
        for path in (project / "state").rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def reached(storage: str, count: int, seconds: float = 240) -> None:
    """Wait until so many trials are finished."""
    deadline, finished = time.monotonic() + seconds, 0
    while finished < count:
        assert time.monotonic() < deadline
        time.sleep(0.5)
        with (
            suppress(psycopg.errors.UndefinedTable),
            psycopg.connect(storage.replace("+psycopg", "")) as connection,
        ):
            asked = "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')"
            finished = connection.execute(asked).fetchone()[0]


@contextmanager
def opened(storage: str) -> Iterator[optuna.Study]:
    """The study of the four workers."""
    database = optuna.storages.RDBStorage(storage, skip_compatibility_check=True)
    try:
        yield optuna.load_study(study_name="wide", storage=database)
    finally:
        database.engine.dispose()


def busy(storage: str, workers: list[subprocess.Popen[str]]) -> subprocess.Popen[str]:
    """Return one of the workers that is at a trial."""
    while True:
        with opened(storage) as study:
            marks = [t.user_attrs for t in study.trials if t.state.name == "RUNNING"]
        pids = {mark["lease"]["lease.pid"] for mark in marks if "run" in mark}
        for worker in workers:
            if str(worker.pid) in pids:
                return worker


def check(study: optuna.Study, store: MlflowClient) -> None:
    """Exactly the trials asked for, each with its run, none under way."""
    states = Counter(trial.state.name for trial in study.trials)
    assert states["COMPLETE"] + states["PRUNED"] == TRIALS, states
    assert set(states) <= {"COMPLETE", "PRUNED", "FAIL"} and 1 <= states["FAIL"] <= 2, states
    runs = {r.info.run_id: r for r in store.search_runs(["0"], max_results=1000)}
    left = [(r.info.run_name, r.data.tags) for r in runs.values() if r.info.status == "RUNNING"]
    assert not left, (left, states)
    parent = runs[study.user_attrs["run"]]
    assert parent.info.status == "FINISHED"
    for trial in study.trials:
        (mine,) = (r for r in runs.values() if r.data.tags.get("trial") == str(trial.number))
        state = mine.data.tags["trial_state"]
        assert state == {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower())
        assert mine.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert len(runs) == 1 + len(study.trials)
    retried = [
        trial.user_attrs["retry_of"] for trial in study.trials if "retry_of" in trial.user_attrs
    ]
    assert sorted(retried) == [trial.number for trial in study.trials if trial.state.name == "FAIL"]


def dumped(store: MlflowClient) -> str:
    """All parameters and tags of all runs, as text."""
    return "".join(
        str((run.data.params, run.data.tags)) for run in store.search_runs(["0"], max_results=1000)
    )


def test_a_database_that_does_not_answer_is_told(tmp_path: Path) -> None:
    project, port = copy_project(tmp_path / "project"), free_port()
    storage = f"postgresql+psycopg://them:{SECRET}@127.0.0.1:{port}/optuna"
    said = finish(
        start(f"experiments.tune --task gate --study a --storage {storage}", project), code=2
    )
    assert f"storage: postgresql+psycopg://them:***@127.0.0.1:{port}/optuna cannot be used" in said
    assert SECRET not in said and "Traceback" not in said
    assert not list((project / "state" / "runs").iterdir())

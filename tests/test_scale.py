"""Many workers, as processes: two on one machine; three on a real PostgreSQL and MLflow server."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
import psycopg
import pytest
from mlflow import MlflowClient

from experiments.training.config import HOW_TO_RESUME
from tests.conftest import Command, client, copy_project, free_port, serving
from tests.test_survival import finish, start

SECRET = "not-for-logs-7391"  # noqa: S105
TRIALS = 10

pytestmark = pytest.mark.slow


def server_programs() -> Path:
    """The folder of PostgreSQL's programs; without it the test is skipped, but never in CI."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parts[-2]))
    if not folders:
        assert not os.environ.get("CI"), "CI must have PostgreSQL: install Debian's postgresql"
        pytest.skip("no PostgreSQL on this machine; Debian and Ubuntu have it as a package")
    return folders[-1]


@contextmanager
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of its own; its address, with the password, without a database."""
    programs, port = server_programs(), free_port()
    who = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}  # root is refused

    def call(program: str, *arguments: str) -> None:
        line = [str(programs / program), *arguments]
        env = {"PGPASSWORD": SECRET, "LC_ALL": "C.UTF-8"}
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
    options = "-P task=gate -P study=pair -P workers=2 -P epochs=200 -P trials=6 -P figures=none"
    run(f"mlflow run . -e tune {options}", cwd=project)
    backend = optuna.storages.journal.JournalFileBackend
    storage = optuna.storages.JournalStorage(backend(f"{project}/state/studies/pair.journal"))
    study = optuna.load_study(study_name="pair", storage=storage)
    assert len(study.trials) == 6
    assert len({trial.user_attrs["lease"]["lease.pid"] for trial in study.trials}) == 2
    logged = client(project).search_runs(["0"], max_results=100)
    children = [r for r in logged if "trial" in r.data.tags]
    ended = Counter(r.info.status for r in children)
    assert (ended["FINISHED"], ended["KILLED"]) == (6 - pruned(study), pruned(study))
    parents = {r.data.tags["mlflow.parentRunId"] for r in children}
    assert parents == {study.user_attrs["run"]}


def pruned(study: optuna.Study) -> int:
    return sum(trial.state.name == "PRUNED" for trial in study.trials)


def test_three_workers_on_postgresql_lose_nothing(tmp_path: Path) -> None:
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
                "experiments.tune --task gate --study wide --epochs 500 --figures none "
                f"--trials {TRIALS} --storage {storage}"
            )
            env = {"MLFLOW_TRACKING_URI": url, "OMP_NUM_THREADS": "1"}
            workers = [start(work, projects[n % 2], **env) for n in range(3)]
            wait(lambda: finished(storage) >= 2)
            killed = wait(lambda: in_trial(storage, workers))
            killed.kill()
            wait(lambda: finished(storage) >= 4)
            others = [worker for worker in workers if worker is not killed]
            ended = wait(lambda: in_trial(storage, others))
            ended.send_signal(signal.SIGTERM)
            logs = [killed.communicate()[0], finish(ended, code=130)]
            logs += [finish(worker) for worker in workers if worker not in (killed, ended)]
            with opened(storage) as study:
                check(study, MlflowClient(url))
            text = dumped(MlflowClient(url))
        assert HOW_TO_RESUME in logs[1]
    assert SECRET not in "".join(logs) + text
    for project in projects:
        for path in (project / "state").rglob("*"):
            assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def wait(condition: Callable[[], Any], seconds: float = 240) -> Any:
    """Return the first true result of `condition`, called every 0.2 s."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return result


def finished(storage: str) -> int:
    """Return how many trials are finished; 0 before there are tables."""
    with (
        suppress(psycopg.errors.UndefinedTable),
        psycopg.connect(storage.replace("+psycopg", "")) as connection,
    ):
        query = "SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')"
        return connection.execute(query).fetchone()[0]
    return 0


def in_trial(storage: str, workers: list[subprocess.Popen[str]]) -> subprocess.Popen[str] | None:
    """Return one of the workers that trains a trial now; None if there is none."""
    with opened(storage) as study:
        attrs = [t.user_attrs for t in study.trials if t.state.name == "RUNNING"]
    pids = {attr["lease"]["lease.pid"] for attr in attrs if "run" in attr}
    return next((worker for worker in workers if str(worker.pid) in pids), None)


@contextmanager
def opened(storage: str) -> Iterator[optuna.Study]:
    """The study of the workers."""
    database = optuna.storages.RDBStorage(storage, skip_compatibility_check=True)
    try:
        yield optuna.load_study(study_name="wide", storage=database)
    finally:
        database.engine.dispose()


def check(study: optuna.Study, store: MlflowClient) -> None:
    """Exactly the requested trials, each with its run, none running."""
    states = Counter(trial.state.name for trial in study.trials)
    assert states["COMPLETE"] + states["PRUNED"] == TRIALS, states
    assert set(states) <= {"COMPLETE", "PRUNED", "FAIL"} and 1 <= states["FAIL"] <= 2, states
    runs = {r.info.run_id: r for r in store.search_runs(["0"], max_results=1000)}
    left = [(r.info.run_name, r.data.tags) for r in runs.values() if r.info.status == "RUNNING"]
    assert not left, (left, states)
    parent = runs[study.user_attrs["run"]]
    assert parent.info.status == "FINISHED"
    for trial in study.trials:
        (run,) = (r for r in runs.values() if r.data.tags.get("trial") == str(trial.number))
        state = run.data.tags["trial_state"]
        assert state == {"FAIL": "failed"}.get(trial.state.name, trial.state.name.lower())
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
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

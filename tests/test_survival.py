"""No work is lost when commands are killed (in process: test_resume, test_study)."""

import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
import torch
from mlflow.entities import Run

from experiments import tasks
from experiments.training.config import HOW_TO_RESUME
from experiments.training.device import choose_device, to_device
from experiments.training.loop import fit, initialise
from tests.conftest import Command, client, copy_project, environment

pytestmark = pytest.mark.slow

QUICK = "--task gate --gate xor --figures none"
SEARCH = f"{QUICK} --trials 2 --seed 3 --epochs 600 --eval_every 20"
LONG = f"{QUICK} --trials 0 --seed 3 --epochs 6000 --eval_every 500"
KILLS_AT = (0.5, 0.9, 1.0)  # of the metrics of two trials and a fit: in trial 2, the fit, after it
CHECKPOINTS = "state/runs/*/fit-*/*.safetensors"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


def start(line: str, project: Path, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", *line.split()],
        cwd=project,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str], code: int = 0) -> str:
    output = process.communicate(timeout=300)[0]
    assert process.returncode == code and "Traceback" not in output, output
    return output


def until(
    condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = 120
) -> None:
    """Wait for `condition` while `process` runs."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.02)


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def saved(project: Path) -> list[Path]:
    """The checkpoints, the oldest first."""
    return sorted(project.glob(CHECKPOINTS))


def runs(project: Path, parents: bool) -> list[Run]:
    logged = client(project).search_runs(["0"], max_results=1000)
    return [run for run in logged if ("mlflow.parentRunId" not in run.data.tags) is parents]


def weights(project: Path, task: str) -> dict[str, torch.Tensor]:
    """The registered version's weights, read from its files."""
    store = client(project)
    (version,) = store.search_model_versions(f"name = '{task}'")
    model = store.get_logged_model(version.source.removeprefix("models:/"))
    (archive,) = Path(model.artifact_location.removeprefix("file://")).rglob("*.pt2")
    return torch.export.load(archive).state_dict


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def undisturbed(**hparams: float) -> dict[str, torch.Tensor]:
    """The weights of a fit with seed 3, in this process."""
    task = tasks.get("gate")
    splits = task.load(task.data_options(gate="xor"))
    table, settings = to_device(splits.train, choose_device("cpu")), task.hparams(**hparams)
    net = initialise(task, splits, settings, 3)
    for _ in fit(task, net, table, table, settings, seed=3):
        pass
    return task.select_model(net, table).state_dict()


def logged(project: Path) -> int:
    """How many metrics of epochs the store holds; 0 if it cannot be read."""
    with (
        suppress(sqlite3.OperationalError),
        closing(sqlite3.connect(f"file:{project}/mlflow.db?mode=ro", uri=True)) as store,
    ):
        query = "SELECT count(*) FROM metrics WHERE key = 'val_loss'"
        return int(store.execute(query).fetchone()[0])
    return 0


def test_killed_in_trials_in_the_fit_and_while_registering_it_resumes(project: Path) -> None:
    dice, epochs, steps = random.Random(3), 600, 30  # noqa: S311
    line = f"experiments.train {SEARCH}"
    for at in KILLS_AT:
        process = start(line, project)
        until(lambda at=at: logged(project) >= at * 3 * steps, process)
        with suppress(subprocess.TimeoutExpired):
            process.wait(dice.uniform(0, 0.5))
            pytest.fail(f"it ended before it was killed: {process.communicate()[0]}")
        kill(process)
    finish(start(line, project))
    (parent,) = runs(project, parents=True)
    assert parent.info.status == "FINISHED"
    trials = runs(project, parents=False)
    ended = {"complete": "FINISHED", "pruned": "KILLED", "failed": "KILLED"}
    for trial in trials:
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.info.status == ended[trial.data.tags["trial_state"]]
    states = Counter(trial.data.tags["trial_state"] for trial in trials)
    assert states["complete"] + states["pruned"] == 2 and states["failed"] >= 1
    store = client(project)
    for name, count in (("val_loss", steps), ("test_accuracy", 1)):
        logged_at = [p.step for p in store.get_metric_history(parent.info.run_id, name)]
        assert logged_at == sorted(set(logged_at)) and len(logged_at) == count
    assert not list((project / "state" / "runs").iterdir())
    best = {n: parent.data.params[f"hparams/{n}"] for n in ("lr", "hidden_dim", "activation")}
    best |= {"lr": float(best["lr"]), "hidden_dim": int(best["hidden_dim"])}
    expected = undisturbed(**best, epochs=epochs, eval_every=epochs // steps)
    assert same(weights(project, "gate"), expected)


def test_terminated_it_saves_and_mlflow_run_resumes_from_an_intact_checkpoint(
    project: Path, run: Command
) -> None:
    process = start(f"experiments.train {LONG}", project)
    until(lambda: saved(project), process)
    process.send_signal(signal.SIGTERM)
    output = finish(process, code=130)
    assert output.strip().splitlines()[-1] == f"Interrupted. {HOW_TO_RESUME}"
    (stopped,) = runs(project, parents=True)
    assert stopped.info.status == "KILLED"
    earlier, last = saved(project)
    assert int(last.name[:8]) > int(earlier.name[:8])
    last.write_bytes(last.read_bytes()[:-1])
    words = LONG.replace("--", "").split()
    pairs = zip(words[::2], words[1::2], strict=True)
    out = run(f"mlflow run . -e train {' '.join(f'-P {k}={v}' for k, v in pairs)}", cwd=project)
    assert last.name[:16] in out.stdout + out.stderr
    project_run, run_ = runs(project, parents=True)
    assert run_.info.run_id == stopped.info.run_id and run_.info.status == "FINISHED"
    assert project_run.data.tags["continued_in"] == run_.info.run_id
    assert project_run.info.status == "FINISHED"
    assert same(weights(project, "gate"), undisturbed(epochs=6000, eval_every=500))


def test_restart_starts_over_and_ends_the_dead_run(project: Path) -> None:
    process = start(f"experiments.train {LONG}", project)
    until(lambda: saved(project), process)
    kill(process)
    (dead,) = runs(project, parents=True)
    assert dead.info.status == "RUNNING"
    finish(start(f"experiments.train {LONG} --resume false", project))
    newest, oldest = runs(project, parents=True)
    assert oldest.info.run_id == dead.info.run_id and oldest.info.status == "KILLED"
    assert str(process.pid) in oldest.data.tags["reason"]
    assert newest.info.status == "FINISHED"
    assert not list((project / "state" / "runs").iterdir())

"""Nobody loses work: processes really killed, at random moments, many times."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from mlflow.entities import Run

from experiments.data import mnist
from experiments.options import HOW_TO_GO_ON
from tests.conftest import Command, client, copy_project, environment, write_digits

GATE = "--task gate --trials 4 --seed 3 --epochs 1500"
LONG = "--task gate --trials 0 --seed 3 --epochs 4000"
DIGITS = "--task mnist --trials 2 --seed 3 --epochs 3 --data_dir {digits}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory: pytest.TempPathFactory, digits: mnist.Mnist) -> Path:
    """A folder with a few thousand digits."""
    return write_digits(tmp_path_factory.mktemp("few"), digits, 6000)


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
    said = process.communicate(timeout=300)[0]
    assert process.returncode == code, said
    return said


def runs(project: Path, parents: bool) -> list[Run]:
    found = client(project).search_runs(["0"], max_results=1000)
    return [run for run in found if ("mlflow.parentRunId" not in run.data.tags) is parents]


def weights(project: Path, task: str) -> dict[str, torch.Tensor]:
    """The registered version's weights, read from its files."""
    store = client(project)
    (version,) = store.search_model_versions(f"name = '{task}'")
    model = store.get_logged_model(version.source.removeprefix("models:/"))
    (archive,) = Path(model.artifact_location.removeprefix("file://")).rglob("*.pt2")
    return torch.export.load(archive).state_dict


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("task", ["gate", "mnist"])
def test_killed_at_random_moments_it_goes_on(project: Path, few_digits: Path, task: str) -> None:
    line = f"experiments.train {GATE if task == 'gate' else DIGITS.format(digits=few_digits)}"
    undisturbed = copy_project(project.parent / "undisturbed")
    began = time.monotonic()
    finish(start(line, undisturbed))
    whole = time.monotonic() - began
    dice, kills = random.Random(task), 0  # noqa: S311
    while kills < 40:
        process = start(line, project)
        try:
            process.wait(dice.uniform(0.2, 0.6 if kills < 2 else 1.2) * whole)
            break
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
    finish(process)
    assert kills >= 2
    (parent,) = runs(project, parents=True)
    assert parent.info.status == "FINISHED"
    trials = runs(project, parents=False)
    ended = {"complete": "FINISHED", "pruned": "KILLED", "failed": "KILLED"}
    for trial in trials:
        assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert trial.info.status == ended[trial.data.tags["trial_state"]]
    states = Counter(trial.data.tags["trial_state"] for trial in trials)
    assert states["complete"] + states["pruned"] == (4 if task == "gate" else 2)
    store = client(project)
    for name in ("val_loss", "test_accuracy"):
        steps = [p.step for p in store.get_metric_history(parent.info.run_id, name)]
        assert steps == sorted(set(steps))
    assert len(store.search_model_versions(f"name = '{task}'")) == 1
    assert not list((project / "state" / "runs").iterdir())
    assert same(weights(project, task), weights(undisturbed, task))


@pytest.fixture
def stopped(project: Path) -> Run:
    """The run of a long fit that was told to end in its midst."""
    process = start(f"experiments.train {LONG}", project)
    saved(process, project)
    process.send_signal(signal.SIGTERM)
    said = finish(process, code=130)
    assert said.strip().splitlines()[-1] == f"Interrupted. {HOW_TO_GO_ON}"
    (run,) = runs(project, parents=True)
    assert run.info.status == "KILLED"
    return run


def saved(process: subprocess.Popen[str], project: Path) -> list[Path]:
    """Wait for a checkpoint, and return those there are."""
    deadline = time.monotonic() + 120
    while not (found := list(project.glob("state/runs/*/fit-*/*.safetensors"))):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_told_to_end_it_saves_and_mlflow_run_goes_on(
    project: Path, stopped: Run, run: Command
) -> None:
    saved_by_then, at_the_end = sorted(project.glob("state/runs/*/fit-*/*.safetensors"))
    assert int(at_the_end.name[:8]) > int(saved_by_then.name[:8])
    words = LONG.replace("--", "").split()
    pairs = zip(words[::2], words[1::2], strict=True)
    run(f"mlflow run . -e train {' '.join(f'-P {k}={v}' for k, v in pairs)}", cwd=project)
    made, again = runs(project, parents=True)
    assert again.info.run_id == stopped.info.run_id and again.info.status == "FINISHED"
    assert made.data.tags["continued_in"] == again.info.run_id and made.info.status == "FINISHED"
    undisturbed = copy_project(project.parent / "undisturbed")
    finish(start(f"experiments.train {LONG}", undisturbed))
    assert same(weights(project, "gate"), weights(undisturbed, "gate"))


def test_resume_never_starts_afresh(project: Path, stopped: Run) -> None:
    finish(start(f"experiments.train {LONG} --resume never", project))
    newest, oldest = runs(project, parents=True)
    assert oldest.info.run_id == stopped.info.run_id and oldest.info.status == "KILLED"
    assert newest.info.status == "FINISHED"
    assert not list((project / "state" / "runs").iterdir())


def test_dead_runs_are_ended_by_whoever_starts_next(project: Path) -> None:
    process = start(f"experiments.train {LONG}", project)
    saved(process, project)
    process.kill()
    process.communicate()
    (dead,) = runs(project, parents=True)
    assert dead.info.status == "RUNNING"
    alive = start(f"experiments.train {LONG.replace('--seed 3', '--seed 4')}", project)
    saved(alive, project)
    finish(start("experiments.train --task gate --trials 0", project))
    by_id = {run.info.run_id: run for run in runs(project, parents=True)}
    ended = by_id.pop(dead.info.run_id)
    assert ended.info.status == "KILLED" and f"({process.pid} on " in ended.data.tags["reason"]
    assert sorted(run.info.status for run in by_id.values()) == ["FINISHED", "RUNNING"]
    alive.kill()
    alive.communicate()

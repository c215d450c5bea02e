"""Nobody loses work: processes really killed, at random moments, many times."""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from mlflow.entities import Run

from experiments.data import idx, mnist
from tests.conftest import client, copy_project, environment

GATE = "--task gate --trials 4 --seed 3 --epochs 1500"
DIGITS = "--task mnist --trials 2 --seed 3 --epochs 3 --data_dir {digits}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory: pytest.TempPathFactory, digits: mnist.Mnist) -> Path:
    """A folder with a few thousand digits."""
    folder = tmp_path_factory.mktemp("few")
    arrays = (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels)
    for name, array in zip(mnist.CANONICAL_MD5, arrays, strict=True):
        (folder / name).write_bytes(idx.pack(array[:6000]))
    return folder


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
    """The champion's weights, read from its files."""
    (archive,) = (project / "mlruns").rglob("*.pt2")
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
            process.wait(dice.uniform(0.3, 1.1) * whole)
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

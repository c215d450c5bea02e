"""The README's commands, word for word, in a second checkout with a store of its own."""

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments import tasks
from experiments.data import mnist
from tests.conftest import (
    Command,
    client,
    copy_project,
    environment,
    free_port,
    serving,
    write_digits,
)

EVERY_EPOCH = {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"}

TASKS = ", ".join(repr(name) for name in tasks.names())


def runs(store: MlflowClient, name: str = "") -> list[Run]:
    """All runs, the newest first; those of one MLproject entry and task if `name` says so."""
    found = store.search_runs(["0"], max_results=1000)
    return [run for run in found if name in run.info.run_name or not name]


def parent(store: MlflowClient, task: str) -> Run:
    """The first run that trained `task`."""
    mine = [
        run
        for run in runs(store)
        if run.data.params.get("task") == task and "mlflow.parentRunId" not in run.data.tags
    ]
    return mine[-1]


def test_before_training_there_is_one_sentence(tmp_path: Path, run: Command) -> None:
    fresh = copy_project(tmp_path / "fresh")
    for line, makes in (
        ("python export/to_onnx.py", "mlflow run . -e train -P task=mnist"),
        ("python serve/app.py", "python export/to_onnx.py --task gate"),
        ("python serve/app.py --backend torch", "mlflow run . -e train -P task=gate"),
    ):
        result = run(line, cwd=fresh, fails=True)
        assert result.returncode == 2 and makes in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert not (fresh / "mlflow.db").exists() and not (fresh / "model.onnx").exists()


@pytest.mark.parametrize("task", ["gate", "mnist"])
def test_run_holds_everything(store: MlflowClient, task: str) -> None:
    run = parent(store, task)
    assert run.info.status == "FINISHED"
    assert {"hparams/lr", "hparams/epochs", "seed", "threads"} <= set(run.data.params)
    assert {*EVERY_EPOCH, "test_loss", "test_accuracy"} <= set(run.data.metrics)
    for name in EVERY_EPOCH:
        steps = [point.step for point in store.get_metric_history(run.info.run_id, name)]
        assert steps == sorted(steps) and steps[-1] == float(run.data.params["hparams/epochs"])
    assert len(store.get_metric_history(run.info.run_id, "test_accuracy")) == 1
    assert {"version.torch", "version.mlflow", "mlflow.source.git.commit"} <= set(run.data.tags)
    data = run.inputs.dataset_inputs[0].dataset
    assert (
        data.digest == run.data.params["data_digest"] and data.name == run.data.params["data_name"]
    )
    assert json.loads(data.source)["tags"]["origin"] == run.data.params["data_source"]


def test_figures_are_logged_in_folders_named_by_what_they_show(store: MlflowClient) -> None:
    def figures(task: str, folder: str = "") -> set[str]:
        listed = store.list_artifacts(parent(store, task).info.run_id, f"figures/{folder}")
        return {Path(file.path).name for file in listed}

    both = {"network", "learning", "decisions", "index.json"}
    assert figures("mnist") == both | {"mistakes", "inside", "robustness"}
    assert figures("gate") == both | {"search"}
    searched = {"history", "importances", "parallel-coordinates", "pruned"}
    assert figures("gate", "search") == {f"{name}.png" for name in searched}
    for task in ("mnist", "gate"):
        named = {f"architecture{ending}" for ending in (".png", ".svg", "-dark.svg", ".md")}
        assert named <= figures(task, "network")
        assert {"curves.png", "replay.gif"} <= figures(task, "learning")


def test_pictures_with_steps_make_a_slider(store: MlflowClient) -> None:
    for task in ("mnist", "gate"):
        run = parent(store, task)
        files = [file.path for file in store.list_artifacts(run.info.run_id, "images")]
        steps = {int(re.search(r"step\+(\d+)", path)[1]) for path in files}
        assert 0 in steps and len(steps) >= 10


def test_trials_are_nested_and_true(store: MlflowClient) -> None:
    mine = parent(store, "gate")
    trials = [
        run for run in runs(store) if run.data.tags.get("mlflow.parentRunId") == mine.info.run_id
    ]
    assert len(trials) == 5
    for run in trials:
        ended = {"complete": "FINISHED", "pruned": "KILLED"}
        assert run.info.status == ended[run.data.tags["trial_state"]]
        assert {"hparams/lr", "hparams/hidden"} <= set(run.data.params)
        assert set(run.data.metrics) >= EVERY_EPOCH
    best = next(r for r in trials if r.info.run_name == f"trial {mine.data.tags['best_trial']}")
    assert best.data.params["hparams/lr"] == mine.data.params["hparams/lr"]


@pytest.mark.parametrize("task", ["gate", "mnist"])
def test_versions_are_registered_and_linked(store: MlflowClient, task: str) -> None:
    torch_version = store.get_model_version_by_alias(task, "champion")
    onnx_version = store.get_model_version_by_alias(f"{task}-onnx", "champion")
    assert torch_version.run_id == parent(store, task).info.run_id
    assert torch_version.tags["onnx_model"] == f"models:/{task}-onnx/{onnx_version.version}"
    assert onnx_version.tags["torch_model"] == f"models:/{task}/{torch_version.version}"
    assert float(torch_version.tags["test_accuracy"]) > 0.97


def test_gates_are_all_solved(store: MlflowClient) -> None:
    assert parent(store, "gate").data.metrics["test_accuracy"] == 1


def test_local_environment_and_worse_version(trained: Path, run: Command) -> None:
    line = "mlflow run . -e train --env-manager local -P task=gate -P trials=0 -P epochs=5"
    result = run(line)
    assert "It is now the challenger: validation: worse, " in result.stdout
    assert int(client(trained).get_model_version_by_alias("gate", "champion").version) == 1


@pytest.mark.parametrize(
    ("parameter", "says"),
    [
        ("task=foo", f"'foo' is not one of {TASKS}"),
        ("trials=-1", "-1 is not in the range"),
        ("lr=abc", "lr (peak learning rate"),
    ],
)
def test_bad_values_end_the_run_as_failed(
    trained: Path, run: Command, parameter: str, says: str
) -> None:
    before = {r.info.run_id for r in runs(client(trained))}
    result = run(f"mlflow run . -e train -P {parameter}", fails=True)
    assert result.returncode == 1  # MLflow's own: it hides the script's 2
    assert "Error: " in result.stderr and says in result.stderr and "Traceback" not in result.stderr
    new = [r for r in runs(client(trained)) if r.info.run_id not in before]
    assert [r.info.status for r in new] == ["FAILED"]


def test_missing_data_fail_with_a_sentence(trained: Path, run: Command) -> None:
    result = run("python -m experiments.train --data_dir /nowhere --trials 0", fails=True)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "/nowhere: expected train-images-idx3-ubyte" in result.stderr
    assert runs(client(trained))[0].info.status == "FAILED"


def test_foreign_digits_are_said_aloud_and_never_champion(
    trained: Path, run: Command, tmp_path: Path, digits: mnist.Mnist
) -> None:
    folder = write_digits(tmp_path / "own", digits, 300)
    line = f"mlflow run . -e train -P trials=0 -P epochs=2 -P data_dir={folder}"
    result = run(line)
    assert f"not canonical MNIST, from folder {folder}" in result.stdout + result.stderr
    assert "other data than the champion" in result.stdout
    newest = max(
        client(trained).search_model_versions("name = 'mnist'"), key=lambda v: int(v.version)
    )
    assert newest.tags["data_name"] == "not canonical MNIST"
    assert newest.tags["data_digest"] in result.stdout + result.stderr
    assert f"--model models:/mnist/{newest.version}" in result.stdout
    moved = folder.rename(tmp_path / "moved")
    export = f"python export/to_onnx.py --model models:/mnist/{newest.version} --out own.onnx"
    assert "Set MNIST_DIR" in run(export, fails=True).stderr
    assert "300 of 300 decisions the same" in run(export, MNIST_DIR=str(moved)).stdout


def test_serve_entry_serves(trained: Path) -> None:
    port = free_port()
    with serving(f"mlflow run . -e serve -P port={port}", trained, f"http://127.0.0.1:{port}"):
        pass


def test_tune_only_searches(trained: Path, run: Command) -> None:
    before = len(client(trained).search_model_versions("name = 'gate'"))
    result = run("mlflow run . -e tune -P task=gate -P trials=2 -P gate=xor -P restarts=4")
    said = result.stdout.strip().splitlines()[-1]
    again = dict(word.split("=") for word in said.split() if "=" in word)
    assert again["gate"] == "xor" and again["restarts"] == "4" and again["trials"] == "0"
    newest = client(trained).search_runs(["0"], max_results=3)  # the search and its two trials
    (best,) = (found for found in newest if "mlflow.parentRunId" not in found.data.tags)
    for name in ("lr", "hidden", "activation"):
        used = best.data.params[f"hparams/{name}"]
        assert again.get(name, str(getattr(tasks.get("gate").hparams(), name))) == used
    assert len(client(trained).search_model_versions("name = 'gate'")) == before


def test_export_entry_finds_its_version_again(trained: Path, run: Command) -> None:
    out = trained / "again.onnx"
    run(f"mlflow run . -e export -P task=gate -P out={out}")
    assert out.read_bytes() == (trained / "gate.onnx").read_bytes()
    assert len(client(trained).search_model_versions("name = 'gate-onnx'")) == 1


def test_termination_is_recorded(trained: Path) -> None:
    before = {r.info.run_id for r in runs(client(trained))}
    process = subprocess.Popen(
        ["python", "-m", "experiments.train", "--task", "mnist", "--trials", "3"],
        cwd=trained,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not [r for r in runs(client(trained), "trial 0") if r.info.run_id not in before]:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Interrupted." in said and "Traceback" not in said
    new = [r for r in runs(client(trained)) if r.info.run_id not in before]
    assert [r.info.status for r in new] == ["KILLED", "KILLED"]


def test_scripts_work_from_any_folder(trained: Path, run: Command, tmp_path: Path) -> None:
    run(f"python {trained}/export/to_onnx.py --task gate", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["gate.onnx"]


def test_environment_has_neither_conda_nor_pyenv() -> None:
    path = environment()["PATH"]
    assert not any(shutil.which(name, path=path) for name in ("conda", "mamba", "pyenv", "uv"))
    assert shutil.which("mlflow", path=path)

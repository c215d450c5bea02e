"""The README's commands, in a second checkout with its own store."""

import json
import re
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from experiments.core import cli
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
from tests.expect import ending

EVERY_EPOCH = {"train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr"}


def parents(store: MlflowClient) -> list[Run]:
    """The runs that are no trials, the newest first."""
    runs = store.search_runs(["0"], max_results=1000)
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def parent(store: MlflowClient, task: str) -> Run:
    """The first run that trained `task`."""
    return [run for run in parents(store) if run.data.params.get("task") == task][-1]


@pytest.mark.slow
def test_before_training_each_command_ends_with_one_sentence(tmp_path: Path, run: Command) -> None:
    fresh = copy_project(tmp_path / "fresh")
    for line, fix in (
        ("python export/to_onnx.py", cli.HOW_TO_TRAIN.format(task="mnist")),
        ("python serve/app.py", cli.HOW_TO_EXPORT.format(task="mnist")),
        ("python serve/app.py --backend torch", cli.HOW_TO_TRAIN.format(task="mnist")),
    ):
        result = run(line, cwd=fresh, fails=True)
        assert result.returncode == cli.USER_ERROR
        assert fix in ending(result.stderr).sentence
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


def figures(store: MlflowClient, run: Run, folder: str = "") -> set[str]:
    listed = store.list_artifacts(run.info.run_id, f"figures/{folder}")
    return {Path(file.path).name for file in listed}


def check_figures(store: MlflowClient, run: Run, folders: set[str]) -> None:
    """All figures, in folders by subject."""
    everywhere = {"network", "learning", "decisions", "index.json"}
    assert figures(store, run) == everywhere | folders
    named = {f"architecture{ending}" for ending in (".png", ".svg", "-dark.svg", ".md")}
    assert named <= figures(store, run, "network")
    assert "curves.png" in figures(store, run, "learning")


@pytest.mark.slow
def test_a_local_environment_all_figures_and_a_worse_version(
    store: MlflowClient, run: Command
) -> None:
    run(
        "mlflow run . -e train --env-manager local -P task=gate -P trials=4 -P lr=1e-4 "
        "-P epochs=200 -P figures=all"
    )
    newest = parents(store)[0]
    check_figures(store, newest, {"search"})
    assert any(name.endswith(".gif") for name in figures(store, newest, "learning"))
    searched = {
        "history", "importances", "parallel-coordinates", "slice", "contour", "rank", "edf",
        "timeline", "intermediate-values",
    }  # fmt: skip
    assert figures(store, newest, "search") == {f"{name}.png" for name in searched}
    assert newest.data.tags["promoted"] == "False"
    assert store.get_model_version_by_alias("gate", "challenger").run_id == newest.info.run_id
    assert int(store.get_model_version_by_alias("gate", "champion").version) == 1


def test_trials_are_nested_runs(store: MlflowClient) -> None:
    search = parent(store, "gate")
    trials = store.search_runs(["0"], f"tags.mlflow.parentRunId = '{search.info.run_id}'")
    assert len(trials) == 5
    for run in trials:
        ended = {"complete": "FINISHED", "pruned": "KILLED"}
        assert run.info.status == ended[run.data.tags["trial_state"]]
        assert {"hparams/lr", "hparams/hidden_dim"} <= set(run.data.params)
        assert set(run.data.metrics) >= EVERY_EPOCH
    best = next(r for r in trials if r.info.run_name == f"trial {search.data.tags['best_trial']}")
    assert best.data.params["hparams/lr"] == search.data.params["hparams/lr"]


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


@pytest.mark.slow
def test_bad_values_end_the_run_as_failed(trained: Path, run: Command) -> None:
    result = run("mlflow run . -e train -P lr=abc", fails=True)
    assert result.returncode == 1  # MLflow's own: it hides the script's 2
    assert ending(result.stderr).code == "value-invalid"
    assert parents(client(trained))[0].info.status == "FAILED"


@pytest.mark.slow
def test_other_digits_with_all_figures_are_never_champion(
    store: MlflowClient, run: Command, tmp_path: Path, digits: mnist.Mnist
) -> None:
    folder = write_digits(tmp_path / "own", digits, 600)
    line = "mlflow run . -e train -P recipe=fast -P trials=0 -P epochs=2 -P figures=all"
    result = run(f"{line} -P batch_size=32 -P data_dir={folder}")
    newest = parents(store)[0]
    check_figures(store, newest, {"mistakes", "features", "robustness"})
    version = store.get_model_version_by_alias("mnist", "challenger")
    assert version.run_id == newest.info.run_id
    champion = store.get_model_version_by_alias("mnist", "champion")
    assert int(champion.version) == 1 and champion.tags["data_name"] != version.tags["data_name"]
    assert f"--model models:/mnist/{version.version}" in result.stdout
    moved = folder.rename(tmp_path / "moved")
    export = f"python export/to_onnx.py --model models:/mnist/{version.version} --out own.onnx"
    missing = ending(run(export, fails=True).stderr)
    assert missing.code == "data-differ" and "MNIST_DIR" in missing.sentence
    assert re.search(r"\b30 of 30\b", run(export, MNIST_DIR=str(moved)).stdout)


@pytest.mark.slow
def test_serve_entry_serves(trained: Path) -> None:
    port = free_port()
    with serving(f"mlflow run . -e serve -P port={port}", trained, f"http://127.0.0.1:{port}"):
        pass


@pytest.mark.slow
def test_tune_entry_searches_and_registers_nothing(store: MlflowClient, run: Command) -> None:
    before = len(store.search_model_versions("name = 'gate'"))
    run("mlflow run . -e tune -P task=gate -P trials=1 -P gate=xor -P epochs=20 -P figures=none")
    newest = parents(store)[0]
    assert newest.info.status == "FINISHED" and "best_trial" in newest.data.tags
    assert len(store.search_model_versions("name = 'gate'")) == before


@pytest.mark.slow
def test_export_entry_finds_its_version_again(trained: Path, run: Command) -> None:
    out = trained / "again.onnx"
    run(f"mlflow run . -e export -P task=gate -P out={out}")
    assert out.read_bytes() == (trained / "gate.onnx").read_bytes()
    assert len(client(trained).search_model_versions("name = 'gate-onnx'")) == 1


@pytest.mark.slow
def test_scripts_work_from_any_folder(trained: Path, run: Command, tmp_path: Path) -> None:
    run(f"python {trained}/export/to_onnx.py --task gate", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["gate.onnx"]


def test_environment_has_neither_conda_nor_pyenv() -> None:
    path = environment()["PATH"]
    assert not any(shutil.which(name, path=path) for name in ("conda", "mamba", "pyenv", "uv"))
    assert shutil.which("mlflow", path=path)

"""A third task is one file: Iris, found through EXTRA_TASKS, works with every command."""

import pkgutil
import re
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from experiments import report, tasks
from experiments.core.onnx_session import open_session, run_batches
from experiments.core.paths import ROOT
from experiments.evaluation import comparison
from experiments.registry import loading, model_card, versions
from experiments.registry.versions import Version
from experiments.tasks.task import EXCERPT_SIZE
from export import export_version, to_onnx
from serve.models.store import ModelStore
from tests import iris
from tests.conftest import Command, LocalQuery, client, copy_project
from tests.expect import refused
from tests.inprocess import Store

LINE = "--task iris --gate auto --num_restarts auto --epochs auto"


@pytest.fixture
def iris_store(own_store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv(tasks.EXTRA_TASKS, "tests.iris")
    return own_store


@pytest.fixture
def version(iris_store: Store) -> Version:
    iris_store.train(LINE)
    return versions.find("models:/iris/1")


def run_command(command: click.Command, line: str) -> None:
    result = CliRunner().invoke(command, line.split(), standalone_mode=False)
    if result.exception:
        raise result.exception


def test_iris_is_searched_trained_exported_compared_and_reported(
    iris_store: Store, tmp_path: Path
) -> None:
    iris_store.train(f"{LINE} --trials 2 --figures core")
    iris_store.train(f"{LINE} --epochs 1 --seed 1")
    first, second = (versions.find(f"models:/iris/{number}") for number in (1, 2))
    assert first.metadata["test_accuracy"] >= 0.9
    parent = f"tags.mlflow.parentRunId = '{first.run_id}'"
    assert len(iris_store.client.search_runs(["0"], parent)) == 2
    x = loading.load_splits(iris.TASK, first).val.x
    predictions = []
    for precision in ("fp32", "fp16", "int8"):
        out = tmp_path / f"{precision}.onnx"
        run_command(to_onnx.command, f"--task iris --precision {precision} --out {out}")
        logits = run_batches(open_session(out), x)["logits"]
        predictions.append(logits.argmax(1))
    assert all((pred != predictions[0]).sum() <= 1 for pred in predictions)
    store = ModelStore([], "onnxruntime", ["mnist"], query=LocalQuery).open()
    assert store.tasks == ["mnist", "iris"]  # the Model tab has a part for each
    assert store.load(store.defaults["iris"]).labels == list(first.metadata["labels"])
    page = tmp_path / "report.html"
    run_command(report.command, f"--model {first.uri} --against {second.uri} --out {page}")
    text = page.read_text()
    assert str(first) in text and str(second) in text
    assert len(comparison.compare(first, second).disagreements) > 0


@pytest.mark.slow
def test_the_commands_find_iris(tmp_path: Path, run: Command) -> None:
    project = copy_project(tmp_path / "project")
    line = "mlflow run . -e train -P task=iris -P trials=0 -P figures=none"
    run(line, project, EXTRA_TASKS="tests.iris")
    champion = client(project).get_model_version_by_alias("iris", "champion")
    assert int(champion.version) == 1


def test_the_model_card_lists_the_reads_of_the_test_split(version: Version, tmp_path: Path) -> None:
    """A training reads it once, an export once more; each version lists its own."""
    (evaluated,) = version.metadata["test_reads"]
    assert evaluated in model_card.render(version)
    run_command(to_onnx.command, f"--task iris --out {tmp_path}/iris.onnx")
    exported = versions.find("models:/iris-onnx/1")
    reads = exported.metadata["test_reads"]
    assert len({*reads}) == 2 and reads[0] == evaluated
    assert all(read in model_card.render(exported, version) for read in reads)


def test_a_refused_precision_does_not_read_the_test_split(
    version: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An int8 graph that predicts 2 of 30 validation samples otherwise is refused."""
    splits = loading.load_splits(iris.TASK, version)
    monkeypatch.setattr(loading, "load_splits", lambda *_: splits)
    exported = export_version.export(version, "int8")
    assert len(splits.test.reads) == 1
    assert exported.measured["test_reads"] == version.metadata["test_reads"] + splits.test.reads
    splits.test.reads.clear()
    monkeypatch.setattr(export_version, "to_precision", lambda graph, *_: biased(graph))
    with refused(
        "precision-changes-decisions", export_version.ParityError, expected="at most 1 of 30"
    ):
        export_version.export(version, "int8")
    assert splits.test.reads == []


def biased(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the graph with a last bias that makes it predict `setosa` always."""
    bias = next(t for t in model.graph.initializer if list(t.dims) == [3])
    bias.CopyFrom(onnx.numpy_helper.from_array(np.array([1e3, 0, 0], np.float32), bias.name))
    return model


# Files that read MNIST's test digits without `HeldOut.open`; none of them selects anything by it.
READ_THE_FILES = {
    "experiments/data/mnist.py": "loads them",
    "experiments/tasks/mnist.py": "puts them into HeldOut",
    "experiments/tasks/task.py": "HeldOut itself",
    "experiments/feedback.py": "copies them into an exported data set",
    "serve/tabs/digit/build_index.py": "shows on the page which of them a served model misreads",
    "serve/tabs/digit/neighbor_index.py": "shows on the page which of them excite a hidden unit",
    "export/space.py": "copies a small part of MNIST",
    "export/page_assets.py": "takes ten of them as the page's examples",
    "benchmarks/logic.py": "compares two circuits of the same votes, and times them",
    "benchmarks/reference.py": "measures the well-known example",
}


def test_only_held_out_opens_the_test_split() -> None:
    reading = {
        str(path.relative_to(ROOT))
        for folder in ("experiments", "export", "serve", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\._split\b|\btest_(images|labels)\b", path.read_text())
    }
    assert reading <= READ_THE_FILES.keys(), reading - READ_THE_FILES.keys()


def test_modules_without_a_task_are_no_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = {module.name for module in pkgutil.iter_modules(tasks.__path__)}
    assert modules > {*tasks.names()} and "task" in modules - {*tasks.names()}
    known = tasks.names()
    with refused("task-unknown", expected="gate, logic, mnist", found="iris"):
        tasks.get("iris")
    monkeypatch.setenv(tasks.EXTRA_TASKS, "tests.iris, tests.iris,")
    assert tasks.names() == sorted([*known, "iris"])
    assert tasks.get("iris") is iris.TASK


@pytest.mark.parametrize("name", ["tests.nowhere", "tests.expect", "experiments.tasks.task"])
def test_an_extra_module_without_a_task_is_an_error(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tasks.EXTRA_TASKS, f"tests.iris, {name}")
    with refused("module-missing", what=tasks.EXTRA_TASKS, found=repr(name)):
        tasks.names()


def test_an_extra_task_replaces_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iris, "TASK", replace(iris.TASK, name="gate"))
    monkeypatch.setenv(tasks.EXTRA_TASKS, "tests.iris")
    with refused("task-repeated", what=tasks.EXTRA_TASKS, found="'gate' in tests.iris"):
        tasks.get("gate")


def test_a_sample_is_shown_as_text_by_default() -> None:
    text = iris.TASK.show(np.array([5.1, 3.5, 1.4, 0.2], np.float32))
    assert text.split() == ["5.1", "3.5", "1.4", "0.2"] and len(text.splitlines()) == 2
    assert len(iris.TASK.show(np.zeros(100, np.float32)).split()) == EXCERPT_SIZE + 1

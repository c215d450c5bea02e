"""The commands `train`, `tune` and `export`, complete, in the test's own process."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments import tasks, train
from experiments.core import cli
from experiments.core.errors import DataError
from experiments.data import idx, mnist
from experiments.training.diagnosis import likely_cause
from experiments.training.metrics import EpochMetrics
from experiments.training.trainer import Trainer
from export import to_onnx
from tests.conftest import write_digits
from tests.expect import refused
from tests.inprocess import Store

DIGITS = "--task mnist --gate auto --num_restarts auto"


def test_a_training_registers_a_champion_and_leaves_nothing_unfinished(own_store: Store) -> None:
    own_store.train()
    champion = own_store.client.get_model_version_by_alias("gate", "champion")
    run = own_store.client.get_run(champion.run_id)
    assert run.info.status == "FINISHED" and run.data.tags["promoted"] == "True"
    assert run.data.metrics["test_accuracy"] == 1
    assert run.data.tags["command"] == own_store.request().as_command()
    assert run.data.tags["lease.file"].startswith(str(own_store.state))
    assert list((own_store.state / "runs").iterdir()) == []


def test_worse_versions_and_those_of_other_data_are_challengers(own_store: Store) -> None:
    for line in ("", "--epochs 5", "--gate and"):
        own_store.train(line)
    aliases = own_store.client.get_registered_model("gate").aliases
    assert aliases == {"champion": 1, "challenger": 3}
    runs = sorted(own_store.client.search_runs(["0"]), key=lambda run: run.info.start_time)
    assert [run.data.tags["promoted"] for run in runs] == ["True", "False", "False"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--hidden_dim 1", "one hidden unit cannot represent xor"),
        ("--epochs 2 --gate all", "too few epochs"),
        ("--hidden_dim 2 --gate parity4 --num_restarts 1", "too few hidden units"),
    ],
)
def test_what_did_not_learn_is_no_champion_and_the_last_line_says_why(
    own_store: Store, capsys: pytest.CaptureFixture[str], line: str, reason: str
) -> None:
    own_store.train(line)
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("It did not learn") and reason in last
    assert own_store.client.get_registered_model("gate").aliases == {"challenger": 1}
    (run,) = own_store.client.search_runs(["0"])
    assert (run.data.tags["learned"], run.data.tags["promoted"]) == ("False", "False")
    with refused("champion-missing", found="learned", fix="models:/gate/1"):
        to_onnx.find_version("gate", "auto")


@pytest.mark.parametrize(
    ("line", "train_accuracy", "reason"),
    [
        ("--data_dir {few}", 0.1, "too few samples"),
        ("--data_dir {some} --epochs 0.1", 0.3, "too short a training"),
        ("--data_dir {some} --epochs 100", 0.99, "by heart"),
        ("--data_dir {some} --epochs 100 --lr 1e-9", 0.1, "lr=1e-09"),
        ("--data_dir {shuffled} --epochs 100", 0.1, "nothing to do with the images"),
        ("--data_dir {constant}", 0.99, "every label is 3"),
    ],
)
def test_why_digits_were_not_learned(
    own_store: Store,
    digits: mnist.Mnist,
    tmp_path: Path,
    line: str,
    train_accuracy: float,
    reason: str,
) -> None:
    folders = {
        name: write_digits(tmp_path / name, digits, count)
        for name, count in (("few", 24), ("some", 600), ("shuffled", 600), ("constant", 600))
    }
    random = np.random.default_rng(0)
    labels = {
        "shuffled": random.permutation(digits.train_labels[:600]),
        "constant": np.full(600, 3),
    }
    for name, wrong in labels.items():
        (folders[name] / "train-labels-idx1-ubyte").write_bytes(idx.pack(wrong))
    trainer = Trainer.prepare(own_store.request(f"{DIGITS} {line.format(**folders)}"))
    best = EpochMetrics(1, 2.0, train_accuracy, 2.0, 0.1, 0.1)
    assert reason in likely_cause(trainer, best)


def test_what_did_not_learn_replaces_no_champion(own_store: Store) -> None:
    for line in ("", "--hidden_dim 1", "--epochs 1"):
        own_store.train(line)
    assert own_store.client.get_registered_model("gate").aliases["champion"] == 1


def test_unfit_data_are_named_at_the_start_and_make_no_champion(
    own_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are learned: only the warning keeps the version from being champion."""
    request = own_store.request()
    splits = replace(request.task.load(request.data), unfit=("they are upside down",))
    train.train(replace(request, task=replace(request.task, load=lambda _: splits)))
    shown = "".join(capsys.readouterr())
    assert "Warning" in shown and "upside down" in shown
    assert own_store.client.get_registered_model("gate").aliases == {"challenger": 1}
    version = own_store.client.get_model_version_by_alias("gate", "challenger")
    run = own_store.client.get_run(version.run_id)
    tags = run.data.tags
    assert "upside down" in tags["data_unfit"] and tags["learned"] == "True"
    assert "upside down" in version.tags["promotion_reason"]
    assert "upside down" in version.tags["unfit"]


def test_a_search_prints_the_command_that_trains_with_its_best(
    own_store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    own_store.tune("--trials 2 --lr auto")
    line = capsys.readouterr().out.strip().splitlines()[-1]
    again = dict(word.split("=") for word in line.split() if "=" in word)
    assert (again["gate"], again["num_restarts"], again["trials"]) == ("xor", "8", "0")
    runs = own_store.client.search_runs(["0"])
    (search,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert len(runs) == 3
    for name in ("lr", "hidden_dim", "activation"):
        used = search.data.params[f"hparams/{name}"]
        assert again.get(name, str(getattr(tasks.get("gate").hparams(), name))) == used
    assert own_store.client.search_registered_models() == []


def test_missing_data_end_the_run_as_failed(own_store: Store, tmp_path: Path) -> None:
    with refused("file-missing", DataError, what=tmp_path / "nowhere"):
        own_store.train(f"{DIGITS} --data_dir {tmp_path}/nowhere")
    (run,) = own_store.client.search_runs(["0"])
    assert run.info.status == "FAILED"


def test_foreign_digits_are_named(
    own_store: Store, digits: mnist.Mnist, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_digits(own_store.folder / "own", digits, 300)
    splits = Trainer.prepare(own_store.request(f"{DIGITS} --data_dir {folder}")).splits
    shown = "".join(capsys.readouterr())
    assert all(str(fact) in shown for fact in (folder, splits.name, splits.digest))


def test_an_export_needs_a_registered_version(own_store: Store) -> None:
    with refused("registry-empty", fix=cli.HOW_TO_TRAIN.format(task="gate")):
        to_onnx.find_version("gate", "auto")

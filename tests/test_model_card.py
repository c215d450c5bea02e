"""The metadata of a version and what is made from them: tags, table columns, the model card."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import confusion_matrix

from experiments import tasks
from experiments.evaluation.evaluation import EvaluationResult
from experiments.evaluation.mnist import METRICS
from experiments.registry import __main__, metadata, model_card, versions
from experiments.registry.metadata import Field
from experiments.registry.versions import Version
from experiments.tracking import runs
from experiments.training.metrics import EpochMetrics, predict
from experiments.training.trainer import Trainer
from export import export_version
from tests.inprocess import Store, parsed
from tests.stores import X, bank, evidence, numbers, registered, registered_graph, store_in

ROBUST = {
    "corruption/fog": 0.71,
    "corruption/rotate": 0.98,
    "corruption/zigzag": 0.83,
    "corruption/shear": 0.97,
    "corruption/mean": 0.91,
    "corruption/least": 0.71,
    "drawings/mean": 0.88,
    "refused/letters": 0.66,
    "ece/validation": 0.0021,
}
DIGITS: dict[str, Any] = {
    "exhaustive": False,
    "test_accuracy": 0.9967,
    "test_count": 10_000,
    "data_sizes": {"train": 50_000, "val": 10_000, "test": 10_000},
    "test_reads": ["evaluation of a test"],
    "robustness": ROBUST,
    "metrics": {name: asdict(metric) for name, metric in METRICS.items()},
    "reported": {"test_ece": 0.0012, "test_ece_before_temperature": 0.0034},
    "facts": {"temperature": 1.234},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with store_in(tmp_path_factory.mktemp("cards")) as folder:
        yield folder


@pytest.fixture(scope="module")
def pair(store: Path) -> tuple[Version, Version]:
    """A torch version and its graph, with their cards."""
    version = registered()
    versions.tag(version, {"promotion_reason": "there was no champion, and every bound holds"})
    row = {"same": 4, "count": 4, "largest": 1.2e-7, "accuracy": 1.0, "bytes": 1858}
    graph = registered_graph(version)
    versions.tag(version, {f"{model_card.PRECISION}fp32": row | {"registered": graph.uri}})
    version = versions.find(version.uri)
    model_card.publish(graph, version)
    model_card.publish(version)
    return versions.find(version.uri), versions.find(graph.uri)


def text(version: Version) -> str:
    return versions.read(version, model_card.NAME).decode()


def sections(markdown: str) -> dict[str, str]:
    """Return heading -> the text below it."""
    parts = re.split(r"^## (.+)$", markdown, flags=re.M)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def test_a_new_fact_is_one_field(own_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is collected, and shown as tag, in the card, in `registry list` and in the ONNX file."""
    new = Field("epochs_run", lambda t: t.best.epoch + 0.5, "epochs", "epochs run", "ran", "epochs")
    monkeypatch.setattr(metadata, "FIELDS", (*metadata.FIELDS, new))
    own_store.train()
    version = versions.find("models:/gate/1")
    value = str(version.metadata["epochs_run"])
    assert value.endswith(".5") and version.tags["epochs"] == value
    assert f"| epochs run | {value} |" in text(version)
    heading, row = CliRunner().invoke(__main__.command, ["list"]).output.splitlines()[1:]
    assert "ran" in heading.split() and value in row.split()
    assert export_version.describe(tasks.get("gate"), version, {})["epochs"] == value


def test_the_metadata_are_those_of_the_net() -> None:
    """Collected from a real net and a real trainer, and counted again by hand."""
    job = Trainer.prepare(parsed("--task gate --gate xor --seed 5 --device cpu"))
    torch.manual_seed(3)
    net = job.task.network(inputs=2, nets=(1,)).eval()
    test = job.splits.test.open("test")
    logits = predict(net, torch.tensor(test.x)).numpy()
    best = EpochMetrics(1, 1.0, 0.5, 0.7, 0.5, 0.1)
    measured = {"test_accuracy": 0.5, "test_count": 4, "fit_seconds": 1.0}
    stored = metadata.collect(
        metadata.TrainingResult(job, net, best, {}, measured, test, logits, EvaluationResult())
    )
    wrong = np.flatnonzero((logits > 0).reshape(-1) != test.y.reshape(-1)).tolist()
    assert wrong and stored["val_wrong"] == wrong
    assert (stored["val_count"], stored["seed"], stored["parameters"]) == (4, 5, 17)
    by_the_training = {"proof", "run_id"}
    assert json.loads(json.dumps(stored)).keys() == evidence().keys() - by_the_training
    assert stored["code"].keys() == {"commit", "clean"} and "torch" in stored["environment"]


def test_metadata_become_few_tags() -> None:
    reported = {"test_ece": 0.001, "other": 3.0}
    stored = evidence(robustness=ROBUST, reported=reported, metrics=DIGITS["metrics"])
    tags = metadata.search_tags(stored)
    assert tags["corruption_mean"] == 0.91 and tags["test_ece"] == 0.001
    assert tags["code_clean"] is False and tags["onnx_bytes"] == 1900 and tags["parity"] is True
    assert {"val_wrong", "confusion", "other"}.isdisjoint(tags)


def test_versions_are_searched_by_tags(pair) -> None:
    digest = pair[0].metadata["data_digest"]
    for name, condition in (
        ("gate", "tags.recipe = 'default' and tags.seed = '7' and tags.onnx_bytes = '1900'"),
        ("gate", f"tags.data_digest = '{digest}' and tags.parity = 'true'"),
        ("gate", f"tags.code_commit = '{'0123456789abcdef' * 2}01234567'"),
        ("gate", "tags.code_clean = 'false' and tags.test_accuracy = '1.0'"),
        ("gate-onnx", "tags.torch_model = 'models:/gate/1'"),
    ):
        found = runs.connect().search_model_versions(f"name = '{name}' and {condition}")
        assert len(found) == 1, condition
    assert not runs.connect().search_model_versions("name = 'gate' and tags.recipe = 'large'")


def test_confusion_is_counted_row_by_row() -> None:
    """As scikit-learn counts it, for many classes and for single bits."""
    random = np.random.default_rng(0)
    y, logits = random.integers(0, 10, 500), random.normal(size=(500, 10))
    matrix = metadata.confusion(lambda logits: logits.argmax(1), logits, y)
    assert matrix == confusion_matrix(y, logits.argmax(1)).tolist()
    y, logits = random.integers(0, 2, (4, 16)), random.normal(size=(4, 16))
    matrix = metadata.confusion(lambda logits: (logits > 0).float(), logits, y.astype(np.float32))
    assert matrix == confusion_matrix(y.ravel(), logits.ravel() > 0).tolist()


def test_a_card_has_every_section(pair) -> None:
    every = set(re.findall(r"^## (.+)$", model_card.TEMPLATE.read_text(), flags=re.M))
    torch_card, graph_card = (sections(text(version)) for version in pair)
    assert set(torch_card) == every and len(every) >= 8
    assert len(graph_card) == len(every) - 1, "a graph is not promoted by a test of its own"
    assert all(content for content in (*torch_card.values(), *graph_card.values()))


def test_a_card_has_the_metadata(pair) -> None:
    version, graph = pair
    stored, card, task = version.metadata, text(version), tasks.get("gate")
    assert card.startswith(f"# {version}\n\n{model_card.summary(version)}\n")
    assert numbers(model_card.summary(version)) == ["1", "64", "64", "100.00", "7", "1.2"]
    for part in (
        "64 of 64, 100.00%",
        "| 272 |",
        "| 1,900 |",
        "0.02 ms",
        stored["proof"]["parity"],
        f"`{stored['data_digest']}`",
        task.limitations,
        task.licence,
        model_card.licence(),
        "| 0 | 32 | 0 |\n| 1 | 0 | 32 |",
        f"`{stored['code']['commit']}`",
        "epochs 200.0",
        "python 3.11.7",
        f"`{stored['run_id']}`",
        "| fp32 | 4 of 4 | 1.2e-07 | 100.00% | 1,858 | models:/gate-onnx/1 |",
    ):
        assert part in card, part
    assert version.tags["promotion_reason"].lower() in card.lower()
    assert f"fp32, opset 20; SHA-256 `{'a' * 64}`" in text(graph)
    assert "`" + "a" * 64 not in card


def test_a_card_of_digits_has_intervals_calibration_and_the_worst(store: Path) -> None:
    version = registered("digits", **DIGITS)
    card = model_card.render(version)
    summary = numbers(model_card.summary(version))
    assert summary[1:7] == ["9,967", "10,000", "99.67", "95", "99.54", "99.76"]
    rows = [numbers(line) for line in card.splitlines() if line.startswith("|")]
    assert ["9,967", "10,000", "99.67", "99.54", "99.76"] in rows
    for row in (["15", "0.12"], ["0.34"], ["1.234"], ["15", "0.21"], ["4", "91.0"]):
        assert row in rows, "calibration before and after, on validation; mean of corruptions"
    shown = re.findall(r"(\w+) \| ([\d.]+)% \|$", card, flags=re.M)
    worst = {("fog", "71.0"), ("zigzag", "83.0"), ("shear", "97.0")}
    assert worst | {("letters", "66.0"), ("pens", "88.0")} <= set(shown)
    assert "98.0" not in dict(shown).values(), "only the worst three"
    sizes = re.findall(r"([\d,]+) (train|val|test)\b", card)
    assert {("50,000", "train"), ("10,000", "val"), ("10,000", "test")} <= set(sizes)
    assert DIGITS["test_reads"][0] in card


def test_the_card_states_whether_the_tree_was_clean(pair) -> None:
    def card(code: dict[str, Any]) -> str:
        return model_card.render(replace(pair[0], metadata={**pair[0].metadata, "code": code}))

    clean, changed = (card({"commit": "a" * 40, "clean": clean}) for clean in (True, False))
    assert len(set(clean.split()) ^ set(changed.split())) == 2, "one word"
    without = card({"commit": None, "clean": None})
    assert "a" * 40 in clean and "a" * 40 not in without
    assert without.count("None") == clean.count("None")


def code(version: Version) -> list[str]:
    """Return the pieces of Python of a version's card."""
    return re.findall(r"^```python\n(.*?)^```$", text(version), flags=re.M | re.S)


def torch_script(version: Version) -> str:
    """Return the pieces of a torch version's card, made to answer X in three ways."""
    return "".join(code(version)) + (
        "pred = session.run(['logits'], {'x': x})[0].tolist()\n"
        "results += [net(torch.tensor(x)).tolist(), pred, predict(x).tolist()]\n"
    )


def graph_script(version: Version) -> str:
    """Return the pieces of a graph's card, made to answer X as their comments say."""
    by_onnxruntime, by_mlflow = code(version)
    call = by_onnxruntime.splitlines()[-1].partition("# ")[2]
    given = by_mlflow.splitlines()[-1].partition("# ")[2].partition(", float32")[0]
    script = f"{by_onnxruntime}{by_mlflow}"
    return script + f"results += [{call}[0].tolist(), predict({given})['logits'].tolist()]\n"


def test_the_cards_code_gives_the_nets_own_numbers(pair, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", raising=False)
    names: dict[str, Any] = {"x": X, "results": []}
    for script in (torch_script(pair[0]), graph_script(pair[1])):
        exec(script, names)  # noqa: S102 - the card's code is what is tested
    check_results(names["results"])


@pytest.mark.slow
def test_the_cards_code_runs_with_nothing_set(store: Path, pair) -> None:
    script = f"import json, numpy\nx = numpy.array({X.tolist()}, 'float32')\nresults = []\n"
    script += torch_script(pair[0]) + graph_script(pair[1]) + "print(json.dumps(results))"
    env = {name: v for name, v in os.environ.items() if not name.startswith("MLFLOW_")}
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=store, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    check_results(json.loads(done.stdout.splitlines()[-1]))


def check_results(results: list[Any]) -> None:
    assert len(results) == 5
    for result in results:
        np.testing.assert_allclose(result, bank()(torch.tensor(X)).detach(), atol=1e-5)


def test_the_card_is_a_file_with_a_hash_and_the_description(pair) -> None:
    for version in pair:
        assert model_card.NAME in version.attached and versions.log_changes(version) == []
        assert version.description == model_card.shortened(text(version))
        assert version.description.startswith(f"# {version}")


@pytest.mark.parametrize(
    "many",
    [
        {"hparams": {f"setting_{n}": n for n in range(1000)}},
        {"robustness": ROBUST | {f"refused/kind_{n}": 0.5 for n in range(500)}},
        {"confusion": np.eye(90, dtype=int).tolist()},
    ],
    ids=lambda many: next(iter(many)),
)
def test_a_huge_card_is_described_by_its_first_sections(pair, many: dict[str, Any]) -> None:
    version = replace(pair[0], metadata={**pair[0].metadata, **many})
    card = model_card.render(version)
    description = model_card.shortened(card)
    assert len(card) > model_card.MAX_CHARS >= len(description)
    body, _, more = description.rpartition("\n\n")
    assert model_card.NAME in more and more not in card
    assert card.startswith(body) and body.startswith(f"# {version}\n\n")
    shown, all_sections = sections(body), sections(card)
    assert shown == {name: all_sections[name] for name in shown}
    rest = next(name for name in all_sections if name not in shown)
    longer = f"{body}\n\n## {rest}\n\n{all_sections[rest]}\n\n{more}"
    assert len(longer) > model_card.MAX_CHARS, "another section has no room"


def test_a_card_that_fits_is_the_description() -> None:
    assert model_card.shortened("# a\n\n## b\n" + "c" * 4980) == "# a\n\n## b\n" + "c" * 4980

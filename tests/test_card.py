"""The card of a version: whole, true, searchable, and its code runs as it stands."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from experiments import card, evidence, tasks, tracking, versions
from experiments.job import Job
from experiments.metrics import EpochMetrics, predict
from experiments.options import Request
from experiments.tasks.base import Examination
from experiments.versions import Version
from tests.test_versions import X, bank, empty_store, registered, registered_graph
from tests.test_versions import evidence as made_up

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


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with empty_store(tmp_path_factory.mktemp("cards")) as folder:
        yield folder


@pytest.fixture(scope="module")
def pair() -> tuple[Version, Version]:
    """A torch version and its graph, with their cards."""
    version = registered()
    versions.tag(version, {"promotion_reason": "there was no champion, and every bound holds"})
    row = {"same": 4, "count": 4, "largest": 1.2e-7, "accuracy": 1.0, "bytes": 1858}
    graph = registered_graph(version)
    versions.tag(version, {f"{card.PRECISION}fp32": row | {"registered": graph.uri}})
    version = versions.find(version.uri)
    card.publish(graph, version)
    card.publish(version)
    return versions.find(version.uri), versions.find(graph.uri)


def text(version: Version) -> str:
    return versions.read(version, card.NAME).decode()


def sections(markdown: str) -> dict[str, str]:
    """Return heading -> what stands below it."""
    parts = re.split(r"^## (.+)$", markdown, flags=re.M)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def test_a_card_has_every_section(pair) -> None:
    common = {"Evidence", "How to load it", "Known limits", "Data and licence"}
    common |= {"Confusion on test", "How it was made"}
    torch_card, graph_card = (sections(text(version)) for version in pair)
    assert set(torch_card) == common | {"Promotion", "Its graphs"}
    assert set(graph_card) >= common
    assert all(content for content in (*torch_card.values(), *graph_card.values()))


def test_a_card_says_what_was_stored(pair) -> None:
    stored, whole = pair[0].metadata, text(pair[0])
    found = sections(whole)
    assert whole.startswith("# gate version 1\n")
    assert "64 of 64 test answers right, 100.00% (all there are)" in whole
    assert "recipe default, seed 7, in 1.2 s" in whole
    assert "| right on validation, which is all there is | 64 of 64, 100.00% |" in found["Evidence"]
    for told in ("272", "1,900 bytes", "0.02 ms", stored["proof"]["parity"]):
        assert told in found["Evidence"]
    assert f"digest `{stored['data_digest']}`" in found["Data and licence"]
    task = tasks.get("gate")
    assert task.limits in found["Known limits"] and task.licence in found["Data and licence"]
    assert "licence" in found["Data and licence"].lower().replace(task.licence.lower(), "")
    assert "| 0 | 32 | 0 |\n| 1 | 0 | 32 |" in found["Confusion on test"]
    made = found["How it was made"]
    assert "commit `0123456789abcdef0123456789abcdef01234567` of a changed tree" in made
    for told in ("epochs 200.0", "lr 0.1", "python 3.11.7", "machine x86_64", f"run `{'f' * 32}`"):
        assert told in made
    assert found["Promotion"] == "There was no champion, and every bound holds."
    assert (
        "| fp32 | 4 of 4 | 1.2e-07 | 100.00% | 1,858 | models:/gate-onnx/1 |" in found["Its graphs"]
    )
    assert f"This is its graph in ONNX, fp32, opset 20; SHA-256 `{'a' * 64}`" in text(pair[1])


def test_a_card_of_digits_has_intervals_calibration_and_the_worst() -> None:
    stored = {
        "exhaustive": False,
        "test_accuracy": 0.9967,
        "test_count": 10_000,
        "data_sizes": [50_000, 10_000, 10_000],
        "robustness": ROBUST,
        "reported": {"test_ece": 0.0012, "test_ece_before_temperature": 0.0034},
        "facts": {"temperature": 1.234},
        "code": {"commit": "a" * 40, "clean": True},
    }
    written = card.written(registered("digits", **stored))
    found = sections(written)
    assert "| right on test | 9,967 of 10,000, 99.67% (99.54% to 99.76%) |" in found["Evidence"]
    assert "(95 % interval 99.54% to 99.76%)" in written
    assert "0.12%; 0.34% before temperature 1.234" in found["Evidence"]
    assert "damaged in 4 ways, on average | 91.0% |" in found["Evidence"]
    shown = re.findall(r"right under (\w+) \| ([\d.]+)%", found["Evidence"])
    assert shown == [("fog", "71.0"), ("zigzag", "83.0"), ("shear", "97.0")]
    assert "right, of drawings with six pens | 88.0%" in found["Evidence"]
    assert "refused, of letters | 66.0%" in found["Evidence"]
    assert "50,000 / 10,000 / 10,000 for train, validation and test" in found["Data and licence"]
    assert "of a clean tree" in found["How it was made"]


def test_without_git_the_card_says_nothing_of_a_commit() -> None:
    written = card.written(registered("nogit", code={"commit": None, "clean": None}))
    assert "commit `" not in written and "of a" not in sections(written)["How it was made"]


def code(version: Version) -> list[str]:
    """Return the pieces of Python of a version's card."""
    return re.findall(r"^```python\n(.*?)^```$", text(version), flags=re.M | re.S)


def run_as_a_stranger(script: str, folder: Path) -> Any:
    """Run `script` in the store's folder, with nothing set; return the JSON of its last line."""
    env = {name: v for name, v in os.environ.items() if not name.startswith("MLFLOW_")}
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_torch_cards_code_gives_the_nets_own_numbers(store: Path, pair) -> None:
    by_torch, by_onnxruntime, by_mlflow = code(pair[0])
    assert {len(each.splitlines()) for each in code(pair[0])} == {3}
    script = f"{by_torch}{by_onnxruntime}{by_mlflow}import json, numpy\n"
    script += f"x = numpy.array({X.tolist()}, 'float32')\n"
    script += "said = session.run(['logits'], {'x': x})[0].tolist()\n"
    script += "print(json.dumps([net(torch.tensor(x)).tolist(), said, predict(x).tolist()]))"
    logits = bank()(torch.tensor(X)).detach().numpy()
    for found in run_as_a_stranger(script, store):
        np.testing.assert_allclose(found, logits, atol=1e-5)


def test_the_graph_cards_code_gives_the_nets_own_numbers(store: Path, pair) -> None:
    by_onnxruntime, by_mlflow = code(pair[1])
    assert len(by_onnxruntime.splitlines()) == len(by_mlflow.splitlines()) == 3
    call = by_onnxruntime.splitlines()[-1].partition("# ")[2]
    given = by_mlflow.splitlines()[-1].partition("# ")[2].partition(", float32")[0]
    script = f"{by_onnxruntime}{by_mlflow}import json, numpy\n"
    script += f"x = numpy.array({X.tolist()}, 'float32')\n"
    script += f"print(json.dumps([{call}[0].tolist(), predict({given})['logits'].tolist()]))"
    logits = bank()(torch.tensor(X)).detach().numpy()
    for found in run_as_a_stranger(script, store):
        np.testing.assert_allclose(found, logits, atol=1e-5)


def test_the_card_is_a_file_with_a_hash_and_the_description(pair) -> None:
    for version in pair:
        assert card.NAME in version.attached and versions.changes(version) == []
        assert version.description == card.shortened(text(version))
        kept = tracking.connect().get_model_version(version.name, str(version.number))
        assert kept.description.startswith(f"# {version}")


def test_a_card_written_twice_is_the_later_one(pair) -> None:
    version = registered("twice")
    card.publish(version)
    before = text(versions.find(version.uri))
    versions.tag(version, {"promotion_reason": "a new reason"})
    card.publish(versions.find(version.uri))
    after = versions.find(version.uri)
    assert "A new reason." in text(after) and "A new reason." in after.description
    assert "## Promotion" not in before and versions.changes(after) == []


@pytest.mark.parametrize("huge", ["hparams", "robustness", "labels"])
def test_a_huge_card_is_described_by_whole_sections(huge: str) -> None:
    many = {
        "hparams": {"hparams": {f"setting_{n}": n for n in range(1000)}},
        "robustness": {"robustness": ROBUST | {f"refused/kind_{n}": 0.5 for n in range(500)}},
        "labels": {"confusion": np.eye(90, dtype=int).tolist()},
    }[huge]
    version = registered(f"huge-{huge}", **many)
    card.publish(version)
    version = versions.find(version.uri)
    description, whole = version.description, text(version)
    assert len(whole) > card.LONGEST >= len(description)
    assert description.endswith("\n\nThe rest stands in card.md, beside the model.")
    body = description.removesuffix("\n\nThe rest stands in card.md, beside the model.")
    assert whole.startswith(body) and body.startswith(f"# {version}\n\n{version}: 64 of 64")
    shown, all_sections = sections(body), sections(whole)
    assert shown == {name: all_sections[name] for name in shown}
    rest = next(name for name in all_sections if name not in shown)
    longer = f"{body}\n\n## {rest}\n\n{all_sections[rest]}"
    assert len(longer) > card.LONGEST - 60, "another section would have had room"


def test_a_card_that_fits_is_described_whole() -> None:
    assert card.shortened("# a\n\n## b\n" + "c" * 4980) == "# a\n\n## b\n" + "c" * 4980


def test_tags_can_be_searched(pair) -> None:
    client = tracking.connect()
    digest = pair[0].metadata["data_digest"]
    for condition in (
        "tags.recipe = 'default'",
        "tags.seed = '7'",
        f"tags.data_digest = '{digest}'",
        "tags.parity = 'true'",
        f"tags.code_commit = '{'0123456789abcdef' * 2}01234567'",
        "tags.code_clean = 'false'",
        "tags.test_accuracy = '1.0'",
        "tags.onnx_bytes = '1900'",
    ):
        found = client.search_model_versions(f"name = 'gate' and {condition}")
        assert [version.name for version in found] == ["gate"], condition
    assert not client.search_model_versions("name = 'gate' and tags.recipe = 'wide'")
    found = client.search_model_versions(
        "name = 'gate-onnx' and tags.torch_model = 'models:/gate/1'"
    )
    assert len(found) == 1


def test_evidence_becomes_few_tags() -> None:
    stored = made_up(robustness=ROBUST, reported={"test_ece": 0.001, "other": 3.0})
    tags = evidence.searched(stored)
    assert tags["corruption_mean"] == 0.91 and tags["test_ece"] == 0.001
    assert tags["code_clean"] is False and tags["onnx_bytes"] == 1900
    assert {"val_wrong", "confusion", "other"}.isdisjoint(tags)


def test_evidence_is_what_the_net_says() -> None:
    """Gathered from a real net and a real job, and counted again by hand."""
    task = tasks.get("gate")
    asked = Request(
        task=task,
        data=task.data_options(gate="xor"),
        recipe="default",
        hparams=task.hparams(restarts=2, epochs=40),
        fixed=frozenset(),
        trials=0,
        seed=5,
        device="cpu",
        precision="auto",
        aims=("val_loss",),
    )
    job = Job.prepare(asked)
    torch.manual_seed(3)
    net = task.network(inputs=2, nets=(1,)).eval()
    logits = predict(net, torch.tensor(job.splits.test.x)).numpy()
    kept = EpochMetrics(1, 1.0, 0.5, 0.7, 0.5, 0.1)
    measured = {"test_accuracy": 0.5, "test_count": 4, "fit_seconds": 1.0}
    found = evidence.gather(job, net, kept, {}, measured, logits, Examination())
    said = (logits > 0).astype(int).reshape(-1)
    truth = job.splits.test.y.astype(int).reshape(-1)
    assert (said != truth).sum() > 0 and found["val_wrong"] == np.flatnonzero(
        said != truth
    ).tolist()
    assert (found["val_count"], found["seed"], found["parameters"]) == (4, 5, 17)
    assert json.loads(json.dumps(found)).keys() == found.keys() >= made_up().keys() - MADE_LATER
    assert found["code"].keys() == {"commit", "clean"} and "torch" in found["environment"]


MADE_LATER = {"proof", "run_id"}  # by the training, when it registers


def test_confusion_is_counted_row_by_row() -> None:
    """As scikit-learn counts it, for many classes and for single bits."""
    random = np.random.default_rng(0)
    y, logits = random.integers(0, 10, 500), random.normal(size=(500, 10))
    found = evidence.confusion(lambda logits: logits.argmax(1), logits, y)
    assert found == confusion_matrix(y, logits.argmax(1)).tolist()
    y, logits = random.integers(0, 2, (4, 16)), random.normal(size=(4, 16))
    found = evidence.confusion(lambda logits: (logits > 0).float(), logits, y.astype(np.float32))
    assert found == confusion_matrix(y.ravel(), logits.ravel() > 0).tolist()

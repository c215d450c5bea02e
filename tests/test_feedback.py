"""Corrections: written completely or not at all, read back unchanged, exported, and scored."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from experiments import feedback as command
from experiments import tasks
from experiments.core.errors import DataError, UserError
from experiments.core.paths import ROOT
from experiments.data import feedback, mnist
from tests.expect import refused
from tests.figure_text import numbers

FACTS = {
    "predicted": "7",
    "label": "1",
    "probability": 0.625,
    "score": -1.5,
    "model": "mnist/3, onnxruntime",
    "graph": "ab" * 32,
}
INK = np.ones((9, 9), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "corrections"


@pytest.fixture
def save(folder: Path) -> Callable[..., Path]:
    """Save a drawing in `folder`, with other facts or limits if given."""
    return lambda ink=INK, **others: feedback.save(ink, **(FACTS | others), folder=folder)


def cli(*arguments: object, catch: bool = True) -> Result:
    return CliRunner().invoke(command.command, [*map(str, arguments)], catch_exceptions=catch)


def test_ink_and_facts_are_read_back(save, folder: Path) -> None:
    ink = np.random.default_rng(1).integers(1, 256, (20, 30), np.uint8)
    path = save(ink)
    [item] = feedback.load_all(folder)
    assert item.path == path and item.ink.dtype == np.uint8
    assert np.array_equal(item.ink, ink)
    assert {name: getattr(item, name) for name in FACTS} == FACTS
    with Image.open(path) as image:  # as any other program reads it
        assert np.array_equal(np.asarray(image), ink)
        assert image.text["true"] == "1" and image.text["time"].endswith("+00:00")


@pytest.mark.parametrize(
    "text", ["one\n\0\x1b[31m", "\u202etxt \ud800", "x" * 100_000], ids=range(3)
)
def test_hostile_text_becomes_one_short_line(save, folder: Path, text: str) -> None:
    save(model=text, graph=text)
    [item] = feedback.load_all(folder)
    assert all(len(line) <= 200 and line.isprintable() for line in (item.model, item.graph))
    assert len(cli("list", "--folder", folder).output.splitlines()) == 3


@pytest.mark.parametrize(
    ("facts", "code", "found"),
    [
        ({"ink": np.zeros((9, 9), np.uint8)}, "ink-invalid", "0 pixels"),
        ({"ink": np.ones((9, 1001), np.uint8)}, "ink-invalid", "[9, 1001]"),
        ({"label": "a"}, "answer-unknown", "'a'"),
        ({"predicted": "10"}, "answer-unknown", "'10'"),
    ],
    ids=str,
)
def test_invalid_corrections_are_refused(save, folder: Path, facts, code: str, found: str) -> None:
    with refused(code, found=found):
        save(**facts)
    assert not list(feedback.load_all(folder))


@pytest.mark.slow
def test_a_process_killed_while_it_writes_leaves_no_correction(save, folder: Path) -> None:
    code = f"""
import os, pathlib, numpy
from experiments.data import feedback
pathlib.Path.replace = lambda *names: os.kill(os.getpid(), {signal.SIGKILL})
feedback.save(numpy.ones((9, 9), "u1"), **{FACTS!r}, folder=pathlib.Path({str(folder)!r}))
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(folder.glob(f".*{feedback.PARTIAL}"))) == 1
    damaged: list[str] = []
    assert list(feedback.load_all(folder, damaged)) == damaged == []
    path = save()  # the lock is free, and the partial file is removed
    assert {other.name for other in folder.iterdir()} - {feedback.LOCK} == {path.name}


def test_every_flipped_byte_and_every_cut_is_refused(save) -> None:
    """Except in the last chunk, IEND, of 12 bytes: it has no content."""
    path = save(np.arange(1, 61, dtype=np.uint8).reshape(6, 10))
    raw = path.read_bytes()
    indices = range(len(raw) - 12)
    flipped = (raw[:at] + bytes([raw[at] ^ 0x20]) + raw[at + 1 :] for at in indices)
    for broken in (*flipped, *(raw[:end] for end in indices)):
        path.write_bytes(broken)
        with refused("correction-damaged", DataError, what=path.name):
            feedback.read(path)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("no picture\n"),
    "no facts": lambda path: Image.new("L", (9, 9)).save(path),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_named_and_left_out(save, folder: Path, kind: str) -> None:
    first = save()
    FOREIGN[kind](folder / "0\x1b[31m.png")
    second = save()
    damaged: list[str] = []
    assert [item.path for item in feedback.load_all(folder, damaged)] == [first, second]
    assert len(damaged) == 1 and damaged[0].isprintable()
    listed = cli("list", "--folder", folder)
    assert listed.exit_code == 0 and damaged[0] in listed.stderr
    assert numbers(listed.stdout.splitlines()[-1]) == [2, 0]  # digits, and others


def test_the_folder_is_bounded_in_files_and_bytes(save, folder: Path) -> None:
    def try_it(_: int) -> None:
        with suppress(UserError):
            save(max_files=3)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(try_it, range(16)))
    size = sum(item.path.stat().st_size for item in feedback.load_all(folder))
    assert len(list(feedback.load_all(folder))) == 3
    with refused("folder-full", what=folder, expected="3", found="3"):
        save(max_files=3)
    with refused("folder-full", what=folder, found="3"):
        save(max_bytes=size + 10)


def test_the_answers_are_the_tasks_labels() -> None:
    labels = tasks.get("mnist").load(tasks.get("mnist").data_options()).labels
    assert (*labels, feedback.NONE) == feedback.ANSWERS


def test_without_corrections_each_command_explains_how_to_make_one(
    folder: Path, tmp_path: Path
) -> None:
    listed = cli("list", "--folder", folder)
    assert listed.exit_code == 0
    assert command.HOW_TO_CORRECT in listed.output and str(folder) in listed.output
    for line in (("score",), ("export", "--out", tmp_path / "out")):
        with refused("corrections-missing", what=folder, fix=command.HOW_TO_CORRECT):
            cli(*line, "--folder", folder, catch=False)
    assert not (tmp_path / "out").exists()


def _save_digits(save, digits: mnist.Mnist, count: int) -> None:
    """Save the first test digits, which preprocessing leaves unchanged, and two that are none."""
    for index in range(count):
        save(digits.test_images[index], label=str(digits.test_labels[index]))
        if index in (0, 7):
            save(label="none")


def test_training_takes_the_export(save, folder: Path, digits: mnist.Mnist, tmp_path: Path) -> None:
    _save_digits(save, digits, 40)
    out = tmp_path / "out"
    for _ in range(2):  # the second replaces the first
        result = cli("export", "--folder", folder, "--out", out)
        assert result.exit_code == 0, result.exception
    counts, others, *_ = result.output.replace(str(out), "").splitlines()
    assert numbers(counts) == [32, 8] and numbers(others) == [2]
    data = mnist.load(out)
    test = np.arange(4, 40, 5)
    train = np.setdiff1d(np.arange(40), test)
    assert np.array_equal(data.train_images, digits.test_images[train])
    assert np.array_equal(data.train_labels, digits.test_labels[train])
    assert np.array_equal(data.test_images, digits.test_images[test])
    assert np.array_equal(data.test_labels, digits.test_labels[test])
    task = tasks.get("mnist")
    sizes = task.load(task.data_options(data_dir=out)).sizes()
    assert sizes.pop("test") == 8 and sum(sizes.values()) == 32 and min(sizes.values()) > 0


def test_the_export_can_follow_mnist(
    save, folder: Path, digits: mnist.Mnist, tmp_path: Path
) -> None:
    _save_digits(save, digits, 7)
    result = cli("export", "--folder", folder, "--out", tmp_path / "out", "--with-mnist")
    assert result.exit_code == 0, result.exception
    data = mnist.load(tmp_path / "out")
    assert np.array_equal(data.train_images[:60_000], digits.train_images)
    assert np.array_equal(data.train_labels[60_000:], digits.test_labels[[0, 1, 2, 3, 5, 6]])
    assert np.array_equal(data.test_images[10_000:], digits.test_images[[4]])


def test_an_export_never_replaces_other_files(save, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    save()
    with refused("folder-occupied", what="out"):
        cli("export", "--folder", folder, "--out", out, catch=False)
    with refused("folder-missing", what="out", found=tmp_path / "no"):
        cli("export", "--folder", folder, "--out", tmp_path / "no" / "out", catch=False)
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_a_refused_digit_counts_as_an_error() -> None:
    version = SimpleNamespace(name="mnist", number=3, aliases=["champion"])
    predicted = ["1", "2", "none", "4", "none", "3"]
    row = command.score_row(version, predicted, ["1", "3", "3", "4", "none", "none"])
    assert row[:4] == ("mnist/3", "@champion", "2", "4") and row[5:] == ("1", "1 of 2")
    assert command.score_row(version, ["3"], ["none"])[2:] == ("0", "0", "-", "0", "0 of 1")


def test_each_version_is_scored_as_its_graph_predicts(
    save, folder: Path, digits: mnist.Mnist, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = digits.test_images[:80], digits.test_labels[:80]
    for image, label in zip(x, y, strict=True):
        save(image, label=str(label))
    save(np.tril(np.full((28, 28), 255, np.uint8)), label="none")
    session = onnxruntime.InferenceSession(trained / "model.onnx")
    facts = json.loads(session.get_modelmeta().custom_metadata_map["facts"])
    probabilities, score = session.run(["probabilities", "score"], {"image": x})
    accepted = score >= facts["score_threshold"]
    correct = (accepted & (probabilities.argmax(1) == y)).sum()

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    result = cli("score", "--folder", folder)
    assert result.exit_code == 0, result.exception
    rows = [line.split() for line in result.stdout.splitlines() if "@champion" in line]
    (graph,) = (row for row in rows if row[0].startswith("mnist-onnx/"))
    (network,) = (row for row in rows if row[0].startswith("mnist/"))
    assert graph[2:] == network[2:]
    assert graph[2:4] == [str(correct), "80"] and graph[7] == str(80 - accepted.sum())
    assert graph[-3:] in (["0", "of", "1"], ["1", "of", "1"])

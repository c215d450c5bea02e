"""Corrections: kept whole or not at all, read back as they were, exported, and scored."""

import json
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from experiments import corrected, corrections, tasks, versions
from experiments.corrections import Marks
from experiments.data import mnist
from experiments.errors import DataError, UserError
from experiments.paths import ROOT
from tests.conftest import Command

FACTS = {
    "said": "7",
    "true": "1",
    "probability": 0.625,
    "score": -1.5,
    "model": "mnist/3, onnxruntime",
    "graph": "ab" * 32,
}
HOSTILE = {
    "lines": "one\ntwo\r\n\x1b[31mred\x07",
    "zero": "a\0b",
    "foreign": "модель 模型 \u202etxt",
    "broken": "half \ud800 a pair",
    "long": "x" * 100_000,
    "empty": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "corrections"


@pytest.fixture
def keep(folder: Path) -> Callable[..., Path]:
    """Keep a drawing in `folder`, with other facts where they are named."""
    random = np.random.default_rng(0)

    def keep(ink: np.ndarray | None = None, **facts: object) -> Path:
        drawn = random.integers(0, 256, (20, 30), np.uint8) if ink is None else ink
        return corrected.keep(drawn, **(FACTS | facts), folder=folder)

    return keep


def cli(*arguments: object) -> Result:
    return CliRunner().invoke(corrections.command, [*map(str, arguments)])


@pytest.mark.parametrize("shape", [(1, 1), (20, 30), (1, 1000), (1000, 1000)])
def test_ink_and_facts_come_back_as_they_were(
    keep: Callable[..., Path], folder: Path, shape: tuple[int, int]
) -> None:
    ink = np.random.default_rng(1).integers(1, 256, shape, np.uint8)
    path = keep(ink)
    [found] = corrected.all(folder)
    assert found.path == path
    assert found.ink.dtype == np.uint8
    assert np.array_equal(found.ink, ink)
    assert {name: getattr(found, name) for name in FACTS} == FACTS
    with Image.open(path) as picture:  # as any other program sees it
        assert np.array_equal(np.asarray(picture), ink)
        assert picture.text["true"] == "1"
        assert picture.text["time"].endswith("+00:00")


def test_a_model_without_a_score_and_a_share_rounded_up_can_be_kept(
    keep: Callable[..., Path],
) -> None:
    found = corrected.read(keep(score=None, probability=float(np.nextafter(np.float32(1), 2))))
    assert found.score is None
    assert found.probability == 1


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_becomes_one_short_line(
    keep: Callable[..., Path], folder: Path, kind: str
) -> None:
    keep(model=HOSTILE[kind], graph=HOSTILE[kind])
    [found] = corrected.all(folder)
    for text in (found.model, found.graph):
        assert len(text) <= 200
        assert text.isprintable()
    assert len(cli("list", "--folder", folder).output.splitlines()) == 3


def test_the_oldest_come_first(keep: Callable[..., Path], folder: Path) -> None:
    kept = [keep(true=str(index % 10)) for index in range(12)]
    assert [each.path for each in corrected.all(folder)] == kept


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"ink": np.zeros((9, 9), np.uint8)}, "Nothing is drawn"),
        ({"ink": np.ones((9, 1001), np.uint8)}, "at most 1000 a side"),
        ({"ink": np.ones((9, 9))}, "found float64"),
        ({"ink": np.ones((9, 9, 3), np.uint8)}, r"found uint8 \[9, 9, 3\]"),
        ({"true": "a"}, "found 'a'"),
        ({"said": "10"}, "found '10'"),
        ({"probability": float("nan")}, "found nan"),
        ({"probability": 1.5}, "found 1.5"),
    ],
    ids=str,
)
def test_what_is_no_correction_is_refused(
    keep: Callable[..., Path], folder: Path, facts: dict, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        keep(**facts)
    assert not list(corrected.all(folder))


def test_a_process_killed_while_it_writes_leaves_no_correction(
    keep: Callable[..., Path], folder: Path
) -> None:
    code = f"""
import os, pathlib, numpy
from experiments import corrected
pathlib.Path.replace = lambda *names: os.kill(os.getpid(), {signal.SIGKILL})
corrected.keep(numpy.ones((9, 9), "u1"), **{FACTS!r}, folder=pathlib.Path({str(folder)!r}))
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(folder.glob(".*.partial"))) == 1
    told: list[str] = []
    assert list(corrected.all(folder, told)) == told == []
    path = keep()  # its lock went with it
    assert {each.name for each in folder.iterdir()} - {corrected.LOCK} == {path.name}


def test_every_flipped_byte_and_every_cut_is_told(keep: Callable[..., Path]) -> None:
    path = keep(np.arange(1, 61, dtype=np.uint8).reshape(6, 10))
    raw = path.read_bytes()
    flipped = (raw[:at] + bytes([raw[at] ^ 0x20]) + raw[at + 1 :] for at in range(len(raw)))
    for broken in (*flipped, *(raw[:end] for end in range(len(raw)))):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="remove it"):
            corrected.read(path)


def _colours(path: Path) -> None:
    Image.new("RGB", (9, 9)).save(path)


def _no_facts(path: Path) -> None:
    Image.new("L", (9, 9)).save(path)


def _boundless(path: Path) -> None:
    """Write a PNG that promises a page of 16 gigapixels."""
    header = b"IHDR" + struct.pack(">II5B", 1 << 17, 1 << 17, 8, 0, 0, 0, 0)
    sum_ = struct.pack(">I", zlib.crc32(header))
    path.write_bytes(corrected.SIGNATURE + struct.pack(">I", 13) + header + sum_)


FOREIGN: dict[str, Callable[[Path], object]] = {
    "text": lambda path: path.write_text("no picture\n"),
    "nothing": lambda path: path.touch(),
    "colours": _colours,
    "no facts": _no_facts,
    "boundless": _boundless,
    "large": lambda path: path.write_bytes(corrected.SIGNATURE + bytes(3_000_000)),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_told_and_passed_over(
    keep: Callable[..., Path], folder: Path, kind: str
) -> None:
    kept = keep()
    FOREIGN[kind](folder / "0\x1b[31m.png")
    later = keep()
    told: list[str] = []
    assert [each.path for each in corrected.all(folder, told)] == [kept, later]
    assert len(told) == 1
    assert told[0].isprintable()
    listed = cli("list", "--folder", folder)
    assert listed.exit_code == 0
    assert "2 digits, and 0 that are none." in listed.stdout
    assert told[0] in listed.stderr


def test_never_more_are_kept_than_the_bound(
    keep: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrected, "MOST", 3)

    def try_it(_: int) -> None:
        with suppress(UserError):
            keep(np.ones((9, 9), np.uint8))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(try_it, range(16)))
    assert len(list(corrected.all(folder))) == 3
    with pytest.raises(UserError, match="is full: it holds 3 files"):
        keep()


def test_never_more_bytes_are_kept_than_the_bound(
    keep: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrected, "MOST_BYTES", 2 * keep().stat().st_size + 10)
    keep()
    with pytest.raises(UserError, match="is full: it holds 2 files"):
        keep()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be kept in"):
        corrected.keep(np.ones((9, 9), np.uint8), **FACTS, folder=tmp_path / "file")


def test_the_answers_are_the_tasks_labels() -> None:
    labels = tasks.get("mnist").load(tasks.get("mnist").data_options()).labels
    assert (*labels, "none") == corrected.ANSWERS


def test_without_corrections_each_command_says_so(folder: Path, tmp_path: Path) -> None:
    listed = cli("list", "--folder", folder)
    assert listed.exit_code == 0
    assert "No correction is kept" in listed.output
    for line in (("score",), ("export", "--out", tmp_path / "out")):
        result = cli(*line, "--folder", folder)
        assert isinstance(result.exception, UserError)
        assert "No correction is kept" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_without_a_registry_the_score_says_so(
    keep: Callable[..., Path], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(versions, "STORE", tmp_path / "mlflow.db")
    keep()
    result = cli("score", "--folder", folder)
    assert isinstance(result.exception, UserError)
    assert "nothing is registered" in str(result.exception)


def _draw(keep: Callable[..., Path], digits: mnist.Mnist, count: int) -> None:
    """Keep the first test digits, which the canvas leaves as they are; and two of none."""
    for index in range(count):
        keep(digits.test_images[index], true=str(digits.test_labels[index]))
        if index in (0, 7):
            keep(true="none")


def test_the_export_is_what_training_takes(
    keep: Callable[..., Path], folder: Path, digits: mnist.Mnist, tmp_path: Path
) -> None:
    _draw(keep, digits, 40)
    out = tmp_path / "out"
    for _ in range(2):  # the second time over the first
        result = cli("export", "--folder", folder, "--out", out)
        assert result.exit_code == 0, result.exception
    assert "32 digits for training, 8 for testing" in result.output
    assert "2 that are no digits were left out" in result.output
    found = mnist.load(out)
    tested = np.arange(4, 40, 5)
    trained = np.setdiff1d(np.arange(40), tested)
    assert np.array_equal(found.train_images, digits.test_images[trained])
    assert np.array_equal(found.train_labels, digits.test_labels[trained])
    assert np.array_equal(found.test_images, digits.test_images[tested])
    assert np.array_equal(found.test_labels, digits.test_labels[tested])
    task = tasks.get("mnist")
    splits = task.load(task.data_options(data_dir=out))
    assert len(splits.train.x) + len(splits.val.x) == 32
    assert len(splits.val.x) > 0


def test_the_export_can_stand_behind_mnist(
    keep: Callable[..., Path], folder: Path, digits: mnist.Mnist, tmp_path: Path
) -> None:
    _draw(keep, digits, 7)
    result = cli("export", "--folder", folder, "--out", tmp_path / "out", "--with-mnist")
    assert result.exit_code == 0, result.exception
    found = mnist.load(tmp_path / "out")
    assert np.array_equal(found.train_images[:60_000], digits.train_images)
    assert np.array_equal(found.train_labels[60_000:], digits.test_labels[[0, 1, 2, 3, 5, 6]])
    assert np.array_equal(found.test_images[:10_000], digits.test_images)
    assert np.array_equal(found.test_images[10_000:], digits.test_images[[4]])


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_digits_are_told(
    keep: Callable[..., Path], folder: Path, tmp_path: Path, count: int
) -> None:
    keep(true="none")
    for _ in range(count):
        keep()
    result = cli("export", "--folder", folder, "--out", tmp_path / "out")
    assert isinstance(result.exception, UserError)
    assert f"found {count}" in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_an_export_leaves_a_strangers_folder_alone(
    keep: Callable[..., Path], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    keep()
    for path in (out, out / "thesis.tex" / "x", tmp_path / "no" / "out"):
        result = cli("export", "--folder", folder, "--out", path)
        assert isinstance(result.exception, UserError)
    assert [each.name for each in out.iterdir()] == ["thesis.tex"]


def test_marks_are_counted_as_by_hand() -> None:
    answers = ["1", "2", "none", "4", "none", "3"]
    true = ["1", "3", "3", "4", "none", "none"]
    assert Marks.of(answers, true) == Marks(digits=4, right=2, refused=1, strangers=2, caught=1)


def test_each_version_is_scored_as_its_graph_answers(
    keep: Callable[..., Path], folder: Path, digits: mnist.Mnist, trained: Path, run: Command
) -> None:
    x = digits.test_images[:80]
    for image, label in zip(x, digits.test_labels, strict=False):
        keep(image, true=str(label))
    session = onnxruntime.InferenceSession(trained / "model.onnx")
    facts = json.loads(session.get_modelmeta().custom_metadata_map["facts"])
    probabilities, score = session.run(["probabilities", "score"], {"image": x})
    read = score >= facts["score_threshold"]
    right = (read & (probabilities.argmax(1) == digits.test_labels[:80])).sum()
    stranger = np.tril(np.full((28, 28), 255, np.uint8))
    keep(stranger, true="none")

    said = run(f"python -m experiments.corrections score --folder {folder}").stdout
    rows = [line.split() for line in said.splitlines() if "@champion" in line]
    graphs = [row for row in rows if row[0].startswith("mnist-onnx/")]
    networks = [row for row in rows if row[0].startswith("mnist/")]
    assert len(graphs) == len(networks) == 1
    for row in (*graphs, *networks):
        assert row[2:4] == [str(right), "80"]
        assert row[7] == str(80 - read.sum())
        assert row[-3:] in (["0", "of", "1"], ["1", "of", "1"])
    assert graphs[0][2:] == networks[0][2:]

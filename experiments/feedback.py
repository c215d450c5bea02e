"""Corrections on the command line: list them, export a data set, score versions on them.

python -m experiments.feedback list

Each command imports torch and MLflow only if it needs them.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from tqdm import tqdm

from experiments.core import cli, exports, files
from experiments.core.errors import UserError
from experiments.core.paths import CORRECTIONS
from experiments.core.stats import wilson_interval
from experiments.data import feedback, idx, mnist
from experiments.data.feedback import NONE, Correction
from experiments.evaluation import calibration

if TYPE_CHECKING:
    from experiments.evaluation.robustness import Predictor
    from experiments.registry.versions import Version

Row = tuple[str, ...]

TASK = "mnist"
HOW_TO_TRAIN = cli.HOW_TO_TRAIN.format(task=TASK)
HOW_TO_CORRECT = "Draw a digit on the page (make serve) and correct its prediction there."
COLUMNS = ("time", "predicted", "label", "probability", "score", "model", "file")
SCORE_COLUMNS = ("version", "aliases", "correct", "digits", "95 %", "refused", "others refused")
TEST_EVERY = 5  # every fifth of the digits is for testing
MIN_TRAIN = 24  # digits for training that the task can split
BATCH = 500

FOLDER = click.option(
    "--folder",
    type=cli.UserPath(),
    default=CORRECTIONS,
    show_default="data/corrections",
    help="Where the corrections are.",
)


@click.group("experiments.feedback", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List the corrections made on the page, export them, and score versions on them."""


@command.command("list")
@FOLDER
def list_corrections(folder: Path) -> None:
    """List all corrections, the oldest first."""
    corrections = list(_read(folder))
    if not corrections:
        click.echo(f"{folder}: no corrections yet. {HOW_TO_CORRECT}")
        return
    rows: list[Row] = [COLUMNS]
    for item in corrections:
        score = "-" if item.score is None else f"{item.score:.2f}"
        start = (item.time[:19], item.predicted, item.label, f"{item.probability:.3f}", score)
        rows.append((*start, item.model, item.path.name))
    _print(rows)
    others = sum(item.label == NONE for item in corrections)
    click.echo(f"{len(corrections) - others} digits, and {others} that are none.")


@command.command()
@FOLDER
@click.option(
    "--out", type=cli.UserPath(), required=True, help="A new folder, or one of an earlier export."
)
@click.option("--with-mnist", is_flag=True, help="Put MNIST's own digits before them.")
def export(folder: Path, out: Path, with_mnist: bool) -> None:
    """Write the digits among them as MNIST's four files, every fifth one for testing."""
    earlier = out.is_dir() and {path.name for path in out.iterdir()} <= {
        *mnist.CANONICAL_MD5,
        files.SUMS,
    }
    files.check_folder(out, "out", "an earlier export", ours=earlier)

    # 1. Every fifth digit is for testing; of fewer than five, the last.
    images, labels = load_images(folder)
    is_digit = np.array(labels) != NONE
    x, y = images[is_digit], np.array(labels)[is_digit].astype(np.uint8)
    if len(x) < 2 and not with_mnist:
        raise UserError(
            "data-too-few",
            "corrections",
            expected="2 digits or more, one for training and one for testing",
            found=len(x),
            fix="Correct more, or add MNIST's own digits with --with-mnist.",
        )
    test = np.arange(len(x)) % TEST_EVERY == min(TEST_EVERY, len(x)) - 1
    parts = [x[~test], y[~test], x[test], y[test]]

    # 2. MNIST's own digits come first.
    if with_mnist:
        own = mnist.load()
        first = (own.train_images, own.train_labels, own.test_images, own.test_labels)
        parts = [np.concatenate(pair) for pair in zip(first, parts, strict=True)]

    packed = [idx.pack(part) for part in parts]
    files.write_folder(out, "out", dict(zip(mnist.CANONICAL_MD5, packed, strict=True)))
    train = len(parts[0])
    click.echo(f"{out}: {train:,} digits for training, {len(parts[2]):,} for testing.")
    click.echo(f"{len(labels) - len(x)} that are no digits were left out: MNIST has no such label.")
    if train >= MIN_TRAIN:
        click.echo(f"Train with them: {HOW_TO_TRAIN} -P {shlex.quote(f'data_dir={out.resolve()}')}")
    else:
        click.echo(f"A training takes at least {MIN_TRAIN}; add MNIST's own with --with-mnist.")


@command.command()
@FOLDER
def score(folder: Path) -> None:
    """Score every registered version, and every graph exported from one, on all corrections."""
    from experiments.registry import versions

    x, labels = load_images(folder)
    names = [
        name
        for name in versions.names()
        if name == TASK or name.startswith(exports.graph_name(TASK))
    ]
    if not names:
        what = f"model {TASK!r}"
        raise UserError("model-unknown", what, "a registered version", "none", HOW_TO_TRAIN)
    rows: list[Row] = [SCORE_COLUMNS]
    failed: list[str] = []
    models = [version for name in sorted(names) for version in versions.all_of(name)]
    for version in tqdm(models, "versions", unit="version", leave=False, disable=None):
        try:
            rows.append(score_row(version, predict(version, x), labels))
        except UserError as error:
            failed.append(str(error))
    _print(rows)
    click.echo("\n".join([*failed, "A refused digit counts as an error."]))


def score_row(version: Version, predicted: Sequence[str], labels: Sequence[str]) -> Row:
    """Return the row of one version; a refused digit counts as an error."""
    pred, true = np.array(predicted), np.array(labels)
    is_digit, refused = true != NONE, pred == NONE
    digits, correct = int(is_digit.sum()), int((is_digit & (pred == true)).sum())
    interval = "-"
    if digits:
        low, high = wilson_interval(correct, digits)
        interval = f"{low:.1%} to {high:.1%}"
    return (
        f"{version.name}/{version.number}",
        " ".join(f"@{alias}" for alias in version.aliases),
        str(correct),
        str(digits),
        interval,
        str((is_digit & refused).sum()),
        f"{(~is_digit & refused).sum()} of {(~is_digit).sum()}",
    )


def load_images(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Return the corrections preprocessed as on the page, uint8 [N, 28, 28], and their labels.

    Raises:
        UserError: there is no correction.
    """
    import torch

    from models.canvas import Canvas

    canvas = Canvas()
    images, labels = [], []
    for item in tqdm(_read(folder), "images", unit="image", leave=False, disable=None):
        images.append(canvas(torch.from_numpy(item.ink))[0].numpy())
        labels.append(item.label)
    if not images:
        expected = "one correction or more"
        raise UserError("corrections-missing", folder, expected, "none", HOW_TO_CORRECT)
    return np.concatenate(images), labels


def predict(version: Version, x: np.ndarray) -> list[str]:
    """Return a registered version's predictions for x, uint8 [N, 28, 28], of `feedback.ANSWERS`.

    Raises:
        UserError: it cannot be loaded, or its files are not those registered.
    """
    metadata = version.metadata
    if "facts" not in metadata:
        expected = "the metadata that a training registers"
        raise UserError("metadata-missing", version, expected, "none", HOW_TO_TRAIN)
    model = _graph(version) if "torch_model" in version.tags else _network(version)
    predicted: list[str] = []
    for start in range(0, len(x), BATCH):
        outputs = model(x[start : start + BATCH])
        labels = np.array(metadata["labels"])[outputs["probabilities"].argmax(1)]
        refused = calibration.is_refused(outputs, metadata["facts"])
        predicted += np.where(refused, NONE, labels).tolist()
    return predicted


def _graph(version: Version) -> Predictor:
    from experiments.core.onnx_session import open_session, run_batches
    from experiments.registry import artifacts

    session = open_session(artifacts.onnx_graph(version))
    return lambda x: run_batches(session, x)


def _network(version: Version) -> Predictor:
    from experiments.evaluation import robustness
    from experiments.registry import loading

    task = loading.task_of(version)
    net, _ = loading.load_model(task, version)
    return robustness.predictor(task.outputs, net)


def _read(folder: Path) -> Iterator[Correction]:
    """Yield all corrections, and at the end print which files are damaged."""
    damaged: list[str] = []
    yield from feedback.load_all(folder, damaged)
    for sentence in damaged:
        click.echo(sentence, err=True)


def _print(rows: Sequence[Row]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


if __name__ == "__main__":
    cli.main(command)

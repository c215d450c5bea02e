"""Corrections from the command line: what there is, as a data set, and who reads them right.

python -m experiments.corrections list
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from experiments import calibration, cli, corrected, outfile
from experiments.chance import interval
from experiments.corrected import NONE, Correction
from experiments.data import idx, mnist
from experiments.errors import UserError
from experiments.paths import CORRECTIONS

if TYPE_CHECKING:
    from experiments.versions import Version

TASK = "mnist"
HOW = cli.HOW_TO_TRAIN.format(task=TASK)
NOTHING = (
    "No correction is kept in {folder} yet: draw a digit on the page (make serve), and say there "
    "what it was."
)
COLUMNS = ("time", "said", "true", "probability", "score", "model", "file")
MARKS = ("version", "aliases", "right", "of digits", "95 %", "digits refused", "no digits refused")
TESTED = 5  # every fifth of the digits is for testing
FEWEST = 24  # digits for training that the task can split
BATCH = 500

FOLDER = click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=CORRECTIONS,
    show_default="data/corrections",
    help="Where the corrections are.",
)


@dataclass(frozen=True)
class Marks:
    """How one version did on the corrections; a refused digit was not read right.

    Attributes:
        right, refused: of the `digits`: those read right, and those called no digit.
        caught: of the `strangers`, which are no digits: those called so.
    """

    digits: int
    right: int
    refused: int
    strangers: int
    caught: int

    @classmethod
    def of(cls, answers: Sequence[str], true: Sequence[str]) -> Marks:
        """Compare a version's answers with the truth; both are of `corrected.ANSWERS`."""
        pairs = list(zip(answers, true, strict=True))
        digits = [(a, t) for a, t in pairs if t != NONE]
        return cls(
            digits=len(digits),
            right=sum(a == t for a, t in digits),
            refused=sum(a == NONE for a, _ in digits),
            strangers=len(pairs) - len(digits),
            caught=sum(a == t == NONE for a, t in pairs),
        )


@click.group("experiments.corrections", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look at the corrections that the page has kept, export them, and score versions on them."""


@command.command("list")
@FOLDER
def list_corrections(folder: Path) -> None:
    """List all corrections, the oldest first."""
    rows = [*map(_row, _read(folder))]
    if not rows:
        click.echo(NOTHING.format(folder=folder))
        return
    _print([COLUMNS, *rows])
    strangers = sum(row[COLUMNS.index("true")] == NONE for row in rows)
    click.echo(f"{len(rows) - strangers} digits, and {strangers} that are none.")


def _row(each: Correction) -> tuple[str, ...]:
    score = "-" if each.score is None else f"{each.score:.2f}"
    start = (each.time[:19], each.said, each.true, f"{each.probability:.3f}", score)
    return *start, each.model, each.path.name


@command.command()
@FOLDER
@click.option("--out", type=Path, required=True, help="A new folder, or one of an earlier export.")
@click.option("--with-mnist", is_flag=True, help="Put MNIST's own digits before them.")
def export(folder: Path, out: Path, with_mnist: bool) -> None:
    """Write the digits among them as MNIST's four files, every fifth one for testing."""
    _check_out(out)
    x, true = seen(folder)
    digits = [index for index, answer in enumerate(true) if answer != NONE]
    parts = _divided(x[digits], np.array([int(true[index]) for index in digits], np.uint8))
    if with_mnist:
        own = mnist.load()
        first = (own.train_images, own.train_labels, own.test_images, own.test_labels)
        parts = tuple(np.concatenate(pair) for pair in zip(first, parts, strict=True))
    elif len(digits) < 2:
        raise UserError(
            f"expected corrections of two digits at least, one to train with and one to test with; "
            f"found {len(digits)}. Correct more, or add MNIST's own digits with --with-mnist."
        )
    _write(out, parts)
    train, left = len(parts[0]), len(true) - len(digits)
    click.echo(f"{out}: {train:,} digits for training, {len(parts[2]):,} for testing.")
    click.echo(f"{left} that are no digits were left out: MNIST's files have no place for them.")
    if train >= FEWEST:
        click.echo(f"Train with them: {HOW} -P data_dir={out.resolve()}")
    else:
        click.echo(f"A training takes at least {FEWEST}; add MNIST's own with --with-mnist.")


def _divided(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return training's x and y, and testing's: every fifth; of fewer than five, the last."""
    place = np.arange(len(x))
    test = place % TESTED == min(TESTED, len(x)) - 1
    return x[~test], y[~test], x[test], y[test]


def _check_out(out: Path) -> None:
    """Raise UserError unless the four files may be written into `out`."""
    outfile.check(out / next(iter(mnist.CANONICAL_MD5)) if out.is_dir() else out)
    foreign = {path.name for path in out.iterdir()} - {*mnist.CANONICAL_MD5} if out.exists() else {}
    if foreign:
        raise UserError(
            f"out: expected a new folder or one of an earlier export; {out} holds "
            f"{min(foreign)!r}. Give another name."
        )


def _write(out: Path, arrays: Sequence[np.ndarray]) -> None:
    """Write the four files; one of an earlier export is never left among them."""
    out.mkdir(exist_ok=True)
    for name in mnist.CANONICAL_MD5:
        (out / name).unlink(missing_ok=True)
    for name, array in zip(mnist.CANONICAL_MD5, arrays, strict=True):
        outfile.write(idx.pack(array), out / name)


@command.command()
@FOLDER
def score(folder: Path) -> None:
    """Let every registered version, and every graph made of one, read all corrections."""
    from tqdm import tqdm

    x, true = seen(folder)
    models = list(_versions())
    rows: list[tuple[str, ...]] = [MARKS]
    amiss: list[str] = []
    for version in tqdm(models, "versions", unit="version", leave=False, disable=None):
        try:
            rows.append(_marked(version, Marks.of(answers(version, x), true)))
        except UserError as error:
            amiss.append(str(error))
    _print(rows)
    click.echo("\n".join([*amiss, "A digit that is refused counts as not read right."]))


def _marked(version: Version, marks: Marks) -> tuple[str, ...]:
    name = f"{version.name}/{version.number}"
    aliases = " ".join(f"@{alias}" for alias in version.aliases)
    digits = ("-", "0", "-", "-")
    if marks.digits:
        low, high = interval(marks.right, marks.digits)
        between = f"{low:.1%} to {high:.1%}"
        digits = (str(marks.right), str(marks.digits), between, str(marks.refused))
    return name, aliases, *digits, f"{marks.caught} of {marks.strangers}"


def _versions() -> Iterator[Version]:
    """Yield every version of the task's model and of its graphs, in each precision.

    Raises:
        UserError: none is registered.
    """
    from experiments import versions

    names = [name for name in versions.names() if name == TASK or name.startswith(f"{TASK}-onnx")]
    if not names:
        raise UserError(f"There is no model {TASK!r} yet: nothing is registered. Make one: {HOW}")
    for name in sorted(names):
        yield from versions.all_of(name)


def seen(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Return what a network sees of the corrections' ink, uint8 [N, 28, 28], and what is true.

    Raises:
        UserError: there is no correction.
    """
    from tqdm import tqdm

    found = corrected.all(folder)
    if next(found, None) is None:
        list(_read(folder))  # for what is damaged
        raise UserError(NOTHING.format(folder=folder))
    import torch

    from models.canvas import Canvas

    canvas = Canvas()
    pictures, true = [], []
    for each in tqdm(_read(folder), "pictures", unit="picture", leave=False, disable=None):
        pictures.append(canvas(torch.from_numpy(each.ink))[0].numpy())
        true.append(each.true)
    return np.concatenate(pictures), true


def answers(version: Version, x: np.ndarray) -> list[str]:
    """Return what a registered version says of x, uint8 [N, 28, 28]: each of `corrected.ANSWERS`.

    Raises:
        UserError: it cannot be opened, or is not what was registered.
    """
    stored = version.metadata
    if "facts" not in stored:
        raise UserError(f"{version} was registered without evidence, or cannot be read.")
    run = _graph(version) if "torch_model" in version.tags else _network(version)
    given: list[str] = []
    for start in range(0, len(x), BATCH):
        told = run(x[start : start + BATCH])
        likeliest = told["probabilities"].argmax(1)
        refused = calibration.refuses(told, stored["facts"])
        given += np.where(refused, NONE, np.array(stored["labels"])[likeliest]).tolist()
    return given


def _graph(version: Version) -> Callable[[np.ndarray], dict[str, Any]]:
    import onnxruntime

    from experiments import artifacts

    raw = artifacts.onnx_graph(version)
    session = onnxruntime.InferenceSession(raw, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    given = session.get_inputs()[0].name
    return lambda x: dict(zip(names, session.run(names, {given: x}), strict=True))


def _network(version: Version) -> Callable[[np.ndarray], dict[str, Any]]:
    import torch

    from experiments import rebuilt, tasks

    task = tasks.get(version.metadata["task"])
    net, _ = rebuilt.network(task, version)

    def run(x: np.ndarray) -> dict[str, Any]:
        with torch.inference_mode():
            outputs = task.outputs(net, torch.tensor(x))
        return {name: value.numpy() for name, value in outputs.items()}

    return run


def _read(folder: Path) -> Iterator[Correction]:
    """Yield all corrections, one at a time; say in the end which files are damaged."""
    damaged: list[str] = []
    yield from corrected.all(folder, damaged)
    for sentence in damaged:
        click.echo(sentence, err=True)


def _print(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


if __name__ == "__main__":
    cli.main(command)

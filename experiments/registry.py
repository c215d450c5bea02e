"""The registry from the command line: what there is, how it got there, and whether it is whole.

python -m experiments.registry list
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from experiments import card, cli, moves, rebuilt, tasks, versions
from experiments.chance import mcnemar
from experiments.errors import UserError

if TYPE_CHECKING:
    from experiments.versions import Version

HOW = cli.HOW_TO_TRAIN.format(task="mnist")
FOLLOW = "graphs follow the version that they were made of"
COLUMNS = ("version", "aliases", "registered", "recipe", "val", "test", "KB", "why")
SHOWN = 60  # characters of a reason in a list


@click.group("experiments.registry", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Look at registered versions, test and move the champion, and check all files."""


@command.command("list")
@click.argument("name", required=False)
def list_versions(name: str | None) -> None:
    """List all versions of all models, or of one."""
    for model in _names(name):
        click.echo(f"{model}:")
        rows = [COLUMNS, *map(_row, versions.all_of(model))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo(f"  {'  '.join(cells).rstrip()}")


def _row(version: Version) -> tuple[str, ...]:
    stored = version.metadata
    made = datetime.fromtimestamp(version.created).isoformat(" ", "minutes")
    start = (str(version.number), " ".join(f"@{alias}" for alias in version.aliases), made)
    if "proof" not in stored:
        return *start, "", "", "", "", "registered without evidence"
    size = stored.get("bytes", stored["proof"]["bytes"]) / 1000
    why = version.tags.get("promotion_reason") or version.tags.get("torch_model", "")
    accuracies = (f"{stored[f'{split}_accuracy']:.2%}" for split in ("val", "test"))
    short = why if len(why) <= SHOWN else why[: SHOWN - 3] + "..."
    return *start, stored.get("precision", stored["recipe"]), *accuracies, f"{size:.0f}", short


@command.command()
@click.argument("model")
def show(model: str) -> None:
    """Print the card of MODEL (models:/NAME@ALIAS or models:/NAME/NUMBER), and its tags."""
    version = versions.find(model, HOW)
    if card.NAME not in version.attached:
        raise UserError(
            f"{version} has no card: its training ended early; the same command goes on."
        )
    click.echo(versions.read(version, card.NAME).decode())
    click.echo(f"aliases: {', '.join(version.aliases) or 'none'}")
    for key, value in sorted(version.tags.items()):
        if key not in (versions.FILES, versions.ATTACHED):
            click.echo(f"{key}: {value}")


@command.command()
@click.argument("first")
@click.argument("second")
def compare(first: str, second: str) -> None:
    """Put version FIRST to the test against SECOND as if that were champion; move nothing."""
    a, b = (_trained(versions.find(uri, HOW)) for uri in (first, second))
    if a.name != b.name:
        raise UserError(f"expected two versions of one model, found {a} and {b}.")
    verdict = moves.test(a, b, _time_ratio(a))
    for gate in verdict.gates:
        click.echo(f"{'passed' if gate.passed else 'FAILED'}  {gate}")
    for line in _differences(a, b):
        click.echo(line)
    click.echo(f"{a} {'would' if verdict.passed else 'would not'} take the place of {b}.")


def _differences(a: Version, b: Version) -> Iterator[str]:
    """Yield what both have measured, side by side."""
    yield f"{'':32}{a!s:>18}{b!s:>18}"
    if a.metadata["data_digest"] == b.metadata["data_digest"]:
        wrong = [set(each.metadata["val_wrong"]) for each in (a, b)]
        p = mcnemar(len(wrong[1] - wrong[0]), len(wrong[0] - wrong[1]))
        alone = [len(wrong[0] - wrong[1]), len(wrong[1] - wrong[0])]
        yield f"{'wrong on validation, alone':32}{alone[0]:>18,}{alone[1]:>18,}   (p {p:.2g})"
    for name in ("val_accuracy", "test_accuracy"):
        yield f"{name:32}{a.metadata[name]:>18.4f}{b.metadata[name]:>18.4f}"
    for name in ("bytes", "latency_ms"):
        yield f"{name:32}{a.metadata['proof'][name]:>18,.4g}{b.metadata['proof'][name]:>18,.4g}"
    numbers = [each.metadata["robustness"] for each in (a, b)]
    for name in sorted(numbers[0].keys() & numbers[1].keys()):
        yield f"{name:32}{numbers[0][name]:>18.4f}{numbers[1][name]:>18.4f}"


@command.command()
@click.argument("model")
@click.option(
    "--insist", metavar="WHY", default="", help="Promote it though it fails, and say why."
)
def promote(model: str, insist: str) -> None:
    """Put MODEL to the test against the champion; if it passes, it takes its place."""
    version = _trained(versions.find(model, HOW))
    if damages := versions.damages(version):
        raise UserError(f"{version} cannot be champion: {'; '.join(damages)}.")
    passed, reason = moves.promote(version, _time_ratio(version), insist)
    card.publish(versions.find(version.uri))
    click.echo(f"{version} is {'champion' if passed else 'challenger'}: {reason}.")


@command.command()
@click.argument("name")
@click.option("--why", default="asked for by hand", show_default=True, help="For the record.")
def rollback(name: str, why: str) -> None:
    """Make the champion before the present one of model NAME champion again."""
    _names(name)
    if name not in tasks.names():
        raise UserError(f"{name}: {FOLLOW}; go back with that one.")
    version = moves.rollback(name, why)
    click.echo(f"{version} is champion again.")
    if not any(key.startswith(moves.ONNX) for key in version.tags):
        click.echo(f"It is not exported yet: {cli.HOW_TO_EXPORT.format(task=name)}")


@command.command()
@click.argument("name")
def history(name: str) -> None:
    """Print every move of the aliases of model NAME, the oldest first."""
    _names(name)
    for line in [*map(str, moves.recorded(name))] or [f"No move of {name} is in the record."]:
        click.echo(line)


@command.command()
@click.argument("name", required=False)
def verify(name: str | None) -> None:
    """Hash the files of every version anew, check the record of moves, and tell any change."""
    found, count = [], 0
    for model in _names(name):
        for version in versions.all_of(model):
            count += 1
            found += [f"{version}: {change}" for change in versions.changes(version)]
        found += [f"{model}: {broken}" for broken in moves.breaks(model)]
    if found:
        click.echo("\n".join(found))
        raise UserError(f"{len(found)} of what was registered is not as it was; see above.")
    click.echo(f"{count} versions, each file as it was registered; every move is in the record.")


def _names(name: str | None) -> list[str]:
    """Return the names of the models that are meant, of which there is at least one."""
    there = versions.names()
    if not there:
        raise UserError(f"There is no model yet: nothing is registered. Make one with: {HOW}")
    if name is not None and name not in there:
        raise UserError(f"There is no model {name!r}; registered are {', '.join(there)}.")
    return [name] if name else there


def _trained(version: Version) -> Version:
    if version.name not in tasks.names():
        raise UserError(
            f"expected a version that was trained, of {' or '.join(tasks.names())}; found "
            f"{version}: {FOLLOW}."
        )
    return moves.with_evidence(version)


def _time_ratio(version: Version) -> moves.TimeRatio:
    def against(other: Version) -> float:
        splits = rebuilt.data(tasks.get(version.metadata["task"]), version)
        return rebuilt.time_ratio(version, other, splits.test.x[:1])

    return against


if __name__ == "__main__":
    cli.main(command)

"""The registry's command: list, compare and promote versions, and verify their files.

python -m experiments.registry list
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from experiments import tasks
from experiments.core import cli
from experiments.core.errors import UserError
from experiments.core.stats import mcnemar
from experiments.registry import aliases, loading, metadata, model_card, promotion, versions

if TYPE_CHECKING:
    from experiments.registry.versions import Version

HOW = cli.HOW_TO_TRAIN.format(task="mnist")
MAX_WHY = 60  # characters of a reason in a list
PASSED, FAILED = "passed", "FAILED"
WOULD, WOULD_NOT = "{a} would replace {b}.", "{a} would not replace {b}."
OUTDATED = "registered by an earlier release"
NO_CHANGE = "No change of an alias of {name} is logged."
VERIFIED = "{count} versions, each file as it was registered; every alias is where the log says."


@click.group("experiments.registry", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """List registered versions, test and promote them, and verify their files."""


@command.command("list")
@click.argument("name", required=False)
def list_versions(name: str | None) -> None:
    """List all versions of all models, or of one."""
    for model in _names(name):
        click.echo(f"{model}:")
        for line in _lines(_table(versions.all_of(model))):
            click.echo(f"  {line}")


def _table(listed: list[Version]) -> dict[str, list[str]]:
    """Return heading -> one text a version."""
    return {
        "version": [str(version.number) for version in listed],
        "aliases": [" ".join(f"@{alias}" for alias in version.aliases) for version in listed],
        "registered": [
            datetime.fromtimestamp(version.created).isoformat(" ", "minutes") for version in listed
        ],
        **metadata.columns([version.metadata for version in listed]),
        "why": [_why(version) for version in listed],
    }


def _why(version: Version) -> str:
    if not metadata.is_current(version.metadata):
        return OUTDATED
    why = version.tags.get("promotion_reason") or version.tags.get("torch_model", "")
    return why if len(why) <= MAX_WHY else f"{why[: MAX_WHY - 3]}..."


def _lines(table: dict[str, list[str]]) -> Iterator[str]:
    """Yield the lines of a table, its columns aligned."""
    columns = [[heading, *texts] for heading, texts in table.items()]
    widths = [max(map(len, column)) for column in columns]
    for row in zip(*columns, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


@command.command()
@click.argument("model")
def show(model: str) -> None:
    """Print the card of MODEL (models:/NAME@ALIAS or models:/NAME/NUMBER), and its tags."""
    version = versions.find(model, HOW)
    if model_card.NAME not in version.attached:
        raise UserError(
            "card-missing",
            str(version),
            expected=f"a version with its card, {model_card.NAME}",
            found="none: its training was interrupted",
            fix="Rerun the same training command to resume it.",
        )
    click.echo(versions.read(version, model_card.NAME).decode())
    click.echo(f"aliases: {', '.join(version.aliases) or 'none'}")
    for key, value in sorted(version.tags.items()):
        if key not in (versions.FILES, versions.ATTACHED):
            click.echo(f"{key}: {value}")


@command.command()
@click.argument("first")
@click.argument("second")
def compare(first: str, second: str) -> None:
    """Test version FIRST against SECOND as if that were champion; no alias changes."""
    a, b = (_trained(uri) for uri in (first, second))
    if a.name != b.name:
        raise UserError(
            "models-differ",
            second,
            expected=f"another version of {a.name}",
            found=f"one of {b.name}",
            fix="Compare two versions of one model.",
        )
    result = aliases.evaluate(a, b, _time_ratio(a))
    for check in result.checks:
        click.echo(f"{PASSED if check.passed else FAILED}  {check}")
    for line in _differences(a, b):
        click.echo(line)
    click.echo((WOULD if result.passed else WOULD_NOT).format(a=a, b=b))


def _differences(a: Version, b: Version) -> Iterator[str]:
    """Yield the numbers that both versions have, in two columns."""
    yield f"{'':32}{a!s:>18}{b!s:>18}"
    if a.metadata["data_digest"] == b.metadata["data_digest"]:
        wrong_a, wrong_b = (set(version.metadata["val_wrong"]) for version in (a, b))
        only_a, only_b = len(wrong_a - wrong_b), len(wrong_b - wrong_a)
        p = mcnemar(only_b, only_a)
        yield f"{'only this one wrong, validation':32}{only_a:>18,}{only_b:>18,}   (p {p:.2g})"
    numbers_a, numbers_b = _numbers(a), _numbers(b)
    for name in [name for name in numbers_a if name in numbers_b]:
        texts = [promotion.number(numbers[name]) for numbers in (numbers_a, numbers_b)]
        yield f"{name:32}{texts[0]:>18}{texts[1]:>18}"


def _numbers(version: Version) -> dict[str, float]:
    stored = version.metadata
    names = ("val_accuracy", "test_accuracy")
    proof = {name: stored["proof"][name] for name in ("bytes", "latency_ms")}
    return {**{name: stored[name] for name in names}, **proof, **stored["robustness"]}


@command.command()
@click.argument("model")
@click.option(
    "--insist", metavar="WHY", default="", help="Promote it even if it fails; the reason is logged."
)
def promote(model: str, insist: str) -> None:
    """Test MODEL against the champion, and make it champion if it passes."""
    version = _trained(model)
    versions.check_unmodified(version)
    passed, reason = aliases.promote(version, _time_ratio(version), insist)
    model_card.publish(versions.find(version.uri))
    click.echo(f"{version} is {aliases.CHAMPION if passed else aliases.CHALLENGER}: {reason}.")


@command.command()
@click.argument("name")
@click.option("--why", default="asked for by hand", show_default=True, help="For the log.")
def rollback(name: str, why: str) -> None:
    """Make the champion before the present one of model NAME champion again."""
    _names(name)
    check_trained(name, f"model {name}")
    version = aliases.rollback(name, why)
    click.echo(f"{version} is champion again.")
    if not any(key.startswith(aliases.ONNX) for key in version.tags):
        click.echo(f"Export it with: {cli.HOW_TO_EXPORT.format(task=name)}")


@command.command()
@click.argument("name")
def history(name: str) -> None:
    """Print every change of the aliases of model NAME, the oldest first."""
    _names(name)
    changes = aliases.history(name)
    for change in changes:
        click.echo(str(change))
    if not changes:
        click.echo(NO_CHANGE.format(name=name))


@command.command()
@click.argument("name", required=False)
def verify(name: str | None) -> None:
    """Verify the hash of every version's files, and the log of alias changes."""
    differences, count = [], 0
    for model in _names(name):
        for version in versions.all_of(model):
            count += 1
            differences += [f"{version}: {change}" for change in versions.log_changes(version)]
        differences += [f"{model}: {mismatch}" for mismatch in aliases.check_log(model)]
    if differences:
        click.echo("\n".join(differences))
        raise UserError(
            "registry-changed",
            "registry",
            expected="every file as it was registered, every alias as it was logged",
            found=f"{len(differences)} differences, listed above",
            fix="Restore the files, or roll back to an unchanged version.",
        )
    click.echo(VERIFIED.format(count=count))


def _names(name: str | None) -> list[str]:
    """Return the given model, or else all of them; at least one."""
    versions.check_name(name, f"Make one with: {HOW}")
    return [name] if name else versions.names()


def check_trained(name: str, what: str) -> None:
    """Raise UserError, model-not-trained, if `what`, of the model `name`, is only a graph."""
    if name not in tasks.names():
        raise UserError(
            "model-not-trained",
            what,
            expected=f"a trained model, {' or '.join(tasks.names())}",
            found=name,
            fix="Name the trained version: an exported graph follows it.",
        )


def _trained(uri: str) -> Version:
    version = versions.find(uri, HOW)
    check_trained(version.name, str(version))
    return metadata.check_current(version)


def _time_ratio(version: Version) -> aliases.TimeRatio:
    def ratio(other: Version) -> float:
        splits = loading.load_splits(loading.task_of(version), version)
        return loading.time_ratio(version, other, splits.val.x[:1])

    return ratio


if __name__ == "__main__":
    cli.main(command)

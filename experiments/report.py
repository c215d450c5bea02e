"""The report of a registered version: one file that a browser shows and a printer prints.

python -m experiments.report --model models:/mnist@champion --against models:/mnist/3
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments import card, cli, outfile, tasks, tracking, versions
from experiments.errors import UserError

if TYPE_CHECKING:
    from experiments.versions import Version

NAME = "report.html"


def publish(version: Version, second: Version | None = None) -> str:
    """Return the report of `version`, maybe beside another, and lay it beside the model.

    Raises:
        UserError: a run lacks what a report needs, or the two cannot be compared.
    """
    from experiments.comparison import compare
    from experiments.report_page import Source, render

    task = tasks.get(version.metadata["task"])
    with tempfile.TemporaryDirectory() as folder:
        both = [each for each in (version, second) if each]
        sources = [Source.of(each, Path(folder) / str(each.number)) for each in both]
        summaries = [card.summary(source.version) for source in sources]
        page = render(sources, summaries, compare(task, version, second) if second else None)
        path = Path(folder) / (f"against-{second.number}.html" if second else NAME)
        path.write_text(page)
        versions.attach(version, path)
    return page


def _chosen(uri: str, option: str) -> Version:
    name = uri.removeprefix("models:/").partition("@")[0].partition("/")[0]
    version = versions.find(uri, how_to_make=cli.HOW_TO_TRAIN.format(task=name))
    if version.name not in tasks.names():
        raise UserError(
            f"{option}: expected a version that was trained here, of {' or '.join(tasks.names())}; "
            f"found {version}."
        )
    return version


@click.command("experiments.report", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", default="models:/mnist@champion", show_default=True)
@click.option("--against", default="auto", help="Another version of the task.  [default: none]")
@click.option("--out", type=Path, default=Path(NAME), show_default=True)
def command(model: str, against: str, out: Path) -> None:
    """Write the report of a registered version, maybe beside another, as one HTML file."""
    outfile.check(out)
    version = _chosen(model, "model")
    second = None if against in ("", "auto") else _chosen(against, "against")
    if second and second.name != version.name:
        raise UserError(
            f"against: expected another version of {version.name}; found one of {second.name}."
        )
    if second and second.number == version.number:
        raise UserError(f"against: expected another version than {version}; found the same.")
    with tracking.start(
        f"report {version}" + (f" against {second.number}" if second else "")
    ) as run:
        page = publish(version, second)
        run.file(NAME, page.encode())
        outfile.write(page.encode(), out)
    click.echo(f"{out}: {card.summary(version)}")


if __name__ == "__main__":
    cli.main(command)

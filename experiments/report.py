"""The report of a registered version, or of two, as one HTML file.

python -m experiments.report --model models:/mnist@champion --against models:/mnist/3
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from experiments.core import cli, files
from experiments.core.errors import UserError
from experiments.registry import __main__, metadata, model_card, versions
from experiments.tracking import runs

if TYPE_CHECKING:
    from experiments.registry.versions import Version

NAME = "report.html"


def publish(version: Version, second: Version | None = None) -> str:
    """Return the report of `version`, maybe compared with `second`, and add it to the model.

    Raises:
        UserError: a run lacks what a report needs, or the two cannot be compared.
    """
    from experiments.evaluation.comparison import compare
    from experiments.figures.report_html import Source, render

    with tempfile.TemporaryDirectory() as folder:
        compared = [version, second] if second else [version]
        sources = [Source.of(each, Path(folder) / str(each.number)) for each in compared]
        summaries = [model_card.summary(source.version) for source in sources]
        page = render(sources, summaries, compare(version, second) if second else None)
        path = Path(folder) / (f"against-{second.number}.html" if second else NAME)
        path.write_text(page)
        versions.add_artifact(version, path)
    return page


def _chosen(uri: str, option: str) -> Version:
    """Return the version that is named by an option.

    Raises:
        UserError: there is none, it is a graph, or an earlier release registered it.
    """
    name = uri.removeprefix("models:/").partition("@")[0].partition("/")[0]
    version = versions.find(uri, how_to_make=cli.HOW_TO_TRAIN.format(task=name))
    __main__.check_trained(version.name, option)
    return metadata.check_current(version)


@click.command("experiments.report", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--model", default="models:/mnist@champion", show_default=True)
@click.option("--against", default="auto", help="Another version of the task.  [default: none]")
@click.option("--out", type=cli.UserPath(), default=Path(NAME), show_default=True)
def command(model: str, against: str, out: Path) -> None:
    """Write the report of a registered version, maybe compared with another, as one HTML file."""
    files.check_file(out)
    version = _chosen(model, "model")
    second = None if against in ("", "auto") else _chosen(against, "against")
    if second and second.name != version.name:
        raise UserError(
            "models-differ",
            "against",
            expected=f"another version of {version.name}",
            found=f"one of {second.name}",
            fix="Compare two versions of one model.",
        )
    if second and second.number == version.number:
        raise UserError(
            "versions-identical",
            "against",
            expected=f"another version than {version}",
            found="the same",
            fix=f"List them with: {versions.HOW_TO_LIST} {version.name}",
        )
    with runs.start(f"report {version}" + (f" against {second.number}" if second else "")) as run:
        page = publish(version, second)
        run.file(NAME, page.encode())
        files.write(page.encode(), out)
    click.echo(f"{out}: {model_card.summary(version)}")


if __name__ == "__main__":
    cli.main(command)

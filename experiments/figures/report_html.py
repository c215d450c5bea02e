"""What a report consists of, and the one HTML page it becomes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from PIL import Image

from experiments import tasks
from experiments.core import cli
from experiments.core.errors import UserError
from experiments.figures import logger
from experiments.figures.plots import comparison as plots
from experiments.figures.plots import style
from experiments.tracking import runs

if TYPE_CHECKING:
    from experiments.evaluation.comparison import Comparison
    from experiments.registry.versions import Version
    from experiments.tracking.runs import Record

TEMPLATE = Path(__file__).with_name("report.html")
LIST = f"{logger.FOLDER}/{logger.INDEX}"
WIDTH, QUALITY = 1200, 80  # of figures: pixels, WebP quality
CHAPTERS = {
    "network": "Architecture",
    "learning": "Training",
    "decisions": "Predictions",
    "mistakes": "Mistakes",
    "features": "Features and attributions",
    "robustness": "Calibration, robustness and out-of-distribution detection",
    "search": "Hyper-parameter search",
}
SETTINGS = ("task", "recipe_used", "seed", "trials", "device_used", "precision_used", "threads")
DATA = ("data_name", "data_source", "data_digest", "data_sizes", "data_exhaustive")
NUMBERS = (
    "test_accuracy", "test_loss", "test_count", "val_accuracy", "val_loss", "fit_seconds",
    "robustness/test_ece", "robustness/corruption/mean", "robustness/corruption/least",
    "robustness/drawings/mean",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A version, the record of its run, and the run's figures with their index."""

    version: Version
    record: Record
    folder: Path
    entries: Sequence[logger.Entry]

    @classmethod
    def of(cls, version: Version, into: Path) -> Source:
        """Return the source of the report on `version`; its figures are copied into a folder.

        Raises:
            UserError: figures-missing, its run has no index of figures; or it cannot be read.
        """
        record = runs.record(version)
        try:
            folder = runs.artifact(version, logger.FOLDER, into)
            index = (folder / logger.INDEX).read_text()
        except (UserError, OSError):
            raise UserError(
                "figures-missing",
                f"run of {version}",
                expected=f"the index of figures that a report needs, {LIST}",
                found="none: the run is older than reports",
                fix=f"Train again: {cli.HOW_TO_TRAIN.format(task=version.name)}",
            ) from None
        return cls(version, record, folder, json.loads(index))

    def shown(self, name: str) -> logger.Entry:
        """Return the entry `name` with its `picture`, or with the reason as `left_out`."""
        missing = {"left_out": f"{self.version} has no such figure."}
        entry = next((entry for entry in self.entries if entry["name"] == name), missing)
        if "left_out" in entry:
            return {"title": "", "text": "", "picture": "", **entry}
        raw = (self.folder / entry["file"]).read_bytes()
        picture = _data_url("gif", raw) if entry["file"].endswith(".gif") else _embedded(raw)
        return {**entry, "left_out": "", "picture": picture}


def render(sources: Sequence[Source], summaries: Sequence[str], more: Comparison | None) -> str:
    """Return the report of one version, or of two side by side, as one HTML page.

    Args:
        summaries: a few sentences on each version.
        more: how the two differ.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(TEMPLATE.read_text()).render(
        title=" against ".join(str(source.version) for source in sources),
        sources=sources,
        summaries=summaries,
        comparison=more,
        differing=more and _differing(more, sources),
        exhaustive=sources[0].record.params["data_exhaustive"] == "True",
        chapters=by_chapter({e["name"]: e for source in sources for e in source.entries}.values()),
        **_tables(sources),
    )


def by_chapter(entries: Iterable[logger.Entry]) -> dict[str, list[logger.Entry]]:
    """Return heading -> entries, in reading order."""
    chapters: dict[str, list[logger.Entry]] = {heading: [] for heading in CHAPTERS.values()}
    for entry in entries:
        folder = entry["name"].partition("/")[0]
        heading = CHAPTERS.get(folder, folder.capitalize())
        chapters.setdefault(heading, []).append(entry)
    return {heading: chapter for heading, chapter in chapters.items() if chapter}


def _differing(more: Comparison, sources: Sequence[Source]) -> str | None:
    """Return the figure of the samples on which two versions differ, if there are any."""
    if not len(more.disagreements):
        return None
    names = [str(source.version) for source in sources]
    show = tasks.get(sources[0].version.metadata["task"]).show
    samples = [show(more.test.x[place[0]]) for place in more.disagreements[: plots.MAX_SHOWN]]
    figure = plots.differing(
        samples, more.test.y, more.predictions, more.disagreements, more.labels, names
    )
    return _embedded(style.png(figure))


def _tables(sources: Sequence[Source]) -> dict[str, list[list[str]]]:
    """Return the page's tables: rows of a name and its value in each source, as text."""
    params = [source.record.params for source in sources]
    metrics = [source.record.metrics for source in sources]
    tags = [source.record.tags for source in sources]
    hparams = sorted({name for each in params for name in each if name.startswith("hparams/")})
    versions = sorted({name for each in tags for name in each if name.startswith("version.")})
    others = sorted({name for each in metrics for name in each} - set(NUMBERS))
    return {
        "settings": _rows(SETTINGS + DATA, params),
        "hparams": _rows(hparams, params),
        "numbers": _rows(NUMBERS, metrics),
        "details": _rows(others, metrics),
        "libraries": _rows([*versions, "machine", "mlflow.source.git.commit"], tags),
        "commands": _rows(["command"], tags),
    }


def _rows(names: Sequence[str], sources: Sequence[Mapping[str, object]]) -> list[list[str]]:
    rows = ([name, *(_text(source.get(name)) for source in sources)] for name in names)
    return [row for row in rows if any(row[1:])]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 2 else f"{value:.6g}"
    return "" if value is None else str(value)


def webp(png: bytes, width: int, quality: int) -> bytes:
    """Return an image as WebP, at most `width` pixels wide."""
    image, out = Image.open(io.BytesIO(png)), io.BytesIO()
    still = image.convert("RGB")
    still.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    still.save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()


def _embedded(png: bytes) -> str:
    """Return an image as a data URL, as WebP."""
    return _data_url("webp", webp(png, WIDTH, QUALITY))


def _data_url(kind: str, raw: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"

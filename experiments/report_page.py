"""What a report is made of, and the one HTML page that it becomes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import cli, gallery, tracking
from experiments.errors import UserError

if TYPE_CHECKING:
    from experiments.comparison import Comparison
    from experiments.tracking import Record
    from experiments.versions import Version

TEMPLATE = Path(__file__).with_name("report.html")
MOST = 5_000_000  # bytes of a page
SIZES = ((1300, 85), (1000, 75), (800, 60), (500, 50))  # of pictures: width in pixels, WebP quality
CHAPTERS = {
    "network": "What the network is",
    "learning": "How it learned",
    "decisions": "What it says",
    "mistakes": "Where it errs",
    "inside": "What goes on inside",
    "robustness": "What it withstands, and what it refuses",
    "search": "How its settings were found",
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
    """A version, the record of its run, and the pictures that the run has left, with their list."""

    version: Version
    record: Record
    folder: Path
    entries: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, version: Version, into: Path) -> Source:
        """Read what the report of `version` is made of; copy its pictures into a folder.

        Raises:
            UserError: its run left no list of pictures, or cannot be read.
        """
        record = tracking.record(version)
        try:
            folder = tracking.artifact(version, gallery.FOLDER, into)
            index = (folder / gallery.INDEX).read_text()
        except (UserError, OSError):
            train = cli.HOW_TO_TRAIN.format(task=version.name)
            raise UserError(
                f"{version} has no list of pictures ({gallery.FOLDER}/{gallery.INDEX}) in its run, "
                f"which a report is made of: it is older than reports are. Train a new one: {train}"
            ) from None
        return cls(version, record, folder, json.loads(index))

    def chapters(self) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
        """Yield folders in reading order, each with its entries."""
        folders = dict.fromkeys(entry["name"].partition("/")[0] for entry in self.entries)
        known = [folder for folder in CHAPTERS if folder in folders]
        for folder in [*known, *(f for f in folders if f not in CHAPTERS)]:
            yield folder, [e for e in self.entries if e["name"].partition("/")[0] == folder]

    def shown(self, name: str, width: int, quality: int) -> dict[str, str]:
        """Return the entry `name` with its `picture`, or what `left_out` says of its absence."""
        found = next((entry for entry in self.entries if entry["name"] == name), None)
        if found is None or "left_out" in found:
            why = found["left_out"] if found else f"{self.version} has no such picture."
            return {"title": "", "text": "", "picture": "", "left_out": why}
        raw = (self.folder / found["file"]).read_bytes()
        gif = found["file"].endswith(".gif") and width > SIZES[-1][0]  # at last, a frame must do
        picture = address("gif", raw) if gif else address("webp", webp(raw, width, quality))
        return {**found, "left_out": "", "picture": picture}


def render(sources: Sequence[Source], summaries: Sequence[str], more: Comparison | None) -> str:
    """Return the report of one version, or of two side by side, in at most `MOST` bytes.

    Args:
        summaries: a few sentences on each version.
        more: how the two differ.

    Raises:
        UserError: no size of the pictures makes it small enough.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    template = environment.from_string(TEMPLATE.read_text())
    facts = {
        "title": " against ".join(str(source.version) for source in sources),
        "sources": sources,
        "summaries": summaries,
        "comparison": more,
        "exhaustive": sources[0].record.params["data_exhaustive"] == "True",
        **_tables(sources),
    }
    for width, quality in SIZES:
        page = template.render(
            **facts,
            differing=more and _differing(more, sources, width, quality),
            chapters=list(_chapters(sources, width, quality)),
        )
        if len(page.encode()) <= MOST:
            return page
    raise UserError(f"The report would be larger than {MOST:,} bytes, however small its pictures.")


def _chapters(
    sources: Sequence[Source], width: int, quality: int
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield title and exhibits of each chapter; an exhibit has a picture of each source."""
    whole = dict.fromkeys(folder for source in sources for folder, _ in source.chapters())
    for folder in sorted(whole, key=[*CHAPTERS, *whole].index):
        entries = {
            entry["name"]: entry
            for source in sources
            for known, of_folder in source.chapters()
            if known == folder
            for entry in of_folder
        }
        exhibits = [
            {**entry, "shown": [source.shown(name, width, quality) for source in sources]}
            for name, entry in entries.items()
        ]
        yield CHAPTERS.get(folder, folder.capitalize()), exhibits


def _differing(more: Comparison, sources: Sequence[Source], width: int, quality: int) -> str | None:
    """Return the picture of the samples on which two versions differ, if there are any."""
    from experiments.plots import comparison as plots
    from experiments.plots import style

    if not len(more.differing):
        return None
    test, names = more.splits.test, [str(source.version) for source in sources]
    figure = plots.differing(test.x, test.y, more.said, more.differing, more.splits.labels, names)
    return address("webp", webp(style.png(figure), width, quality))


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


def _rows(names: Sequence[str], sources: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    rows = ([name, *(_text(source.get(name)) for source in sources)] for name in names)
    return [row for row in rows if any(row[1:])]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 2 else f"{value:.6g}"
    return "" if value is None else str(value)


def webp(png: bytes, width: int, quality: int) -> bytes:
    """Return a picture as WebP, at most `width` pixels wide."""
    from PIL import Image

    opened, out = Image.open(io.BytesIO(png)), io.BytesIO()
    opened.seek(getattr(opened, "n_frames", 1) - 1)  # of a film the end
    picture = opened.convert("RGB")
    picture.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
    picture.save(out, "WEBP", quality=quality, method=2)
    return out.getvalue()


def address(kind: str, raw: bytes) -> str:
    """Return the picture's bytes as an address that a page can hold."""
    return f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"

"""Draws the figures of a run, logs each, and writes the index that the report reads.

The import inside a function keeps matplotlib out of --help.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from tqdm import tqdm

from experiments.core.errors import DataError
from experiments.figures.spec import Animation, FigureSpec
from experiments.training.config import Level

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.tracking.runs import RunLogger

FOLDER, INDEX = "figures", "index.json"
Entry = dict[
    str, str
]  # of the index: name, look, limit; file, title and text, or left_out and code


class FigureLogger:
    """Logs the figures of one run.

    Args:
        run: receives the files.
        level: which figures: none, those marked `core`, or all.
    """

    def __init__(self, run: RunLogger, level: Level = "all") -> None:
        self.run, self.level = run, level
        self.entries: list[Entry] = []
        self.seconds = 0.0

    def log(self, specs: Iterable[FigureSpec]) -> None:
        """Draw and log the figures of the level; one that fails is listed with its reason."""
        if self.level == "none":
            return
        started = time.perf_counter()
        chosen = [spec for spec in specs if spec.core or self.level == "all"]
        for spec in tqdm(chosen, "figures", unit="figure", leave=False, disable=None):
            entry = {"name": spec.name, "look": spec.caption, "limit": spec.caveat}
            try:
                self.entries.append(entry | self._log(spec))
            except DataError as reason:
                self.entries.append(entry | {"left_out": str(reason), "code": reason.code})
        self.seconds += time.perf_counter() - started

    def close(self) -> None:
        """Log the index, and how long drawing took."""
        self.run.text(f"{FOLDER}/{INDEX}", json.dumps(self.entries, indent=1))
        self.run.metrics({"figures_seconds": self.seconds})

    def _log(self, spec: FigureSpec) -> Entry:
        drawn = spec.draw()
        title = drawn.title if isinstance(drawn, Animation) else drawn.get_suptitle()
        files = dict(_files(drawn, spec.scalable))
        for ending, raw in files.items():
            self.run.file(f"{FOLDER}/{spec.name}{ending}", raw)
        if spec.text:
            self.run.text(f"{FOLDER}/{spec.name}.md", spec.text)
        file = f"{spec.name}{next(iter(files))}"
        return {"file": file, "title": title, "text": spec.text}


def _files(drawn: Figure | Animation, scalable: bool) -> Iterator[tuple[str, bytes]]:
    """Yield file ending and bytes of each format; the report shows the first."""
    from experiments.figures.plots import style

    if isinstance(drawn, Animation):
        yield ".gif", drawn.gif
        return
    yield ".png", style.png(drawn)
    if scalable:
        svg = style.svg(drawn)
        yield ".svg", svg.encode()
        yield "-dark.svg", style.dark(svg).encode()

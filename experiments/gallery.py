"""Draws the exhibits of a run, logs each, and keeps the list from which the report is made."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from tqdm import tqdm

from experiments.errors import DataError
from experiments.tasks.base import Film

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from experiments.tasks.base import Exhibit
    from experiments.tracking import Recorder

Level = Literal["none", "core", "all"]
LEVELS: tuple[Level, ...] = ("none", "core", "all")
FOLDER, INDEX = "figures", "index.json"


class Gallery:
    """The pictures of one run.

    Args:
        run: takes them in.
        level: which ones: none, those that are `core`, or all.
    """

    def __init__(self, run: Recorder, level: Level = "all") -> None:
        self.run, self.level = run, level
        self.entries: list[dict[str, Any]] = []
        self.seconds = 0.0

    def hang(self, exhibits: Iterable[Exhibit]) -> None:
        """Draw and log those of the level; one that cannot be drawn is listed with the reason."""
        if self.level == "none":
            return
        started = time.perf_counter()
        shown = [e for e in exhibits if e.core or self.level == "all"]
        for exhibit in tqdm(shown, "figures", unit="figure", leave=False, disable=None):
            entry = {"name": exhibit.name, "look": exhibit.look, "limit": exhibit.limit}
            try:
                self.entries.append(entry | self._log(exhibit))
            except DataError as reason:
                self.entries.append(entry | {"left_out": str(reason)})
        self.seconds += time.perf_counter() - started

    def close(self) -> None:
        """Log the list, and how long the pictures took."""
        self.run.text(f"{FOLDER}/{INDEX}", json.dumps(self.entries, indent=1))
        self.run.metrics({"figures_seconds": self.seconds})

    def _log(self, exhibit: Exhibit) -> dict[str, Any]:
        drawn = exhibit.draw()
        title = drawn.title if isinstance(drawn, Film) else drawn.get_suptitle()
        files = dict(_files(drawn, exhibit.scalable))
        for ending, raw in files.items():
            self.run.file(f"{FOLDER}/{exhibit.name}{ending}", raw)
        if exhibit.text:
            self.run.text(f"{FOLDER}/{exhibit.name}.md", exhibit.text)
        for step, picture in exhibit.slides() if exhibit.slides else ():
            self.run.image(exhibit.name, picture, step)
        file = f"{exhibit.name}{next(iter(files))}"
        return {"file": file, "title": title, "text": exhibit.text}


def _files(drawn: Figure | Film, scalable: bool) -> Iterator[tuple[str, bytes]]:
    """Yield the endings and bytes of what a picture is kept as, the one to be shown first."""
    from experiments.plots import style

    if isinstance(drawn, Film):
        yield ".gif", drawn.gif
        return
    yield ".png", style.png(drawn)
    if scalable:
        yield ".svg", style.svg(drawn).encode()
        style.dark(drawn)
        yield "-dark.svg", style.svg(drawn).encode()

"""A film of the Learn tab during a training, docs/images/page-learn.gif, and its times.

python -m benchmarks.learn_film

Needs the champions, the packages of tests/requirements.txt, and chromium. The film is made of
screenshots and played in ten seconds, however long this machine took.
"""

import io
import itertools
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from PIL import Image
from playwright.sync_api import Page

from benchmarks import browser, server
from benchmarks.page_pictures import IMAGES, draw, open_page
from experiments.core import cli

SIZE = {"width": 1280, "height": 800}
WIDTH = 800  # pixels of the film
SECONDS, HOLD_S = 10.0, 2.0  # of the film, and of its last picture
MAX_FRAMES, COLOURS = 60, 48  # the latter twice: of everything, and of what is colourful
SATURATED = 60  # difference of a pixel's channels, above which it is colourful
MAX_BYTES = 1_500_000
TIMEOUT_MS = 600_000
# When each frame arrived, and when the validation accuracy on the screen was 99 % first.
WATCH = """() => {
  const shown = document.querySelector('.learn [data-now="accuracy"]');
  const seen = document.querySelector('.learn [data-now="examples"]');
  window.times = {frames: [], reached: null};
  const note = () => {
    const now = performance.now();
    const last = window.times.last;
    if (seen.textContent === last) return;
    window.times.last = seen.textContent;
    window.times.frames.push(now);
    if (!window.times.reached && parseFloat(shown.textContent) >= 99) window.times.reached = now;
  };
  new MutationObserver(note).observe(seen, {childList: true, subtree: true, characterData: true});
  document.querySelector('.learn [data-train]').addEventListener(
    'click', () => { window.times.clicked = performance.now(); }, {once: true, capture: true});
}"""


@dataclass(frozen=True)
class Times:
    """Seconds from the click on Train to the first frame and to 99 %, and frames a second."""

    first_frame: float
    reached: float | None
    frames_per_second: float

    def __str__(self) -> str:
        reached = "not reached" if self.reached is None else f"{self.reached:.1f} s"
        return (
            f"first frame after {self.first_frame:.2f} s, {self.frames_per_second:.1f} frames a "
            f"second, 99 % on the screen: {reached}"
        )


@click.command("benchmarks.learn_film")
@click.option("--experiment", default="fast", show_default=True, help="Of the tab's list.")
@click.option("--speed", default="normal", show_default=True, help="slow, normal or full.")
@click.option("--film/--no-film", default=True, show_default=True, help="Write the GIF, too.")
@click.option("--model", multiple=True, help="ONNX files to serve.  [default: the champions]")
@click.option("--out", type=cli.UserPath(), default=IMAGES / "page-learn.gif", show_default=False)
def command(experiment: str, speed: str, film: bool, model: Sequence[str], out: Path) -> None:
    """Train in the tab, in a browser; write the film and print the times."""
    models = [f"--model={each}" for each in model]
    with (
        server.serving(server.PAGE[0], *models, *server.PAGE[1:]) as served,
        browser.chromium() as chromium,
    ):
        page = open_page(chromium, served.url, SIZE, "light")
        page.set_default_timeout(TIMEOUT_MS)
        draw(page, "2")
        page.get_by_role("tab", name="Learn", exact=True).click()
        page.wait_for_function(
            "!document.querySelector('.learn [data-status]').textContent.startsWith('Starting')"
        )
        page.select_option(".learn [data-experiment]", experiment)
        page.select_option(".learn [data-speed]", speed)
        page.evaluate(WATCH)
        pictures = record(page, film)
        click.echo(str(times(page)))
    if film:
        write(pictures, out)
        click.echo(f"{out.name}: {len(pictures)} screenshots, {out.stat().st_size:,} bytes.")


def record(page: Page, film: bool) -> list[Image.Image]:
    """Press Train and return screenshots until the training is done."""
    pictures = []
    page.click(".learn [data-train]")
    page.mouse.move(0, 0)
    while not page.locator(".learn [data-status]").inner_text().startswith("Done"):
        if film:
            pictures.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
        else:
            time.sleep(0.2)
    page.wait_for_timeout(600)
    pictures.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return pictures


def times(page: Page) -> Times:
    """Return the times that the page has noted."""
    noted = page.evaluate("window.times")
    clicked, frames = noted["clicked"], noted["frames"]
    gaps = [later - earlier for earlier, later in itertools.pairwise(frames)]
    reached = None if noted["reached"] is None else (noted["reached"] - clicked) / 1000
    first = (frames[0] - clicked) / 1000
    return Times(first, reached, 1000 / statistics.mean(gaps) if gaps else 0.0)


def write(pictures: Sequence[Image.Image], out: Path) -> None:
    """Write screenshots as a GIF of ten seconds, all in the same colours."""
    count = min(MAX_FRAMES, len(pictures))
    picked = [pictures[round(i * (len(pictures) - 1) / max(count - 1, 1))] for i in range(count)]
    height = round(WIDTH * picked[0].height / picked[0].width)
    small = [each.resize((WIDTH, height), Image.Resampling.LANCZOS) for each in picked]
    palette = colours(small)
    frames = [each.quantize(palette=palette, dither=Image.Dither.NONE) for each in small]
    each_ms = round(1000 * (SECONDS - HOLD_S) / max(count - 1, 1))
    durations = [*[each_ms] * (count - 1), round(1000 * HOLD_S)]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=durations, loop=0)
    if out.stat().st_size > MAX_BYTES:
        raise RuntimeError(f"the film has {out.stat().st_size:,} bytes, more than {MAX_BYTES:,}")


def colours(pictures: Sequence[Image.Image]) -> Image.Image:
    """Return a picture whose palette has the colours of all, rare ones included."""
    stacked = np.concatenate(
        [np.asarray(each) for each in (pictures[len(pictures) // 8], pictures[-1])]
    )
    flat = stacked.reshape(-1, 3).astype(int)
    colourful = flat[np.ptp(flat, axis=1) > SATURATED].astype(np.uint8)
    rows = [
        np.asarray(Image.fromarray(part[None]).quantize(count).convert("RGB"))
        for part, count in ((flat.astype(np.uint8), COLOURS), (colourful, COLOURS))
    ]
    both = Image.fromarray(np.concatenate(rows, axis=1))
    return both.quantize(2 * COLOURS, method=Image.Quantize.MAXCOVERAGE)


if __name__ == "__main__":
    cli.main(command)

"""The network under the pen: the time from the end of a stroke to the painted network.

    python -m benchmarks.network_view

Needs an exported champion, the packages of tests/requirements.txt, and chromium; all traffic stays
on this machine. Prints percentiles, and the size of an update.
"""

import click
import numpy as np
from playwright.sync_api import Page, Response

from benchmarks import browser, server
from experiments.core import cli
from experiments.core.paths import DRAWINGS
from experiments.data import strokes

STROKES, WARM_UP = 40, 5
EVERY = 3  # point of a stroke is passed on to the browser
VIEW = "#digit-network [data-network]"
# Records the time from the end of each stroke to the frame after the one that draws the network.
TIMER = """() => {
    window.times = [];
    const view = document.querySelector("#digit-network [data-network]");
    let [start, before] = [0, ""];
    addEventListener("pointerup", () => {
        [start, before] = [performance.now(), view.dataset.drawn];
    }, true);
    new MutationObserver(() => {
        if (!start || view.dataset.drawn === before) return;
        const begun = start;
        start = 0;
        requestAnimationFrame(() => window.times.push(performance.now() - begun));
    }).observe(view, {attributeFilter: ["data-drawn"]});
}"""


@click.command("benchmarks.network_view")
@click.option("--url", help="Of a page that is served already.  [default: one is started]")
def command(url: str | None) -> None:
    """Measure the latency of the network view, on this machine alone."""
    if url:
        measure(url)
        return
    with server.serving(*server.PAGE) as served:
        measure(served.url)


def measure(url: str) -> None:
    """Draw strokes on the page and print the percentiles of their times."""
    sizes: list[int] = []
    with browser.chromium() as chromium:
        page = chromium.new_page(viewport={"width": 1440, "height": 1000})
        page.on("response", lambda response: sizes.append(update_size(response)))
        page.goto(url)
        page.locator(f"{VIEW} .layer").first.wait_for(timeout=60_000)
        page.evaluate(TIMER)
        times = stroke_times(page)[WARM_UP:]
    p50, p95 = np.percentile(times, [50, 95])
    click.echo(f"{len(times)} strokes: p50 {p50:.0f} ms, p95 {p95:.0f} ms")
    click.echo(f"update of answer and network: {max(sizes) / 1000:.0f} kB at most")


def update_size(response: Response) -> int:
    """Return the bytes of the answer to an event; 0 for anything else."""
    is_event = "/gradio_api/run/" in response.url
    return int(response.headers.get("content-length", 0)) if is_event else 0


def stroke_times(page: Page) -> list[float]:
    """Return the milliseconds of each stroke of this project's drawings."""
    drawn = 0
    for drawing in strokes.load(DRAWINGS / "drawings.json"):
        page.locator("#pad [data-do=clear]").click()
        page.locator(f"{VIEW} [data-detail]").wait_for(state="hidden")
        page.wait_for_timeout(300)
        for stroke in drawing.strokes:
            browser.draw_stroke(page, stroke.tolist()[::EVERY])
            drawn += 1
            page.wait_for_function(f"window.times.length >= {drawn}", timeout=10_000)
            page.wait_for_timeout(150)
        if drawn >= STROKES + WARM_UP:
            break
    return page.evaluate("window.times")[: STROKES + WARM_UP]


if __name__ == "__main__":
    cli.main(command)

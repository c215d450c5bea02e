"""Screenshots of the page's tabs, as docs/images/page-*.webp: python -m benchmarks.page_pictures

Needs a champion of each task, exported, the packages of tests/requirements.txt, and chromium.
The page is served as a user serves it, and worked by a real browser.
"""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from playwright.sync_api import Browser, Page

from benchmarks.browser import chromium
from benchmarks.load import free_port
from benchmarks.shrunk import IMAGES, shrink
from experiments import cli
from experiments.data import strokes
from experiments.errors import UserError
from experiments.paths import DRAWINGS, ROOT

DESK, PHONE = {"width": 1100, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 60_000  # milliseconds until a picture must be there
SHAPES = {"2": "2 with a loop", "0": "0 closed", "7": "7 with a bar", "3": "3 round"}


@click.command("benchmarks.page_pictures")
def command() -> None:
    """Write docs/images/page-*.webp."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    with serving() as url, chromium() as browser:
        for name, (take, size, scheme) in PICTURES.items():
            page = opened(browser, url, size, scheme)
            part = take(page)
            whole = size is DESK
            png = page.locator(part).screenshot() if part else page.screenshot(full_page=whole)
            shrink(png, IMAGES / f"page-{name}")
            page.close()


@contextmanager
def serving() -> Iterator[str]:
    """Serve the page on a free port; yield its address."""
    port = free_port()
    line = [sys.executable, "serve/app.py", "--port", str(port)]
    server = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url)
        yield url
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str) -> None:
    """Return once `url` answers; give up after a minute."""
    for _ in range(300):
        try:
            urllib.request.urlopen(url).close()
            return
        except OSError:
            time.sleep(0.2)
    raise UserError(f"the page did not answer at {url}.")


def opened(browser: Browser, url: str, size: dict[str, int], scheme: str) -> Page:
    """Return the page in a window of its own, on a light or a dark ground."""
    page = browser.new_page(viewport=size, reduced_motion="reduce")  # type: ignore[arg-type]
    page.goto(f"{url}/?__theme={scheme}")
    page.wait_for_selector("#pad canvas")
    return page


def draw(page: Page, digit: str, left: float = 0, width: float = 1) -> None:
    """Draw a digit of tests/data with the mouse, on a part of the paper."""
    box = page.locator("#pad canvas").bounding_box()
    assert box is not None
    drawing = next(d for d in strokes.load(DRAWINGS / "drawings.json") if d.shape == SHAPES[digit])
    for stroke in drawing.strokes:
        points = [
            (box["x"] + (left + x * width) * box["width"], box["y"] + y * box["height"])
            for x, y in stroke.tolist()
        ]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()
    page.locator("#digit-answer .answer b").wait_for()
    page.wait_for_timeout(1000)


def digit(page: Page) -> str:
    """A digit, its answer, and what the network saw of it. Each returns the part that is kept."""
    draw(page, "3")
    return ""


def inside(page: Page) -> str:
    """What the layers make of a digit."""
    draw(page, "2")
    view(page, "Feature maps")
    return "#digit-inside"


def number(page: Page) -> str:
    """Three digits on wide paper, read as a number."""
    page.get_by_role("button", name="Wide paper").click()
    for place, each in enumerate("207"):
        draw(page, each, 0.02 + 0.33 * place, 0.3)
    return ""


def gate(page: Page) -> str:
    """XOR, trained in the page, and a circuit of gates."""
    page.get_by_role("tab", name="Gate").click()
    page.get_by_role("button", name="Train").click()
    page.wait_for_timeout(3000)
    return ""


def model(page: Page) -> str:
    """The version that is served: what is known of it, its curves, its architecture."""
    page.get_by_role("tab", name="Model").click()
    page.locator("#model-curves-mnist svg").first.wait_for(timeout=PATIENCE)
    page.wait_for_timeout(1000)
    return ""


def view(page: Page, name: str) -> None:
    """Look inside the digit network in one of the ways."""
    page.locator("#digit-view").get_by_label(name, exact=True).check()
    page.wait_for_timeout(2000)


# What is done, in which window, on which ground.
PICTURES: dict[str, tuple[Callable[[Page], str], dict[str, int], str]] = {
    "digit": (digit, DESK, "light"),
    "inside": (inside, DESK, "light"),
    "number": (number, PHONE, "dark"),
    "gate": (gate, DESK, "light"),
    "model": (model, DESK, "light"),
}

if __name__ == "__main__":
    cli.main(command)

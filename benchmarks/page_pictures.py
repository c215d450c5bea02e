"""Screenshots of the page's tabs, docs/images/page-*.webp: python -m benchmarks.page_pictures

Needs an exported champion of each task, the packages of tests/requirements.txt, and chromium.
"""

from collections.abc import Callable
from pathlib import Path

import click
from playwright.sync_api import Browser, Page

from benchmarks import browser, server
from experiments.core import cli
from experiments.core.paths import DRAWINGS, ROOT
from experiments.data import strokes
from experiments.figures.report_html import webp

IMAGES = ROOT / "docs" / "images"
WIDTH, QUALITY = 900, 88  # pixels, and WebP's quality
TIMEOUT_MS = 120_000  # of a page on a busy machine
DESKTOP, PHONE = {"width": 1100, "height": 900}, {"width": 390, "height": 844}
SHAPES = {"2": "2 with a loop", "0": "0 closed", "7": "7 with a bar", "3": "3 round"}


@click.command("benchmarks.page_pictures")
def command() -> None:
    """Write docs/images/page-*.webp."""
    with server.serving(*server.PAGE) as served, browser.chromium() as chromium:
        for name, (act, size, scheme) in PICTURES.items():
            page = open_page(chromium, served.url, size, scheme)
            selector = act(page)
            if selector:
                png = page.locator(selector).screenshot()
            else:
                png = page.screenshot(full_page=size is DESKTOP)
            save_webp(png, IMAGES / f"page-{name}.webp")
            page.close()


def save_webp(png: bytes, path: Path) -> None:
    """Write a PNG as a smaller WebP picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(webp(png, WIDTH, QUALITY))


def open_page(chromium: Browser, url: str, size: dict[str, int], scheme: str) -> Page:
    """Return the page in its own window, in the `light` or the `dark` theme."""
    page = chromium.new_page(viewport=size, reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_default_timeout(TIMEOUT_MS)
    page.goto(f"{url}/?__theme={scheme}")
    page.wait_for_selector("#pad canvas")
    return page


def draw(page: Page, digit: str, left: float = 0, width: float = 1) -> None:
    """Draw a digit of tests/data with the mouse, on a part of the canvas."""
    drawings = strokes.load(DRAWINGS / "drawings.json")
    drawing = next(each for each in drawings if each.shape == SHAPES[digit])
    for stroke in drawing.strokes:
        browser.draw_stroke(page, [(left + x * width, y) for x, y in stroke.tolist()])
    page.locator("#digit-answer .answer b").wait_for()
    page.wait_for_timeout(1000)


# Each of these acts on the page and returns the selector of the part to keep; "" keeps it whole.
def digit(page: Page) -> str:
    """A digit, its prediction and the network's input."""
    draw(page, "3")
    return ""


def inside(page: Page) -> str:
    """The network under the pen."""
    draw(page, "2")
    page.wait_for_timeout(2000)
    return "#digit-network"


def circuit(page: Page) -> str:
    """The gates of a circuit for a digit, from a vote back to the pixels."""
    draw(page, "7")
    page.locator("#digit-circuit [data-adopt]").click()
    page.locator("#digit-circuit [data-state=drawn]").wait_for()
    page.wait_for_timeout(1000)
    return "#digit-circuit"


def number(page: Page) -> str:
    """Three digits on a wide canvas, read as a number."""
    page.get_by_role("button", name="Wide canvas").click()
    for index, each in enumerate("207"):
        draw(page, each, 0.02 + 0.33 * index, 0.3)
    return ""


def gate(page: Page) -> str:
    """XOR, trained in the page, and a circuit of gates."""
    page.get_by_role("tab", name="Gate").click()
    page.get_by_role("button", name="Train").click()
    page.wait_for_timeout(3000)
    return ""


def model(page: Page) -> str:
    """The served version: its card, curves and architecture."""
    page.get_by_role("tab", name="Model").click()
    page.locator("#model-curves-mnist svg").first.wait_for()
    page.wait_for_timeout(1000)
    return ""


# The action, the window's size, the theme.
PICTURES: dict[str, tuple[Callable[[Page], str], dict[str, int], str]] = {
    "digit": (digit, DESKTOP, "light"),
    "inside": (inside, DESKTOP, "light"),
    "circuit": (circuit, DESKTOP, "light"),
    "number": (number, PHONE, "dark"),
    "gate": (gate, DESKTOP, "light"),
    "model": (model, DESKTOP, "light"),
}

if __name__ == "__main__":
    cli.main(command)

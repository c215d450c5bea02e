"""The page in a real browser, on loopback alone: draw, upload, take an example, switch a gate."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from tests.conftest import free_port, serving

# Strokes in shares of the drawing area's width and height.
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
ONE = [(0.5, 0.2), (0.5, 0.8)]
LETTER_W = [(0.2, 0.2), (0.35, 0.8), (0.5, 0.3), (0.65, 0.8), (0.8, 0.2)]


@pytest.fixture(scope="module")
def url(trained: Path) -> Iterator[str]:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with serving(f"python serve/app.py --port {port}", trained, address):
        yield address


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """An open page; every request to a host other than its own is counted, and must be none."""
    strangers: list[str] = []
    context = browser.new_context(viewport={"width": 1100, "height": 1100})
    page = context.new_page()
    own = (url, url.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: strangers.append(r.url) if not r.url.startswith(own) else None)
    page.goto(url)
    page.wait_for_selector("#pad canvas")
    yield page
    context.close()
    assert strangers == []


def draw(page: Page, stroke: list[tuple[float, float]]) -> None:
    """Draw with the mouse; the brush takes itself when the pad has none."""
    page.wait_for_selector("#pad button[aria-label=Brush].highlight", timeout=15_000)
    page.wait_for_timeout(700)
    box = page.locator("#pad canvas").first.bounding_box()
    assert box is not None
    side = min(box["width"], box["height"])
    left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
    points = [(left + x * side, top + y * side) for x, y in stroke]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=15)
    page.mouse.up()


def test_a_letter_is_no_digit(page: Page) -> None:
    draw(page, LETTER_W)
    expect(page.locator("#digit-answer .answer b")).to_have_text("no digit", timeout=15_000)
    expect(page.locator("#digit-answer .bar.top")).to_have_count(0)


def test_a_drawn_seven_is_read_and_shown(page: Page) -> None:
    draw(page, SEVEN)
    expect(page.locator("#digit-answer .answer b")).to_have_text("7", timeout=15_000)
    assert page.locator("#digit-answer .share").count() == 10
    assert page.locator("#digit-seen img").get_attribute("src").startswith("data:image/png")


def test_the_answer_follows_each_stroke_and_a_clear(page: Page) -> None:
    draw(page, ONE)
    expect(page.locator("#digit-answer .answer b")).to_have_text("1", timeout=15_000)
    page.click("#pad button[aria-label='Clear canvas']")
    expect(page.locator("#digit-answer .answer")).to_contain_text("Draw a digit", timeout=15_000)
    draw(page, SEVEN)
    expect(page.locator("#digit-answer .answer b")).to_have_text("7", timeout=15_000)


def test_an_example_is_read(page: Page) -> None:
    page.locator(".gallery-item").nth(7).click()
    expect(page.locator("#digit-answer .answer b")).to_have_text("7", timeout=15_000)


def test_an_upload_is_read(page: Page, tmp_path: Path) -> None:
    picture = Image.new("L", (400, 300), 235)
    ImageDraw.Draw(picture).line([(120, 60), (260, 60), (190, 250)], fill=30, width=22)
    picture.save(tmp_path / "seven.jpg")
    page.set_input_files("#upload input[type=file]", tmp_path / "seven.jpg")
    expect(page.locator("#digit-answer .answer b")).to_have_text("7", timeout=15_000)


def test_a_broken_upload_is_told_and_a_removed_one_forgotten(page: Page, tmp_path: Path) -> None:
    draw(page, SEVEN)
    answer = page.locator("#digit-answer .answer")
    expect(answer).to_contain_text("This is a 7", timeout=15_000)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.set_input_files("#upload input[type=file]", tmp_path / "broken.png")
    expect(page.get_by_text("This file is no picture that can be read")).to_be_visible()
    expect(answer).to_contain_text("Draw a digit")
    page.locator("#upload button[aria-label='Remove Image']").click()
    expect(answer).to_contain_text("This is a 7", timeout=15_000)


def test_a_gate_is_switched_and_chosen(page: Page) -> None:
    page.get_by_role("tab", name="Gate").click()
    answer = page.locator("#gate-answer .answer")
    expect(answer).to_contain_text("a = 0, b = 0 → xor says 0")
    page.get_by_label("Input a").check()
    expect(answer).to_contain_text("a = 1, b = 0 → xor says 1", timeout=15_000)
    expect(page.locator("#gate-table tr.present")).to_contain_text("✓")
    page.get_by_label("Gate", exact=True).click()
    page.get_by_role("option", name="nor", exact=True).click()
    expect(answer).to_contain_text("a = 1, b = 0 → nor says 0", timeout=15_000)
    ring = page.locator("#gate-surface circle.present")
    dots = page.locator("#gate-surface svg > circle:not([fill=none])")
    assert dots.count() == 4
    assert ring.get_attribute("cx") > dots.first.get_attribute("cx")


def test_a_foreign_host_is_refused(url: str) -> None:
    request = urllib.request.Request(url, headers={"Host": "example.org"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 400
    refused.value.close()

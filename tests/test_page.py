"""The page in a real browser, on loopback alone: draw, upload, view, correct, change the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from benchmarks import npm
from benchmarks.browser import draw_stroke
from experiments.core.paths import DRAWINGS
from experiments.data import feedback, strokes
from serve.strings import digit as texts
from serve.strings import layout
from tests.conftest import loopback_context, page_in_thread

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)  # milliseconds, on a busy machine
# Strokes as fractions of the canvas's sides.
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
ONE = [(0.5, 0.2), (0.5, 0.8)]
TABS = {  # name -> what is visible when the tab is complete
    layout.DIGIT: "#pad canvas",
    layout.GATE: "#gate-playground [data-prob] >> nth=3",
    layout.LEARN: ".learn [data-train]",
    layout.MODEL: "#model-picture-mnist img:visible",
}
# When all animations of colours and places have ended; some have no end.
SETTLED = """() => Promise.race([
    Promise.allSettled(document.getAnimations().map(each => each.finished)),
    new Promise(resolve => setTimeout(resolve, 2000)),
])"""
SLOW_VIEW = """() => {
    const send = window.fetch;
    window.fetch = async (...request) => {
        if (String(request[1]?.body).includes('"occlusion"'))
            await new Promise(resolve => setTimeout(resolve, 400));
        return send(...request);
    };
}"""
PASTE = """raw => {
    const data = new DataTransfer();
    data.items.add(new File([new Uint8Array(raw)], "a.png", {type: "image/png"}));
    document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data}));
}"""
HAS_INK = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the page saves corrections."""
    return tmp_path_factory.mktemp("corrections")


@pytest.fixture(scope="module")
def url(trained: Path, folder: Path) -> Iterator[str]:
    with page_in_thread(trained, corrections=folder) as address:
        yield address


def load(context: BrowserContext, url: str) -> Page:
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#digit-examples [data-example]")
    return page


@pytest.fixture(scope="module")
def context(browser: Browser, url: str) -> Iterator[BrowserContext]:
    """What most tests' pages share: their files are loaded once."""
    with loopback_context(browser, url) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext, url: str) -> Iterator[Page]:
    page = load(context, url)
    yield page
    page.close()


@pytest.fixture
def phone(browser: Browser, url: str) -> Iterator[Page]:
    with loopback_context(
        browser, url, viewport={"width": 390, "height": 844}, has_touch=True
    ) as context:
        yield load(context, url)


def do(page: Page, action: str) -> None:
    page.locator(f"#pad [data-do={action}], #pad [data-tool={action}]").click()


def draw(page: Page, *lines: Any) -> None:
    for line in lines:
        draw_stroke(page, line)


def answer(page: Page) -> Locator:
    return page.locator("#digit-answer .answer")


def state(page: Page, name: str) -> None:
    """Wait for an answer of this kind: empty, digit, number, refused, or the code of an error."""
    expect(answer(page)).to_have_attribute("data-state", name)


def predicts(page: Page, label: str) -> None:
    expect(answer(page)).to_have_attribute("data-label", label)
    state(page, "digit" if len(label) == 1 else "number")


def choose_view(page: Page, name: str) -> None:
    page.locator("#digit-view").get_by_label(texts.VIEWS[name], exact=True).check()


def test_digits_letters_and_dots_drawn_with_the_mouse(page: Page) -> None:
    for label, name in (("3", "drawings"), ("8", "drawings"), ("W", "letters")):
        drawing = next(d for d in strokes.load(DRAWINGS / f"{name}.json") if d.label == label)
        draw(page, *[[*line.tolist()[::2], line[-1].tolist()] for line in drawing.strokes])
        if label == "W":
            state(page, "refused")
            expect(page.locator("#digit-answer .bar.top")).to_have_count(0)
            expect(page.locator("#digit-answer .score .below")).to_have_count(1)
        else:
            predicts(page, label)
        do(page, "clear")
        state(page, "empty")
    page.locator("#pad [data-width]").fill("8")
    draw(page, [(0.5, 0.5), (0.505, 0.5)])
    state(page, "too-small")


def test_undo_and_eraser_change_the_prediction(page: Page) -> None:
    draw(page, SEVEN)
    predicts(page, "7")
    draw(page, [(0.9, 0.2), (0.9, 0.8)])
    predicts(page, "71")
    do(page, "undo")
    predicts(page, "7")
    do(page, "eraser")
    page.locator("#pad [data-width]").fill("60")
    draw(page, [(0.2, 0.25), (0.58, 0.25)])
    predicts(page, "1")


def test_a_digit_is_drawn_with_keys_alone(page: Page) -> None:
    canvas = page.locator("#pad canvas")
    canvas.focus()
    for keys in (["ArrowUp"] * 12, ["Space"], ["ArrowDown"] * 24, ["Space"]):
        for key in keys:
            page.keyboard.press(key)
    predicts(page, "1")
    page.keyboard.press("Control+z")
    state(page, "empty")
    for key in ("Space", "ArrowRight", "ArrowRight", "Control+z", "ArrowRight"):
        page.keyboard.press(key)  # undo ends the stroke
    page.keyboard.press("Tab")  # which hides the keyboard's pen
    assert not canvas.evaluate(HAS_INK)


def test_a_wide_canvas_holds_a_number_that_fits_on_a_narrow_one(page: Page) -> None:
    do(page, "wide")
    draw(page, [(0.1 + x / 3, y) for x, y in SEVEN], [(0.6 + x / 3, y) for x, y in SEVEN])
    predicts(page, "77")
    expect(page.locator("#digit-view-output .digits figure")).to_have_count(2)
    do(page, "wide")
    predicts(page, "77")
    do(page, "eraser")
    do(page, "clear")
    draw(page, SEVEN)  # with the pen again
    predicts(page, "7")


def test_examples_uploads_and_pasted_pictures(page: Page, tmp_path: Path) -> None:
    seven, broken = tmp_path / "seven.png", tmp_path / "broken.png"
    picture = Image.new("L", (400, 300), 235)
    ImageDraw.Draw(picture).line([(120, 60), (260, 60), (190, 250)], fill=30, width=22)
    picture.save(seven)
    broken.write_bytes(b"no picture")
    page.locator("#digit-examples [data-example]").nth(3).click()
    predicts(page, "3")
    page.set_input_files("#pad input[type=file]", seven)
    predicts(page, "7")
    page.set_input_files("#pad input[type=file]", broken)
    state(page, "picture-unreadable")
    page.evaluate(PASTE, list(seven.read_bytes()))
    predicts(page, "7")
    draw(page, ONE)  # which replaces the picture
    predicts(page, "1")


def test_a_late_answer_does_not_replace_a_newer_one(page: Page) -> None:
    """A view is chosen, and the canvas is cleared before its answer arrives."""
    page.evaluate(SLOW_VIEW)
    output = page.locator("#digit-view-output")
    for _ in range(5):
        draw(page, SEVEN)
        expect(output.locator(".steps")).to_be_visible()
        choose_view(page, "occlusion")
        do(page, "clear")
        page.wait_for_timeout(1500)
        expect(output).to_have_text(texts.VIEW_EMPTY)
        choose_view(page, "input")


def test_radio_buttons_are_one_stop_with_arrow_keys(page: Page) -> None:
    draw(page, SEVEN)
    predicts(page, "7")
    page.locator("#digit-view input:checked").focus()
    for part in (".occlusion", ".digits, progress"):
        page.keyboard.press("ArrowRight")
        expect(page.locator(f"#digit-view-output {part}")).to_be_visible()
    page.get_by_role("button", name=texts.CORRECTION).click()
    expect(page.locator("#digit-label")).to_be_visible()
    names = "all => [...new Set(all.map(radio => radio.name))]"
    for group in ("digit-view", "digit-label"):
        assert page.locator(f"#{group} input[type=radio]").evaluate_all(names) == [group]


def test_a_correction_is_saved_once(page: Page, folder: Path) -> None:
    save, message = page.locator("#digit-save"), page.locator("#digit-saved")
    draw(page, SEVEN)
    predicts(page, "7")
    page.get_by_role("button", name=texts.CORRECTION).click()
    page.locator("#digit-label").get_by_label("1", exact=True).check()
    save.click()
    expect(message).to_have_text(texts.SAVED.format(pred="7", label="1", count=1))
    save.click()  # once more by mistake
    expect(message.locator("[data-code=correction-incomplete]")).to_be_visible()
    [correction] = feedback.load_all(folder)
    assert (correction.predicted, correction.label) == ("7", "1")


def test_a_finger_draws_and_nothing_scrolls_sideways(phone: Page) -> None:
    box = phone.locator("#pad canvas").bounding_box()
    assert box is not None
    touch = phone.context.new_cdp_session(phone)
    points = [(0.5, 0.2 + 0.03 * step) for step in range(21)]
    for index, (x, y) in enumerate(points):
        place = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        kind = "touchMove" if index else "touchStart"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [place]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    predicts(phone, "1")
    assert phone.evaluate("window.scrollY") == 0
    for tab, selector in TABS.items():
        phone.get_by_role("tab", name=tab, exact=True).click()
        expect(phone.locator(selector)).to_be_visible()
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Browser, url: str, scheme: str) -> None:
    axe = npm.read(npm.AXE, ["axe.min.js"])["axe.min.js"].decode()
    with loopback_context(browser, url, color_scheme=scheme) as context:
        page = load(context, f"{url}/?__theme={scheme}")
        draw(page, SEVEN)
        predicts(page, "7")
        for tab, selector in TABS.items():
            page.get_by_role("tab", name=tab, exact=True).click()
            expect(page.locator(selector)).to_be_visible()
            page.evaluate(SETTLED)
            page.evaluate(f"() => {{ {axe} }}")
            report = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
            assert report["passes"], "axe has looked at something"
            grave = [v for v in report["violations"] if v["impact"] in ("serious", "critical")]
            assert not grave, (tab, [(v["id"], v["nodes"]) for v in grave])

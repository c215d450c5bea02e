"""The page in a real browser, on loopback alone: draw, upload, look inside, correct, switch."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect

from benchmarks import npm
from experiments import corrected
from experiments.data import strokes
from experiments.paths import DRAWINGS

SOON = 15_000  # milliseconds
# Strokes in shares of the paper's width and height.
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
ONE = [(0.5, 0.2), (0.5, 0.8)]
TABS = ("Digit", "Gate", "Model")


def opened(browser: Browser, url: str, **options) -> Iterator[Page]:
    """An open page; every request to a host other than its own is counted, and must be none."""
    strangers: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 1100}, **options})
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    origin = url.partition("/?")[0]
    own = (origin, origin.replace("http", "ws"), "data:", "blob:")
    page.on("request", lambda r: strangers.append(r.url) if not r.url.startswith(own) else None)
    page.goto(url)
    page.wait_for_selector("#pad canvas")
    yield page
    context.close()
    assert strangers == []


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    yield from opened(browser, url)


@pytest.fixture
def phone(browser: Browser, url: str) -> Iterator[Page]:
    yield from opened(browser, url, viewport={"width": 390, "height": 844}, has_touch=True)


def draw(page: Page, *lines: list[tuple[float, float]]) -> None:
    """Draw strokes with the mouse."""
    box = page.locator("#pad canvas").bounding_box()
    assert box is not None
    for line in lines:
        points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in line]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def answer(page: Page):
    return page.locator("#digit-answer .answer")


def says(page: Page, text: str) -> None:
    expect(answer(page).locator("b")).to_have_text(text, timeout=SOON)


def drawings(name: str) -> list[strokes.Drawing]:
    return strokes.load(DRAWINGS / f"{name}.json")


def view(page: Page, name: str) -> None:
    page.locator("#digit-view").get_by_label(name, exact=True).check()


def test_each_digit_drawn_with_the_mouse_is_read(page: Page) -> None:
    read = {}
    for digit in "0123456789":
        first = next(d for d in drawings("drawings") if d.label == digit)
        draw(page, *[line.tolist() for line in first.strokes])
        try:
            says(page, digit)
            read[digit] = digit
        except AssertionError:
            read[digit] = answer(page).inner_text()
        page.get_by_role("button", name="Clear").click()
        expect(answer(page)).to_contain_text("Draw a digit", timeout=SOON)
    assert [digit for digit, said in read.items() if said == digit] == list("0123456789"), read


@pytest.mark.parametrize("letter", ["W", "H"])
def test_a_letter_is_no_digit(page: Page, letter: str) -> None:
    written = next(d for d in drawings("letters") if d.label == letter)
    draw(page, *[line.tolist() for line in written.strokes])
    says(page, "no digit")
    expect(page.locator("#digit-answer .bar.top")).to_have_count(0)
    expect(page.locator("#digit-answer .score")).to_contain_text("validation digits, by mistake")


def test_scribbles_and_dots_are_no_digits(page: Page) -> None:
    scribble = [(0.2 + 0.6 * (i % 2), 0.2 + 0.03 * i) for i in range(20)]
    draw(page, scribble, [(y, x) for x, y in scribble])
    says(page, "no digit")
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Width of the pen").fill("8")
    draw(page, [(0.5, 0.5), (0.505, 0.5)])
    says(page, "too little ink")


def test_undo_clear_and_eraser_change_the_answer(page: Page) -> None:
    draw(page, SEVEN)
    says(page, "7")
    draw(page, [(0.1, 0.9), (0.9, 0.1), (0.1, 0.1), (0.9, 0.9)])
    expect(answer(page)).not_to_contain_text("This is a 7", timeout=SOON)
    page.get_by_role("button", name="Undo").click()
    says(page, "7")
    page.get_by_role("button", name="Eraser").click()
    page.get_by_label("Width of the pen").fill("60")
    draw(page, [(0.2, 0.25), (0.58, 0.25)])
    says(page, "1")
    page.get_by_role("button", name="Clear").click()
    expect(answer(page)).to_contain_text("Draw a digit", timeout=SOON)


def test_a_digit_is_drawn_by_keys_alone(page: Page) -> None:
    page.locator("#pad canvas").focus()
    for _ in range(12):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(24):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    says(page, "1")
    page.keyboard.press("Control+z")
    expect(answer(page)).to_contain_text("Draw a digit", timeout=SOON)


def test_digits_side_by_side_read_as_a_number(page: Page) -> None:
    page.get_by_role("button", name="Wide paper").click()
    for place, digit in enumerate("207"):
        first = next(d for d in drawings("drawings") if d.label == digit)
        left = 0.02 + 0.33 * place
        draw(
            page, *[[(left + x * 0.3, 0.2 + y * 0.6) for x, y in s.tolist()] for s in first.strokes]
        )
    says(page, "207")
    expect(page.locator("#digit-inside")).to_contain_text("2", timeout=SOON)


def test_an_example_is_read(page: Page) -> None:
    page.get_by_role("button", name="Example: a 7 of the test set").click()
    says(page, "7")


def seven(path: Path) -> Path:
    picture = Image.new("L", (400, 300), 235)
    ImageDraw.Draw(picture).line([(120, 60), (260, 60), (190, 250)], fill=30, width=22)
    picture.save(path)
    return path


def test_an_upload_is_read_and_drawing_replaces_it(page: Page, tmp_path: Path) -> None:
    page.set_input_files("#pad input[type=file]", seven(tmp_path / "seven.jpg"))
    says(page, "7")
    draw(page, ONE)
    says(page, "1")


def test_a_pasted_picture_is_read(page: Page, tmp_path: Path) -> None:
    raw = list(seven(tmp_path / "seven.png").read_bytes())
    page.evaluate(
        """raw => {
            const held = new DataTransfer();
            held.items.add(new File([new Uint8Array(raw)], "a.png", {type: "image/png"}));
            document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: held}));
        }""",
        raw,
    )
    says(page, "7")


def test_a_broken_upload_is_told_and_the_page_goes_on(page: Page, tmp_path: Path) -> None:
    draw(page, SEVEN)
    says(page, "7")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    page.set_input_files("#pad input[type=file]", tmp_path / "broken.png")
    expect(answer(page)).to_contain_text("no picture that can be read", timeout=SOON)
    draw(page, SEVEN)
    says(page, "7")


@pytest.mark.parametrize(
    ("name", "shows"),
    [
        ("What it saw", "28"),
        ("Feature maps", "onvolution"),
        ("Which ink mattered", "nk"),
        ("Side by side", "fp32"),
    ],
)
def test_each_view_shows_the_inside(page: Page, name: str, shows: str) -> None:
    inside = page.locator("#digit-inside")
    view(page, name)
    expect(inside).to_contain_text("Draw something first", timeout=SOON)
    draw(page, SEVEN)
    expect(inside).to_contain_text(shows, timeout=SOON)
    before = inside.inner_html()
    draw(page, [(0.1, 0.5), (0.9, 0.5)])
    expect(inside).not_to_have_js_property("innerHTML", before, timeout=SOON)


def test_undo_in_the_midst_of_a_stroke_ends_it(page: Page) -> None:
    canvas = page.locator("#pad canvas")
    drawn = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"
    canvas.focus()
    for key in ("Space", "ArrowRight", "ArrowRight", "Control+z", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Tab")  # which takes the keyboard's pen away
    assert not canvas.evaluate(drawn)
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 90, box["y"] + 90)
    assert canvas.evaluate(drawn)
    page.keyboard.press("Delete")
    page.mouse.move(box["x"] + 150, box["y"] + 90)
    page.mouse.up()
    page.keyboard.press("Tab")
    assert not canvas.evaluate(drawn)


def test_a_drawing_on_wide_paper_fits_on_narrow(page: Page) -> None:
    wide = page.get_by_role("button", name="Wide paper")
    wide.click()
    draw(page, [(0.1 + x / 3, y) for x, y in SEVEN], [(0.6 + x / 3, y) for x, y in SEVEN])
    says(page, "77")
    wide.click()
    says(page, "77")
    page.get_by_role("button", name="Eraser").click()
    page.get_by_role("button", name="Clear").click()
    draw(page, SEVEN)  # with the pen again
    says(page, "7")


def test_radio_buttons_are_one_stop_with_arrow_keys(page: Page) -> None:
    draw(page, SEVEN)
    says(page, "7")
    page.locator("#digit-view input:checked").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#digit-inside")).to_contain_text("onvolution", timeout=SOON)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#digit-inside")).to_contain_text("speaks for", timeout=SOON)
    names = "all => [...new Set(all.map(radio => radio.name))]"
    for group in ("digit-view", "digit-true"):
        assert page.locator(f"#{group} input[type=radio]").evaluate_all(names) == [group]
    choice = page.locator("#digit-true")
    choice.get_by_label("3", exact=True).focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowRight")
    expect(choice.get_by_label("4", exact=True)).to_be_checked()


def test_a_correction_is_kept_with_its_ink(page: Page, trained: Path) -> None:
    folder = trained / "data" / "corrections"
    shutil.rmtree(folder, ignore_errors=True)
    draw(page, SEVEN)
    says(page, "7")
    page.locator("#digit-keep").click()
    expect(page.locator("#digit-kept")).to_contain_text("Choose what it was", timeout=SOON)
    page.locator("#digit-true").get_by_label("1", exact=True).check()
    page.locator("#digit-keep").click()
    expect(page.locator("#digit-kept")).to_contain_text("the model said 7, you say 1", timeout=SOON)
    page.locator("#digit-keep").click()  # once more by mistake
    expect(page.locator("#digit-kept")).to_contain_text("Choose what it was", timeout=SOON)
    [kept] = corrected.all(folder)
    assert (kept.said, kept.true) == ("7", "1")
    assert kept.model.startswith("mnist/") and kept.ink.any()


def test_a_finger_draws_and_the_narrow_page_stays_put(phone: Page) -> None:
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    box = phone.locator("#pad canvas").bounding_box()
    assert box is not None
    touch = phone.context.new_cdp_session(phone)

    def send(kind: str, x: float, y: float) -> None:
        place = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        points = [] if kind == "touchEnd" else [place]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    send("touchStart", *ONE[0])
    for step in range(1, 21):
        send("touchMove", 0.5, 0.2 + 0.03 * step)
    send("touchEnd", *ONE[1])
    says(phone, "1")
    assert phone.evaluate("window.scrollY") == 0
    for tab in TABS:
        phone.get_by_role("tab", name=tab, exact=True).click()
        phone.wait_for_timeout(300)
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, tab


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(browser: Browser, url: str, scheme: str) -> None:
    axe = npm.read(npm.AXE, ["axe.min.js"])["axe.min.js"].decode()
    for page in opened(browser, f"{url}/?__theme={scheme}", color_scheme=scheme):
        draw(page, SEVEN)
        says(page, "7")
        for tab in TABS:
            page.get_by_role("tab", name=tab, exact=True).click()
            page.wait_for_timeout(1000)
            page.evaluate(f"() => {{ {axe} }}")
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
            assert found["passes"], "axe has looked at something"
            grave = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
            told = [(v["id"], n["target"], n["failureSummary"]) for v in grave for n in v["nodes"]]
            assert not told, (tab, told)


def test_another_version_is_served_without_a_restart(page: Page) -> None:
    draw(page, SEVEN)
    says(page, "7")
    page.get_by_role("tab", name="Model", exact=True).click()
    box, facts = page.locator("#model-mnist input"), page.locator("#model-facts-mnist")
    box.fill("models:/mnist-onnx/99")
    box.press("Enter")
    expect(page.locator("#model-said-mnist")).to_contain_text("the registry lists", timeout=60_000)
    box.fill("models:/mnist-onnx/1")
    box.press("Enter")
    expect(facts).to_contain_text("models:/mnist-onnx/1", timeout=60_000)
    page.get_by_role("tab", name="Digit", exact=True).click()
    says(page, "7")

"""Links that carry the page's state, and views saved as pictures, in a real browser."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect
from pydantic import ValidationError

from benchmarks.browser import draw_stroke
from experiments.data import truth_table
from serve.state import form
from serve.strings import digit, layout
from serve.strings import lessons as texts
from tests.conftest import loopback_context, page_in_thread

pytestmark = pytest.mark.browser
expect.set_options(timeout=60_000)  # milliseconds, on a busy machine
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
ONE = [(0.5, 0.2), (0.5, 0.8)]
XOR = truth_table.TWO_INPUT_GATES["xor"]
NETWORK = {
    "activation": "tanh",
    "weight1": [[1.5, -2.25], [0.1, 3]],
    "bias1": [0.5, -0.5],
    "weight2": [2, -1],
    "bias2": 0.25,
}
STROKE = {"width": 30, "points": [[10, 10], [20.5, 30]]}
GOOD: list[dict[str, Any]] = [
    {},
    {"version": 1, "tab": "gate"},
    {"gate": {"bits": XOR, "hidden": 8, "x": [0, 1.25], "network": NETWORK, "edited": True}},
    {"circuit": {"name": "multiplier", "row": 15}},
    {"reader": "network"},
    {"network": {"layer": 2, "map": 3, "pixel": 40}},
    {"drawing": {"wide": True, "strokes": [STROKE], "picture": ["0f", "f0"]}, "view": "neighbors"},
]
BAD: list[Any] = [
    {"version": 2},
    {"tab": "settings"},
    {"gate": {}},
    {"gate": {"bits": "011"}},
    {"gate": {"bits": XOR, "hidden": 99}},
    {"gate": {"bits": XOR, "hidden": 2.5}},
    {"gate": {"bits": XOR, "hidden": "4"}},
    {"gate": {"bits": XOR, "activation": "gelu"}},
    {"gate": {"bits": XOR, "x": [0, 0, 0]}},
    {"gate": {"bits": XOR, "x": [0, 7]}},
    {"gate": {"bits": XOR, "weight": "<b>"}},
    {"gate": {"bits": "01", "network": NETWORK}},
    {"gate": {"bits": XOR, "network": {**NETWORK, "bias1": [1]}}},
    {"gate": {"bits": XOR, "network": {**NETWORK, "bias2": 1e9}}},
    {"gate": {"bits": XOR, "network": {**NETWORK, "weight2": [1, None]}}},
    {"circuit": {"name": "laptop"}},
    {"drawing": {"strokes": [{"width": 30, "points": []}]}},
    {"drawing": {"strokes": [{"width": 30, "points": [[1]]}]}},
    {"drawing": {"strokes": [STROKE] * 101}},
    {"drawing": {"picture": ["no hex"]}},
    {"view": "kitchen"},
    {"network": {"layer": -1}},
    {"reader": "teacher"},
    {"model": "../secret"},
    {"__proto__x": 1},
]


@pytest.fixture(scope="module")
def url(trained: Path) -> Iterator[str]:
    with page_in_thread(trained) as address:
        yield address


@pytest.fixture(scope="module")
def context(browser: Browser, url: str) -> Iterator[BrowserContext]:
    with loopback_context(browser, url, reduced_motion="reduce") as context:
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
        yield context


@pytest.fixture
def page(context: BrowserContext, url: str) -> Iterator[Page]:
    page = opened(context, url)
    yield page
    page.close()


def opened(context: BrowserContext, address: str) -> Page:
    """A page at an address, when its link has been followed or refused."""
    page = context.new_page()
    page.goto(address)
    settled(page)
    return page


def settled(page: Page) -> None:
    """Wait until nothing is being done for a link, a lesson or a picture."""
    expect(page.locator(".page-tools")).to_have_attribute("data-busy", "false")
    expect(page.locator("#digit-examples [data-example]").first).to_be_attached()


def message(page: Page) -> Locator:
    return page.locator(".page-tools [data-message]")


def copied_link(page: Page) -> str:
    """Press "Copy link" and return what is in the clipboard."""
    page.evaluate("navigator.clipboard.writeText('')")
    page.locator("[data-copy]").click()
    expect(message(page)).to_be_visible()
    settled(page)
    return str(page.evaluate("navigator.clipboard.readText()"))


def carried(link: str) -> dict[str, Any]:
    """The state in a link, as Python reads it."""
    raw = form.unpack(link)
    form.State.model_validate_json(raw)
    return json.loads(raw)


def gate(page: Page, name: str) -> Locator:
    return page.locator(f"#gate-playground [data-{name}]")


def gate_shown(page: Page) -> dict[str, object]:
    """What the playground shows, as a reader of the page sees it."""
    expect(page.locator("#gate-playground .playground")).to_have_attribute("data-busy", "false")
    controls = ("gate", "hidden", "activation", "start", "weight", "value")
    return {
        **{name: gate(page, name).input_value() for name in controls},
        "source": page.locator("[name=playground-source]:checked").get_attribute("value"),
        "x": gate(page, "ring").get_attribute("aria-valuetext"),
        "rows": gate(page, "prob").all_text_contents(),
        "messages": gate(page, "status").get_attribute("data-messages"),
        "surface": page.locator("#gate-playground canvas").evaluate("c => c.toDataURL()"),
        "edges": gate(page, "diagram").locator("line.edge").count(),
    }


def predicts(page: Page, label: str) -> None:
    expect(page.locator("#digit-answer .answer")).to_have_attribute("data-label", label)


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("tab", name=name, exact=True)


def test_a_gate_with_edited_weights_is_restored(
    page: Page, context: BrowserContext, url: str
) -> None:
    tab(page, layout.GATE).click()
    expect(gate(page, "status")).to_have_attribute("data-messages", "served")
    gate(page, "activation").select_option("relu")
    gate(page, "hidden").fill("3")
    gate(page, "start").fill("7")
    gate(page, "train").click()
    gate_shown(page)  # trained
    gate(page, "row='2'").click()
    gate(page, "weight").select_option("weight2 1")
    gate(page, "value").fill("-3.5")
    page.locator("#gate-circuits [data-circuit]").select_option("1")
    page.locator("#gate-circuits button[data-name=c]").click()
    expect(gate(page, "status")).to_have_attribute("data-messages", "edited")
    before, link = gate_shown(page), copied_link(page)
    assert link.startswith(f"{url}/#state=") and len(link) < form.MAX_FRAGMENT
    assert page.evaluate("location.href") == link
    state = carried(link)
    assert state["gate"]["network"]["weight2"][1] == -3.5
    assert state["circuit"] == {"name": "full_adder", "row": 1}
    other = opened(context, link)
    expect(tab(other, layout.GATE)).to_have_attribute("aria-selected", "true")
    expect(gate(other, "status")).to_have_attribute("data-messages", "edited")
    assert gate_shown(other) == before
    pressed = other.locator("#gate-circuits button[data-name=c]")
    expect(pressed).to_have_attribute("aria-pressed", "true")
    gate(other, "restore").click()  # the trained network is below the edits
    expect(gate(other, "status")).to_have_attribute("data-messages", "")
    other.close()


def test_a_registered_gate_and_one_of_another_version(context: BrowserContext, url: str) -> None:
    page = opened(context, f"{url}/{form.PREFIX}" + quote(json.dumps({"tab": "gate"})))
    expect(gate(page, "status")).to_have_attribute("data-messages", "served")
    gate(page, "gate").select_option("0111")
    before, link = gate_shown(page), copied_link(page)
    page.close()
    same = opened(context, link)
    expect(gate(same, "gate")).to_have_value("0111")
    assert gate_shown(same) == before
    same.close()
    state = {"tab": "gate", "gate": {"bits": "0111", "network": NETWORK, "x": [1, 0]}}
    foreign = opened(context, f"{url}/{form.PREFIX}" + quote(json.dumps(state)))
    expect(gate(foreign, "status")).to_have_attribute("data-messages", "linked")
    logit = 2 * np.tanh(0.5) - np.tanh(-0.5) + 0.25
    prob = float(gate_shown(foreign)["rows"][0])  # type: ignore[index]
    assert prob == pytest.approx(1 / (1 + np.exp(-logit)), abs=6e-4)
    foreign.close()


def test_a_drawing_and_its_view_are_restored(page: Page, context: BrowserContext) -> None:
    page.locator("#pad [data-do=wide]").click()
    for left in (0.1, 0.6):
        draw_stroke(page, [(left + x / 3, y) for x, y in SEVEN])
    predicts(page, "77")
    page.locator("#digit-view").get_by_label(digit.VIEWS["occlusion"], exact=True).check()
    expect(page.locator("#digit-view-output .occlusion")).to_be_visible()
    other = opened(context, copied_link(page))
    predicts(other, "77")
    expect(other.locator("#pad .pad.wide")).to_be_visible()
    expect(other.locator("#digit-view input:checked")).to_have_value("occlusion")
    expect(other.locator("#digit-view-output .occlusion")).to_be_visible()
    other.locator("#pad [data-do=undo]").click()  # restoring is a change like any other
    expect(other.locator("#digit-answer .answer")).to_have_attribute("data-state", "empty")
    other.close()


def test_a_long_drawing_becomes_a_short_link(page: Page, context: BrowserContext) -> None:
    angles = np.linspace(0, 2 * np.pi, 700)
    ring = zip(0.5 + 0.2 * np.cos(angles), 0.5 + 0.35 * np.sin(angles), strict=True)
    draw_stroke(page, ring)
    predicts(page, "0")
    bars = page.locator("#digit-answer .share").all_text_contents()
    link = copied_link(page)
    [stroke] = carried(link)["drawing"]["strokes"]
    assert len(stroke["points"]) < 100 and len(link) < 1000
    other = opened(context, link)
    predicts(other, "0")
    restored = other.locator("#digit-answer .share").all_text_contents()
    difference = [float(a[:-1]) - float(b[:-1]) for a, b in zip(bars, restored, strict=True)]
    assert np.abs(difference).max() < 2  # percentage points
    other.close()


def test_an_opened_picture_becomes_a_short_link(
    page: Page, context: BrowserContext, tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(215, 240, (600, 800), np.uint8))
    ImageDraw.Draw(picture).line([(280, 120), (520, 120), (400, 500)], fill=30, width=40)
    picture.save(tmp_path / "seven.png")
    page.set_input_files("#pad input[type=file]", tmp_path / "seven.png")
    predicts(page, "7")
    link = copied_link(page)
    rows = carried(link)["drawing"]["picture"]
    assert len(link) < form.MAX_FRAGMENT + 100 and len(rows) >= 28
    other = opened(context, link)
    predicts(other, "7")
    again = copied_link(other)  # of the reduced picture: it is not reduced further
    assert carried(again)["drawing"]["picture"] == rows
    other.close()


@pytest.mark.parametrize(
    ("fragment", "name"),
    [
        ("#activation=tanh&batchSize=10&dataset=circle&networkShape=4,2", "link_foreign"),
        ("#state=", "link_broken"),
        ("#state=q1YqS8wpTQUA", "link_broken"),
        ("#state=%%%", "link_broken"),
        ("#state={", "link_broken"),
        ("#state=[]", "link_broken"),
        ("#state=" + "A" * (form.MAX_READ + 1), "link_long"),
    ],
)
def test_broken_and_foreign_links(
    context: BrowserContext, url: str, fragment: str, name: str
) -> None:
    page = opened(context, f"{url}/{fragment}")
    expect(message(page)).to_have_text(texts.WORDS[name])
    draw_stroke(page, SEVEN)  # the page works
    predicts(page, "7")
    state = {"tab": "mnist", "drawing": {"strokes": []}}
    page.evaluate("fragment => { location.hash = fragment; }", form.PREFIX + json.dumps(state))
    expect(page.locator("#digit-answer .answer")).to_have_attribute("data-state", "empty")
    expect(message(page)).to_be_hidden()
    page.close()


def test_the_browser_checks_links_as_python_does(page: Page) -> None:
    """One schema, two readers: both accept the good states, and refuse the bad ones."""
    for state in GOOD:
        form.State.model_validate_json(json.dumps(state))
        follow(page, state)
        expect(message(page)).to_be_hidden()
    start = texts.WORDS["link_invalid"].partition("{")[0]
    for state in BAD:
        with pytest.raises(ValidationError):
            form.State.model_validate_json(json.dumps(state))
        follow(page, state)
        expect(message(page)).to_contain_text(start)


def follow(page: Page, state: object) -> None:
    """Follow a link in the open page, and wait until that is done."""
    page.evaluate(
        """async fragment => {
            document.querySelector(".page-tools").dataset.busy = "asked";
            location.hash = fragment;
        }""",
        form.PREFIX + quote(json.dumps(state)),
    )
    expect(page.locator(".page-tools")).to_have_attribute("data-busy", "false")


def test_without_a_clipboard_the_link_can_be_copied_by_hand(page: Page) -> None:
    page.evaluate(
        "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }"
    )
    draw_stroke(page, ONE)
    predicts(page, "1")
    page.locator("[data-copy]").click()
    expect(message(page)).to_have_text(texts.WORDS["copy_yourself"])
    field = page.locator("[data-address]")
    expect(field).to_be_focused()
    assert carried(field.input_value())["drawing"]["strokes"]
    page.keyboard.press("Escape")
    expect(field).to_be_hidden()
    expect(page.locator("[data-copy]")).to_be_focused()


def saved(page: Page, view: str, kind: str) -> bytes:
    """Save a view and return the file's bytes."""
    if page.locator("[data-save-box]").is_hidden():
        page.locator("[data-save]").click()
    with page.expect_download() as download:
        page.locator(f"[data-view={view}][data-kind={kind}]").click()
    assert download.value.suggested_filename == f"{view}.{kind}"
    return Path(download.value.path()).read_bytes()


def test_the_playgrounds_views_are_saved(page: Page) -> None:
    tab(page, layout.GATE).click()
    expect(gate(page, "status")).to_have_attribute("data-messages", "served")
    for view, shape in (("diagram", "line"), ("surface", "image")):
        tree = ElementTree.fromstring(saved(page, view, "svg"))  # noqa: S314
        assert tree.findall(f".//{{http://www.w3.org/2000/svg}}{shape}")
        picture = Image.open(io.BytesIO(saved(page, view, "png")))
        size = [2 * float(tree.attrib[side]) for side in ("width", "height")]
        assert picture.size == pytest.approx(size, abs=1)
        blue, orange = (0, 114, 178), (213, 94, 0)
        colours = {pixel for _, pixel in picture.convert("RGB").getcolors(1 << 20) or ()}
        assert {blue, orange} <= colours


def test_the_digit_tabs_view_is_saved(page: Page) -> None:
    draw_stroke(page, SEVEN)
    expect(page.locator("#digit-view-output .steps")).to_be_visible()
    tree = ElementTree.fromstring(saved(page, "view", "svg"))  # noqa: S314
    words = " ".join(tree.itertext())
    assert "28 × 28" in words
    pictures = tree.findall(".//{http://www.w3.org/2000/svg}image")
    shown = page.locator("#digit-view-output img")
    assert len(pictures) == shown.count()
    assert {p.attrib["href"] for p in pictures} == set(shown.evaluate_all("a => a.map(i => i.src)"))
    picture = Image.open(io.BytesIO(saved(page, "view", "png"))).convert("L")
    assert np.ptp(np.asarray(picture)) == 255

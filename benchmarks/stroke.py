"""How long after a stroke the page shows its answer, in a real browser; for benchmarks.load."""

from playwright.sync_api import Page

from benchmarks.browser import chromium

STROKES = 40
# What is said, with bars and score; Gradio's own signs of waiting beside it do not count.
WATCH = """() => {
    const told = () => document.querySelector("#digit-answer .answer").parentElement.innerHTML;
    window.times = [];
    let lifted = 0;
    let before = "";
    addEventListener("pointerup", () => { [lifted, before] = [performance.now(), told()]; }, true);
    new MutationObserver(() => {
        if (!lifted || told() === before) return;
        window.times.push(performance.now() - lifted);
        lifted = 0;
    }).observe(document.querySelector("#digit-answer"), {subtree: true, childList: true});
}"""


def measure(url: str) -> list[float]:
    """Return the milliseconds from the end of each stroke to the changed answer on the page."""
    with chromium() as browser:
        page = browser.new_page()
        page.goto(url)
        page.wait_for_selector("#pad canvas")
        page.evaluate(WATCH)
        for stroke in range(STROKES):
            _draw(page, stroke)
            page.wait_for_function("count => window.times.length > count", arg=stroke)
        found: list[float] = page.evaluate("window.times")
        return found


def _draw(page: Page, stroke: int) -> None:
    """Draw one stroke; each changes the drawing, so that each changes the answer."""
    box = page.locator("#pad canvas").bounding_box()
    assert box is not None
    x = box["x"] + box["width"] * (0.2 + 0.6 * stroke / STROKES)
    page.mouse.move(x, box["y"] + box["height"] * 0.25)
    page.mouse.down()
    page.mouse.move(x + 10, box["y"] + box["height"] * 0.75, steps=5)
    page.mouse.up()

"""The gallery and the README's pictures, from what is trained: python -m benchmarks.pictures

Needs a champion of each task, exported, the packages of tests/requirements.txt, and chromium.
The page is served and drawn on by a real browser; the figures are the champions' own, made smaller.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np
from playwright.sync_api import Page, sync_playwright

from benchmarks import record
from experiments import artifacts, cli, versions
from experiments.errors import UserError
from experiments.paths import ROOT
from experiments.report_page import CHAPTERS, Source, webp

IMAGES, GALLERY = ROOT / "docs" / "images", ROOT / "docs" / "gallery.md"
TASKS = {"gate": "Logic gates", "mnist": "Handwritten digits"}
WIDTH, QUALITY = 900, 88  # pixels, and WebP's measure: enough to read, small to keep
HEAD = """# Gallery

What one training of each task leaves behind, in the order of their reports. \
Each picture says what it found; below it stands what to look for, and what it \
cannot show. `python -m benchmarks.pictures` makes this page anew from the exported champions.
"""
NETRON = """
### Its graph in Netron

`python export/to_onnx.py --picture`

![The exported graph, node by node]({picture})

Look for the names: each says what its node does; a picture's normalisation comes first. It \
cannot show the weights; `--view` opens the graph, where a click shows them.
"""
MEASURED = """
## Over many starts and seeds

`python -m benchmarks.gates --seeds 100`

![How many of 500 starts learn XOR](images/gate-luck.webp)

Look for the width at which a curve passes half, and whether its bars are clear of the other \
curves'. It cannot show other learning rates, or what a longer training would do.

`python -m benchmarks.robustness --seeds 5`

![How little a change fools the digit network](images/mnist-adversaries.webp)

Look for the cross where half is lost, and how far below FGSM PGD lies. It cannot show stronger \
attacks, nor changes that people would make.
"""
THREE = [
    (0.32, 0.25),
    (0.5, 0.17),
    (0.65, 0.3),
    (0.5, 0.46),
    (0.68, 0.62),
    (0.52, 0.82),
    (0.3, 0.72),
]


@click.command("benchmarks.pictures")
def command() -> None:
    """Write docs/gallery.md and docs/images."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in TASKS:
        shutil.rmtree(IMAGES / name, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        champions = [versions.find(f"models:/{name}@{versions.CHAMPION}") for name in TASKS]
        sources = [Source.of(each, Path(folder) / each.name) for each in champions]
        GALLERY.write_text(HEAD + "".join(map(chapter, sources)) + MEASURED)
    measured()
    chromium = shutil.which("chromium")
    if chromium is None:
        raise UserError("chromium is needed for the screenshots; Debian has it as a package.")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "serve/app.py", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1000, "height": 1060})
            screenshots(page, f"http://127.0.0.1:{port}")
    finally:
        server.terminate()


def measured() -> None:
    """Draw what benchmarks have measured: the map of luck, and accuracy under attack."""
    from experiments.luck import Cell
    from experiments.plots import luck, robustness, style

    result = record.load("gates")["luck"]
    attacks = record.load("robustness")
    shares = {name: np.array(runs) for name, runs in attacks["attacks"].items()}
    figures = {
        "gate-luck": luck.luck(result["gate"], [Cell(**cell) for cell in result["cells"]]),
        "mnist-adversaries": robustness.adversaries(attacks["strengths"], shares),
    }
    for name, figure in figures.items():
        shrink(style.png(figure), IMAGES / name)


def chapter(source: Source) -> str:
    """Keep the pictures of a version small, and return the page's part on them."""
    task, command = source.version.metadata["task"], source.record.tags["command"]
    lines = [f"\n## {TASKS[task]}\n\n`{command}`\n"]
    for folder, entries in source.chapters():
        lines.append(f"\n### {CHAPTERS[folder]}\n")
        for entry in entries:
            lines.append(f"\n{shown(source, entry)}\n\n{entry['look']} {entry['limit']}\n")
    return "".join([*lines, NETRON.format(picture=graph(task))])


def graph(task: str) -> str:
    """Let Netron draw the graph of the task's champion; return where the picture is."""
    from export import netron_view

    target = IMAGES / task / "netron.svg"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{task}.onnx"
        champion = versions.find(f"models:/{task}-onnx@{versions.CHAMPION}")
        path.write_bytes(artifacts.onnx_graph(champion))
        target.write_text(netron_view.picture(path))
    return str(target.relative_to(GALLERY.parent))


def shown(source: Source, entry: Mapping[str, Any]) -> str:
    """Return the picture of an entry, kept small, as Markdown; or why there is none."""
    if "left_out" in entry:
        return f"`{entry['name']}` was not drawn: {entry['left_out']}"
    file = source.folder / entry["file"]
    target = IMAGES / source.version.metadata["task"] / entry["file"]
    if target.suffix == ".gif":
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    else:
        target = shrink(file.read_bytes(), target)
    alt = " ".join((entry["title"] or entry["name"]).split())
    return f"![{alt}]({target.relative_to(GALLERY.parent)})"


def screenshots(page: Page, url: str) -> None:
    """Draw a 3 on the Digit tab and switch the XOR gate, and keep what is seen."""
    wait_for(url)
    page.goto(url)
    page.wait_for_selector("#pad button[aria-label=Brush].highlight")
    page.wait_for_timeout(1000)
    box = page.locator("#pad canvas").first.bounding_box()
    assert box is not None
    side = min(box["width"], box["height"])
    left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
    for index, (x, y) in enumerate(THREE):
        page.mouse.move(left + x * side, top + y * side, steps=10)
        if index == 0:
            page.mouse.down()
    page.mouse.up()
    page.wait_for_selector("#digit-answer .answer b")
    page.wait_for_timeout(1000)
    keep(page, "page-digit")
    page.get_by_role("tab", name="Gate").click()
    page.get_by_label("Input b").check()
    page.wait_for_timeout(1500)
    keep(page, "page-gate")


def keep(page: Page, name: str) -> None:
    """Save what the page shows as docs/images/NAME.webp."""
    shrink(page.screenshot(), IMAGES / name)


def shrink(png: bytes, target: Path) -> Path:
    """Keep a picture small, and return where: TARGET with another ending."""
    kept = target.with_suffix(".webp")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(webp(png, WIDTH, QUALITY))
    return kept


def wait_for(url: str) -> None:
    """Return once `url` answers; give up after a minute."""
    for _ in range(300):
        try:
            urllib.request.urlopen(url).close()
            return
        except OSError:
            time.sleep(0.2)
    raise UserError(f"the page did not answer at {url}.")


if __name__ == "__main__":
    cli.main(command)

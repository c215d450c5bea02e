"""The gallery and the README's pictures, from what is trained: python -m benchmarks.pictures

Needs a champion of each task, exported, the packages of tests/requirements.txt, and chromium.
The figures are the champions' own, made smaller; those of the page are `page_pictures`'s.
"""

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import page_pictures, record
from benchmarks.shrunk import IMAGES, shrink
from experiments import artifacts, cli, versions
from experiments.paths import ROOT
from experiments.report_page import CHAPTERS, Source

GALLERY = ROOT / "docs" / "gallery.md"
TASKS = {"gate": "Logic gates", "mnist": "Handwritten digits"}
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
PAGE = """
## The page

`python serve/app.py`; these by `python -m benchmarks.page_pictures`

![The Digit tab: a drawn 3, the bars of all ten digits, and what it saw](images/page-digit.webp)

Look for the step from the drawing to 28x28 pixels: that is all the network is given. It cannot \
show how quickly the answer follows each stroke.

![The layers of the digit network at work on a 2](images/page-inside.webp)

Look for the channels that follow one edge of the strokes. It cannot show what a channel means: \
nobody has named them.

![Three digits side by side, read as a number, on a narrow dark screen](images/page-number.webp)

Look for the digits one by one below the number. Digits that touch are taken for one.

![The Gate tab: XOR as it was trained in the page, and a circuit](images/page-gate.webp)

Look for the dashed lines, where a hidden unit changes its mind, and for the share of starts that \
fail. It cannot show the course of training, which the page plays.

![The Model tab: the version that is served, its curves and its network](images/page-model.webp)

Look for the gap between training and validation: training sees warped digits, so it has the \
harder task. It cannot show other versions, which the page can open.
"""


@click.command("benchmarks.pictures")
@click.pass_context
def command(context: click.Context) -> None:
    """Write docs/gallery.md and docs/images."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in TASKS:
        shutil.rmtree(IMAGES / name, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        champions = [versions.find(f"models:/{name}@{versions.CHAMPION}") for name in TASKS]
        sources = [Source.of(each, Path(folder) / each.name) for each in champions]
        GALLERY.write_text(HEAD + "".join(map(chapter, sources)) + MEASURED + PAGE)
    measured()
    context.invoke(page_pictures.command)


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


if __name__ == "__main__":
    cli.main(command)

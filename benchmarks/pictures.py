"""The gallery and the README's pictures: python -m benchmarks.pictures

Needs an exported champion of each task, the packages of tests/requirements.txt, and chromium.
Writes docs/images, and the champions' figures between two marks of docs/gallery.md.
"""

import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmarks import page_pictures, record
from benchmarks.page_pictures import IMAGES, save_webp
from experiments.core import cli
from experiments.core.exports import graph_name
from experiments.core.paths import ROOT
from experiments.figures.logger import Entry
from experiments.figures.plots import init_success, style
from experiments.figures.report_html import Source, by_chapter
from experiments.init_study import InitResult
from experiments.registry import artifacts, versions
from export import netron_view

GALLERY = ROOT / "docs" / "gallery.md"
TASKS = {
    "gate": "Logic gates",
    "mnist": "Handwritten digits",
    "logic": "Digits by logic gates",
}
START, END = "<!-- python -m benchmarks.pictures -->", "<!-- end of figures -->"
NETRON = """
### Its graph in Netron

`python export/to_onnx.py --picture`

![The exported graph, node by node]({picture})

Look for the names: each says what its node does; a picture's normalisation comes first. It \
cannot show the weights; `--view` opens the graph, where a click shows them.
"""


@click.command("benchmarks.pictures")
@click.pass_context
def command(context: click.Context) -> None:
    """Write the figures of docs/gallery.md, and docs/images."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in TASKS:
        shutil.rmtree(IMAGES / name, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        champions = [versions.find(f"models:/{name}@{versions.CHAMPION}") for name in TASKS]
        sources = [Source.of(each, Path(folder) / each.name) for each in champions]
        chapters = "".join(map(chapter, sources))
    GALLERY.write_text(record.between(GALLERY.read_text(), START, END, chapters))
    measured()
    context.invoke(page_pictures.command)


def measured() -> None:
    """Draw what benchmarks have measured: learned initialisations, and accuracy under attack."""
    result = record.load("gates")["init_study"]
    cells = [InitResult(**cell) for cell in result["cells"]]
    attacks = record.load("robustness")
    shares = {name: np.array(runs) for name, runs in attacks["attacks"].items()}
    figures = {
        "gate-init-success": init_success.by_width(result["gate"], cells),
        "mnist-adversaries": adversaries(attacks["strengths"], shares),
    }
    for name, figure in figures.items():
        save_webp(style.png(figure), IMAGES / f"{name}.webp")


def chapter(source: Source) -> str:
    """Copy the pictures of a version, and return their part of the gallery."""
    task, command = source.version.metadata["task"], source.record.tags["command"]
    lines = [f"\n## {TASKS[task]}\n\n`{command}`\n"]
    for heading, entries in by_chapter(source.entries).items():
        lines.append(f"\n### {heading}\n")
        for entry in entries:
            lines.append(f"\n{shown(source, entry)}\n\n{entry['look']} {entry['limit']}\n")
    return "".join([*lines, NETRON.format(picture=graph(task))])


def graph(task: str) -> str:
    """Draw the graph of the task's champion with Netron; return the picture's path."""
    target = IMAGES / task / "netron.svg"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{task}.onnx"
        champion = versions.find(f"models:/{graph_name(task)}@{versions.CHAMPION}")
        path.write_bytes(artifacts.onnx_graph(champion))
        target.write_text(netron_view.picture(path))
    return str(target.relative_to(GALLERY.parent))


def shown(source: Source, entry: Entry) -> str:
    """Return the picture of an entry as Markdown, or why there is none."""
    if "left_out" in entry:
        return f"`{entry['name']}` was not drawn: {entry['left_out']}"
    file = source.folder / entry["file"]
    target = IMAGES / source.version.metadata["task"] / entry["file"]
    if target.suffix == ".gif":
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
    else:
        target = target.with_suffix(".webp")
        save_webp(file.read_bytes(), target)
    alt = " ".join((entry["title"] or entry["name"]).split())
    return f"![{alt}]({target.relative_to(GALLERY.parent)})"


def adversaries(
    strengths: Sequence[float], accuracy: Mapping[str, Float[np.ndarray, "seeds strengths"]]
) -> Figure:
    """Return accuracy under attack over the attack's strength.

    Args:
        strengths: largest change of a pixel, as a fraction of full ink; ascending.
        accuracy: by attack.
    """
    means = {attack: values.mean(0) for attack, values in accuracy.items()}
    halves = {attack: _half(strengths, mean) for attack, mean in means.items()}
    strongest = min(means, key=lambda attack: (halves[attack], means[attack].mean()))
    half = halves[strongest]
    title = f"{strongest}: accuracy falls to 50% at a change of {half:.2g} of full ink"
    if half == math.inf:
        lowest = style.percent(means[strongest].min())
        title = f"No attack lowers accuracy to 50%; {strongest}: {lowest} at the largest change"
    fig = style.figure(8, 5.4, title)
    change = "largest change of a pixel, fraction of full ink"
    axes = style.tidy(fig.subplots(), "", change, "accuracy")
    axes.axhline(0.5, color=style.GREY, linewidth=1, linestyle=":")
    for number, (attack, values) in enumerate(accuracy.items()):
        look = style.look(number)
        axes.plot(strengths, means[attack], marker="osD^vPX"[number % 7], **look, label=attack)
        if len(values) > 1:
            spread = values.std(0, ddof=1)
            low, high = means[attack] - spread, means[attack] + spread
            axes.fill_between(strengths, low, high, color=look["color"], alpha=0.2)
    if half < math.inf:
        cross: style.Look = {"color": style.INK, "markersize": 9, "markeredgewidth": 2}
        axes.plot([half], [0.5], "x", label=f"50% at {half:.2g}", **cross)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, fontsize=10)
    seeds = max(len(values) for values in accuracy.values())
    band = f"band: one standard deviation over {seeds} seeds" if seeds > 1 else "one seed: no band"
    style.note(fig, f"{band}; the crossing of 50% is interpolated")
    return fig


def _half(strengths: Sequence[float], accuracy: Float[np.ndarray, " strengths"]) -> float:
    """Return where the accuracy, linear between strengths, first falls to a half; else infinity."""
    below = np.flatnonzero(accuracy <= 0.5)
    if not len(below):
        return math.inf
    around = slice(max(below[0] - 1, 0), below[0] + 1)
    return float(np.interp(-0.5, -accuracy[around], strengths[around]))


if __name__ == "__main__":
    cli.main(command)

"""The digit network's first filters, and the feature maps of one digit, block by block."""

import math

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.evaluation.arrays import Array, Vector
from experiments.figures.analysis.feature_maps import Activations, Block, Filters, Image
from experiments.figures.plots import style
from experiments.figures.plots.digits import INK, prob_text, show_tiles

TILE = 78  # pixels of a tile's side: 3, 6, 13 and 26 divide it
MAX_MAPS, COLUMNS = 16, 8


def enlarge(tiles: Float[Array, "N h w"], side: int = TILE) -> Float[Array, "N side side"]:
    """Return tiles with another side, by nearest neighbour."""
    _, height, width = tiles.shape
    return tiles[:, np.arange(side)[:, None] * height // side, np.arange(side) * width // side]


def filters(image: Image, label: int, found: Filters) -> Figure:
    """Return the first convolution's kernels, and their responses to a digit with its label."""
    count = len(found.channels)
    columns = min(count, 4 if count <= 16 else 6)
    strength = abs(found.responses).mean((1, 2))
    ratio = strength[0] / max(float(np.median(strength)), 1e-12)
    fig = style.figure(
        12.5,
        max(4.2, 1.6 + 5.2 * math.ceil(count / columns) / columns),
        f"Channel {found.channels[0]} of {found.total} responds most to this {label}: "
        f"{ratio:.1f} times the median of those shown",
    )
    digit, kernels, responses = fig.subplots(1, 3, width_ratios=(0.5, 1, 1))
    style.bare(digit, f"input: a {label}").imshow(image, **INK)
    captions = [f"channel {channel}" for channel in found.channels]
    kernels.set_title(f"Kernels, {count} of {found.total} filters, strongest response first")
    responses.set_title("Their responses to the input")
    panels = (
        (kernels, found.kernels, "weight"),
        (responses, found.responses, "response, minus that to an empty image"),
    )
    for axes, tiles, words in panels:
        limit = float(abs(tiles).max()) or 1.0
        scale: style.Look = {"cmap": style.DIVERGING, "vmin": -limit, "vmax": limit}
        drawn = show_tiles(axes, enlarge(tiles), columns, captions, gap=(26, 12), **scale)
        bar = fig.colorbar(drawn, ax=axes, location="bottom", shrink=0.7, aspect=40, pad=0.02)
        bar.set_label(words, fontsize=10)
        axes.set_anchor("N")
    digit.set_anchor("N")
    return fig


def feature_maps(image: Image, label: int, found: Activations) -> Figure:
    """Return a digit's feature maps, a panel for each block, and the predicted probabilities."""
    pred, last = int(found.probabilities.argmax()), np.sort(mean_activation(found.blocks[-1].maps))
    title = f"A {label} is classified as {pred} ({prob_text(found.probabilities[pred])})"
    if len(last) > MAX_MAPS and last.any():
        carried = last[-MAX_MAPS:].sum() / last.sum()
        title += (
            f": {MAX_MAPS} of the last block's {len(last)} maps\n"
            f"hold {carried:.0%} of its activation"
        )
    count = len(found.blocks)
    fig = style.figure(11, 1.9 + 2.15 * count, title)
    left, right = np.asarray(fig.subfigures(1, 2, width_ratios=(1, 2.6)))
    digit, answers = left.subplots(2, 1)
    style.bare(digit, "input: 28 × 28").imshow(image, **INK)
    _probabilities(answers, found.probabilities, label)
    *panels, strip = right.subplots(count + 1, 1, height_ratios=[1] * count + [0.12])
    for number, (axes, block) in enumerate(zip(panels, found.blocks, strict=True), start=1):
        _block(axes, number, block)
    shown = np.maximum(found.hidden, 0)[None]
    strip.imshow(shown, cmap="viridis", vmin=0, vmax=shown.max() or 1, aspect="auto")
    style.bare(strip, f"Hidden layer: {shown.size} units, max {found.hidden.max():.2g}")
    bar = right.colorbar(
        ScalarMappable(cmap="viridis"), ax=[*panels, strip], shrink=0.6, aspect=40, pad=0.02
    )
    bar.set_label("activation relative to the layer's max; negative shown as 0", fontsize=10)
    return fig


def mean_activation(maps: Float[Array, "C H W"]) -> Float[Array, " C"]:
    """Return the mean of each map, negative values as 0."""
    return np.maximum(maps, 0).mean((1, 2))


def _block(axes: Axes, number: int, block: Block) -> None:
    count, height, width = block.maps.shape
    order = np.argsort(-mean_activation(block.maps), kind="stable")[:MAX_MAPS]
    tiles = np.full((MAX_MAPS, TILE, TILE), np.nan)  # as many in each block: equal sizes
    tiles[: len(order)] = enlarge(block.maps[order])
    largest = float(block.maps.max())
    axes.set_title(
        f"Block {number} ({', '.join(block.steps)}):\nstrongest {len(order)} of {count} maps, "
        f"{height} × {width}, max {largest:.2g}"
    )
    scale: style.Look = {"cmap": "viridis", "vmin": 0, "vmax": max(largest, 1e-12)}
    show_tiles(axes, tiles, COLUMNS, gap=(6, 6), **scale)


def _probabilities(axes: Axes, probabilities: Vector, label: int) -> None:
    pred = int(np.argmax(probabilities))
    colors = [style.GREY] * len(probabilities)
    colors[pred] = style.BLUE if pred == label else style.VERMILION
    bars = axes.barh(range(len(probabilities)), probabilities, color=colors)
    axes.bar_label(bars, [prob_text(value) for value in probabilities], padding=3, fontsize=10)
    style.tidy(axes, "output", "probability", "digit")
    axes.set_yticks(range(len(probabilities)))
    axes.set_xticks([0, 0.5, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(0, 1.5)
    axes.invert_yaxis()

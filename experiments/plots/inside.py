"""What goes on inside the digit network: its filters, and its blocks' maps of one digit."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from experiments.plots import style
from experiments.plots.digits import certainty

TILE = 78  # pixels of a tile's side: 3, 6, 13 and 26 divide it
PAIR_WIDTH = 2 * TILE + 4  # a filter and its response
MOST_MAPS, ABREAST = 16, 2  # of a block that are shown, and side by side


class Block(Protocol):
    """What this room needs to know of a block; see `experiments.interpret.maps.Block`."""

    @property
    def steps(self) -> tuple[str, ...]: ...
    @property
    def maps(self) -> np.ndarray: ...


def enlarge(tiles: np.ndarray, side: int = TILE) -> np.ndarray:
    """Return [N, h, w] as [N, side, side], each place filled with the nearest value."""
    _, high, wide = tiles.shape
    return tiles[:, np.arange(side)[:, None] * high // side, np.arange(side) * wide // side]


def mosaic(tiles: np.ndarray, columns: int, gap: tuple[int, int]) -> np.ndarray:
    """Return the tiles [N, h, w] row by row in one float picture, NaN between them.

    Args:
        gap: pixels below and to the right of each tile.
    """
    count, high, wide = tiles.shape
    rows = math.ceil(count / columns)
    canvas = np.full((rows * columns, high + gap[0], wide + gap[1]), np.nan)
    canvas[:count, :high, :wide] = tiles
    laid = canvas.reshape(rows, columns, *canvas.shape[1:]).swapaxes(1, 2)
    return laid.reshape(rows * canvas.shape[1], columns * canvas.shape[2])


def filters(
    image: np.ndarray,
    digit: int,
    channels: np.ndarray,
    kernels: np.ndarray,
    responses: np.ndarray,
    total: int,
) -> Figure:
    """Return the first convolution's filters, each with what it makes of a digit beside it.

    Args:
        image: uint8 [28, 28].
        digit: what it shows.
        channels: int [K], the filters' numbers, the one that reacts most first.
        kernels: float [K, S, S], weights.
        responses: float [K, H, W], outputs beyond those for an empty page.
        total: how many filters the net has, at least K.
    """
    columns = min(len(channels), 4 if len(channels) <= 16 else 8)
    rows = math.ceil(len(channels) / columns)
    wide = 2.1 if columns <= 4 else 1.1  # inches of a pair
    made = style.figure(
        max(9.5, wide * columns + 2),
        max(4, rows * (wide / 2 + 0.25) + 1.2),
        _strongest(digit, channels, responses, total),
    )
    half = wide * columns / 2
    grid = made.add_gridspec(2, 3, height_ratios=(1, 0.04), width_ratios=(1.5, half, half))
    left, axes = made.add_subplot(grid[0, 0]), made.add_subplot(grid[0, 1:])
    style.bare(left, f"the digit: a {digit}").imshow(image, cmap="gray_r", vmin=0, vmax=255)
    few = f"the {len(channels)} strongest" if len(channels) < total else "all"
    style.bare(axes, f"{few} of {total}, strongest first: weights, and beside them the response")
    for part in (left, axes):
        part.set_anchor("N")
    gap = (round(0.25 * 2 * TILE / wide), round(0.12 * 2 * TILE / wide))
    sides = ((kernels, "left: weight"), (responses, "right: response (0: that to an empty page)"))
    for side, (tiles, label) in enumerate(sides):
        drawn = _half(axes, tiles, side, columns, gap)
        bar = made.colorbar(
            drawn, cax=made.add_subplot(grid[1, 1 + side]), orientation="horizontal"
        )
        bar.set_label(label, fontsize=10)
    for place, channel in enumerate(channels):
        row, column = divmod(place, columns)
        x, y = column * (PAIR_WIDTH + gap[1]) + PAIR_WIDTH / 2, row * (TILE + gap[0]) + TILE + 1
        axes.text(x, y, f"channel {channel}", ha="center", va="top", fontsize=10, color=style.INK)
    return made


def _strongest(digit: int, channels: np.ndarray, responses: np.ndarray, total: int) -> str:
    if len(channels) == 1:
        return f"What filter {channels[0]} of {total} makes of this {digit}"
    strength = abs(responses).mean((1, 2))
    times = strength[0] / max(float(np.median(strength)), 1e-12)
    title = f"Channel {channels[0]} of {total} reacts most to this {digit}"
    return f"{title}: {times:.1f} times the median of those shown"


def _half(
    axes: Axes, tiles: np.ndarray, side: int, columns: int, gap: tuple[int, int]
) -> AxesImage:
    """Draw the tiles [N, h, w] on one side, 0 or 1, of their pairs, from blue to vermilion."""
    pairs = np.full((len(tiles), TILE, PAIR_WIDTH), np.nan)
    start = side * (PAIR_WIDTH - TILE)
    pairs[:, :, start : start + TILE] = enlarge(tiles)
    most = float(abs(tiles).max()) or 1.0
    picture = mosaic(pairs, columns, gap)
    return axes.imshow(picture, cmap=style.DIVERGING, vmin=-most, vmax=most)


def feature_maps(
    image: np.ndarray,
    digit: int,
    blocks: Sequence[Block],
    hidden: np.ndarray,
    probabilities: np.ndarray,
) -> Figure:
    """Return one digit on its way through the net: a column a block, then the ten answers.

    Args:
        image: uint8 [28, 28].
        digit: what it shows.
        blocks: at least one, with maps float [C, H, W] after the activation, the first block first.
        hidden: float [hidden], the hidden layer after its activation.
        probabilities: float [10], 0 to 1.
    """
    made = style.figure(
        min(11, 5.2 + 1.45 * len(blocks)),
        7.2,
        _finding(digit, blocks, hidden, probabilities),
    )
    ratios = (1.3, *[1.3] * len(blocks), 0.45, 1.9)
    grid = made.add_gridspec(2, len(ratios), height_ratios=(1, 0.03), width_ratios=ratios)
    panels = [made.add_subplot(grid[0, column]) for column in range(len(ratios))]
    style.bare(panels[0], "input\n28 × 28").imshow(image, cmap="gray_r", vmin=0, vmax=255)
    for number, (axes, block) in enumerate(zip(panels[1:], blocks, strict=False), start=1):
        _column(axes, number, block)
    for axes in panels[:-2]:
        axes.set_anchor("N")  # headings on one line, whatever the pictures' sizes
    _strip(panels[-2], hidden)
    _answers(panels[-1], probabilities, digit)
    scale = ScalarMappable(Normalize(0, 1), "viridis")
    bar = made.colorbar(scale, cax=made.add_subplot(grid[1, :]), orientation="horizontal")
    bar.set_label(
        "share of the block's largest value (max); below 0 drawn as 0; strongest maps first",
        fontsize=10,
    )
    return made


def _finding(
    digit: int, blocks: Sequence[Block], hidden: np.ndarray, probabilities: np.ndarray
) -> str:
    said, last = int(probabilities.argmax()), np.sort(brightness(blocks[-1].maps))[::-1]
    sure = f"A {digit} is read as {said} ({certainty(probabilities[said])}): "
    if len(last) <= MOST_MAPS or not last.any():
        return f"{sure}784 pixels, then {len(last)} maps,\nthen {len(hidden)} hidden units"
    carried = last[:MOST_MAPS].sum() / last.sum()
    return (
        f"{sure}the {MOST_MAPS} strongest of {len(last)} maps\n"
        f"of the last block carry {carried:.0%} of its activation"
    )


def brightness(maps: np.ndarray) -> np.ndarray:
    """Return the mean of each map [C, H, W] with what is below 0 taken as 0: float [C]."""
    return np.maximum(maps, 0).mean((1, 2))


def _column(axes: Axes, number: int, block: Block) -> None:
    count, high, wide = block.maps.shape
    order = np.argsort(-brightness(block.maps), kind="stable")[:MOST_MAPS]
    places = np.full((MOST_MAPS, TILE, TILE), np.nan)  # always as many: equal sizes in every column
    places[: len(order)] = enlarge(block.maps[order])
    most = float(block.maps.max())
    axes.imshow(mosaic(places, ABREAST, (6, 6)), cmap="viridis", vmin=0, vmax=max(most, 1e-12))
    kinds = "\n".join(block.steps)
    style.bare(axes, f"block {number}\n{count} × {high} × {wide}")
    axes.set_xlabel(f"{len(order)} of {count} maps\nmax {most:.2g}\n{kinds}", fontsize=10)


def _strip(axes: Axes, hidden: np.ndarray) -> None:
    most = float(hidden.max())
    axes.imshow(hidden[:, None], cmap="viridis", vmin=0, vmax=max(most, 1e-12), aspect="auto")
    style.bare(axes, f"hidden\n{len(hidden)}")
    axes.set_xlabel(f"max\n{most:.2g}", fontsize=10)


def _answers(axes: Axes, probabilities: np.ndarray, digit: int) -> None:
    said = int(probabilities.argmax())
    colors = [style.GREY] * len(probabilities)
    colors[said] = style.BLUE if said == digit else style.VERMILION
    axes.barh(range(len(probabilities)), probabilities, color=colors)
    for row, share in enumerate(probabilities):
        axes.text(share + 0.03, row, certainty(share), va="center", fontsize=10, color=style.INK)
    style.tidy(axes, "answer\n10 digits", "probability", "")
    axes.set_yticks(range(len(probabilities)))
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_xlim(0, 1.5)
    axes.invert_yaxis()

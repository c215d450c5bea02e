"""The shape of a network: its layers, what they put out, learn and cost."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle

from experiments.plots import style
from experiments.plots.neurons import glyph

READABLE = {
    "Normalize": "normalise",
    "PixelUnshuffle": "fold",
    "Conv2d": "conv",
    "MaxPool2d": "max pool",
    "BatchNorm2d": "batch norm",
    "BatchNorm1d": "batch norm",
    "Linear": "linear",
    "Flatten": "flatten",
}
MAIN = {"Conv2d": style.BLUE, "Linear": style.GREEN}
# Of `blocks`, in inches: a row, from above, is its captions, its slabs and its cards.
IN_A_ROW, COLUMN, NAMES = 4, 2.04, 0.7
LINE, SLABS, ROW = 0.19, 1.75, 3.85


class Layer(Protocol):
    """What this room needs to know of a layer; see `experiments.layers.Layer`."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def activation(self) -> str: ...
    @property
    def parameters(self) -> int: ...
    @property
    def macs(self) -> int: ...


def blocks(
    layers: Sequence[Layer],
    input_name: str,
    input_shape: tuple[int, ...],
    outputs: Sequence[str] = (),
) -> Figure:
    """Return the net from left to right: what each block puts out, and which layers make it.

    Args:
        layers: in calling order; a convolution or a linear layer opens a new block.
        input_name, input_shape: of one sample.
        outputs: names of the last layer's units; none leaves them unnamed.
    """
    groups = _groups(layers)
    rows = math.ceil(len(groups) / IN_A_ROW)
    columns = math.ceil(len(groups) / rows)
    width, height = max(columns * COLUMN + NAMES, 8.4), rows * ROW - 0.2
    total, macs = _totals(layers)
    made = style.figure(width, height + 1.2, _shares(groups))
    totals = f"{total:,} parameters, {macs:,} multiply-adds for one {input_name}"
    axes = style.bare(made.subplots(), totals)
    axes.title.set_fontsize(12)
    axes.set(xlim=(0, width), ylim=(-height, 0.15), aspect="equal")
    inset = (width - columns * COLUMN - NAMES) / 2 + 0.15
    before = None
    for number, group in enumerate(groups):
        row, column = divmod(number, columns)
        place = (inset + (column + 0.5) * COLUMN, -row * ROW)
        shape = group[-1].shape if group else input_shape
        named = outputs if number == len(groups) - 1 and shape == (len(outputs),) else ()
        caption = _times(shape) if number else f"{input_name}, {_times(input_shape)}"
        ends = _block(axes, place, group, shape, caption, named)
        if before:
            _connect(axes, before, ends)
        before = ends
    made.supxlabel(
        "a picture is a block's output: channels × height × width, or units; below it, "
        "the layers that make it",
        fontsize=10,
        color=style.INK,
    )
    return made


def table(layers: Sequence[Layer]) -> str:
    """Return the layers as a Markdown table, with what each learns and costs, and the totals."""
    head = ["layer", "kind", "detail", "output", "activation", "parameters", "multiply-adds"]
    rows = [
        [
            layer.name,
            "activation" if layer.kind == layer.activation else _named(layer),
            layer.detail,
            _times(layer.shape),
            layer.activation,
            f"{layer.parameters:,}",
            f"{layer.macs:,}",
        ]
        for layer in layers
    ]
    total, macs = _totals(layers)
    rows.append(["**total**", "", "", "", "", f"**{total:,}**", f"**{macs:,}**"])
    lines = [head, ["---"] * 5 + ["---:"] * 2, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _groups(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return what is done to the input, then each weighted layer with what follows it."""
    groups: list[list[Layer]] = [[]]
    for layer in layers:
        if layer.kind in MAIN:
            groups.append([])
        groups[-1].append(layer)
    return groups


def _shares(groups: Sequence[Sequence[Layer]]) -> str:
    """Return which kind of block holds most of the parameters, and which does most of the work."""
    totals = dict.fromkeys(MAIN, (0, 0))
    for group in groups[1:]:
        learned, macs = totals[group[0].kind]
        more, work = _totals(group)
        totals[group[0].kind] = (learned + more, macs + work)
    parts = []
    for index, (verb, what) in enumerate((("hold", "parameters"), ("do", "multiply-adds"))):
        kind = max(totals, key=lambda kind: totals[kind][index])
        share = totals[kind][index] / max(1, sum(total[index] for total in totals.values()))
        name = "convolutions" if kind == "Conv2d" else "linear layers"
        parts.append(f"{name} {verb} {share:.0%} of the {what}")
    said = ", ".join(parts)
    return said[:1].upper() + said[1:]


def _totals(layers: Sequence[Layer]) -> tuple[int, int]:
    return sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)


def _named(layer: Layer) -> str:
    return READABLE.get(layer.kind, layer.kind)


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))


def _amount(count: int) -> str:
    """Return a count as a card has room for it: in full, from ten millions on rounded."""
    if count < 10_000_000:
        return f"{count:,}"
    return f"{count / 1e6:.1f} M" if count < 1_000_000_000 else f"{count / 1e9:.2f} G"


def _block(
    axes: Axes,
    place: tuple[float, float],
    group: Sequence[Layer],
    shape: tuple[int, ...],
    caption: str,
    named: Sequence[str],
) -> tuple[float, float, float]:
    """Draw a block from `place`, its upper middle, down; return its output's ends and height."""
    x, top = place
    middle, color = top - 0.35 - SLABS / 2, MAIN.get(group[0].kind if group else "", style.GREY)
    axes.text(x, top, caption, ha="center", va="top", fontsize=11, fontweight="bold")
    half = _units(axes, x, middle, named, color) if named else _slab(axes, x, middle, shape, color)
    _card(axes, x, top - 0.35 - SLABS - 0.12, group, color)
    return x - half, x + half, middle


def _slab(axes: Axes, x: float, y: float, shape: tuple[int, ...], color: str) -> float:
    """Draw the output as a slab, its side by pixels, its depth by channels; return half its width.

    A vector is a bar of its length.
    """
    if len(shape) == 1:
        tall, wide, deep = min(SLABS - 0.1, 0.15 + shape[0] / 100), 0.14, 0.0
    else:
        tall, wide = (0.12 + 1.2 * side / 28 for side in shape[-2:])
        deep = 0.06 * math.log2(math.prod(shape[:-2]))
    left, low, up = x - (wide + deep) / 2, y - (tall + 0.7 * deep) / 2, 0.7 * deep
    outline = [(0, tall), (deep, tall + up), (wide + deep, tall + up), (wide + deep, up)]
    corners = [(left + a, low + b) for a, b in [*outline, (wide, 0), (wide, tall)]]
    axes.add_patch(Polygon(corners, facecolor=color, alpha=0.45, edgecolor=style.INK))
    axes.add_patch(Rectangle((left, low), wide, tall, facecolor=color, edgecolor=style.INK))
    return (wide + deep) / 2


def _units(axes: Axes, x: float, y: float, names: Sequence[str], color: str) -> float:
    """Draw a circle with its name for each unit; return half the width."""
    step = min(0.3, (SLABS + 0.1) / len(names))
    for index, name in enumerate(names):
        place = y + ((len(names) - 1) / 2 - index) * step
        axes.add_patch(
            Circle((x, place), min(0.1, 0.42 * step), facecolor=color, edgecolor=style.INK)
        )
        axes.text(x + 0.16, place, name, ha="left", va="center_baseline", fontsize=9)
    return 0.1


def _card(axes: Axes, x: float, top: float, group: Sequence[Layer], color: str) -> None:
    """Write the block's layers, what it learns and what it costs, on a card below its output."""
    nouns = zip(_totals(group), ("parameters", "multiply-adds"), strict=True)
    costs = [f"{_amount(total)} {noun}" for total, noun in nouns if total] or ["nothing learned"]
    height = (len(group) + len(costs)) * LINE + 0.12
    axes.add_patch(
        FancyBboxPatch(
            (x - COLUMN / 2 + 0.08, top - height),
            COLUMN - 0.16,
            height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=style.PAPER,
            edgecolor=color,
            linewidth=2,
        )
    )
    words = [layer.activation or f"{_named(layer)} {layer.detail}".strip() for layer in group]
    for number, text in enumerate([*words, *costs]):
        y, layer = top - 0.06 - (number + 0.5) * LINE, (*group, *[None] * len(costs))[number]
        shift = 0.16 if layer and layer.activation else 0.0
        look: dict[str, Any] = (
            {"fontsize": 10, "color": style.INK} if layer else {"fontsize": 9, "color": style.GREY}
        )
        axes.text(x + shift, y, text, ha="center", va="center", **look)
        if shift:
            glyph(axes, x - 0.32, y, 0.13, text, style.VERMILION)


def _connect(
    axes: Axes, start: tuple[float, float, float], end: tuple[float, float, float]
) -> None:
    """Draw an arrow from one block to the next; to the next row, around the cards between."""
    (_, x0, y0), (x1, _, y1) = start, end
    x0, x1 = x0 + 0.08, x1 - 0.08
    if y0 != y1:
        right, left, between = x0 + 0.9, max(0.1, x1 - 0.45), y1 + SLABS / 2 + 0.35 + 0.12
        path = [(x0, y0), (right, y0), (right, between), (left, between), (left, y1)]
        axes.plot(*zip(*path, strict=True), color=style.INK, linewidth=1.8)
        x0 = left
    arrow = {"arrowstyle": "-|>", "color": style.INK, "lw": 1.8, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (x1, y1), (x0, y1), arrowprops=arrow)

"""The architecture of a network: its layers, their outputs, parameters and multiply-adds."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from experiments.figures.analysis.layers import Layer
from experiments.figures.plots import style

WEIGHTED = {  # layers that begin a block
    "Conv2d": ("convolutions", style.BLUE),
    "Linear": ("linear layers", style.GREEN),
}
COSTS = ("parameters", "multiply-adds")


def blocks(
    layers: Sequence[Layer], input_name: str, input_shape: tuple[int, ...], outputs: Sequence[str]
) -> Figure:
    """Return the network from above: each block's layers and output, and a bar for each cost.

    Args:
        layers: in calling order; a convolution or a linear layer begins a new block.
        input_name, input_shape: of one sample.
        outputs: names of the last layer's units.
    """
    groups = _groups(layers)
    first = f"{input_name}, {_times(input_shape)}\n{_words(groups[0]) or 'no layers'}"
    names = [first, *(f"{_words(group)}\n→ {_times(group[-1].shape)}" for group in groups[1:])]
    names[-1] += f": {', '.join(outputs)}"
    colors = [WEIGHTED[group[0].kind][1] for group in groups[1:]]
    fig = style.figure(12.5, 1.9 + 0.56 * len(groups), _title(groups))
    panels = fig.subplots(1, len(COSTS), sharey=True)
    by_cost = zip(*map(_costs, groups), strict=True)
    for axes, what, costs in zip(panels, COSTS, by_cost, strict=True):
        total = sum(costs)
        style.tidy(axes, f"{total:,} {what}", what)
        bars = axes.barh(range(len(groups)), costs, color=[style.GREY, *colors])
        fractions = [style.percent(cost / max(1, total)) for cost in costs]
        labels = [f"{cost:,} ({each})" for cost, each in zip(costs, fractions, strict=True)]
        axes.bar_label(bars, labels, padding=3, fontsize=10)
        axes.set_xlim(0, 2 * max(1, *costs))  # room for the labels
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter(EngFormatter())
    panels[0].set_yticks(range(len(groups)), names)
    panels[0].invert_yaxis()
    key = f"a row: a block's layers, → its output for one {input_name}: channels × height × width"
    style.note(fig, f"{key}, or units\nblue: convolutions, green: linear layers")
    return fig


def table(layers: Sequence[Layer]) -> str:
    """Return the layers as a Markdown table with their parameters and multiply-adds."""
    head = ["layer", "kind", "detail", "output", "activation", *COSTS]
    rows = []
    for layer in layers:
        words = [layer.name, layer.kind, layer.detail, _times(layer.shape), layer.activation]
        rows.append([*words, f"{layer.parameters:,}", f"{layer.macs:,}"])
    parameters, macs = _costs(layers)
    rows.append(["**total**", "", "", "", "", f"**{parameters:,}**", f"**{macs:,}**"])
    lines = [head, ["---"] * 5 + ["---:"] * 2, *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _groups(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return what is done to the input, then each weighted layer with what follows it."""
    groups: list[list[Layer]] = [[]]
    for layer in layers:
        if layer.kind in WEIGHTED:
            groups.append([])
        groups[-1].append(layer)
    return groups


def _title(groups: Sequence[Sequence[Layer]]) -> str:
    """Return which kind of block has most of the parameters, and which most of the work."""
    parts = []
    for index, what in enumerate(COSTS):
        costs = dict.fromkeys(WEIGHTED, 0)
        for group in groups[1:]:
            costs[group[0].kind] += _costs(group)[index]
        kind = max(costs, key=lambda kind: costs[kind])
        fraction = costs[kind] / max(1, sum(costs.values()))
        parts.append(f"{WEIGHTED[kind][0]}: {fraction:.0%} of {what}")
    title = "; ".join(parts)
    return title[:1].upper() + title[1:]


def _costs(layers: Sequence[Layer]) -> tuple[int, int]:
    return sum(layer.parameters for layer in layers), sum(layer.macs for layer in layers)


def _words(layers: Sequence[Layer]) -> str:
    return ", ".join(f"{layer.kind} {layer.detail}".strip() for layer in layers)


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))

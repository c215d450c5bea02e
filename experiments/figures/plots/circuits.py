"""A circuit of logic gates: drawn, its functions through training, its pixels, its votes."""

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.evaluation.arrays import Array
from experiments.figures.analysis.circuits import NAMES, Image, Layer, by_class, cone, pixel_counts
from experiments.figures.plots import style
from experiments.figures.plots.digits import INK
from models.logic import DIGITS, SIDE, THRESHOLDS

MAX_VOTES = 9  # that are drawn with all they depend on
FORMULAS = "0 a∧b a∧¬b a ¬a∧b b a⊕b a∨b ¬(a∨b) ¬(a⊕b) ¬b a∨¬b ¬a ¬a∨b ¬(a∧b) 1"
SYMBOLS = dict(zip(NAMES, FORMULAS.split(), strict=True))


def architecture(
    image: Image, label: int, layers: list[Layer], signals: list[Bool[Array, " _"]]
) -> Figure:
    """Return some votes for the class with the most, with all gates and pixels behind them.

    Args:
        signals: the bits of the image's pixels and of each layer.
    """
    on = sum(int(bits.sum()) for bits in signals[1:])
    total = sum(len(bits) for bits in signals[1:])
    votes = by_class(signals[-1])
    top = int(votes[:DIGITS].sum(1).argmax())
    fig = style.figure(
        12,
        6.4,
        f"A {label} is read as {top} by {votes[top].sum()} of {votes.shape[1]} votes; "
        f"{on:,} of {total:,} gates are on",
    )
    every = np.arange(votes.shape[1]) + top * votes.shape[1]
    chosen = every[:: max(1, len(every) // MAX_VOTES)][:MAX_VOTES]
    members, wires = cone(layers, chosen)
    axes = style.bare(fig.subplots())
    axes.imshow(image, extent=(0, SIDE, SIDE, 0), alpha=0.6, **INK)
    places = [_pixel_places(members[0])]
    for number, gates in enumerate(members[1:], start=1):
        height = (np.arange(len(gates)) + 0.5) * SIDE / max(1, len(gates))
        places.append(np.stack([np.full(len(gates), SIDE + 13.0 * number), height], 1))
    axes.scatter(places[0][:, 0], places[0][:, 1], s=6, color=style.GREY, zorder=3)
    for number, layer in enumerate(wires):
        source, target = (
            places[number + side][np.searchsorted(members[number + side], layer[:, side])]
            for side in (0, 1)
        )
        lit = signals[number][layer[:, 0]]
        _lines(axes, source, target, lit)
    for number, gates in enumerate(members[1:]):
        _gates(
            axes, places[number + 1], layers[number].functions[gates], signals[number + 1][gates]
        )
        words = f"layer {number + 1}" if number + 2 < len(members) else f"votes for {top}"
        axes.text(places[number + 1][0, 0], -1, words, ha="center", fontsize=11)
    axes.set(xlim=(-1, SIDE + 13.0 * len(layers) + 5), ylim=(SIDE + 1, -2))
    style.note(
        fig,
        f"{len(chosen)} votes with everything they depend on; orange is 1 and grey is 0; "
        f"a dot is a pixel compared with one of {', '.join(map(str, THRESHOLDS))}",
    )
    return fig


def _pixel_places(bits: Int[Array, " bits"]) -> Float[Array, "bits 2"]:
    level, pixel = np.divmod(bits, SIDE**2)
    shift = (level + 1) / (len(THRESHOLDS) + 1)
    return np.stack([pixel % SIDE + shift, pixel // SIDE + 0.5], 1)


def _lines(
    axes: Axes,
    source: Float[Array, "wires 2"],
    target: Float[Array, "wires 2"],
    lit: Bool[Array, " wires"],
) -> None:
    for on, color, width in ((False, "#C8C8C8", 0.7), (True, style.VERMILION, 1.3)):
        segments = np.stack([source, target], 1)[lit == on]
        axes.add_collection(LineCollection(list(segments), colors=color, linewidths=width))


def _gates(
    axes: Axes,
    places: Float[Array, "gates 2"],
    functions: Int[Array, " gates"],
    lit: Bool[Array, " gates"],
) -> None:
    for (x, y), function, on in zip(places, functions, lit, strict=True):
        box = {"boxstyle": "round,pad=0.25", "ec": style.VERMILION if on else style.GREY}
        box["fc"] = "#FBE3D6" if on else style.PAPER
        size = min(9.0, 260 / len(places))
        text = SYMBOLS[NAMES[function]]
        axes.text(x, y, text, ha="center", va="center", fontsize=size, bbox=box)


def functions(epochs: Float[Array, " T"], counts: Int[Array, "T 16"]) -> Figure:
    """Return how often each function occurs, a row for each, a column a snapshot."""
    shares = counts / counts.sum(1, keepdims=True)
    change = shares[-1] - shares[0]
    more, less = NAMES[int(change.argmax())], NAMES[int(change.argmin())]
    parts = [
        f"{SYMBOLS[name]} {'rises' if change[NAMES.index(name)] > 0 else 'falls'} from "
        f"{style.percent(shares[0, NAMES.index(name)])} to "
        f"{style.percent(shares[-1, NAMES.index(name)])}"
        for name in (more, less)
    ]
    fig = style.figure(9, 6, f"Of all gates {parts[0]}, {parts[1]}")
    axes = style.tidy(fig.subplots(), "", "epoch", "function of a gate")
    image = axes.imshow(shares.T, cmap="viridis", vmin=0, aspect="auto")
    axes.set_yticks(range(16), list(SYMBOLS.values()))
    shown = np.unique(np.linspace(0, len(epochs) - 1, 10).round().astype(int))
    axes.set_xticks(shown, [f"{epochs[index]:.2g}" for index in shown])
    fig.colorbar(image, ax=axes, label="fraction of the gates", format=PercentFormatter(1))
    return fig


def hardening(
    epochs: Float[Array, " T"], accuracy: Float[Array, "T 2"], certainty: Float[Array, "T 2"]
) -> Figure:
    """Return accuracy of the soft and of the hard circuit, and how hard the soft one is.

    Args:
        accuracy: soft, hard.
        certainty: of wires, of truth tables; 1 is hard.
    """
    gap = abs(accuracy[:, 0] - accuracy[:, 1])
    worst = int(gap.argmax())
    fig = style.figure(
        11,
        4.6,
        f"Soft and hard circuit differ by {style.percent(gap[worst])} in epoch "
        f"{epochs[worst]:.2g}; at the end they read {style.percent(accuracy[-1, 0])} and "
        f"{style.percent(accuracy[-1, 1])} of the digits",
    )
    left, right = fig.subplots(1, 2)
    panels = (
        (left, accuracy, ("soft circuit", "hard circuit"), "accuracy on validation digits"),
        (right, certainty, ("heaviest candidate of a wire", "truth table"), "1 is hard"),
    )
    for axes, values, names, words in panels:
        for number, name in enumerate(names):
            axes.plot(epochs, values[:, number], label=name, **style.look(number))
        style.tidy(axes, "", "epoch", words)
        axes.legend(frameon=False, fontsize=10)
    left.yaxis.set_major_formatter(PercentFormatter(1))
    return fig


def pixels(counts: Int[Array, "thresholds 28 28"]) -> Figure:
    """Return how many gates read each pixel at each threshold."""
    used = int((counts > 0).sum())
    center = counts[:, 7:21, 7:21].sum() / max(1, counts.sum())
    fig = style.figure(
        11,
        4.2,
        f"The circuit reads {used:,} of {counts.size:,} pixel bits; "
        f"{style.percent(center)} of its wires start in the middle quarter",
    )
    panels = fig.subplots(1, len(counts))
    for axes, level, image in zip(panels, THRESHOLDS, counts, strict=True):
        drawn = style.bare(axes, f"pixel > {level}").imshow(image, cmap="magma", vmax=counts.max())
    fig.colorbar(drawn, ax=list(panels), label="wires from the pixel", shrink=0.8)
    return fig


def votes(
    image: Image, label: int, layers: list[Layer], signals: list[Bool[Array, " _"]]
) -> Figure:
    """Return one digit's votes, and the pixels behind those for and against the class it has."""
    lit = by_class(signals[-1])
    counts = lit.sum(1)
    order = np.argsort(-counts[:DIGITS], kind="stable")
    fig = style.figure(
        12,
        4.4,
        f"{counts[order[0]]} votes for {order[0]}, {counts[order[1]]} for the runner-up "
        f"{order[1]}: a {label} is read as {order[0]}",
    )
    digit, bars, pro, contra = fig.subplots(1, 4, width_ratios=(0.8, 1.2, 1, 1))
    style.bare(digit, f"a {label}").imshow(image, **INK)
    names = [*map(str, range(DIGITS)), "none"]
    bars.barh(names, counts, color=style.BLUE, label="for")
    bars.barh(names, lit.shape[1] - counts, left=counts, color="#D0D0D0", label="against")
    style.tidy(bars, "Votes for (blue), against (grey)", "votes", "class")
    bars.invert_yaxis()
    mine = np.arange(lit.shape[1]) + order[0] * lit.shape[1]
    for axes, chosen, words in (
        (pro, mine[lit[order[0]]], "for"),
        (contra, mine[~lit[order[0]]], "against"),
    ):
        counted = pixel_counts(layers, chosen).sum(0)
        style.bare(axes, f"Pixels behind votes {words} {order[0]}").imshow(counted, cmap="magma")
    return fig

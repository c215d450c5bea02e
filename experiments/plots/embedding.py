"""The last hidden layer's view of the digits, in two dimensions."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plots import style

# A digit is told by its colour and its marker together; vermilion is kept for the mistakes.
# Digits that are often confused (4 and 9, 2 and 7, 3 and 5 and 8) differ in both.
COLORS = (
    *(style.BLUE, style.BLUE, style.ORANGE, style.GREEN, style.GREEN),
    *(style.ORANGE, style.SKY, style.GREY, style.GREY, style.SKY),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">")
APART = 0.034  # least distance of two mistakes' labels, in shares of the picture


def embedding(
    points: np.ndarray,
    y: np.ndarray,
    predicted: np.ndarray,
    agree: np.ndarray,
    dimensions: int,
    perplexity: float,
    seed: int,
) -> Figure:
    """Return the digits' places; each mistake is a framed number, the true digit.

    Args:
        points: float [N, 2], the places found by t-SNE; N at least 1.
        y, predicted: int [N], true and predicted digits, 0 to 9.
        agree: bool [N], whether the nearest neighbour in all dimensions has the same label.
        dimensions: of the features that were embedded.
        perplexity, seed: of t-SNE.
    """
    wrong = predicted != y
    made = style.figure(9.5, 9, _finding(agree, wrong))
    axes = style.bare(made.subplots())
    low, high = points.min(0), points.max(0)
    places = (points - (low + high) / 2) / (float((high - low).max()) or 1) + 0.5
    names = spread(np.array([_above(places[y == digit]) for digit in np.unique(y)]), 2 * APART)
    for digit, name in zip(np.unique(y), names, strict=True):
        there = places[(y == digit) & ~wrong]
        color, marker = COLORS[digit % 10], MARKERS[digit % 10]
        axes.scatter(
            there[:, 0],
            there[:, 1],
            s=30,
            color=color,
            marker=marker,
            alpha=0.75,
            linewidths=0,
            label=str(digit),
        )
        _name(axes, name, digit)
    _mistakes(axes, places[wrong], y[wrong], names)
    axes.set_xlim(-0.05, 1.05)
    axes.set_ylim(-0.05, 1.09)
    axes.set_aspect("equal")
    made.supxlabel(
        f"t-SNE of the last hidden layer ({dimensions} dimension{'s' * (dimensions > 1)}, in which "
        f"the nearest was sought), perplexity {perplexity:g}, seed {seed};\n"
        f"{_count(len(y), int(wrong.sum()))}. Neighbours are alike.\nThe axes have no unit; "
        "distances between clusters, and their sizes, mean little.",
        fontsize=10,
        color=style.INK,
    )
    return made


def _finding(agree: np.ndarray, wrong: np.ndarray) -> str:
    """Return the share with one of their own kind nearest, of those read right and the others."""
    right, misread = int((~wrong).sum()), int(wrong.sum())
    near = "have one of their own kind nearest"
    if not right:
        return f"Of {misread:,} digits, all misread, {style.percent(float(agree.mean()))}\n{near}"
    found = f"Of {right:,} digits read right {style.percent(float(agree[~wrong].mean()))} {near}"
    if not misread:
        return f"{found};\nnone is misread"
    return f"{found},\nof the {misread:,} misread {style.percent(float(agree[wrong].mean()))}"


def _count(shown: int, wrong: int) -> str:
    framed = ": crosses, the true digit framed" if wrong else ""
    return f"{shown:,} digits, {wrong} of them mistakes{framed}"


def spread(places: np.ndarray, apart: float, fixed: np.ndarray | None = None) -> np.ndarray:
    """Return `places` [K, 2] pushed until none is nearer than `apart` to another or a `fixed` one.

    Where there is no room for that, they come as near to it as 300 steps bring them.
    """
    others = np.empty((0, 2)) if fixed is None else fixed
    moved = places + 1e-4 * np.column_stack(
        [np.cos(np.arange(len(places))), np.arange(len(places))]
    )
    for _ in range(300):
        between = moved[:, None] - np.concatenate([moved, others])
        distance = np.hypot(between[..., 0], between[..., 1])
        distance[np.arange(len(moved)), np.arange(len(moved))] = np.inf
        if not len(moved) or distance.min() >= apart:
            break
        push = np.maximum(1.05 * apart - distance, 0) / 2 / np.maximum(distance, 1e-9)
        moved = np.clip(moved + np.nansum(between * push[..., None], 1), 0, 1.05)
    return moved


def _above(places: np.ndarray) -> np.ndarray:
    """Return the point just above those of `places` that lie about their middle."""
    middle = np.median(places, 0)
    near = places[abs(places - middle).max(1) <= 0.1]
    top = near[:, 1].max() if len(near) else middle[1]
    return np.array([middle[0], top + 0.03])


def _mistakes(axes: Axes, places: np.ndarray, y: np.ndarray, names: np.ndarray) -> None:
    """Draw each mistake's place as a cross, and near it, framed, what it is."""
    axes.plot(places[:, 0], places[:, 1], "x", color=style.VERMILION, markersize=6, zorder=4)
    labels = spread(places, APART, np.concatenate([names, places]))
    leaders = np.stack([places, labels], 1)  # [K, end, 2]
    axes.plot(leaders[..., 0].T, leaders[..., 1].T, color=style.VERMILION, linewidth=1, zorder=4)
    for label, digit in zip(labels, y, strict=True):
        axes.text(
            label[0],
            label[1],
            str(digit),
            ha="center",
            va="center",
            fontsize=9,
            color=style.INK,
            zorder=5,
            bbox={
                "boxstyle": "square,pad=0.2",
                "fc": style.PAPER,
                "ec": style.VERMILION,
                "lw": 1.5,
            },
        )


def _name(axes: Axes, place: np.ndarray, digit: int) -> None:
    axes.text(
        place[0],
        place[1],
        str(digit),
        ha="center",
        va="center",
        fontsize=22,
        fontweight="bold",
        color=style.INK,
        zorder=6,
    )

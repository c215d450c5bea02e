"""What a digit network withstands: corruptions, pens, attacks."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from experiments.plots import style
from experiments.plots.digits import EMPTY, caption, mosaic, picture

LEAST = 0.8  # of `drawings`: the lower end of its scale, the same in every run
NAMED = 2  # of `drawings`: digits that the title names where they tie
SURE = 0.9  # of `tiles`: a mistake surer than this counts in the title
COLUMNS, BELOW, BESIDE = 5, 13, 16  # of `tiles`; rows and columns of paper after each picture


def corruptions(shares: Mapping[str, float], champion: Mapping[str, float] | None) -> Figure:
    """Return a bar for each kind of corruption, the worst at the foot.

    Args:
        shares: kind -> share read right, 0 to 1.
        champion: the present champion's shares, marked on the bars; None if there is none.
    """
    kinds = sorted(shares, key=lambda kind: shares[kind])
    values = [shares[kind] for kind in kinds]
    hardest = f"{kinds[0].replace('_', ' ')} is the hardest ({style.percent(values[0])})"
    title = f"{style.percent(float(np.mean(values)))} right on average; {hardest}"
    made = style.figure(9.5, 2 + 0.32 * len(kinds), title)
    axes = style.tidy(made.subplots(), "", "share of corrupted validation digits read right", "")
    bars = axes.barh(range(len(kinds)), values, color=style.SKY, label="this network")
    handles: list[Any] = [bars]
    columns = {"this network" if champion else "": values}
    if champion:
        theirs = [champion.get(kind, np.nan) for kind in kinds]
        marks = axes.plot(theirs, range(len(kinds)), "D", color=style.VERMILION)
        marks[0].set_label("present champion")
        handles += marks
        columns["champion"] = theirs
    for number, (name, column) in enumerate(columns.items()):
        for row, text in enumerate([*map(style.percent, column), name]):
            axes.text(1.2 + 0.18 * number, row, text, ha="right", va="center", fontsize=10)
    axes.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axes.set(xlim=(0, 1.03 + 0.18 * len(columns)), ylim=(-0.6, len(kinds) + 0.4))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.spines["bottom"].set_bounds(0, 1)
    axes.spines["left"].set_bounds(-0.6, len(kinds) - 0.4)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if champion:
        below = "outside lower center"
        made.legend(handles=handles, loc=below, ncols=2, frameon=False, fontsize=10)
    return made


def drawings(right: np.ndarray, pens: Sequence[int]) -> Figure:
    """Return the share of drawings read right, by digit and pen.

    Args:
        right: float [10, P], 0 to 1; NaN where there is no drawing.
        pens: their diameters in pixels on a canvas of 400.
    """
    title = f"{style.percent(float(np.nanmean(right)))} of the drawings right"
    if (least := float(np.nanmin(right))) < 1:
        title += f";\nhardest: {_hardest(right, pens)} ({style.percent(least)})"
    made = style.figure(8.5, 6.4, title)
    axes = made.subplots()
    style.tidy(axes, "", "diameter of the pen, pixels on a canvas of 400", "digit")
    shades = mpl.colormaps["Blues_r"].with_extremes(under=style.ORANGE, bad=style.PAPER)
    image = axes.imshow(right, cmap=shades, vmin=LEAST, vmax=1, aspect="auto")
    for row, column in np.ndindex(right.shape):
        value = float(right[row, column])
        if value == 1:
            continue
        ground = image.to_rgba(right[row : row + 1, column : column + 1])[0, 0]
        color = max(("#000000", "#FFFFFF"), key=lambda c: style.contrast(c, ground))
        text = f"{style.percent(value)}{' ▼' if value < LEAST else ''}"
        axes.text(column, row, text, ha="center", va="center", fontsize=10, color=color)
    axes.set_xticks(range(len(pens)), [str(pen) for pen in pens])
    axes.set_yticks(range(10))
    below = f"empty: 100%; orange and ▼: below {LEAST:.0%}"
    bar = made.colorbar(image, ax=axes, extend="min", label=f"share read right ({below})")
    bar.set_ticks(
        np.linspace(LEAST, 1, 5).tolist(), labels=[f"{t:.0%}" for t in np.linspace(LEAST, 1, 5)]
    )
    return made


def _hardest(right: np.ndarray, pens: Sequence[int]) -> str:
    """Return in words which digits, with which pens, have the least share: all that tie."""
    tied = np.isclose(right, np.nanmin(right), rtol=0, atol=1e-9)
    digits = np.flatnonzero(tied.any(1)).tolist()
    if len(digits) > NAMED:
        return f"{tied.sum()} pairs of a digit and a pen"
    told = []
    for digit in digits:
        *most, last = (str(pen) for pen, hard in zip(pens, tied[digit], strict=True) if hard)
        with_pens = f"pens of {', '.join(most)} and {last}" if most else f"a pen of {last}"
        told.append(f"{digit} with {with_pens} px")
    return ", ".join(told)


def tiles(worst: Sequence[tuple[str, np.ndarray, int, int, float]]) -> Figure:
    """Return the surest mistakes, one a kind: (kind, uint8 [28, 28], truth, said, share)."""
    ranked = sorted(worst, key=lambda tile: -tile[-1])
    places = np.arange(max(1, math.ceil(len(ranked) / COLUMNS)) * COLUMNS)
    free = places >= len(ranked)
    shown = np.where(free, EMPTY, places).reshape(-1, COLUMNS)
    images = np.array([image for _, image, *_ in ranked] or np.zeros((0, 28, 28)), np.uint8)
    made = style.figure(11, 1.1 + 2.05 * len(shown), _surest(ranked))
    paper = np.pad(mosaic(images, shown, BELOW, BESIDE), ((4, 0), (8, 0)))
    axes = picture(made.subplots(), paper)
    axes.images[0].set_extent((-8.5, paper.shape[1] - 8.5, paper.shape[0] - 4.5, -4.5))
    axes.set_xlim(right=COLUMNS * (28 + BESIDE) - BESIDE + 8)
    for place, (kind, _, truth, said, share) in enumerate(ranked):
        row, column = divmod(place, COLUMNS)
        corner, sure = (column * (28 + BESIDE) - 1, row * (28 + BELOW) - 1), share > SURE
        edge = {"edgecolor": style.VERMILION, "lw": 3} if sure else {"edgecolor": style.GREY}
        axes.add_patch(Rectangle(corner, 29, 29, fill=False, clip_on=False, **edge))
        words = f"{kind.replace('_', ' ')}\nis {truth}, said {said} ({style.percent(share)})"
        caption(axes, words, (row, column), BELOW, BESIDE, style.INK, size=10)
    for place in places[free]:
        row, column = divmod(int(place), COLUMNS)
        middle = (column * (28 + BESIDE) + 13.5, row * (28 + BELOW) + 13.5)
        words = "no further kind\nwas misread" if ranked else "no mistake"
        axes.text(*middle, words, ha="center", va="center", fontsize=10, color=style.GREY)
    note = f"thick frame: surer than {SURE:.0%}; the percentage is the probability of what it said"
    made.supxlabel(note, fontsize=10, color=style.INK)
    return made


def _surest(ranked: Sequence[tuple[str, np.ndarray, int, int, float]]) -> str:
    """Return the title: how many kinds fool it surely, and which most; the surest is first."""
    if not ranked:
        return "No corruption made it misread a digit"
    kind, *_, share = ranked[0]
    sure, all_of = sum(tile[-1] > SURE for tile in ranked), len(ranked)
    return (
        f"{sure} of {all_of} corruption{'s' * (all_of > 1)} that fool it do so with more than "
        f"{SURE:.0%} certainty;\nsurest: {kind.replace('_', ' ')} ({style.percent(share)})"
    )


def adversaries(strengths: Sequence[float], shares: Mapping[str, np.ndarray]) -> Figure:
    """Return accuracy under attack over its strength; a band of deviations over seeds.

    Args:
        strengths: largest change of a pixel, as a share of full ink; ascending.
        shares: attack -> share read right, float [seeds, strengths].
    """
    means = {attack: values.mean(0) for attack, values in shares.items()}
    halves = {attack: _half(strengths, mean) for attack, mean in means.items()}
    first = min(means, key=lambda attack: (halves[attack], means[attack].mean()))
    title = (
        f"{first}: a change of {halves[first]:.2g} of full ink fools it in half of the cases"
        if halves[first] < math.inf
        else f"No attack shown fools it in half of the cases: {first} leaves "
        f"{style.percent(means[first].min())} right"
    )
    made = style.figure(8, 5.4, title)
    x, y = "largest change of a pixel, share of full ink", "share read right"
    axes = style.tidy(made.subplots(), "", x, y)
    axes.axhline(0.5, color=style.GREY, linewidth=1, linestyle=":")
    for number, (attack, values) in enumerate(shares.items()):
        marker, look = "osD^vPX"[number % 7], style.look(number)
        axes.plot(strengths, means[attack], marker=marker, **look, label=attack)
        spread = values.std(0, ddof=1) if len(values) > 1 else np.zeros(len(strengths))
        around = (means[attack] - spread, means[attack] + spread)
        axes.fill_between(strengths, *around, color=look["color"], alpha=0.2)
    if halves[first] < math.inf:
        axes.plot(
            [halves[first]],
            [0.5],
            "x",
            color=style.INK,
            ms=9,
            mew=2,
            label=f"half is lost: {halves[first]:.2g}",
        )
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, fontsize=10)
    seeds = max(len(values) for values in shares.values())
    band = f"band: one standard deviation over {seeds} seeds" if seeds > 1 else "one seed: no band"
    note = f"{band}; between the strengths shown, the crossing of 50 % is interpolated"
    made.supxlabel(note, fontsize=10, color=style.INK)
    return made


def _half(strengths: Sequence[float], share: np.ndarray) -> float:
    """Return where the share, linear between strengths, first falls to a half; else infinity."""
    if share[0] <= 0.5:
        return float(strengths[0])
    for (s0, v0), (s1, v1) in pairwise(zip(strengths, share.tolist(), strict=True)):
        if v1 <= 0.5:
            return float(s0 + (v0 - 0.5) / (v0 - v1) * (s1 - s0))
    return math.inf

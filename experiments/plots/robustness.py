"""What a digit network withstands, what it refuses, and whether its probabilities are true."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter, PercentFormatter, StrMethodFormatter

from experiments.plots import style
from experiments.plots.digits import EMPTY, caption, mosaic, picture

COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.ORANGE, style.SKY, style.INK)
LINES = ("-", "--", "-.", ":")
LEAST = 0.8  # of `drawings`: the lower end of its scale, the same in every run
SURE = 0.9  # of `tiles`: a mistake surer than this counts in the title
COLUMNS, BELOW, BESIDE = 5, 13, 16  # of `tiles`; rows and columns of paper after each picture
Z = 1.959964  # quantile of the normal distribution: 95 % lie within this many deviations


def corruptions(shares: Mapping[str, float], champion: Mapping[str, float] | None) -> Figure:
    """Return a bar for each kind of corruption, the worst at the foot.

    Args:
        shares: kind -> share read right, 0 to 1.
        champion: the present champion's shares, marked on the bars; None if there is none.
    """
    kinds = sorted(shares, key=lambda kind: shares[kind])
    values = [shares[kind] for kind in kinds]
    hardest = f"{kinds[0].replace('_', ' ')} is the hardest ({_percent(values[0])})"
    title = f"{_percent(float(np.mean(values)))} right on average; {hardest}"
    made = style.figure(9.5, 2 + 0.32 * len(kinds), title)
    axes = style.tidy(made.subplots(), "", "share of corrupted validation digits read right", "")
    bars = axes.barh(range(len(kinds)), values, color=style.SKY, label="this network")
    handles: list[Any] = [bars]
    columns = {"this network": values}
    if champion:
        theirs = [champion.get(kind, np.nan) for kind in kinds]
        marks = axes.plot(theirs, range(len(kinds)), "D", color=style.VERMILION)
        marks[0].set_label("present champion")
        handles += marks
        columns["champion"] = theirs
    for number, (name, column) in enumerate(columns.items()):
        for row, text in enumerate([*map(_percent, column), name]):
            axes.text(1.2 + 0.18 * number, row, text, ha="right", va="center", fontsize=10)
    axes.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axes.set(xlim=(0, 1.03 + 0.18 * len(columns)), ylim=(-0.6, len(kinds) + 0.4))
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.spines["bottom"].set_bounds(0, 1)
    axes.spines["left"].set_bounds(-0.6, len(kinds) - 0.4)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    made.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=10)
    return made


def drawings(right: np.ndarray, pens: Sequence[int]) -> Figure:
    """Return the share of drawings read right, by digit and pen.

    Args:
        right: float [10, P], 0 to 1; NaN where there is no drawing.
        pens: their diameters in pixels on a canvas of 400.
    """
    digit, pen = divmod(int(np.nanargmin(right)), len(pens))
    title = f"{_percent(float(np.nanmean(right)))} of the drawings right"
    if right[digit, pen] < 1:
        worst = _percent(float(right[digit, pen]))
        title += f"; hardest: {digit} with a pen of {pens[pen]} px ({worst})"
    made = style.figure(8.5, 6.2, title)
    axes = made.subplots()
    style.tidy(axes, "", "diameter of the pen, pixels on a canvas of 400", "digit")
    shades = mpl.colormaps["Blues_r"].with_extremes(under=style.ORANGE, bad=style.PAPER)
    image = axes.imshow(right, cmap=shades, vmin=LEAST, vmax=1, aspect="auto")
    for row, column in np.ndindex(right.shape):
        value = float(right[row, column])
        ground = image.to_rgba(right[row : row + 1, column : column + 1])[0, 0]
        color = max(("#000000", "#FFFFFF"), key=lambda c: style.contrast(c, ground))
        text = f"{_percent(value)}{' ▼' if value < LEAST else ''}"
        axes.text(column, row, text, ha="center", va="center", fontsize=10, color=color)
    axes.set_xticks(range(len(pens)), [str(pen) for pen in pens])
    axes.set_yticks(range(10))
    below = f"orange and ▼: below {LEAST:.0%}"
    bar = made.colorbar(image, ax=axes, extend="min", label=f"share read right ({below})")
    bar.set_ticks(
        np.linspace(LEAST, 1, 5).tolist(), labels=[f"{t:.0%}" for t in np.linspace(LEAST, 1, 5)]
    )
    return made


def reliability(kinds: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, float]]) -> Figure:
    """Return how often the network is right when it is so and so sure.

    Args:
        kinds: title -> counts, mean confidence and accuracy of each bin, and the expected
            calibration error; the last is what the network does now.
    """
    *others, (last, (_, _, _, error)) = kinds.items()
    rest = "".join(f", {title} by {part[-1]:.2%}" for title, part in others)
    made = style.figure(
        min(13.0, max(6.6, 5.2 * len(kinds))),
        7.2,
        f"Test set: probabilities {last} miss by {error:.2%}{rest}",
    )
    grid = made.subplots(2, len(kinds), squeeze=False, height_ratios=(1, 0.25), sharex=True)
    most = max(counts.max() for counts, *_ in kinds.values())
    for (above, below), (title, (counts, *means, error)) in zip(grid.T, kinds.items(), strict=True):
        style.tidy(above, f"{title}: calibration error {error:.2%}", "", "share right")
        _gaps(above, counts, *means)
        style.tidy(below, "", "probability of the most likely digit", "digits\n(log, from 1)")
        edges = np.linspace(0, 1, len(counts) + 1)
        below.bar(edges[:-1], counts, 1 / len(counts), align="edge", color=style.SKY)
        below.set(yscale="log", ylim=(0.8, 2 * max(most, 5)), box_aspect=0.25)
        below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        below.yaxis.set_minor_formatter(NullFormatter())
    made.legend(
        *grid[0, 0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3 if len(kinds) > 1 else 1,
        frameon=False,
        fontsize=10,
    )
    return made


def _gaps(axes: Axes, counts: np.ndarray, confidence: np.ndarray, accuracy: np.ndarray) -> None:
    """Draw the share right over the probability, its interval, and how far it is from true."""
    there = counts > 0
    sure, right = confidence[there], accuracy[there]
    reach = abs(_wilson(right, counts[there]) - right)
    axes.plot([0, 1], [0, 1], ":", color=style.GREY, label="share right = probability")
    gap = "stick: by how much they differ"
    axes.vlines(sure, sure, right, color=style.ORANGE, linewidth=6, alpha=0.6, label=gap)
    bars = "share right, bar: 95 % interval (Wilson)"
    axes.errorbar(sure, right, reach, fmt="o", color=style.BLUE, capsize=3, label=bars)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), box_aspect=1)


def _wilson(share: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return Wilson's 95 % interval of shares, float [N], of counts above 0: float [2, N].

    Source: E. B. Wilson, "Probable Inference, the Law of Succession, and Statistical Inference",
    1927.
    """
    middle = share + Z**2 / (2 * count)
    reach = Z * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return np.stack([middle - reach, middle + reach]) / (1 + Z**2 / count)


def refusals(
    digits: np.ndarray, others: Mapping[str, tuple[np.ndarray, float]], threshold: float
) -> Figure:
    """Return how the score parts digits from all else, and what it costs to refuse.

    Args:
        digits: float [N], scores of digits.
        others: kind -> scores of pictures that are no digits, and their AUROC.
        threshold: a lower score is a refusal.
    """
    ranked = dict(sorted(others.items(), key=lambda item: item[1][1]))
    worst, (scores, area) = next(iter(ranked.items()))
    caught, lost = float((scores < threshold).mean()), float((digits < threshold).mean())
    made = style.figure(
        13,
        max(5.6, 2.6 + 0.36 * len(others)),
        f"Hardest to tell from digits: {worst} (AUROC {_area(area)}); the threshold refuses "
        f"{_percent(caught)} of these, {_percent(lost)} of digits",
    )
    spread, curves = made.subplots(1, 2, width_ratios=(1, 0.9))
    _boxes(spread, {"digits": digits} | {k: found for k, (found, _) in ranked.items()}, threshold)
    given_up = np.logspace(-3, 0, 60)
    at = np.quantile(digits, given_up)
    style.tidy(curves, "What refusing costs", "digits refused (log)", "share of the kind refused")
    for number, (kind, (scores, area)) in enumerate(ranked.items()):
        share, look = (scores[:, None] < at).mean(0), _look(number)
        curves.plot(given_up, share, **look, linewidth=2, label=f"{kind}, AUROC {_area(area)}")
    curves.axvline(max(lost, 1e-3), color=style.GREY, linestyle=(0, (6, 3)), linewidth=1.5)
    curves.set(xscale="log", xlim=(0.9e-3, 1.1), ylim=(-0.03, 1.16))
    note = f"threshold: {_percent(lost)} of digits{' (left of the scale)' * (lost < 1e-3)}"
    curves.text(max(lost, 1e-3), 1.09, f" {note} ", ha="right" if lost > 0.03 else "left")
    curves.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    curves.set_yticks(np.linspace(0, 1, 6))
    curves.yaxis.set_major_formatter(PercentFormatter(1))
    made.legend(loc="outside right center", frameon=False, fontsize=10, title="hardest first")
    made.supxlabel("boxes: quartiles; whiskers: 1 % to 99 %", fontsize=9, color=style.GREY)
    return made


def _boxes(axes: Axes, rows: Mapping[str, np.ndarray], threshold: float) -> None:
    """Draw the spread of each kind's scores, the first on top, and the threshold."""
    style.tidy(
        axes, "Scores: the hardest kinds stand next to the digits", "score: log-odds of a digit"
    )
    parts = axes.boxplot(
        list(rows.values()),
        positions=range(len(rows), 0, -1),
        orientation="horizontal",
        whis=(1, 99),
        sym="",
        widths=0.6,
        tick_labels=list(rows),
    )
    for median in parts["medians"]:
        median.set(color=style.VERMILION, linewidth=2)
    axes.axvline(threshold, color=style.GREY, linestyle=(0, (6, 3)), linewidth=1.5)
    axes.set_ylim(0.4, len(rows) + 1.2)
    note: dict[str, Any] = {"y": len(rows) + 0.8, "va": "center", "fontsize": 10}
    left = threshold < np.mean(axes.get_xlim())
    words = f"  threshold {threshold:.2f}: lower is refused  "
    axes.text(threshold, s=words, ha="left" if left else "right", **note)


def _look(number: int) -> dict[str, Any]:
    """Return colour and line of the curve of that number: 24 differ."""
    line = LINES[(number + number // len(COLORS)) % len(LINES)]
    return {"color": COLORS[number % len(COLORS)], "linestyle": line}


def tiles(worst: Sequence[tuple[str, np.ndarray, int, int, float]]) -> Figure:
    """Return the surest mistakes, one a kind: (kind, uint8 [28, 28], truth, said, share)."""
    ranked = sorted(worst, key=lambda tile: -tile[-1])
    places = np.arange(max(1, math.ceil(len(ranked) / COLUMNS)) * COLUMNS)
    free = places >= len(ranked)
    shown = np.where(free, EMPTY, places).reshape(-1, COLUMNS)
    images = np.array([image for _, image, *_ in ranked] or np.zeros((0, 28, 28)), np.uint8)
    made = style.figure(11, 0.9 + 2.05 * len(shown), _surest(ranked))
    paper = np.pad(mosaic(images, shown, BELOW, BESIDE), ((4, 0), (8, 0)))
    axes = picture(made.subplots(), paper)
    axes.images[0].set_extent((-8.5, paper.shape[1] - 8.5, paper.shape[0] - 4.5, -4.5))
    axes.set_xlim(right=COLUMNS * (28 + BESIDE) - BESIDE + 8)
    for place, (kind, _, truth, said, share) in enumerate(ranked):
        row, column = divmod(place, COLUMNS)
        corner, sure = (column * (28 + BESIDE) - 1, row * (28 + BELOW) - 1), share > SURE
        edge = {"edgecolor": style.VERMILION, "lw": 3} if sure else {"edgecolor": style.GREY}
        axes.add_patch(Rectangle(corner, 29, 29, fill=False, clip_on=False, **edge))
        words = f"{kind.replace('_', ' ')}\nis {truth}, said {said} ({_percent(share)})"
        caption(axes, words, (row, column), BELOW, BESIDE, style.INK, size=10)
    for place in places[free]:
        row, column = divmod(int(place), COLUMNS)
        middle = (column * (28 + BESIDE) + 13.5, row * (28 + BELOW) + 13.5)
        words = "no further kind\nwas misread" if ranked else "no mistake"
        axes.text(*middle, words, ha="center", va="center", fontsize=10, color=style.GREY)
    note = f"thick frame: surer than {SURE:.0%}; the percentage is the probability of what it said"
    made.supxlabel(note, fontsize=9, color=style.GREY)
    return made


def _surest(ranked: Sequence[tuple[str, np.ndarray, int, int, float]]) -> str:
    """Return the title: how many kinds fool it surely, and which most; the surest is first."""
    if not ranked:
        return "No corruption made it misread a digit"
    kind, *_, share = ranked[0]
    sure, all_of = sum(tile[-1] > SURE for tile in ranked), len(ranked)
    return (
        f"{sure} of {all_of} corruption{'s' * (all_of > 1)} that fool it do so with more than "
        f"{SURE:.0%} certainty; surest: {kind.replace('_', ' ')} ({_percent(share)})"
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
        f"{_percent(means[first].min())} right"
    )
    made = style.figure(8, 5.4, title)
    x, y = "largest change of a pixel, share of full ink", "share read right"
    axes = style.tidy(made.subplots(), "", x, y)
    axes.axhline(0.5, color=style.GREY, linewidth=1, linestyle=":")
    for number, (attack, values) in enumerate(shares.items()):
        marker, look = "osD^vPX"[number % 7], _look(number)
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
    made.supxlabel(note, fontsize=9, color=style.GREY)
    return made


def _half(strengths: Sequence[float], share: np.ndarray) -> float:
    """Return where the share, linear between strengths, first falls to a half; else infinity."""
    if share[0] <= 0.5:
        return float(strengths[0])
    for (s0, v0), (s1, v1) in pairwise(zip(strengths, share.tolist(), strict=True)):
        if v1 <= 0.5:
            return float(s0 + (v0 - 0.5) / (v0 - v1) * (s1 - s0))
    return math.inf


def _percent(share: float) -> str:
    """Return a share in words that are "0%" or "100%" only if it is none or all."""
    if np.isnan(share):
        return "–"
    if share in (0, 1):
        return f"{share:.0%}"
    return "<0.1%" if share < 0.0005 else ">99.9%" if share >= 0.9995 else f"{share:.1%}"


def _area(auroc: float) -> str:
    """Return an AUROC in words that are 1 only if it is."""
    return ">0.9999" if 0.99995 <= auroc < 1 else f"{auroc:.4f}"

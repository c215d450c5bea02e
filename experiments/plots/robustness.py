"""What a digit network withstands, what it refuses, and whether its probabilities are true."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.plots import style

LOOKS = (
    (style.BLUE, "-"),
    (style.VERMILION, "--"),
    (style.GREEN, "-."),
    (style.ORANGE, ":"),
    (style.SKY, "-"),
    (style.INK, "--"),
)


def corruptions(shares: Mapping[str, float], champion: Mapping[str, float] | None) -> Figure:
    """Return a bar for each kind of corruption, the worst at the foot.

    Args:
        shares: kind -> share read right, 0 to 1.
        champion: the present champion's shares, marked beside the bars; None if there is none.
    """
    kinds = sorted(shares, key=lambda kind: shares[kind])
    values = [shares[kind] for kind in kinds]
    mean = float(np.mean(values))
    named = kinds[0].replace("_", " ")
    made = style.figure(
        9, 6.4, f"{mean:.1%} right on average; {named} is the hardest ({values[0]:.1%})"
    )
    axes = style.tidy(made.subplots(), "", "share of corrupted validation digits read right", "")
    axes.barh(range(len(kinds)), values, color=style.SKY, label="this network")
    for row, value in enumerate(values):
        axes.text(value - 0.01, row, f"{value:.1%}", va="center", ha="right", fontsize=10)
    if champion:
        theirs = [champion.get(kind, np.nan) for kind in kinds]
        axes.plot(theirs, range(len(kinds)), "D", color=style.VERMILION, label="present champion")
    axes.set_yticks(range(len(kinds)), [kind.replace("_", " ") for kind in kinds])
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    made.legend(loc="outside lower right", ncols=2, frameon=False, fontsize=10)
    return made


def drawings(right: np.ndarray, pens: Sequence[int]) -> Figure:
    """Return the share of drawings read right, by digit and pen.

    Args:
        right: float [10, P], 0 to 1.
        pens: their diameters in pixels on a canvas of 400.
    """
    digit, pen = divmod(int(right.argmin()), len(pens))
    made = style.figure(
        8.5,
        6.2,
        f"{right.mean():.1%} of the drawings right; hardest: {digit} with a pen of {pens[pen]} px",
    )
    axes = made.subplots()
    style.tidy(axes, "", "diameter of the pen, pixels on a canvas of 400", "digit")
    floor = min(0.9, np.floor(right.min() * 10) / 10)
    image = axes.imshow(right, cmap="viridis", vmin=floor, vmax=1, aspect="auto")
    for row, column in np.ndindex(right.shape):
        value = right[row, column]
        color = style.INK if value > (1 + floor) / 2 else style.PAPER
        text = f"{value:.0%}" if value in (0, 1) else f"{value:.1%}"
        axes.text(column, row, text, ha="center", va="center", fontsize=10, color=color)
    axes.set_xticks(range(len(pens)), [str(pen) for pen in pens])
    axes.set_yticks(range(10))
    bar = made.colorbar(image, ax=axes, label="share read right")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1))
    return made


def reliability(kinds: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, float]]) -> Figure:
    """Return how often the network is right when it is so and so sure.

    Args:
        kinds: title -> counts, mean confidence and accuracy of each bin, and the expected
            calibration error; the last is what the network does now.
    """
    *_, (last, (_, _, _, error)) = kinds.items()
    made = style.figure(
        5.4 * len(kinds), 5.6, f"Test set, {last}: probabilities miss by {error:.2%}"
    )
    grid = made.subplots(2, len(kinds), squeeze=False, height_ratios=(3, 1), sharex=True)
    for column, (title, (counts, confidence, accuracy, error)) in enumerate(kinds.items()):
        above, below = grid[:, column]
        edges = np.linspace(0, 1, len(counts) + 1)
        there = counts > 0
        style.tidy(above, f"{title}: calibration error {error:.2%}", "", "share right")
        above.plot([0, 1], [0, 1], ":", color=style.GREY)
        above.vlines(confidence[there], confidence[there], accuracy[there], color=style.ORANGE)
        above.plot(confidence[there], accuracy[there], "o", color=style.BLUE)
        above.set_ylim(0, 1.03)
        below.bar(edges[:-1], counts, 1 / len(counts), align="edge", color=style.SKY)
        style.tidy(below, "", "probability of the most likely digit", "digits (log)")
        below.set_yscale("log")
    made.supxlabel(
        "dotted: probability and share right agree; bins of few digits scatter by chance",
        fontsize=9,
        color=style.GREY,
    )
    return made


def refusals(
    digits: np.ndarray, others: Mapping[str, tuple[np.ndarray, float]], threshold: float
) -> Figure:
    """Return how the score parts digits from all else, and what it costs to refuse.

    Args:
        digits: float [N], scores of digits.
        others: kind -> scores of pictures that are no digits, and their AUROC.
        threshold: a lower score is a refusal.
    """
    worst = min(others, key=lambda kind: others[kind][1])
    made = style.figure(13, 5.4, f"Hardest to tell from digits: {worst}")
    spread, curves = made.subplots(1, 2)
    style.tidy(spread, "Scores", "score: log-odds of a digit", "")
    rows = {"digits": digits} | {kind: scores for kind, (scores, _) in others.items()}
    parts = spread.boxplot(
        list(rows.values()), orientation="horizontal", whis=(1, 99), sym="", tick_labels=list(rows)
    )
    for median in parts["medians"]:
        median.set_color(style.VERMILION)
    spread.axvline(threshold, color=style.GREEN, linestyle="--", label="threshold")
    spread.legend(frameon=False, fontsize=10)
    given_up = np.logspace(-3, 0, 60)
    at = np.quantile(digits, given_up)
    style.tidy(curves, "What refusing costs", "digits refused (log)", "share of the kind refused")
    for (kind, (scores, area)), (color, line) in zip(others.items(), LOOKS, strict=False):
        share = (scores[:, None] < at).mean(0)
        curves.plot(given_up, share, line, color=color, label=f"{kind}, AUROC {area:.4f}")
    curves.axvline(float((digits < threshold).mean()), color=style.GREEN, linestyle="--")
    curves.set_xscale("log")
    curves.xaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    curves.yaxis.set_major_formatter(PercentFormatter(1))
    curves.legend(frameon=False, fontsize=10, loc="lower right")
    made.supxlabel("boxes: quartiles; whiskers: 1 % to 99 %", fontsize=9, color=style.GREY)
    return made


def tiles(worst: Sequence[tuple[str, np.ndarray, int, int, float]]) -> Figure:
    """Return the surest mistakes, one a kind: (kind, uint8 [28, 28], truth, said, share)."""
    made = style.figure(11, 7.4, "The surest mistake under each corruption")
    axes = made.subplots(3, 5, squeeze=False).ravel()
    for place in axes:
        style.bare(place)
    for place, (kind, image, truth, said, share) in zip(axes, worst, strict=False):
        place.imshow(image, cmap="gray", vmin=0, vmax=255)
        title = f"{kind.replace('_', ' ')}\nis {truth}, said {said} ({share:.0%})"
        style.bare(place, title, style.VERMILION)
        place.spines[:].set_visible(True)
    return made


def adversaries(strengths: Sequence[float], shares: Mapping[str, np.ndarray]) -> Figure:
    """Return accuracy under attack over its strength; a band of deviations over seeds.

    Args:
        strengths: largest change of a pixel, as a share of full ink.
        shares: attack -> share read right, float [seeds, strengths].
    """
    weakest = min(shares, key=lambda attack: shares[attack].mean())
    half = next(
        (s for s, v in zip(strengths, shares[weakest].mean(0), strict=True) if v < 0.5), None
    )
    title = "No change shown here fools it more often than not"
    if half:
        title = f"A change of {half:g} of full ink fools it more often than not"
    made = style.figure(7.5, 5, title)
    x, y = "largest change of a pixel, share of full ink", "share read right"
    axes = style.tidy(made.subplots(), "", x, y)
    for (attack, values), (color, line) in zip(shares.items(), LOOKS, strict=False):
        mean, spread = values.mean(0), values.std(0)
        axes.plot(strengths, mean, line, color=color, marker="o", label=attack)
        axes.fill_between(strengths, mean - spread, mean + spread, color=color, alpha=0.2)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, fontsize=10)
    return made

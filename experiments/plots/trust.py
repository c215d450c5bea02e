"""Whether a digit network's probabilities are true, and whether it knows what it does not know."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, StrMethodFormatter

from experiments.plots import style

Z = 1.959964  # quantile of the normal distribution: 95 % lie within this many deviations

QUARTILES = "boxes: quartiles; whiskers: 1 % to 99 %"


def reliability(kinds: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, float]]) -> Figure:
    """Return how often the network is right when it is so and so sure.

    Args:
        kinds: title -> counts, mean confidence and accuracy of each bin, and the expected
            calibration error; the last is what the network does now.
    """
    *others, (last, (_, _, _, error)) = kinds.items()
    same = last.partition(" ")[2]  # what "before ..." and "after ..." have in common
    names = [(title.removesuffix(same).strip() or title, part[-1]) for title, part in others]
    rest = "".join(f"; {name}, by {100 * part:.2f}" for name, part in names)
    made = style.figure(
        min(13.0, max(6.6, 5.2 * len(kinds))),
        7.2,
        f"{last[0].upper()}{last[1:]}, probabilities are off by {100 * error:.2f} points\n"
        f"on average{rest}",
    )
    grid = made.subplots(2, len(kinds), squeeze=False, height_ratios=(1, 0.25), sharex=True)
    most = max(counts.max() for counts, *_ in kinds.values())
    for (above, below), (title, (counts, *means, error)) in zip(grid.T, kinds.items(), strict=True):
        style.tidy(above, f"{title}: calibration error {error:.2%}", "", "share right")
        _gaps(above, counts, *means)
        style.tidy(below, "", "probability of the most likely digit", "test digits\n(log, from 1)")
        edges = np.linspace(0, 1, len(counts) + 1)
        below.bar(edges[:-1], counts, 1 / len(counts), align="edge", color=style.SKY)
        below.set(yscale="log", ylim=(0.8, 2 * max(most, 5)), box_aspect=0.25)
        below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        below.yaxis.set_minor_formatter(NullFormatter())
    fullest = max(grid[0], key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    made.legend(
        *fullest.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=2 if len(kinds) > 1 else 1,
        frameon=False,
        fontsize=10,
    )
    return made


def _gaps(axes: Axes, counts: np.ndarray, confidence: np.ndarray, accuracy: np.ndarray) -> None:
    """Draw the share right over the probability, its interval, and how far it is from true.

    Where the interval holds the diagonal the dot is hollow and without a stick: there is no
    telling that they differ.
    """
    there = counts > 0
    sure, right = confidence[there], accuracy[there]
    interval = _wilson(right, counts[there])
    reach = abs(interval - right)
    off = (interval[0] > sure) | (sure > interval[1])
    axes.plot([0, 1], [0, 1], ":", color=style.GREY, label="share right = probability")
    gap = "stick: by how much they differ"
    if off.any():
        stick: dict[str, Any] = {"color": style.ORANGE, "linewidth": 6, "alpha": 0.6, "label": gap}
        axes.vlines(sure[off], sure[off], right[off], **stick)
    bars = "share right, bar: 95 % interval (Wilson)"
    axes.errorbar(sure, right, reach, fmt="o", color=style.BLUE, capsize=3, label=bars)
    if not off.all():
        hollow: dict[str, Any] = {
            "color": style.BLUE,
            "markerfacecolor": style.PAPER,
            "linestyle": "none",
        }
        few = "hollow: interval meets the diagonal"
        axes.plot(sure[~off], right[~off], "o", **hollow, zorder=4, label=few)
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
    hardest = worst + ", the hardest kind," * (len(others) > 1)
    made = style.figure(
        11,
        max(5.6, 3.4 + 0.42 * len(others)),
        f"The threshold refuses {style.percent(caught)} of {hardest}\n"
        f"and {style.percent(lost)} of digits",
    )
    spread, curves = made.subplots(1, 2, width_ratios=(1, 0.9))
    _boxes(spread, {"digits": digits} | {k: found for k, (found, _) in ranked.items()}, threshold)
    given_up = np.logspace(-3, 0, 60)
    at = np.quantile(digits, given_up)
    floor = 0.5 / max(len(scores) for scores, _ in others.values())
    style.tidy(
        curves,
        "What refusing costs",
        f"digits refused (log)\nat the foot, {100 * floor:.2g}%: none accepted",
        "accepted by mistake, share of the kind (log)",
    )
    for number, (kind, (scores, area)) in enumerate(ranked.items()):
        share, look = (scores[:, None] >= at).mean(0), style.look(number)
        label = f"{kind}, AUROC {_area(area)}"
        curves.plot(given_up, np.maximum(share, floor), **look, linewidth=2, label=label)
    curves.axvline(max(lost, 1e-3), color=style.GREY, linestyle=(0, (6, 3)), linewidth=1.5)
    curves.set(xscale="log", yscale="log", xlim=(0.9e-3, 1.1), ylim=(0.85 * floor, 2 / floor**0.1))
    note = f"threshold: {style.percent(lost)} of digits{' (left of the scale)' * (lost < 1e-3)}"
    place: dict[str, Any] = {"transform": curves.get_xaxis_transform(), "va": "top"}
    curves.text(max(lost, 1e-3), 0.99, f" {note} ", ha="right" if lost > 0.03 else "left", **place)
    for scale in (curves.xaxis, curves.yaxis):
        scale.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    made.legend(
        loc="outside lower center", ncols=2, frameon=False, fontsize=10, title="hardest first"
    )
    return made


def _boxes(axes: Axes, rows: Mapping[str, np.ndarray], threshold: float) -> None:
    """Draw the spread of each kind's scores, the first on top, and the threshold."""
    style.tidy(
        axes,
        "Scores, the hardest kind next to the digits",
        "score: log-odds of a digit\n" + QUARTILES,
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


def _area(auroc: float) -> str:
    """Return an AUROC in words that are 1 only if it is."""
    return ">0.9999" if 0.99995 <= auroc < 1 else f"{auroc:.4f}"

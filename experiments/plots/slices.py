"""Whether digits of some shape are misread more often than others."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from experiments.plots import style

UNITS = {
    "stroke width": "mean stroke width, px",
    "slant": "slant, degrees (positive: to the right)",
    "size": "box around the ink, px²",
}
SHORT = {"stroke width": "px", "slant": "degrees", "size": "px²"}
SIGNIFICANT = 0.05


class Slices(Protocol):
    """What this room needs to know of a measure; see `experiments.interpret.digits.Slices`."""

    @property
    def edges(self) -> np.ndarray: ...
    @property
    def counts(self) -> np.ndarray: ...
    @property
    def wrong(self) -> np.ndarray: ...
    @property
    def low(self) -> np.ndarray: ...
    @property
    def high(self) -> np.ndarray: ...
    @property
    def chance(self) -> np.ndarray: ...


def slices(parts: Mapping[str, Slices]) -> Figure:
    """Return the share wrong over each measure, with 95 % intervals; all panels on one scale.

    The title names a slice only if its mistakes are too many for chance after as many looks as
    there are slices (Bonferroni's bound).

    Args:
        parts: measure (a key of UNITS) -> its slices; the same digits in each.
    """
    made = style.figure(9.5, 1.2 + 2.5 * len(parts), title(parts))
    panels = made.subplots(len(parts), 1, sharey=True, squeeze=False)[:, 0]
    for axes, (name, part) in zip(panels, parts.items(), strict=True):
        _panel(axes, name, part)
        axes.set_ylabel("share misread", fontsize=11)
    panels[0].yaxis.set_major_formatter(PercentFormatter(1))
    top = 1.5 * max(part.high.max() for part in parts.values())  # room for the legend
    ticks = np.array(MaxNLocator(4).tick_values(0, top))
    panels[0].set_yticks(ticks[(ticks >= 0) & (ticks <= min(1, top))])
    panels[0].set_ylim(-0.03 * top, top)
    panels[0].legend(frameon=False, fontsize=10, loc="upper left")
    every = np.concatenate([part.counts for part in parts.values()])
    low, high = every.min(), every.max()
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    beside = "one or two miss" if SIGNIFICANT * len(every) > 1 else "about one misses"
    made.supxlabel(
        f"{each} digits in each slice; the slices are not equally wide; numbers: the misread "
        f"ones;\nbars: 95 % (Wilson): of {len(every)} intervals {beside} the line by chance",
        fontsize=10,
        color=style.INK,
    )
    return made


def title(parts: Mapping[str, Slices]) -> str:
    """Return the finding: which slice is misread more often than chance allows, if any."""
    looks = sum(len(part.counts) for part in parts.values())
    name, part = min(parts.items(), key=lambda item: item[1].chance.min())
    index, total = int(part.chance.argmin()), part.wrong.sum() / part.counts.sum()
    if not total:
        return f"No digit of {part.counts.sum():,} was misread: no slice differs"
    if part.chance[index] * looks >= SIGNIFICANT:
        none = f"No slice of {looks} is misread more often than chance allows"
        near = part.chance[index] < 0.5
        return none + f";\nclosest to it: {_called(name, index, part.edges)}" * bool(near)
    rate = part.wrong[index] / part.counts[index]
    return (
        f"Digits of {_called(name, index, part.edges)} are misread\n"
        f"{rate / total:.1f} times as often as all ({rate:.2%} against {total:.2%})"
    )


def _called(name: str, index: int, edges: np.ndarray) -> str:
    low, high = (_edge(edge, edges) for edge in edges[index : index + 2])
    return f"{name} {low} to {high} {SHORT[name]}"


def _panel(axes: Axes, name: str, part: Slices) -> None:
    bins = len(part.counts)
    at, rate = np.arange(bins) + 0.5, part.wrong / np.maximum(part.counts, 1)
    overall = part.wrong.sum() / part.counts.sum()
    style.tidy(axes, f"By {name}", UNITS[name])
    for start in range(0, bins, 2):
        axes.axvspan(start, start + 1, color=style.GREY, alpha=0.1, linewidth=0)
    axes.axhline(overall, color=style.INK, linestyle="--", label=f"all digits: {overall:.2%}")
    away = np.abs(np.stack([rate - part.low, part.high - rate]))
    axes.errorbar(at, rate, away, fmt="o", color=style.BLUE, capsize=4, markersize=7)
    for place, count, top in zip(at, part.wrong, part.high, strict=True):
        axes.annotate(
            f"{count:,}",
            (place, top),
            (0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=10,
            bbox={"facecolor": style.PAPER, "edgecolor": "none", "pad": 1},
        )
    axes.set_xticks(range(bins + 1), [_edge(edge, part.edges) for edge in part.edges])
    axes.set_xlim(-0.1, bins + 0.1)


def _edge(edge: float, edges: np.ndarray) -> str:
    """A tenth matters where the whole scale is short; -0 would be odd."""
    text = f"{edge:z.1f}" if np.ptp(edges) < 20 else f"{edge:z.0f}"
    return text.replace("-", "−")

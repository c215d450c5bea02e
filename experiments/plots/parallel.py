"""A search in parallel coordinates: every trial a line through its hyper-parameters."""

import math
from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.plots import style
from experiments.plots.search import AXES, LOOKS, SPAN, is_share, reached

FEWEST, CHANCE = 3, 0.05  # what the title may claim, see `_agreed`


def parallel(
    settings: Sequence[Mapping[str, Any]],
    values: Sequence[float],
    states: Sequence[str],
    objective: str,
    maximise: bool,
) -> Figure:
    """Return every trial as a line through its hyper-parameters to what it reached.

    Args:
        settings: hyper-parameters by name, trial by trial; one may lack some.
        values: of the objective, trial by trial; NaN if a trial has none.
        states: complete, pruned or fail, trial by trial; those that failed are not shown.
        objective: name of the metric.
        maximise: whether more of it is better.
    """
    value, state = np.array(values, float), np.array(states)
    done = np.flatnonzero((state == "complete") & np.isfinite(value))
    done = done[np.lexsort((-done, value[done] if maximise else -value[done]))]  # best last
    shown = np.isin(state, list(LOOKS))
    names = list(dict.fromkeys(name for row in settings for name in row))
    columns = [
        [row.get(name) if see else None for row, see in zip(settings, shown, strict=True)]
        for name in names
    ]
    scales = [_scale(column) for column in columns]
    scales.append(_aim([v if i in done else None for i, v in enumerate(values)], objective))
    places = np.array([scale.places for scale in scales]).T  # [trials, axes]
    made = style.figure(
        min(11.0, max(8.0, 1.5 * len(scales) + 1)),
        5.4,
        _best_settings(names, scales, done, value, objective),
    )
    axes = style.bare(made.subplots())
    across = np.arange(len(scales))
    for number in np.flatnonzero(state == "pruned"):
        axes.plot(
            *(across[:-1], places[number, :-1], "x--"),
            color=style.GREY,
            lw=0.9,
            markevery=[-1] if names else None,
            zorder=1,
        )
    lines = [np.column_stack([across, places[number]]) for number in done]
    bundle = LineCollection(lines, cmap=style.SEQUENTIAL, linewidths=1.6, zorder=2)
    bright = places[done, -1] if maximise else 1 - places[done, -1]
    bundle.set(array=bright, clim=(0, 1))
    axes.add_collection(bundle)
    axes.scatter(
        np.full(len(done), across[-1]),
        places[done, -1],
        c=bright,
        cmap=style.SEQUENTIAL,
        vmin=0,
        vmax=1,
        s=22,
        zorder=2,
    )
    for number in done[-1:]:
        label = f"best: trial {number}"
        axes.plot(
            across, places[number], "o-", color=style.VERMILION, lw=3.5, zorder=3, label=label
        )
    _legend(axes, bool(len(done)), bool((state == "pruned").any()))
    _rulers(
        axes,
        [*names, f"{AXES.get(objective, objective)}\n({'more' if maximise else 'less'} is better)"],
        scales,
    )
    made.supxlabel(
        "a line is a trial, brighter is better: by its place on the right axis, where a pruned "
        "one has none.\nThe title names what the best share only if chance would make it so in "
        f"fewer than {CHANCE:.0%} of such searches",
        fontsize=10,
        color=style.INK,
    )
    return made


class Scale(NamedTuple):
    """An axis of parallel coordinates: where each trial is on it, 0 to 1, and its ticks.

    Attributes:
        places: float [trials]; NaN where a trial has no value.
        ticks: (place, words) from below.
        kind: "log", "names", or empty for a linear one.
        texts: each trial's value in words.
    """

    places: np.ndarray
    ticks: list[tuple[float, str]]
    kind: str
    texts: list[str]


def _scale(column: Sequence[Any]) -> Scale:
    """Return the axis for a hyper-parameter's values; None and NaN are missing."""
    there = [v for v in column if not _missing(v)]
    if any(
        isinstance(v, bool | np.bool_) or not isinstance(v, int | float | np.number) for v in there
    ):
        return _named(column)
    numbers = np.array([np.nan if _missing(v) else float(v) for v in column])
    low, high = (np.nanmin(numbers), np.nanmax(numbers)) if there else (np.nan, np.nan)
    log = bool(low > 0 and high / low > SPAN)
    turn = np.log if log else np.asarray
    span = float(turn(high) - turn(low))

    def place(v: Any) -> Any:
        return (turn(v) - turn(low)) / span if span else np.where(np.isnan(v), v, 0.5)

    whole = all(isinstance(v, int | np.integer) for v in there)
    round_ones = _ticks(low, high, log, whole)
    ticks = [(float(place(np.float64(tick))), f"{tick:.6g}") for tick in round_ones]
    return Scale(place(numbers), ticks, "log" if log else "", [f"{v:.3g}" for v in numbers])


def _aim(column: Sequence[Any], objective: str) -> Scale:
    """Return the axis of the objective; that of a share has its ticks in percent."""
    scale = _scale(column)
    if not is_share(objective):
        return scale
    return scale._replace(ticks=[(at, f"{100 * float(said):.6g}%") for at, said in scale.ticks])


def _named(column: Sequence[Any]) -> Scale:
    texts = ["" if _missing(v) else str(v) for v in column]
    levels = sorted(set(texts) - {""})
    at = {level: (i + 0.5) / len(levels) for i, level in enumerate(levels)}
    places = np.array([at.get(text, np.nan) for text in texts])
    return Scale(places, [(place, level) for level, place in at.items()], "names", texts)


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and not math.isfinite(value))


def _ticks(low: float, high: float, log: bool, whole: bool) -> list[float]:
    """Return the round numbers from low to high; these two, if there are no two round ones."""
    if math.isnan(low) or low == high:
        return [] if math.isnan(low) else [low]
    ticks = np.asarray(MaxNLocator(5, integer=whole).tick_values(low, high))
    if log:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1, 2, 5) if len(powers) < 5 else (1,)
        ticks = np.array([step * 10.0**power for power in powers for step in steps])
    ticks = ticks[(ticks >= low) & (ticks <= high)]
    ticks = ticks[:: math.ceil(len(ticks) / 9) or 1]
    return ticks.tolist() if len(ticks) > 1 else [low, high]


def _best_settings(
    names: Sequence[str],
    scales: Sequence[Scale],
    done: np.ndarray,
    value: np.ndarray,
    objective: str,
) -> str:
    """Return the title: what the best trials share, or the best one if that may be chance."""
    if not len(done):
        return f"No trial of {len(value)} completed"
    agreed = [
        (_agreed(scale.places[done]) * len(names), name, scale)
        for name, scale in zip(names, scales, strict=False)
    ]
    chance, name, scale = min(agreed, key=lambda found: found[0], default=(1.0, "", scales[-1]))
    if chance <= CHANCE:
        leaders = sorted(done[-_leaders(len(done)) :], key=lambda number: scale.places[number])
        low, high = scale.texts[leaders[0]], scale.texts[leaders[-1]]
        what = f"{name} {low}" if low == high else f"{name} between {low} and {high}"
        return f"The best {len(leaders)} of {len(done)} trials have {what}"
    trials = f"{len(done)} complete trial{'s' * (len(done) > 1)}"
    best = reached(value[done[-1]], objective, " (validation)")
    return f"Best of {trials}: number {done[-1]}, {best}"


def _leaders(trials: int) -> int:
    """Return how many are the best: a tenth, at least three."""
    return max(FEWEST, trials // 10)


def _agreed(places: np.ndarray) -> float:
    """Return how likely it is that trials drawn at random are as close as the best, the last, are.

    Counted, not estimated: over all sets of that many trials. 1 if a place is missing.
    """
    if len(places) < 2 * FEWEST or np.isnan(places).any():
        return 1.0
    count = _leaders(len(places))
    reach, line = np.ptp(places[-count:]) + 1e-9, np.sort(places)
    beyond = np.searchsorted(line, line + reach, side="right") - np.arange(len(line)) - 1
    close = sum(math.comb(int(others), count - 1) for others in beyond)
    return close / math.comb(len(line), count)


def _rulers(axes: Axes, names: Sequence[str], scales: Sequence[Scale]) -> None:
    """Draw the vertical axes with their ticks, and their names above."""
    box = {"facecolor": style.PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.8}
    crowded = len(scales) > 6
    for x, (name, scale) in enumerate(zip(names, scales, strict=True)):
        axes.plot([x, x], [0, 1], color=style.INK, lw=1.2, zorder=2.5)
        align, aside = ("left", 0.04) if x == len(scales) - 1 else ("right", -0.04)
        for place, words in scale.ticks:
            axes.plot([x - 0.02, x + 0.02], [place, place], color=style.INK, lw=1.2, zorder=2.5)
            look: dict[str, Any] = {"fontsize": 10, "bbox": box, "zorder": 4}
            axes.text(x + aside, place, words, ha=align, va="center", **look)
        lines = wrap(name.replace("_", "_ "), 11, break_long_words=False) if crowded else [name]
        lines = [line.replace("_ ", "_") for line in lines]
        if scale.kind == "log":
            lines.append("(log)")
        axes.text(
            *(x, 1.06, "\n".join(lines)), ha="center", va="bottom", fontsize=10 if crowded else 11
        )
    axes.set_xlim(-0.6, len(scales) - 0.5)
    axes.set_ylim(-0.05, 1.55 if crowded else 1.25)


def _legend(axes: Axes, complete: bool, cut: bool) -> None:
    middle = style.SEQUENTIAL(0.5)
    if complete:
        axes.plot([], [], color=middle, lw=1.6, label="complete")
    if cut:
        axes.plot([], [], "x--", color=style.GREY, lw=0.9, label="pruned")
    if complete or cut:
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=3, frameon=False, fontsize=10
        )

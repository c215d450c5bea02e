"""How a search for hyper-parameters went."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from experiments.plots import style

LOOKS = {
    "complete": (style.BLUE, "o"),
    "pruned": (style.GREY, "x"),
}
AXES = {  # aims as an axis says them
    "val_accuracy": "accuracy (validation)",
    "val_loss": "loss (validation)",
    "latency_ms": "time for one sample (ms)",
    "parameters": "parameters",
}
FEW = 20  # trials: fewer do not tell what matters
SPAN = 20  # largest value over smallest: an axis is logarithmic beyond it


def history(
    values: Sequence[float],
    states: Sequence[str],
    objective: str,
    maximise: bool,
    *,
    count: int = 0,
) -> Figure:
    """Return the value of each trial and the best so far.

    Args:
        values: of the objective, trial by trial; a pruned one's last, NaN if it has none.
        states: complete, pruned or fail, trial by trial; those that failed are not shown.
        objective: name of the metric.
        maximise: whether more of it is better.
        count: samples that an accuracy was measured on, for a band of chance; 0 for no band.
    """
    value, state = np.array(values, float), np.array(states)
    number = np.arange(len(value))
    done = np.where(state == "complete", value, np.nan)
    best = (np.fmax if maximise else np.fmin).accumulate(done)
    at = int((np.nanargmax if maximise else np.nanargmin)(done))
    ended = np.isin(state, list(LOOKS)).sum()
    error = _standard_error(float(value[at]), objective, count)
    spread = np.abs(done[np.isfinite(done)] - value[at])
    chance = error and len(spread) > 1 and spread.max() <= 2 * error
    made = style.figure(
        8,
        4.4,
        f"Best of {ended} trials: number {at}, {reached(value[at], objective)}"
        + "; all within chance of it" * bool(chance),
    )
    axes = style.tidy(made.subplots(), "", "trial", AXES.get(objective, objective))
    if error:
        band = (float(value[at]) - error, float(value[at]) + error)
        words = "± 1 standard error of the best"
        axes.axhspan(*band, color=style.GREY, alpha=0.25, lw=0, zorder=0, label=words)
    axes.step(number, best, where="post", color=style.ORANGE, linewidth=2, label="best so far")
    for name, (color, marker) in LOOKS.items():
        mine = state == name
        if mine.any():
            axes.scatter(number[mine], value[mine], s=50, color=color, marker=marker, label=name)
    shown = value[np.isfinite(value) & np.isin(state, list(LOOKS))]
    if shown.min() > 0 and shown.max() > SPAN * shown.min():
        axes.set_yscale("log")
    _in_percent(axes, objective)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return made


def reached(value: float, objective: str, where: str = "") -> str:
    """Return a value of an aim in words: "99.68% right", "loss 1.3e-06"; `where` joins the name."""
    if is_share(objective):
        return f"{value:.2%} right{where}"
    name = AXES.get(objective, objective).replace(" (validation)", where)
    return f"{name} {value:,.0f}" if objective == "parameters" else f"{name} {value:.2g}"


def is_share(objective: str) -> bool:
    """Return whether the aim is a share, which is said in percent."""
    return objective.endswith("accuracy")


def _standard_error(share: float, objective: str, count: int) -> float:
    """Return by how much chance alone moves a share measured on `count` samples; 0 for none."""
    inside = is_share(objective) and count > 0 and 0 < share < 1
    return math.sqrt(share * (1 - share) / count) if inside else 0.0


def _in_percent(axes: Axes, objective: str) -> None:
    if is_share(objective):
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.5g}%"))
        axes.yaxis.set_minor_formatter(lambda *_: "")


def importances(shares: Mapping[str, float], objective: str, trials: int) -> Figure:
    """Return the share of the objective's variance that each hyper-parameter explains.

    Args:
        shares: name -> share, together 1.
        objective: name of the metric.
        trials: how many trials the estimate rests on; few make it rough, and the title says so.
    """
    names = sorted(shares, key=shares.__getitem__)
    few = trials < FEW
    title = f"{names[-1]} mattered most (fANOVA, {trials} trials)"
    if few:
        first = ", ".join(f"{name} {shares[name]:.0%}" for name in names[:-3:-1])
        are = "trial is" if trials == 1 else "trials are"
        title = f"{trials} {are} too few to say what matters ({first})"
    made = style.figure(8, 1.8 + 0.5 * len(names), title)
    axes = style.tidy(
        made.subplots(), "", f"share explained of the variance of {AXES.get(objective, objective)}"
    )
    bars = axes.barh(
        names, [shares[name] for name in names], color=style.GREY if few else style.BLUE
    )
    axes.bar_label(bars, fmt="{:.0%}", padding=4)
    axes.set_xlim(0, 1)
    return made


def pareto(values: Sequence[Sequence[float]], aims: Sequence[str], front: Sequence[int]) -> Figure:
    """Return each further aim against the first, and the trials that no other beats in all.

    Args:
        values: one row a trial, the aims in order; NaN where a trial has none.
        aims: at least two names of `AXES`.
        front: numbers of the trials that no other beats in every aim.
    """
    table, best = np.array(values, float), sorted(front, key=lambda number: values[number][0])
    made = style.figure(
        min(10.0, 1.5 + 5 * (len(aims) - 1)),
        4.8,
        f"{len(best)} of {np.isfinite(table[:, 0]).sum()} trials are not beaten in every aim",
    )
    for index, axes in enumerate(made.subplots(1, len(aims) - 1, squeeze=False)[0], start=1):
        style.tidy(axes, "", AXES[aims[index]], AXES[aims[0]])
        _in_percent(axes, aims[0])
        axes.scatter(table[:, index], table[:, 0], s=40, color=style.GREY, label="beaten in all")
        axes.scatter(
            table[best, index],
            table[best, 0],
            s=70,
            color=style.BLUE,
            marker="D",
            label="on the front",
        )
        for number in best:
            axes.annotate(
                str(number), table[number, [index, 0]], xytext=(6, 6), textcoords="offset points"
            )
        if aims[index] == "parameters":
            axes.set_xscale("log")
        axes.legend(frameon=False)
    return made


def pruned(
    curves: Sequence[Mapping[int, float]],
    states: Sequence[str],
    objective: str,
    maximise: bool,
    planned: float,
) -> Figure:
    """Return what each trial reached, epoch by epoch, and where pruning ended it.

    Args:
        curves: epoch -> value of the objective, trial by trial.
        states: complete, pruned or fail, trial by trial; those that failed are not shown.
        objective: name of the metric.
        maximise: whether more of it is better.
        planned: epochs of a trial that is not pruned.
    """
    state = np.array(states)
    cut, done = (np.flatnonzero(state == name).tolist() for name in ("pruned", "complete"))
    made = style.figure(10, 5.0, _saved([curves[i] for i in cut], len(cut) + len(done), planned))
    axes = style.tidy(made.subplots(), "", "epoch", AXES.get(objective, objective))
    finals = {
        i: (max if maximise else min)(v for v in curves[i].values() if np.isfinite(v))
        for i in done
        if any(map(np.isfinite, curves[i].values()))
    }
    best = (max if maximise else min)(finals, key=finals.__getitem__, default=None)
    looks = {"pruned": (style.GREY, 1.2), "complete": (style.BLUE, 1.6)}
    for order, number in enumerate(
        [*cut, *(i for i in done if i != best), *finals.keys() & {best}]
    ):
        epochs, reached = _points(curves[number])
        color, width = (style.VERMILION, 3.2) if number == best else looks[states[number]]
        marker = "o" if len(curves[number]) == 1 else ""
        axes.plot(epochs, reached, marker=marker, color=color, lw=width, zorder=2 + order / 1000)
        if number in cut:
            axes.plot(epochs[-1:], reached[-1:], "x", color=style.INK, ms=8, mew=2, zorder=4)
    _in_percent(axes, objective)
    _dress(axes, best, any(curves[number] for number in cut), len(done) > 1, planned)
    if not any(curves[number] for number in [*cut, *done]):
        words = "no trial reported a value before its end"
        axes.text(0.5, 0.5, words, ha="center", transform=axes.transAxes, fontsize=11)
        axes.set_yticks([])
    return made


def _points(curve: Mapping[int, float]) -> tuple[list[int], list[float]]:
    epochs = sorted(curve)
    return epochs, [curve[epoch] for epoch in epochs]


def _saved(cut: Sequence[Mapping[int, float]], trials: int, planned: float) -> str:
    """Return the title: how many trials were pruned, when, and the share of work they spared."""
    if not cut:
        return f"None of {trials} trials was pruned"
    # a trial without a value diverged in its first epoch, at the latest at its end
    spent = np.array([min(max(curve, default=1), planned) for curve in cut]) / planned
    when, share = f"{spent.mean():.0%}", f"{(1 - spent).sum() / trials:.0%} of all epochs"
    if len(cut) == 1:
        return f"1 of {trials} trials was pruned, after {when} of its epochs: it saved {share}"
    return (
        f"{len(cut)} of {trials} trials were pruned, after {when} of their epochs on average: "
        f"they saved {share}"
    )


def _dress(axes: Axes, best: int | None, cut: bool, complete: bool, planned: float) -> None:
    """Add the legend and the scales: logarithmic for values that span decades."""
    if best is not None:
        axes.plot([], [], color=style.VERMILION, lw=3.2, label=f"best: trial {best}")
        values = np.concatenate([line.get_ydata() for line in axes.lines]).astype(float)
        if np.nanmin(values) > 0 and np.nanmax(values) > SPAN * np.nanmin(values):
            axes.set_yscale("log")
    if complete:
        axes.plot([], [], color=style.BLUE, lw=1.6, label="complete")
    if cut:
        axes.plot([], [], color=style.GREY, lw=1.2, label="pruned: ends with ×")
    if best is not None or cut:
        axes.legend(frameon=False, fontsize=10)
    if planned <= 1:
        axes.set_xlim(0, 2)
        axes.set_xticks([1])
    else:
        axes.set_xlim(right=planned * 1.02)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))

"""How a search for hyper-parameters went."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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


def history(
    values: Sequence[float], states: Sequence[str], objective: str, maximise: bool
) -> Figure:
    """Return the value of each trial and the best so far.

    Args:
        values: of the objective, trial by trial; a pruned one's last, NaN if it has none.
        states: complete, pruned or fail, trial by trial; those that failed are not shown.
        objective: name of the metric.
        maximise: whether more of it is better.
    """
    value, state = np.array(values, float), np.array(states)
    number = np.arange(len(value))
    done = np.where(state == "complete", value, np.nan)
    best = (np.fmax if maximise else np.fmin).accumulate(done)
    at = int((np.nanargmax if maximise else np.nanargmin)(done))
    ended = np.isin(state, list(LOOKS)).sum()
    made = style.figure(8, 4.4, f"Best of {ended} trials: number {at}, {value[at]:.4g}")
    axes = style.tidy(made.subplots(), "", "trial", f"{objective} (validation)")
    axes.step(number, best, where="post", color=style.ORANGE, linewidth=2, label="best so far")
    for name, (color, marker) in LOOKS.items():
        mine = state == name
        if mine.any():
            axes.scatter(number[mine], value[mine], s=50, color=color, marker=marker, label=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return made


def importances(shares: Mapping[str, float], objective: str, trials: int) -> Figure:
    """Return the share of the objective's variance that each hyper-parameter explains.

    Args:
        shares: name -> share, together 1.
        objective: name of the metric.
        trials: how many trials the estimate rests on; few make it rough, and the title says so.
    """
    names = sorted(shares, key=shares.__getitem__)
    rough = "; a rough guess" if trials < 20 else ""
    made = style.figure(
        8, 1.8 + 0.5 * len(names), f"{names[-1]} mattered most (fANOVA, {trials} trials{rough})"
    )
    axes = style.tidy(made.subplots(), "", f"share of the variance of {objective} explained")
    bars = axes.barh(names, [shares[name] for name in names], color=style.BLUE)
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
        1.5 + 5 * (len(aims) - 1),
        4.8,
        f"{len(best)} of {np.isfinite(table[:, 0]).sum()} trials are not beaten in every aim",
    )
    for index, axes in enumerate(made.subplots(1, len(aims) - 1, squeeze=False)[0], start=1):
        style.tidy(axes, "", AXES[aims[index]], AXES[aims[0]])
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

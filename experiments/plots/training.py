"""How a network learned, epoch by epoch."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from experiments.plots import style

History = Mapping[str, Sequence[float]]
# The line behind is the wider one, so that it is seen where both run together.
NOTE = (
    "train: mean over the epoch's batches as trained on (augmented, smoothed labels); "
    "val: after the epoch"
)
LOOKS = (("train", style.SKY, "--", 3.0), ("val", style.VERMILION, "-", 1.8))


def curves(
    epochs: Sequence[int],
    history: History,
    kept: int,
    others: Sequence[tuple[Sequence[int], History]] = (),
    *,
    note: str = NOTE,
    right: str = "right on validation",
) -> Figure:
    """Return loss, accuracy and learning rate over the epochs.

    Args:
        epochs: the epochs that were evaluated.
        history: values of train_loss, val_loss, train_accuracy, val_accuracy (0 to 1) and lr.
        kept: the epoch whose weights were kept; marked in every panel.
        others: epochs and histories of runs that differ from this one in their seed only.
        note: what train and val are, in words, for the foot.
        right: what the title's share is a share of, in words.
    """
    made = style.figure(10, 4.6, _title(epochs, history, kept, others, right))
    loss, accuracy, rate = made.subplots(1, 3)
    at = list(epochs).index(kept)
    for axes, kind in ((loss, "loss"), (accuracy, "accuracy")):
        for split, color, line, width in LOOKS:
            name = f"{split}_{kind}"
            _line(axes, epochs, history[name], color, line, width, split)
            for theirs, values in others:
                _line(axes, theirs, values[name], color, line)
        _mark(axes, kept, history[f"val_{kind}"][at], style.VERMILION)
    _line(rate, epochs, history["lr"], style.GREEN, "-", 2)
    _mark(rate, kept, history["lr"][at], style.GREEN)
    style.tidy(loss, "Loss", "epoch", "cross-entropy, nats")
    style.tidy(accuracy, "Accuracy", "epoch", "share right")
    style.tidy(rate, "Learning rate at the epoch's end", "epoch", "lr")
    every = [(epochs, history), *others]
    _log_axis(loss, [v for _, h in every for s in ("train_loss", "val_loss") for v in h[s]])
    _share_axis(accuracy, [v for _, h in every for s, *_ in LOOKS for v in h[f"{s}_accuracy"]])
    rate.set_ylim(bottom=0)
    for axes in (loss, accuracy, rate):
        _epoch_axis(axes, [epoch for theirs, _ in every for epoch in theirs])
    if others:
        loss.plot([], [], color=style.GREY, linewidth=0.9, label=_counted(len(others)))
    loss.legend(frameon=False, fontsize=10)
    made.supxlabel(f"{note}\ndotted line and dot: weights kept", fontsize=10, color=style.INK)
    return made


def _title(
    epochs: Sequence[int],
    history: History,
    kept: int,
    others: Sequence[tuple[Sequence[int], History]],
    right: str,
) -> str:
    mine = history["val_accuracy"][list(epochs).index(kept)]
    title = f"Kept epoch {kept}: {mine:.2%} {right}"
    if not others:
        return title
    best = np.array([mine, *(max(theirs["val_accuracy"]) for _, theirs in others)]) * 100
    return f"{title}; {len(best)} seeds: {best.mean():.2f} ± {best.std(ddof=1):.2f} %"


def _counted(others: int) -> str:
    return f"{others} other seed{'s' * (others > 1)}"


def _line(
    axes: Axes,
    epochs: Sequence[int],
    values: Sequence[float],
    color: str,
    line: str,
    width: float = 0.9,
    label: str | None = None,
) -> None:
    """Draw one course; without a width it is another seed's."""
    own = width > 1
    axes.plot(
        epochs,
        values,
        line,
        color=color,
        marker="o" if len(epochs) == 1 or (own and len(epochs) <= 30) else "",
        markersize=3 + width if own else 4,
        linewidth=width,
        alpha=1 if own else 0.6,
        zorder=2 if own else 1.5,
        label=label,
    )


def _mark(axes: Axes, kept: int, value: float, color: str) -> None:
    axes.axvline(kept, color=style.GREY, linestyle=":", zorder=0)
    axes.plot(
        kept, value, "o", color=color, markeredgecolor=style.INK, ms=9, zorder=3, clip_on=False
    )


def _epoch_axis(axes: Axes, epochs: Sequence[int]) -> None:
    """Whole epochs; a single one stands in the middle."""
    if min(epochs) == max(epochs):
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
        axes.set_xticks([epochs[0]])
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _log_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic scale with plain numbers, if the values have one."""
    there = [v for v in values if math.isfinite(v) and v > 0]
    if not there:
        return
    axes.set_title("Loss (log scale)")
    axes.set_yscale("log")
    low, high = min(there), max(there)
    axes.set_ylim(low / (high / low) ** 0.05 / 1.03, high * (high / low) ** 0.05 * 1.03)
    narrow = high < 10 * low
    axes.yaxis.set_major_locator(
        MaxNLocator(6) if narrow else LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,))
    )
    axes.yaxis.set_minor_locator(NullLocator() if narrow else LogLocator(subs=range(2, 10)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(lambda *_: "")


def _share_axis(axes: Axes, values: Sequence[float]) -> None:
    """From a little below the lowest to a little above the highest, with no tick above 100 %."""
    low, high = min(values), max(values)
    pad = max(0.06 * (high - low), 0.005)
    axes.set_ylim(low - pad, min(high + pad, 1 + pad))
    ticks = MaxNLocator(6).tick_values(low - pad, high + pad)
    axes.set_yticks([tick for tick in ticks if low - pad <= tick <= 1 + 1e-9])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))

"""Loss, accuracy and learning rate, epoch by epoch."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from experiments.figures.plots import style

History = Mapping[str, Sequence[float]]
Run = tuple[Sequence[int], History]  # epochs, and their metrics
NOTE = (
    "train: mean over the epoch's batches as trained on (augmented, smoothed labels); "
    "val: after the epoch"
)
# The first line is the wider one, so that both are seen where they coincide.
LINES = {"train": (style.SKY, "--", 3.0), "val": (style.VERMILION, "-", 1.8)}
OTHER_SEED = {"linewidth": 0.9, "alpha": 0.6, "zorder": 1.5}


def curves(
    epochs: Sequence[int],
    history: History,
    kept: int,
    others: Sequence[Run] = (),
    *,
    note: str = NOTE,
    right: str = "validation accuracy",
) -> Figure:
    """Return a panel each of loss, accuracy and learning rate over the epochs.

    Args:
        epochs: the epochs that were evaluated.
        history: values of train_loss, val_loss, train_accuracy, val_accuracy (0 to 1) and lr.
        kept: the epoch whose weights were selected; marked in every panel.
        others: epochs and histories of runs that differ from this one in their seed only.
        note: what train and val are, for the note below.
        right: what the accuracy in the title is.
    """
    selected = list(epochs).index(kept)
    final = history["val_accuracy"][selected]
    title = f"Selected epoch {kept}: {final:.2%} {right}"
    if others:
        best = np.array([final, *(max(h["val_accuracy"]) for _, h in others)]) * 100
        title += f"; {len(best)} seeds: {best.mean():.2f} ± {best.std(ddof=1):.2f} %"
    fig = style.figure(10, 4.6, title)
    loss, accuracy, rate = fig.subplots(1, 3)
    marker = "o" if len(epochs) <= 30 else ""
    for axes, kind in ((loss, "loss"), (accuracy, "accuracy")):
        for split, (color, line, width) in LINES.items():
            name, look = f"{split}_{kind}", {"color": color, "linestyle": line}
            own = {"linewidth": width, "marker": marker, "markersize": 3 + width, "label": split}
            axes.plot(epochs, history[name], **look, **own)
            for other, values in others:
                axes.plot(other, values[name], **look, **OTHER_SEED)
        _mark(axes, kept, history[f"val_{kind}"][selected], style.VERMILION)
    rate.plot(epochs, history["lr"], color=style.GREEN, marker=marker, markersize=5)
    _mark(rate, kept, history["lr"][selected], style.GREEN)
    style.tidy(loss, "Loss (log scale)", "epoch", "cross-entropy, nats")
    style.tidy(accuracy, "Accuracy", "epoch", "accuracy")
    style.tidy(rate, "Learning rate at the epoch's end", "epoch", "learning rate")
    _loss_axis(loss)
    _accuracy_axis(accuracy)
    rate.set_ylim(bottom=0)
    for axes in fig.axes:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if len(epochs) == 1:
            axes.set(xlim=(kept - 1, kept + 1), xticks=[kept])
    if others:
        loss.plot([], [], color=style.GREY, label=f"other seeds: {len(others)}", linewidth=0.9)
    loss.legend(frameon=False, fontsize=10)
    style.note(fig, f"{note}\ndotted line and dot: selected weights")
    return fig


def _mark(axes: Axes, kept: int, value: float, color: str) -> None:
    axes.axvline(kept, color=style.GREY, linestyle=":", zorder=0)
    axes.plot(kept, value, "o", color=color, mec=style.INK, ms=9, zorder=3, clip_on=False)


def _loss_axis(axes: Axes) -> None:
    """Set a logarithmic scale with plain numbers; a narrow one has evenly spaced ticks."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    wide = high > 10 * low
    axes.yaxis.set_major_locator(
        LogLocator(subs=(1,) if high > 200 * low else (1, 2, 5)) if wide else MaxNLocator(6)
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _accuracy_axis(axes: Axes) -> None:
    """Set ticks in percent, none above 100 %."""
    low, high = axes.get_ylim()
    pad = max(0.05 * (high - low), 0.002)
    low, high = low - pad, min(high + pad, 1 + pad)
    ticks = np.array(MaxNLocator(6).tick_values(low, high))
    axes.set_yticks(ticks[(ticks >= low) & (ticks <= 1 + 1e-9)])
    axes.set_ylim(low, high)
    axes.yaxis.set_major_formatter(PercentFormatter(1))

"""How a network learned, epoch by epoch."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from experiments.plots import style


def curves(epochs: Sequence[int], history: Mapping[str, Sequence[float]], kept: int) -> Figure:
    """Return loss, accuracy and learning rate over the epochs.

    Args:
        epochs: the epochs that were evaluated.
        history: values of train_loss, val_loss, train_accuracy, val_accuracy (0 to 1) and lr.
        kept: the epoch whose weights were kept; marked in every panel.
    """
    best = history["val_accuracy"][list(epochs).index(kept)]
    made = style.figure(12, 4.2, f"Kept epoch {kept}: {best:.2%} right on validation")
    loss, accuracy, rate = made.subplots(1, 3)
    marker = "o" if len(epochs) <= 30 else ""
    for axes, kind in ((loss, "loss"), (accuracy, "accuracy")):
        for split, color, line in (("train", style.SKY, "--"), ("val", style.VERMILION, "-")):
            values = history[f"{split}_{kind}"]
            axes.plot(epochs, values, line, color=color, marker=marker, label=split, linewidth=2)
    rate.plot(epochs, history["lr"], color=style.GREEN, marker=marker, linewidth=2)
    style.tidy(loss, "Loss (log scale)", "epoch", "cross-entropy, nats").set_yscale("log")
    style.tidy(accuracy, "Accuracy", "epoch", "share right")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    style.tidy(rate, "Learning rate at the epoch's end", "epoch", "lr")
    for axes in (loss, accuracy, rate):
        axes.axvline(kept, color=style.GREY, linestyle=":", zorder=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss.legend(frameon=False, fontsize=10)
    made.supxlabel(
        "train: mean over the epoch's batches as trained on (augmented, smoothed labels); "
        "val: after the epoch; dotted line: weights kept",
        fontsize=9,
        color=style.GREY,
    )
    return made

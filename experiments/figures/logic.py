"""The figures of a trained circuit, in reading order, with their captions."""

from collections.abc import Iterator

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.core.stats import softmax
from experiments.figures import mnist
from experiments.figures.analysis import circuits
from experiments.figures.plots import circuits as plots
from experiments.figures.spec import Figures, FigureSpec, Trained
from experiments.tasks.mnist import DIGITS, predict
from experiments.tasks.task import Split
from models.logic import Circuit, SoftCircuit

TRACKED = 500  # validation digits on which snapshots measure the accuracy


def figures(trained: Trained) -> Iterator[FigureSpec]:
    """Yield all figures of a trained circuit."""
    assert isinstance(trained.net, Circuit)
    circuit, test = trained.net, trained.test
    layers = circuits.layers(circuit)
    probabilities = softmax(trained.logits[:, :DIGITS])
    pred = probabilities.argmax(1)
    example = int((pred == test.y).argmax())
    image, label = test.x[example], int(test.y[example])
    signals = circuits.signals(circuit, image)
    yield FigureSpec(
        "network/architecture",
        lambda: plots.architecture(image, label, layers, signals),
        "Look for the few pixels that a vote depends on, and which wires carry a 1.",
        "It cannot show the whole circuit: a few votes for one class, on one digit.",
        core=True,
        scalable=True,
    )
    yield FigureSpec(
        "network/pixels",
        lambda: plots.pixels(circuits.pixel_counts(layers, np.arange(len(layers[-1].first)))),
        "Look for pixels that many gates read, and whether one threshold is preferred.",
        "It cannot show how much a pixel matters: a wire may end in a gate that rarely decides.",
    )
    yield FigureSpec(
        "learning/functions",
        lambda: _functions(trained),
        "Look for functions that training prefers, and constants, which do nothing.",
        "It cannot show which gates matter, nor functions of more than two inputs.",
    )
    yield FigureSpec(
        "learning/hardening",
        lambda: _hardening(trained),
        "Look for the distance of the two accuracies, and when it vanishes.",
        f"It cannot show differences below {1 / TRACKED:.1%}: {TRACKED} validation digits.",
    )
    yield mnist.predictions(test.x, test.y, probabilities)
    yield FigureSpec(
        "decisions/votes",
        lambda: plots.votes(image, label, layers, signals),
        "Look for how far the winner is ahead, and where the pixels of dissenting votes lie.",
        "It cannot show why a vote is cast; it is one digit.",
    )
    yield mnist.confusion(test.y, pred)


def _functions(trained: Trained) -> Figure:
    every = trained.watched()
    epochs = np.array([snapshot.epoch for snapshot in every])
    return plots.functions(epochs, np.stack([each.arrays["functions"] for each in every]))


def _hardening(trained: Trained) -> Figure:
    every = trained.watched()
    epochs = np.array([snapshot.epoch for snapshot in every])
    values = (np.stack([s.arrays[name] for s in every]) for name in ("accuracy", "certainty"))
    return plots.hardening(epochs, *values)


@torch.inference_mode()
def snapshot(net: nn.Module, val: Split) -> dict[str, Tensor]:
    """Return a soft circuit's functions [16], accuracy (soft, hard) [2] and certainty [2]."""
    assert isinstance(net, SoftCircuit)
    x, y = val.x[:TRACKED], val.y[:TRACKED]
    right = [predict(net.logits(x, hard)) == y for hard in (False, True)]
    certainty = circuits.certainty(
        [weights.softmax(1).cpu().numpy() for weights in net.wires],
        [table.sigmoid().cpu().numpy() for table in net.tables],
    )
    return {
        "functions": torch.tensor(circuits.function_counts(net.harden())),
        "accuracy": torch.stack([each.double().mean() for each in right]),
        "certainty": torch.tensor(certainty),
    }


FIGURES = Figures(snapshot=snapshot, figures=figures)

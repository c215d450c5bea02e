"""The figures of a trained bank of gate networks, in the order of its report."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.figures.analysis import gate_slices, gate_spaces, gates
from experiments.figures.analysis.layers import dense
from experiments.figures.gate_bank import TrainedGates
from experiments.figures.plots import (
    architecture,
    gate_animation,
    hidden_space,
    init_success,
    loss_landscape,
    mlp_diagram,
    surface_grid,
    truth_tables,
)
from experiments.figures.spec import Animation, Figures, FigureSpec, Trained
from experiments.tasks.task import Split

MAX_WEIGHTS = 500_000  # of a bank whose training is recorded


def figures(trained: Trained) -> Iterator[FigureSpec]:
    """Yield all of them; each draws itself when called."""
    bank = TrainedGates(trained)
    yield from _network(bank)
    yield from _learning(bank)
    yield from _decisions(bank)


def _network(bank: TrainedGates) -> Iterator[FigureSpec]:
    inputs, hidden = bank.net.config["inputs"], bank.net.config["hidden_dim"]
    yield FigureSpec(
        "network/architecture",
        lambda: mlp_diagram.architecture(inputs, hidden, bank.activation, len(bank.labels)),
        "Look for how few parameters a gate needs; each hidden unit is connected to every input.",
        f"It cannot show the weights; of many hidden units it shows {mlp_diagram.MAX_UNITS}.",
        core=True,
        scalable=True,
        text=architecture.table(dense((inputs, hidden, 1), (bank.activation, "sigmoid"))),
    )
    yield FigureSpec(
        "network/weights",
        lambda: _weights(bank),
        "Look for which hidden units have positive and which negative output weights.",
        "It cannot show what a unit computes over the whole input space; the surfaces do.",
        core=True,
        scalable=True,
    )
    if len(bank.labels) > 1:
        yield FigureSpec(
            "network/all-weights",
            lambda: mlp_diagram.all_weights(bank.labels, bank.weights, bank.activation),
            "Look for thin lines: inputs that a gate ignores, as a, b and their negations do.",
            "It cannot show which gate has larger weights: each network has its own scale.",
        )


def _learning(bank: TrainedGates) -> Iterator[FigureSpec]:
    yield FigureSpec(
        "learning/replay",
        lambda: _animation(bank),
        "Look for the zero lines that turn into position before the loss falls.",
        "It cannot show the speed of learning: the epochs are not equally far apart.",
    )
    yield FigureSpec(
        "learning/landscape",
        lambda: _landscape(bank),
        "Look for bends of the trajectory, and for flat regions where it starts or stalls.",
        "It cannot show the loss off this plane: the weight space has many more dimensions.",
    )
    yield FigureSpec(
        "learning/init-success",
        lambda: _init_success(bank),
        "Look for crosses: failed initialisations, which never learn the gate.",
        "It cannot show why an initialisation fails, nor what a longer training would do.",
    )


def _decisions(bank: TrainedGates) -> Iterator[FigureSpec]:
    yield FigureSpec(
        "decisions/predictions",
        lambda: truth_tables.predictions(bank.labels, bank.x, bank.y, bank.logits),
        "Look for pale cells: outputs of low confidence.",
        "It cannot show inputs between 0 and 1, nor by how much an input may change before the "
        "output flips.",
        core=True,
    )
    if bank.x.shape[1] == 2:
        yield FigureSpec(
            "decisions/surfaces",
            lambda: _surfaces(bank),
            "Look for how many boundaries a gate needs: two for xor and xnor, none for constants.",
            "It cannot show what is correct between the corners: no gate defines that.",
            core=True,
        )
    else:
        yield FigureSpec(
            "decisions/slices",
            lambda: _slices(bank),
            "Look for squares whose corners alternate: no single line separates them.",
            "It cannot show other values of the fixed inputs.",
            core=True,
        )
    yield FigureSpec(
        "decisions/hidden-space",
        lambda: _hidden_space(bank),
        "Look for gates that are separable only in hidden space, by the thick line.",
        "It cannot show more than two directions of the hidden space.",
    )


def _weights(bank: TrainedGates) -> Figure:
    gate = bank.focus[0]
    return mlp_diagram.weights(bank.labels[gate], gates.take(bank.weights, gate), bank.activation)


def _animation(bank: TrainedGates) -> Animation:
    gate = bank.focus[0]
    plane, cut = bank.plane(gate)
    return gate_animation.animate(
        cut.title(bank.labels[gate]),
        bank.epochs,
        gates.losses(bank.margins)[:, gate],
        cut,
        gates.surfaces(plane, bank.activation),
        bank.path_of(gate),
        plane,
        bank.since[gate],
    )


def _landscape(bank: TrainedGates) -> Figure:
    gate = bank.focus[0]
    path, y = bank.path_of(gate), bank.y[:, gate]
    plane = gate_spaces.landscape(path, bank.activation, bank.x, y)
    start, *_, end = gates.losses(bank.margins)[:, gate].tolist()
    return loss_landscape.landscape(bank.labels[gate], bank.epochs, plane, (start, end))


def _init_success(bank: TrainedGates) -> Figure:
    final = gates.take(bank.restarts, -1)
    by_restart = {name: value.swapaxes(0, 1) for name, value in final.items()}
    margin = gates.margins(by_restart, bank.activation, bank.x, bank.y)  # [rows, restarts, gates]
    solved = np.all(margin > 0, axis=0)
    return init_success.restarts(bank.labels, gates.losses(margin).T, solved.T)


def _surfaces(bank: TrainedGates) -> Figure:
    """Draw all gates of two inputs."""
    every = range(len(bank.labels))
    subject = f"{len(every)} gates" if len(every) > 1 else bank.labels[0]
    surfaces = gates.surfaces(bank.weights, bank.activation)
    cuts = [bank.slices(gate)[0] for gate in every]
    return surface_grid.surfaces(subject, bank.labels, cuts, surfaces)


def _slices(bank: TrainedGates) -> Figure:
    """Draw the slices of one gate of more inputs."""
    gate = bank.focus[0]
    cuts, weights = bank.slices(gate), gates.take(bank.weights, gate)
    planes = [gate_slices.restrict(weights, cut) for cut in cuts]
    stacked = {name: np.stack([plane[name] for plane in planes]) for name in weights}
    surfaces = gates.surfaces(stacked, bank.activation)
    subject = f"{bank.labels[gate]}, {len(cuts)} slices"
    return surface_grid.surfaces(subject, [cut.fixed for cut in cuts], cuts, surfaces)


def _hidden_space(bank: TrainedGates) -> Figure:
    focus = bank.focus
    space = gate_spaces.hidden_space(gates.take(bank.weights, focus), bank.activation, bank.x)
    separable = [bank.separable[gate] for gate in focus]
    labels = [bank.labels[gate] for gate in focus]
    return hidden_space.hidden_space(labels, bank.x, bank.y[:, focus], space, separable)


def snapshot(net: nn.Module, val: Split) -> dict[str, Tensor]:
    """Return the weights of all networks, or nothing where there are too many to record."""
    weights: dict[str, Tensor] = dict(net.named_parameters())
    return weights if sum(w.numel() for w in weights.values()) <= MAX_WEIGHTS else {}


FIGURES = Figures(snapshot=snapshot, figures=figures)

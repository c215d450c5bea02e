"""The pictures of a trained bank of gate networks, in reading order, and what to tell of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.exhibits.bank import Gates
from experiments.interpret import gate_slices, gate_spaces, gates
from experiments.tasks.base import Exhibit, Film, Trained

COLUMNS = 8  # moments of a training side by side


def exhibits(trained: Trained) -> Iterator[Exhibit]:
    """Yield all of them; each draws itself when asked."""
    bank = Gates(trained)
    yield from _network(bank)
    yield from _learning(bank)
    yield from _decisions(bank)


def _network(bank: Gates) -> Iterator[Exhibit]:
    from experiments.layers import dense
    from experiments.plots import architecture, gate_network, neurons
    from experiments.plots import gates as plots

    sizes = (bank.net.config["inputs"], bank.net.config["hidden"], 1)
    kinds = (bank.activation, "sigmoid")
    copies = f"; one such for each of {len(bank.labels)} gates" if len(bank.labels) > 1 else ""
    yield Exhibit(
        "network/architecture",
        lambda: neurons.neurons(sizes, kinds, copies),
        "Look for how few numbers a gate needs, and that each hidden unit sees every input.",
        "It cannot show the weights; of a layer of more than 12 neurons it shows 12.",
        core=True,
        scalable=True,
        text=architecture.table(dense(sizes, kinds)),
    )

    def one() -> Any:
        gate = bank.focus[0]
        return gate_network.network(
            bank.labels[gate], gates.take(bank.weights, gate), bank.activation
        )

    yield Exhibit(
        "network/weights",
        one,
        "Look for which hidden units add and which subtract: together they are the gate.",
        "It cannot show what a unit does over the whole square of inputs; the surfaces do.",
        core=True,
        scalable=True,
    )
    if len(bank.labels) > 1:
        yield Exhibit(
            "network/all-weights",
            lambda: plots.networks(bank.labels, bank.weights, bank.activation),
            "Look for thin lines: inputs that a gate ignores, as a, b and their negations do.",
            "It cannot show which gate has larger weights: the widths have a scale for each one.",
        )


def _learning(bank: Gates) -> Iterator[Exhibit]:
    yield Exhibit(
        "learning/surfaces",
        lambda: _through_training(bank),
        "Look for when the boundary bends so that all corners lie right, and which units turn.",
        "It cannot show the other starts, nor when between two moments a gate became right.",
    )
    yield Exhibit(
        "learning/replay",
        lambda: _replay(bank, bank.focus[0]),
        "Look for the units' lines to turn into place before the loss falls.",
        "It cannot show the speed of learning: the moments are not equally far apart.",
        slides=lambda: _slides(bank),
    )
    yield Exhibit(
        "learning/landscape",
        lambda: _landscape(bank, bank.focus[0]),
        "Look for the path's bends, and for flat ground on which it starts or gets lost.",
        "It cannot show the landscape off this plane, which has all other directions.",
    )
    yield Exhibit(
        "learning/luck",
        lambda: _luck(bank),
        "Look for cells right of a mark: starts that never learn the gate; none means that all do.",
        "It cannot show why a start is unlucky, nor what a longer training would do.",
    )


def _decisions(bank: Gates) -> Iterator[Exhibit]:
    from experiments.plots import gate_insight
    from experiments.plots import gates as plots

    yield Exhibit(
        "decisions/predictions",
        lambda: plots.truth_tables(bank.labels, bank.x, bank.y, bank.logits),
        "Look for pale cells: answers the network is not sure of.",
        "It cannot show inputs between 0 and 1.",
        core=True,
    )
    yield Exhibit(
        "decisions/margins",
        lambda: gate_insight.margins(bank.labels, bank.x, bank.margin),
        "Look for the smallest margin of each gate: the row that the network is least sure of.",
        "It cannot show how much an input may be disturbed before a row flips.",
    )
    if bank.x.shape[1] == 2:
        yield Exhibit(
            "decisions/surfaces",
            lambda: plots.surfaces(bank.labels, bank.y, _fine(bank)),
            "Look for how many lines a gate needs: two for xor and xnor, none for constants.",
            "It cannot show what is right between the corners: no gate says that.",
            core=True,
        )
    else:
        yield Exhibit(
            "decisions/slices",
            lambda: _slices(bank, bank.focus[0]),
            "Look for squares whose corners alternate: no single line parts them.",
            "It cannot show the other settings of the inputs that are held still.",
            core=True,
        )
    yield Exhibit(
        "decisions/hidden-space",
        lambda: _hidden(bank),
        "Look for corners that no line parts in the inputs, and the thick line in hidden space.",
        "It cannot show more than two directions of the hidden space.",
    )


def _through_training(bank: Gates) -> Any:
    from experiments.plots import gate_learning

    chosen, focus = gates.picks(len(bank.epochs), COLUMNS), bank.focus
    cut = "a, b"
    if bank.x.shape[1] == 2:
        weights, target = gates.take(bank.path, (slice(None), focus)), bank.y[:, focus]
    else:
        focus = focus[:1]
        weights, corners, cut = bank.plane(focus[0])
        target = corners[:, None]
    weights = gates.take(weights, chosen)
    return gate_learning.through_training(
        [bank.labels[gate] for gate in focus],
        [bank.epochs[index] for index in chosen],
        target,
        gates.surfaces(weights, bank.activation),
        weights,
        [bank.since[gate] for gate in focus],
        gates.LINE,
        cut,
    )


def _replay(bank: Gates, gate: int) -> Film:
    from experiments.plots import gate_learning

    plane, target, cut = bank.plane(gate)
    flat = gates.take(plane, (slice(None), 0))
    gif = gate_learning.replay(
        bank.labels[gate],
        bank.epochs,
        gates.losses(bank.margins)[:, gate],
        target,
        gates.surfaces(flat, bank.activation),
        gates.take(bank.path, (slice(None), gate)),
        bank.since[gate],
        gates.LINE,
        plane=flat if bank.x.shape[1] > 2 else None,
        cut=cut,
    )
    return Film(gate_learning.finding(bank.labels[gate], bank.since[gate]), gif)


def _slides(bank: Gates) -> Iterator[tuple[int, Any]]:
    """Yield the surfaces of all gates, or of one on a plane of its inputs, as pictures."""
    from experiments.plots.gate_slides import slide

    weights, names = bank.path, list(bank.labels)
    if bank.x.shape[1] != 2:
        weights, _, cut = bank.plane(bank.focus[0])
        names = [f"{bank.labels[bank.focus[0]]}: {cut}"]
    surfaces = gates.surfaces(weights, bank.activation)
    every = list(zip(bank.moments, bank.epochs, surfaces, strict=True))
    for moment, epoch, shown in [*every[:-1:2], every[-1]]:
        yield moment.step, slide(names, epoch, shown)


def _landscape(bank: Gates, gate: int) -> Any:
    from experiments.plots import gate_starts

    path = gates.take(bank.path, (slice(None), gate))
    found = gate_spaces.landscape(path, bank.activation, bank.x, bank.y[:, gate])
    ends = gates.losses(bank.margins)[[0, -1], gate].tolist()
    return gate_starts.landscape(bank.labels[gate], bank.epochs, *found, ends=ends)


def _luck(bank: Gates) -> Any:
    from experiments.plots import gate_starts

    last = gates.take(bank.starts, -1)
    starts = last["bias2"].shape[1]
    y = np.repeat(bank.y[:, :, None], starts, 2).reshape(len(bank.y), -1)
    flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in last.items()}
    margin = gates.margins(flat, bank.activation, bank.x, y).reshape(len(y), -1, starts)
    return gate_starts.luck_of_starts(bank.labels, gates.losses(margin), np.all(margin > 0, axis=0))


def _fine(bank: Gates) -> np.ndarray:
    """Return the probabilities at the points of the fine grid: float [points, gates]."""
    from experiments.plots.gates import grid

    logits: np.ndarray = gates.logits(bank.weights, bank.activation, grid())
    return np.exp(-np.logaddexp(0, -logits))


def _slices(bank: Gates, gate: int) -> Any:
    from experiments.plots import gate_insight

    one: Mapping[str, np.ndarray] = gates.take(bank.weights, gate)
    cuts = bank.slices(gate)
    surfaces = [gates.surfaces(gate_slices.plane(one, cut), bank.activation) for cut in cuts]
    return gate_insight.slices(
        bank.labels[gate],
        [cut.name for cut in cuts],
        np.stack([cut.target for cut in cuts]),
        np.stack(surfaces),
        gates.LINE,
    )


def _hidden(bank: Gates) -> Any:
    from experiments.plots import gate_hidden

    focus = bank.focus
    space = gate_spaces.hidden_space(gates.take(bank.weights, focus), bank.activation, bank.x)
    parted = [gate_spaces.parted(bank.x, bank.y[:, gate]) for gate in focus]
    names = [bank.labels[gate] for gate in focus]
    return gate_hidden.hidden_space(names, bank.x, bank.y[:, focus], *space, parted)

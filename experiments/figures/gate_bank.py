"""A trained bank of gate networks and its recorded training, as the figures need them."""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property

import numpy as np
from jaxtyping import Float

from experiments.core.errors import DataError
from experiments.evaluation.arrays import Array
from experiments.figures.analysis import gate_slices, gate_spaces, gates
from experiments.figures.spec import Trained
from models.mlp import GateBank

MAX_FOCUS = 4  # gates in a figure with a row for each


class TrainedGates:
    """What several figures are made of, computed once and only if one of them is drawn."""

    def __init__(self, trained: Trained) -> None:
        assert isinstance(trained.net, GateBank)
        self.trained, self.net, self.logits = trained, trained.net, trained.logits
        self.x, self.y, self.labels = trained.test.x, trained.test.y, trained.splits.labels
        self.activation = str(self.net.config["activation"])

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """The chosen networks' weights, each [gates, ...]."""
        named = self.net.named_parameters()
        return {name: value.detach().cpu().numpy() for name, value in named}

    @cached_property
    def epochs(self) -> list[int]:
        """The recorded epochs; a DataError says that there are none."""
        return [round(moment.epoch) for moment in self.trained.watched()]

    @cached_property
    def restarts(self) -> dict[str, np.ndarray]:
        """The weights of all restarts at every recorded epoch: [epochs, gates, restarts, ...]."""
        moments = self.trained.watched()
        return {name: np.stack([m.arrays[name] for m in moments]) for name in self.weights}

    @cached_property
    def path(self) -> dict[str, np.ndarray]:
        """The weights of each gate's chosen restart at every recorded epoch: [epochs, gates, ...].

        The last record has the weights that were kept, so the chosen restart equals them.
        """
        gaps = sum(
            np.abs(value[-1] - self.weights[name][:, None]).reshape(*value.shape[1:3], -1).sum(-1)
            for name, value in self.restarts.items()
        )
        chosen, every = np.asarray(gaps).argmin(-1), np.arange(len(self.labels))
        return {name: value[:, every, chosen] for name, value in self.restarts.items()}

    def path_of(self, gate: int) -> dict[str, np.ndarray]:
        """Return the path of one gate: [epochs, ...]."""
        return gates.take(self.path, (slice(None), gate))

    @cached_property
    def margins(self) -> Float[Array, "rows epochs gates"]:
        """Of the path."""
        return gates.margins(self.path, self.activation, self.x, self.y)

    @cached_property
    def since(self) -> list[int | None]:
        """The epoch from which on each gate is correct; None for never."""
        return gates.correct_from(self.epochs, self.margins)

    @cached_property
    def separable(self) -> list[bool]:
        """Whether a hyperplane separates each gate's ones from its zeros."""
        return [gate_spaces.separable(self.x, column) for column in self.y.T]

    @cached_property
    def focus(self) -> list[int]:
        """The gates of most interest: never learned, then not separable, then learned last.

        Where the training was not recorded, all count as learned.
        """
        since: list[int | None] = [0] * len(self.labels)
        loss = np.zeros(len(self.labels))
        with suppress(DataError):
            since, loss = self.since, gates.losses(self.margins)[-1]

        late = [np.inf if epoch is None else epoch for epoch in since]
        learned = np.isfinite(late)
        # The last key counts first.
        keys = np.array([-loss, np.negative(late), self.separable, learned], float)
        order = np.lexsort(keys)
        return [int(gate) for gate in order[:MAX_FOCUS]]

    def slices(self, gate: int) -> list[gate_slices.Slice]:
        """Return the slices of a gate.

        Raises:
            DataError: the gate has fewer than 2 or more than 6 inputs.
        """
        return gate_slices.slices(self.x, self.y[:, gate])

    def plane(self, gate: int) -> tuple[dict[str, np.ndarray], gate_slices.Slice]:
        """Return a gate's path on its least linear slice: weights [epochs, ...], the slice.

        Raises:
            DataError: as `slices`.
        """
        cut = max(self.slices(gate), key=lambda each: each.changes)  # the first of equals
        return gate_slices.restrict(self.path_of(gate), cut), cut

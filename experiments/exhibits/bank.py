"""What the pictures of a trained bank of gate networks are made of."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property

import numpy as np

from experiments.errors import DataError
from experiments.interpret import gate_slices, gate_spaces, gates
from experiments.tasks.base import Moment, Trained


class Gates:
    """What several pictures are made of, computed once and only if one of them is drawn."""

    def __init__(self, trained: Trained) -> None:
        self.net, self.labels = trained.net, trained.splits.labels
        self.x, self.y = trained.splits.test.x, trained.splits.test.y
        self.logits, self.activation = trained.logits, trained.net.config["activation"]
        self.trained = trained

    @cached_property
    def weights(self) -> dict[str, np.ndarray]:
        """The chosen networks' weights, each [gates, ...]."""
        named = self.net.named_parameters()
        return {name: value.detach().cpu().numpy() for name, value in named}

    @property
    def margin(self) -> np.ndarray:
        """Of the chosen networks: float [rows, gates], in nats of log-odds; negative is wrong."""
        return np.asarray(self.logits * (2 * self.y - 1))

    @property
    def moments(self) -> Sequence[Moment]:
        """The training's; a DataError says that there are none."""
        return self.trained.watched()

    @cached_property
    def starts(self) -> dict[str, np.ndarray]:
        """The weights of all starts at every recorded moment: [moments, gates, starts, ...]."""
        return {name: np.stack([m.seen[name] for m in self.moments]) for name in self.weights}

    @cached_property
    def path(self) -> dict[str, np.ndarray]:
        """The weights of each gate's chosen start at every recorded moment: [moments, gates, ...].

        The last moment is of the weights that were kept, among which the chosen start's are.
        """
        gaps = sum(
            np.abs(value[-1] - self.weights[name][:, None]).reshape(*value.shape[1:3], -1).sum(-1)
            for name, value in self.starts.items()
        )
        chosen, every = np.asarray(gaps).argmin(-1), np.arange(len(self.labels))
        return {name: value[:, every, chosen] for name, value in self.starts.items()}

    @cached_property
    def epochs(self) -> list[int]:
        return [round(moment.epoch) for moment in self.moments]

    @cached_property
    def margins(self) -> np.ndarray:
        """Of the path: float [rows, moments, gates]."""
        return gates.margins(self.path, self.activation, self.x, self.y)

    @cached_property
    def since(self) -> list[int | None]:
        return gates.right_from(self.epochs, self.margins)

    @cached_property
    def focus(self) -> list[int]:
        """The gates most worth a look: never learned, then those no line parts, then the latest.

        Where the training was not recorded, all are taken for learned.
        """
        every, never = list(range(len(self.labels))), set()
        with suppress(DataError):
            every = gates.focus(self.since, gates.losses(self.margins)[-1], len(every))
            never = {gate for gate in every if self.since[gate] is None}
        simple = {gate for gate in every if gate_spaces.parted(self.x, self.y[:, gate])}
        order = sorted(every, key=lambda gate: (gate not in never, gate in simple))
        return order[: gates.MOST_FOCUS]

    def slices(self, gate: int) -> list[gate_slices.Slice]:
        """Return the slices of a gate that are worth a look."""
        return gate_slices.slices(self.x, self.y[:, gate], self.margin[:, gate])

    def plane(self, gate: int) -> tuple[dict[str, np.ndarray], np.ndarray, str]:
        """Return a gate's path on a plane of two inputs: weights [moments, 1, ...], targets, name.

        Raises:
            DataError: the gate has fewer than 2 or more than 6 inputs.
        """
        cut = max(self.slices(gate), key=lambda cut: cut.changes)  # the first of equals
        flat = gate_slices.plane(gates.take(self.path, (slice(None), [gate])), cut)
        return flat, cut.target.astype(float), cut.name

"""Numbers behind the figures of a circuit: its functions, pixels and votes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8

from experiments.data.truth_table import TWO_INPUT_GATES
from experiments.evaluation.arrays import Array
from models.logic import CLASSES, SIDE, THRESHOLDS, Circuit

NAMES = tuple(TWO_INPUT_GATES)  # by the number of the truth table
READS_A = np.array([bits[:2] != bits[2:] for bits in TWO_INPUT_GATES.values()])
READS_B = np.array([bits[::2] != bits[1::2] for bits in TWO_INPUT_GATES.values()])
Image = UInt8[Array, "28 28"]


@dataclass(frozen=True)
class Layer:
    """A layer of gates as arrays [gates].

    Attributes:
        first, second: where a gate finds its inputs in the layer before.
        functions: truth tables, as numbers of `NAMES`.
    """

    first: Int[Array, " gates"]
    second: Int[Array, " gates"]
    functions: Int[Array, " gates"]

    def wires(self, gates: Int[Array, " chosen"]) -> Int[Array, "wires 2"]:
        """Return (source, gate) of each wire that the function of one of `gates` depends on."""
        kinds = self.functions[gates]
        a, b = gates[READS_A[kinds]], gates[READS_B[kinds]]
        first, second = (self.first[a], a), (self.second[b], b)
        return np.concatenate([np.stack(pair, 1) for pair in (first, second)])


def layers(circuit: Circuit) -> list[Layer]:
    """Return the circuit's layers."""
    parts = [
        (*circuit.layer(index)[:2], circuit.functions(index))
        for index in range(len(circuit.config["sizes"]))
    ]
    return [Layer(*(part.cpu().numpy() for part in layer)) for layer in parts]


def cone(
    every: list[Layer], votes: Int[Array, " chosen"]
) -> tuple[list[Int[Array, " _"]], list[Int[Array, "_ 2"]]]:
    """Return what some gates of the last layer depend on.

    Returns:
        The numbers of the pixels' bits, then of each layer's gates; and of each layer its wires.
    """
    members = [np.unique(votes)]
    wires: list[np.ndarray] = []
    for layer in reversed(every):
        wires.insert(0, layer.wires(members[0]))
        members.insert(0, np.unique(wires[0][:, 0]))
    return members, wires


def function_counts(circuit: Circuit) -> Int[Array, " 16"]:
    """Return how many gates have each of the 16 functions."""
    functions = np.concatenate([layer.functions for layer in layers(circuit)])
    return np.bincount(functions, minlength=16)


def pixel_counts(
    every: list[Layer], votes: Int[Array, " chosen"]
) -> Int[Array, "thresholds 28 28"]:
    """Return how many wires lead from each bit to gates that `votes` depend on."""
    bits = cone(every, votes)[1][0][:, 0]
    counts = np.bincount(bits, minlength=len(THRESHOLDS) * SIDE**2)
    return counts.reshape(len(THRESHOLDS), SIDE, SIDE)


@torch.inference_mode()
def signals(circuit: Circuit, image: Image) -> list[Bool[Array, " _"]]:
    """Return the bits of an image's pixels, then those of each layer."""
    device = circuit.temperature.device
    return [bits[0].cpu().numpy() for bits in circuit.signals(torch.tensor(image[None]).to(device))]


def by_class(votes: Bool[Array, " gates"]) -> Bool[Array, "11 votes"]:
    """Return the last layer's bits by class."""
    return votes.reshape(CLASSES, -1)


def certainty(
    wires: list[Float[Array, "_ candidates"]], tables: list[Float[Array, "4 _"]]
) -> Float[Array, " 2"]:
    """Return how hard soft gates are: means over all wires and table rows, 1 if all are hard.

    Args:
        wires: weights of each wire's candidates, which sum to 1.
        tables: outputs for each row of the truth table, 0 to 1.
    """
    heaviest = np.concatenate([layer.max(1) for layer in wires])
    decided = np.concatenate([abs(2 * layer - 1).ravel() for layer in tables])
    return np.array([heaviest.mean(), decided.mean()])

"""A circuit as a netlist: simplified, and evaluated on packed bits, 64 digits a word."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from models.logic import CLASSES, SIDE, THRESHOLDS, Circuit

WORD = 64  # digits
BLOCK = 64  # words a gate is computed for at once: all signals then fit into a processor's cache
NOT = 0b1100  # of a
CONSTANT = -1  # the literal (CONSTANT, value)
Literal = tuple[int, bool]  # signal, inverted


@dataclass(frozen=True)
class Netlist:
    """Gates of two inputs in the order of their computation, and votes for classes.

    Signals are numbered: first the inputs, then the gates.

    Attributes:
        inputs: bit of a pixel for each input, threshold * 784 + pixel.
        first, second: signals that a gate reads, int64 [gates].
        tables: truth tables of four bits, ab = 00 first, int64 [gates].
        votes: signals that are votes, int64 [votes].
        classes: of the votes, ascending, int64 [votes].
        constants: votes that are always cast, int64 [11].
    """

    inputs: np.ndarray
    first: np.ndarray
    second: np.ndarray
    tables: np.ndarray
    votes: np.ndarray
    classes: np.ndarray
    constants: np.ndarray

    @classmethod
    def of(cls, circuit: Circuit) -> Netlist:
        """Return a circuit gate by gate, not simplified."""
        inputs = np.arange(len(THRESHOLDS) * SIDE**2)
        first, second, tables = [], [], []
        start, end = 0, len(inputs)  # of the signals of the layer before
        for index, size in enumerate(circuit.config["sizes"]):
            a, b, *_ = (part.numpy() for part in circuit.layer(index))
            first.append(a + start)
            second.append(b + start)
            tables.append(circuit.functions(index).numpy())
            start, end = end, end + size
        return cls(
            inputs,
            np.concatenate(first),
            np.concatenate(second),
            np.concatenate(tables),
            votes=np.arange(start, end),
            classes=np.repeat(np.arange(CLASSES), (end - start) // CLASSES),
            constants=np.zeros(CLASSES, np.int64),
        )

    @cached_property
    def levels(self) -> np.ndarray:
        """The depth of each signal in gates, int64; of inputs 0."""
        levels = [0] * len(self.inputs)
        for a, b in zip(self.first.tolist(), self.second.tolist(), strict=True):
            levels.append(1 + max(levels[a], levels[b]))
        return np.array(levels)

    @property
    def gates(self) -> int:
        """The number of gates."""
        return len(self.first)

    @property
    def depth(self) -> int:
        """The largest number of gates between an input and a vote."""
        return int(self.levels[self.votes].max(initial=0))

    def pack(self, images: np.ndarray) -> np.ndarray:
        """Return the inputs for images uint8 [N, 28, 28]: uint64 [inputs, ceil(N / 64)].

        Bit i of a word belongs to its i-th digit; digits beyond the last are blank.
        """
        level, pixel = np.divmod(self.inputs, SIDE**2)
        columns = np.ascontiguousarray(images.reshape(len(images), -1).T)[pixel]
        bits = columns > np.array(THRESHOLDS, np.uint8)[level][:, None]
        packed = np.packbits(bits, axis=1, bitorder="little")
        padded = np.zeros((len(bits), -(-len(images) // WORD) * 8), np.uint8)
        padded[:, : packed.shape[1]] = packed
        return padded.view("<u8")

    def run(self, packed: np.ndarray) -> np.ndarray:
        """Return the votes of each class for packed inputs: int64 [digits, 11].

        Args:
            packed: uint64 [inputs, words], of 64 digits each.
        """
        starts = range(0, packed.shape[1], BLOCK)
        return np.concatenate([self._run(packed[:, at : at + BLOCK]) for at in starts])

    def _run(self, packed: np.ndarray) -> np.ndarray:
        steps, order, votes = self._schedule
        signals = np.zeros((len(order) + 1, packed.shape[1]), np.uint64)  # the last is always 0
        signals[: len(packed)] = packed
        for start, end, table, first, second in steps:
            signals[start:end] = compute(table, signals[first], signals[second])
        return count(signals[votes]) + self.constants

    @cached_property
    def _schedule(self) -> tuple[list[tuple], np.ndarray, np.ndarray]:
        """Gates ordered by level and function, so that numpy computes many at once.

        Returns:
            Steps (start, end, table, first, second), the order of the signals, and the votes as
            [11, votes], filled up with the number of a signal that is 0.
        """
        kinds = np.concatenate([np.zeros(len(self.inputs), np.int64), self.tables])
        order = np.lexsort((kinds, self.levels))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        gates = order[len(self.inputs) :] - len(self.inputs)
        keys = self.levels[order[len(self.inputs) :]] * 16 + self.tables[gates]
        bounds = [0, *(np.flatnonzero(np.diff(keys)) + 1).tolist(), len(gates)]
        steps = []
        for start, end in pairwise(bounds):
            chosen = gates[start:end]
            at = len(self.inputs)
            wires = (place[self.first[chosen]], place[self.second[chosen]])
            steps.append((at + start, at + end, int(self.tables[chosen[0]]), *wires))
        most = max(1, np.bincount(self.classes, minlength=CLASSES).max(initial=0))
        votes = np.full((CLASSES, most), len(order))
        for label in range(CLASSES):
            mine = place[self.votes[self.classes == label]]
            votes[label, : len(mine)] = mine
        return steps, order, votes


def compute(table: int, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a function of words: c0 ^ (c1 & a) ^ (c2 & b) ^ (c3 & a & b), by its truth table."""
    off, only_b, only_a, both = (bool(table >> place & 1) for place in (3, 2, 1, 0))
    terms = [word for word, used in ((a, off ^ only_a), (b, off ^ only_b)) if used]
    if off ^ only_a ^ only_b ^ both:
        terms.append(a & b)
    result = terms[0] if terms else np.zeros_like(a)
    for term in terms[1:]:
        result = result ^ term
    return ~result if off else result


def count(votes: np.ndarray) -> np.ndarray:
    """Return how many votes are 1, by adders that work on whole words: int64 [digits, classes].

    Args:
        votes: uint64 [classes, votes, words].
    """
    classes, _, words = votes.shape
    total = np.zeros((classes, words * WORD), np.int64)
    value = 1
    while votes.shape[1]:
        carries = []
        while votes.shape[1] > 1:  # three votes of one value are one of it and one of twice it
            rest = votes.shape[1] % 3
            triples = votes[:, : votes.shape[1] - rest]
            if rest == 2 and votes.shape[1] == 2:
                a, b = votes[:, :1], votes[:, 1:]
                carries.append(a & b)
                votes = a ^ b
                continue
            a, b, c = triples[:, ::3], triples[:, 1::3], triples[:, 2::3]
            either = a ^ b
            carries.append((a & b) | (either & c))
            votes = np.concatenate([either ^ c, votes[:, votes.shape[1] - rest :]], axis=1)
        plane = np.ascontiguousarray(votes[:, 0]).view(np.uint8)
        total += value * np.unpackbits(plane, axis=1, bitorder="little").astype(np.int64)
        value *= 2
        votes = np.concatenate(carries, axis=1) if carries else votes[:, :0]
    return total.T


def simplify(netlist: Netlist) -> Netlist:
    """Return a netlist of the same votes without what it does not need.

    Constants, pass-throughs and negations move into the gates that read them; of equal gates one
    stays; what no vote depends on goes.
    """
    literals, gates = _merged(netlist)
    inputs = len(netlist.inputs)
    votes = [literals[signal] for signal in netlist.votes.tolist()]
    # A gate whose votes are all inverted is replaced by its complement.
    upright = {signal for signal, inverted in votes if not inverted}
    flipped = {s for s, inverted in votes if inverted and s >= inputs and s not in upright}
    # A vote that is still inverted needs a gate of its own.
    negations: dict[int, int] = {}
    constants, signals, classes = netlist.constants.copy(), [], []
    for (signal, inverted), label in zip(votes, netlist.classes.tolist(), strict=True):
        if signal == CONSTANT:
            constants[label] += inverted
            continue
        if inverted and signal not in flipped:
            signal = negations.setdefault(signal, inputs + len(gates) + len(negations))
        signals.append(signal)
        classes.append(label)
    table = [
        (a, b, _inverted(t, a in flipped, b in flipped, inputs + number in flipped))
        for number, (a, b, t) in enumerate(gates)
    ]
    table += [(signal, signal, NOT) for signal in negations]
    return _used(netlist, table, signals, classes, constants)


def _merged(netlist: Netlist) -> tuple[list[Literal], list[tuple[int, int, int]]]:
    """Return what each signal is, and the different gates that remain: first, second, table.

    A remaining gate is 0 where both inputs are 0, and reads its signals in ascending order.
    """
    inputs = len(netlist.inputs)
    literals: list[Literal] = [(signal, False) for signal in range(inputs)]
    gates: dict[tuple[int, int, int], int] = {}
    rows = zip(
        netlist.first.tolist(), netlist.second.tolist(), netlist.tables.tolist(), strict=True
    )
    for one, other, table in rows:
        (a, not_a), (b, not_b) = literals[one], literals[other]
        table = _inverted(table, not_a, not_b, False)
        off, only_b, only_a, both = (table >> place & 1 for place in (3, 2, 1, 0))
        # a constant input is 0 here, and equal inputs are both 0 or both 1
        if a == CONSTANT:
            only_a, both = off, only_b
        if b == CONSTANT:
            only_b, both = off, only_a
        if a == b:
            only_a, only_b = both, off
            b = CONSTANT
        if (off, only_b) == (only_a, both) and (off, only_a) == (only_b, both):
            literals.append((CONSTANT, bool(off)))
        elif (off, only_a) == (only_b, both):
            literals.append((a, bool(off)))
        elif (off, only_b) == (only_a, both):
            literals.append((b, bool(off)))
        else:
            if a > b:
                a, b, only_a, only_b = b, a, only_b, only_a
            key = (a, b, 4 * (only_b ^ off) + 2 * (only_a ^ off) + (both ^ off))
            literals.append((gates.setdefault(key, inputs + len(gates)), bool(off)))
    return literals, [*gates]


def _inverted(table: int, a: bool, b: bool, result: bool) -> int:
    """Return the truth table of a gate with inverted inputs or an inverted output."""
    rows = [table >> 3 - row & 1 for row in range(4)]
    rows = [rows[row ^ (2 * a + b)] ^ result for row in range(4)]
    return sum(bit << 3 - row for row, bit in enumerate(rows))


def _used(
    netlist: Netlist,
    gates: list[tuple[int, int, int]],
    votes: list[int],
    classes: list[int],
    constants: np.ndarray,
) -> Netlist:
    """Return the part of a netlist that its votes depend on, with new numbers."""
    inputs = len(netlist.inputs)
    used = np.zeros(inputs + len(gates), bool)
    used[votes] = True
    for number in reversed(range(len(gates))):
        if used[inputs + number]:
            used[[*gates[number][:2]]] = True
    place = used.cumsum() - 1
    kept = [gate for gate, keep in zip(gates, used[inputs:], strict=True) if keep]
    first, second, tables = np.array(kept, np.int64).reshape(-1, 3).T
    return Netlist(
        netlist.inputs[used[:inputs]],
        place[first],
        place[second],
        tables,
        votes=place[np.array(votes, np.int64)],
        classes=np.array(classes, np.int64),
        constants=constants,
    )

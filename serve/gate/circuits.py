"""Circuits wired from learned gates, run on every row and checked against plain arithmetic."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Decide = Callable[[str, np.ndarray], np.ndarray]  # gate, float32 [B, 2] -> its outputs, bool [B]


class Part(NamedTuple):
    """One gate of a circuit: which, what goes in, the signal that comes out, where it is drawn."""

    gate: str
    inputs: tuple[str, str]
    output: str
    place: tuple[float, float]  # column, from 1; row, from 0


class Circuit(NamedTuple):
    """Gates wired to do arithmetic; a part comes after those whose outputs it takes.

    Attributes:
        inputs: signal -> the row in which it is drawn, in counting order.
        operands: the inputs, most significant first, of each number that goes in.
        sign: + or ×, what is done with the numbers.
        outputs: signals of the number that comes out, most significant first.
    """

    name: str
    inputs: dict[str, float]
    parts: tuple[Part, ...]
    operands: tuple[tuple[str, ...], ...]
    sign: str
    outputs: tuple[str, ...]


CIRCUITS = (
    Circuit(
        "half_adder",
        {"a": 0, "b": 1},
        (Part("and", ("a", "b"), "carry", (1, 0)), Part("xor", ("a", "b"), "sum", (1, 1))),
        (("a",), ("b",)),
        "+",
        ("carry", "sum"),
    ),
    Circuit(
        "full_adder",
        {"a": 0, "b": 1, "c": 2},
        (
            Part("and", ("a", "b"), "both", (1, 0)),
            Part("xor", ("a", "b"), "one", (1, 1)),
            Part("and", ("one", "c"), "passed", (2, 1)),
            Part("xor", ("one", "c"), "sum", (2, 2)),
            Part("or", ("both", "passed"), "carry", (3, 0.5)),
        ),
        (("a",), ("b",), ("c",)),
        "+",
        ("carry", "sum"),
    ),
    Circuit(
        "multiplier",
        {"a1": 0, "a0": 1, "b1": 2, "b0": 3},
        (
            Part("and", ("a1", "b1"), "fours", (1, 0)),
            Part("and", ("a1", "b0"), "twos", (1, 1)),
            Part("and", ("a0", "b1"), "also twos", (1, 2)),
            Part("and", ("a0", "b0"), "p0", (1, 3)),
            Part("and", ("twos", "also twos"), "carry", (2, 1)),
            Part("xor", ("twos", "also twos"), "p1", (2, 2)),
            Part("and", ("fours", "carry"), "p3", (3, 0)),
            Part("xor", ("fours", "carry"), "p2", (3, 1)),
        ),
        (("a1", "a0"), ("b1", "b0")),
        "×",
        ("p3", "p2", "p1", "p0"),
    ),
)
GATES = frozenset(part.gate for circuit in CIRCUITS for part in circuit.parts)


def run(circuit: Circuit, decide: Decide) -> dict[str, np.ndarray]:
    """Return each signal in each row of the inputs, counted up: bool [2^inputs]."""
    count = len(circuit.inputs)
    rows = np.arange(2**count)[:, None] >> np.arange(count)[::-1] & 1
    signals = {name: rows[:, index] > 0 for index, name in enumerate(circuit.inputs)}
    for part in circuit.parts:
        pair = np.stack([signals[name] for name in part.inputs], 1)
        signals[part.output] = decide(part.gate, pair.astype(np.float32))
    return signals


def number(signals: dict[str, np.ndarray], bits: tuple[str, ...]) -> np.ndarray:
    """Return the number that the signals `bits` write, most significant first: int [rows]."""
    weights = 2 ** np.arange(len(bits))[::-1]
    return np.stack([signals[bit] for bit in bits], 1) @ weights


def expected(circuit: Circuit, numbers: list[int]) -> int:
    """Return what plain arithmetic makes of the operands."""
    return sum(numbers) if circuit.sign == "+" else math.prod(numbers)


def verified(circuit: Circuit, decide: Decide) -> dict[str, object]:
    """Return the circuit as JSON-able data for its drawing, with every row and whether it is right.

    Each row has its `signals` (name -> 0 or 1), the `question` in digits, the circuit's `answer`
    and what is `expected`.
    """
    signals = run(circuit, decide)
    operands = np.stack([number(signals, bits) for bits in circuit.operands], 1).tolist()
    answers = number(signals, circuit.outputs).tolist()
    rows = [
        {
            "signals": {name: int(values[row]) for name, values in signals.items()},
            "question": f" {circuit.sign} ".join(map(str, numbers)),
            "answer": answers[row],
            "expected": expected(circuit, numbers),
        }
        for row, numbers in enumerate(operands)
    ]
    parts = [part._asdict() for part in circuit.parts]
    return {**circuit._asdict(), "parts": parts, "rows": rows}

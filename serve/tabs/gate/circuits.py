"""Circuits of trained gates, run on every row and checked against plain arithmetic."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from experiments.data import truth_table

Predict = Callable[[str, np.ndarray], np.ndarray]  # gate, float32 [B, 2] -> outputs, bool [B]


class Part(NamedTuple):
    """One gate of a circuit."""

    gate: str
    inputs: tuple[str, str]  # signals
    output: str  # signal
    position: tuple[float, float]  # in the drawing: column, from 1; row, from 0


class Circuit(NamedTuple):
    """Gates that do arithmetic."""

    name: str
    inputs: dict[str, float]  # signal -> its row in the drawing, in counting order
    parts: tuple[Part, ...]  # each after those whose outputs it takes
    operands: tuple[tuple[str, ...], ...]  # the input signals of each number, highest bit first
    sign: str  # + or ×
    outputs: tuple[str, ...]  # signals of the result, highest bit first


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
GATES = sorted({part.gate for circuit in CIRCUITS for part in circuit.parts})


def verify(circuit: Circuit, predict: Predict) -> dict[str, object]:
    """Return the circuit as JSON-able data, with every row.

    Each row has its `signals` (name -> 0 or 1), the `question` as text, the circuit's `answer`
    and the `expected` number.
    """
    # Run the circuit on all rows of its inputs at once: signal -> bool [2^inputs].
    columns = truth_table.inputs(len(circuit.inputs)).T
    signals = {name: x > 0 for name, x in zip(circuit.inputs, columns, strict=True)}
    for part in circuit.parts:
        x = np.stack([signals[name] for name in part.inputs], 1)
        signals[part.output] = predict(part.gate, x.astype(np.float32))

    # Compare its output with arithmetic.
    operands = np.stack([_number(signals, bits) for bits in circuit.operands], 1).tolist()
    answers = _number(signals, circuit.outputs).tolist()
    rows = [
        {
            "signals": {name: int(values[index]) for name, values in signals.items()},
            "question": f" {circuit.sign} ".join(map(str, numbers)),
            "answer": answers[index],
            "expected": sum(numbers) if circuit.sign == "+" else math.prod(numbers),
        }
        for index, numbers in enumerate(operands)
    ]
    parts = [part._asdict() for part in circuit.parts]
    return {**circuit._asdict(), "parts": parts, "rows": rows}


def _number(signals: dict[str, np.ndarray], bits: tuple[str, ...]) -> np.ndarray:
    """Return the number that `bits` encode, highest first: int [rows]."""
    return np.stack([signals[bit] for bit in bits], 1) @ (2 ** np.arange(len(bits))[::-1])

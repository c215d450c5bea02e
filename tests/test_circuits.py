"""Circuits of gates against plain integer arithmetic."""

import numpy as np

from experiments.data.truth_table import TWO_INPUT_GATES
from serve.tabs.gate.circuits import CIRCUITS, verify


def perfect(gate: str, x: np.ndarray) -> np.ndarray:
    """Predict the gate's own truth table."""
    return np.array([TWO_INPUT_GATES[gate][int(2 * a + b)] == "1" for a, b in x])


def test_circuits_add_and_multiply_and_a_wrong_gate_is_detected() -> None:
    half_adder, full_adder, multiplier = CIRCUITS
    added = verify(full_adder, perfect)["rows"]
    assert [row["answer"] for row in added] == [0, 1, 1, 2, 1, 2, 2, 3]
    product = verify(multiplier, perfect)["rows"]
    assert [row["answer"] for row in product] == [a * b for a in range(4) for b in range(4)]
    assert product[14]["question"] == "3 × 2" and product[14]["expected"] == 6
    assert product[14]["signals"]["p2"] == product[14]["signals"]["p1"] == 1

    def broken(gate: str, x: np.ndarray) -> np.ndarray:
        return perfect(gate, x) & ~((gate == "and") & (x.sum(1) == 2))

    rows = verify(half_adder, broken)["rows"]
    assert [row["answer"] == row["expected"] for row in rows] == [True, True, True, False]

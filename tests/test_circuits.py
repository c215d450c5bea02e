"""Circuits of gates against plain integer arithmetic, and broken ones told from right ones."""

import numpy as np
import pytest

from experiments.data.truth_table import TWO_INPUT_GATES
from serve.gate import circuits
from serve.gate.circuits import CIRCUITS, Circuit


def perfect(gate: str, pairs: np.ndarray) -> np.ndarray:
    """Decide as the gate's own truth table says."""
    return np.array([TWO_INPUT_GATES[gate][int(2 * a + b)] == "1" for a, b in pairs])


def named(name: str) -> Circuit:
    return next(circuit for circuit in CIRCUITS if circuit.name == name)


@pytest.mark.parametrize("circuit", CIRCUITS, ids=lambda circuit: circuit.name)
def test_every_part_takes_signals_that_were_there_before_it(circuit: Circuit) -> None:
    known = set(circuit.inputs)
    for part in circuit.parts:
        assert set(part.inputs) <= known and part.output not in known
        known.add(part.output)
    assert set(circuit.outputs) <= known
    assert [bit for operand in circuit.operands for bit in operand] == list(circuit.inputs)


def test_perfect_gates_add_and_multiply() -> None:
    adder = circuits.verified(named("full_adder"), perfect)["rows"]
    assert [row["answer"] for row in adder] == [0, 1, 1, 2, 1, 2, 2, 3]
    product = circuits.verified(named("multiplier"), perfect)["rows"]
    assert [row["answer"] for row in product] == [a * b for a in range(4) for b in range(4)]
    assert product[14]["question"] == "3 × 2" and product[14]["expected"] == 6
    assert product[14]["signals"]["p2"] == product[14]["signals"]["p1"] == 1


def test_a_gate_that_errs_in_one_row_is_found() -> None:
    def broken(gate: str, pairs: np.ndarray) -> np.ndarray:
        return perfect(gate, pairs) & ~((gate == "and") & (pairs.sum(1) == 2))

    rows = circuits.verified(named("half_adder"), broken)["rows"]
    assert [row["answer"] == row["expected"] for row in rows] == [True, True, True, False]

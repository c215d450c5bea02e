"""Truth tables against Python's own operators."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.core.errors import DataError
from experiments.data import truth_table
from tests.expect import refused

PYTHON = {
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
    "nand": lambda a, b: 1 - (a & b),
    "nor": lambda a, b: 1 - (a | b),
    "xnor": lambda a, b: int(a == b),
    "a": lambda a, b: a,
    "b": lambda a, b: b,
    "not_a": lambda a, b: 1 - a,
    "not_b": lambda a, b: 1 - b,
    "a_and_not_b": lambda a, b: a & (1 - b),
    "b_and_not_a": lambda a, b: b & (1 - a),
    "a_or_not_b": lambda a, b: a | (1 - b),
    "b_or_not_a": lambda a, b: b | (1 - a),
    "false": lambda a, b: 0,
    "true": lambda a, b: 1,
}


def test_all_gates_of_two_inputs() -> None:
    tables = truth_table.parse("all")
    assert tables.keys() == PYTHON.keys() and truth_table.outputs(tables).shape == (4, 16)
    for index, gate in enumerate(tables):
        expected = [PYTHON[gate](a, b) for a in (0, 1) for b in (0, 1)]
        assert truth_table.outputs(tables)[:, index].tolist() == expected, gate
        assert truth_table.parse(gate) == {gate: tables[gate]}


@pytest.mark.parametrize("n", [1, 2, 3, 4, 10])
def test_families_of_n_inputs(n: int) -> None:
    rows = truth_table.inputs(n).astype(int).tolist()
    rules = {
        "and": all,
        "or": any,
        "nand": lambda row: not all(row),
        "parity": lambda row: sum(row) % 2,
        "majority": lambda row: sum(row) > n / 2,
    }
    for name, rule in rules.items():
        bits = truth_table.outputs(truth_table.parse(f"{name}{n}"))[:, 0]
        assert bits.tolist() == [float(bool(rule(row))) for row in rows], name


@given(n=st.integers(1, 10))
def test_inputs_count_in_binary(n: int) -> None:
    rows = truth_table.inputs(n)
    assert rows.dtype == np.float32
    assert ["".join(str(int(v)) for v in row) for row in rows] == [
        f"{i:0{n}b}" for i in range(2**n)
    ]


@given(st.integers(1, 6).flatmap(lambda n: st.text("01", min_size=2**n, max_size=2**n)))
def test_bits_are_a_table_with_a_short_name(bits: str) -> None:
    ((name, table),) = truth_table.parse(bits).items()
    assert table == bits and len(name) <= 20
    assert name == bits or len(bits) > 16
    assert truth_table.parse(bits[::-1]).keys() != {name} or bits == bits[::-1]


@pytest.mark.parametrize(
    ("gate", "code", "found"),
    [
        ("foo", "gate-unknown", "'foo'"),
        ("011", "gate-table-incomplete", "3"),
        ("parity11", "gate-inputs-out-of-range", "11 in 'parity11'"),
        ("parity0", "gate-inputs-out-of-range", "0 in 'parity0'"),
        ("01" * 1024, "gate-inputs-out-of-range", "11 in "),
        ("", "gate-unknown", "''"),
    ],
)
def test_refusals(gate: str, code: str, found: str) -> None:
    with refused(code, DataError, what="gate", found=found):
        truth_table.parse(gate)

"""Truth tables against Python's own operators."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.data import truth_table
from experiments.errors import DataError

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


@pytest.mark.parametrize("gate", truth_table.TWO_INPUT_GATES)
def test_two_input_gates(gate: str) -> None:
    expected = [PYTHON[gate](a, b) for a in (0, 1) for b in (0, 1)]
    assert truth_table.outputs(truth_table.parse(gate))[:, 0].tolist() == expected


def test_all_are_the_sixteen() -> None:
    tables = truth_table.parse("all")
    assert len(tables) == 16 == len(set(tables.values()))
    assert truth_table.outputs(tables).shape == (4, 16)


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
        got = truth_table.outputs(truth_table.parse(f"{name}{n}"))[:, 0]
        assert got.tolist() == [float(bool(rule(row))) for row in rows], name


@given(n=st.integers(1, 10))
def test_inputs_count_in_binary(n: int) -> None:
    rows = truth_table.inputs(n)
    assert rows.dtype == np.float32
    assert ["".join(str(int(v)) for v in row) for row in rows] == [
        f"{i:0{n}b}" for i in range(2**n)
    ]


@given(st.integers(1, 6).flatmap(lambda n: st.text("01", min_size=2**n, max_size=2**n)))
def test_bits_are_taken_as_they_are(bits: str) -> None:
    ((name, table),) = truth_table.parse(bits).items()
    assert table == bits and len(name) <= 20
    assert name == bits or len(bits) > 16


def test_long_tables_have_names_of_their_own() -> None:
    names = {name for bits in ("01" * 512, "10" * 512) for name in truth_table.parse(bits)}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("foo", r"expected all, one of false.*xor.*found 'foo'"),
        ("011", "expected 2, 4, 8, ... bits, one a row of the table, found 3 bits"),
        ("parity11", "expected 1 to 10 inputs, found 11"),
        ("parity0", "expected 1 to 10 inputs, found 0"),
        ("01" * 1024, "expected 1 to 10 inputs, found 11"),
        ("", "expected all"),
    ],
)
def test_refusals(gate: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        truth_table.parse(gate)

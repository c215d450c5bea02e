"""Logic gates as truth tables: names to bits, bits to arrays."""

import re
from hashlib import md5

import numpy as np

from experiments.errors import DataError

MAX_INPUTS = 10

# The 16 gates of two inputs. A gate's bits are its outputs for the rows (a, b) = 00, 01, 10, 11.
TWO_INPUT_GATES = {
    "false": "0000",
    "and": "0001",
    "a_and_not_b": "0010",
    "a": "0011",
    "b_and_not_a": "0100",
    "b": "0101",
    "xor": "0110",
    "or": "0111",
    "nor": "1000",
    "xnor": "1001",
    "not_b": "1010",
    "a_or_not_b": "1011",
    "not_a": "1100",
    "b_or_not_a": "1101",
    "nand": "1110",
    "true": "1111",
}
FAMILIES = ("and", "or", "nand", "nor", "xor", "xnor", "parity", "majority")


def inputs(n: int) -> np.ndarray:
    """Return all rows of `n` inputs in counting order: float32 [2^n, n] of 0 and 1."""
    rows = np.arange(2**n)[:, None] >> np.arange(n)[::-1] & 1
    return rows.astype(np.float32)


def parse(gate: str) -> dict[str, str]:
    """Return name -> bits of the gates that `gate` asks for, all with one number of inputs.

    Args:
        gate: `all` (the 16 gates of two inputs), one of their names, a family with its number
            of inputs (`parity4`, `majority3`, `and5`), or a truth table as 2^n bits (`0110`).

    Raises:
        DataError: it is none of these, or has fewer than 1 or more than 10 inputs.
    """
    gate = gate.strip().lower()
    if gate == "all":
        return dict(TWO_INPUT_GATES)
    if gate in TWO_INPUT_GATES:
        return {gate: TWO_INPUT_GATES[gate]}
    if re.fullmatch("[01]+", gate):
        return {_table_name(gate): _checked_bits(gate)}
    if match := re.fullmatch(rf"({'|'.join(FAMILIES)})(\d+)", gate):
        return {gate: _family(match[1], _checked_count(gate, int(match[2])))}
    raise DataError(
        f"gate: expected all, one of {', '.join(TWO_INPUT_GATES)}, a family with its number of "
        f"inputs ({', '.join(f'{name}3' for name in FAMILIES)}), or 2^n bits such as 01101001; "
        f"found {gate!r}."
    )


def outputs(bits: dict[str, str]) -> np.ndarray:
    """Return the gates' outputs row by row: float32 [2^n, gates] of 0 and 1."""
    return np.array([[int(bit) for bit in table] for table in bits.values()], np.float32).T


def _table_name(bits: str) -> str:
    """Return the bits themselves while a person can read them, else a short name for them."""
    if len(bits) <= 16:
        return bits
    return f"table{len(bits)}-{md5(bits.encode(), usedforsecurity=False).hexdigest()[:8]}"


def _checked_bits(bits: str) -> str:
    n = len(bits).bit_length() - 1
    if n < 1 or len(bits) != 2**n:
        raise DataError(
            f"gate: expected 2, 4, 8, ... bits, one a row of the table, found {len(bits)} bits."
        )
    _checked_count(f"{bits[:16]}...", n)
    return bits


def _checked_count(gate: str, n: int) -> int:
    if not 1 <= n <= MAX_INPUTS:
        raise DataError(
            f"gate: expected 1 to {MAX_INPUTS} inputs, found {n} in {gate!r}; a table doubles "
            "with each input, and beyond that it is no longer a small network's whole world."
        )
    return n


def _family(name: str, n: int) -> str:
    ones = inputs(n).sum(1)
    rules = {
        "and": ones == n,
        "or": ones > 0,
        "nand": ones < n,
        "nor": ones == 0,
        "xor": ones % 2 == 1,
        "xnor": ones % 2 == 0,
        "parity": ones % 2 == 1,
        "majority": ones * 2 > n,
    }
    return "".join("1" if one else "0" for one in rules[name])

"""Logic gates as truth tables: names to bits, bits to arrays."""

import re
from hashlib import md5

import numpy as np

from experiments.core.errors import DataError

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
    """Return name -> bits of the gates named by `gate`, all with one number of inputs.

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
    families = ", ".join(f"{name}3" for name in FAMILIES)
    raise DataError(
        "gate-unknown",
        "gate",
        expected=f"all, one of {', '.join(TWO_INPUT_GATES)}, a family with its number of inputs "
        f"({families}), or 2^n bits such as 01101001",
        found=repr(gate),
        fix="Choose one of these.",
    )


def outputs(bits: dict[str, str]) -> np.ndarray:
    """Return the gates' outputs row by row: float32 [2^n, gates] of 0 and 1."""
    return np.array([[int(bit) for bit in table] for table in bits.values()], np.float32).T


def is_separable(x: np.ndarray, y: np.ndarray) -> bool:
    """Return whether a plane separates the rows of output 1 from those of 0.

    Args:
        x, y: inputs [rows, n] and outputs [rows], 0 and 1.
    """
    from scipy.optimize import linprog

    # a feasible point of sign * (w x + b) >= 1
    sign = 1 - 2 * y[:, None]
    rows = sign * np.hstack([x, np.ones((len(x), 1))])
    bounds = (None, None)
    return bool(linprog(np.zeros(rows.shape[1]), rows, -np.ones(len(x)), bounds=bounds).success)


def _table_name(bits: str) -> str:
    """Return the bits themselves while a person can read them, else a short name for them."""
    if len(bits) <= 16:
        return bits
    return f"table{len(bits)}-{md5(bits.encode(), usedforsecurity=False).hexdigest()[:8]}"


def _checked_bits(bits: str) -> str:
    n = len(bits).bit_length() - 1
    if n < 1 or len(bits) != 2**n:
        raise DataError(
            "gate-table-incomplete",
            "gate",
            expected="2, 4, 8, ... bits, one for each row of the table",
            found=f"{len(bits)} bits",
            fix="Add the missing bits.",
        )
    _checked_count(f"{bits[:16]}...", n)
    return bits


def _checked_count(gate: str, n: int) -> int:
    if not 1 <= n <= MAX_INPUTS:
        raise DataError(
            "gate-inputs-out-of-range",
            "gate",
            expected=f"1 to {MAX_INPUTS} inputs",
            found=f"{n} in {gate!r}",
            fix="Each input doubles the table; take a gate with fewer.",
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

"""A netlist as Verilog, as BLIF (Berkeley logic interchange format) and as a C function."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.core import files
from export.netlist import Netlist
from models.logic import CLASSES, SIDE, THRESHOLDS

FILES = ("circuit.v", "circuit.blif", "circuit.c")
# by the number of the truth table, ab = 00 first; valid in Verilog and in C
FORMULAS = (
    "{a} & ~{a}", "{a} & {b}", "{a} & ~{b}", "{a}", "~{a} & {b}", "{b}", "{a} ^ {b}", "{a} | {b}",
    "~({a} | {b})", "~({a} ^ {b})", "~{b}", "{a} | ~{b}", "~{a}", "~{a} | {b}", "~({a} & {b})",
    "{a} | ~{a}",
)  # fmt: skip


def write(folder: Path, netlist: Netlist, name: str) -> None:
    """Write the three files, completely or not at all; an older netlist is replaced.

    Args:
        name: of the model, for the files' first lines.

    Raises:
        UserError: folder-occupied or folder-unwritable.
    """
    check(folder)
    contents = (verilog(netlist, name), blif(netlist, name), c_source(netlist, name))
    texts = {file: text.encode() for file, text in zip(FILES, contents, strict=True)}
    files.write_folder(folder, "netlist", texts)


def check(folder: Path) -> None:
    """Raise UserError if a netlist cannot be written to `folder`, before any work for it."""
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    listed = files.listed(folder)
    ours = {*FILES} <= listed and paths <= listed
    files.check_folder(folder, "netlist", "an older netlist", ours=ours)


def verilog(netlist: Netlist, name: str) -> str:
    """Return a module `circuit`: input `bits`, outputs `votes_0` to `votes_10`, which count."""
    names = _names(netlist, "bits[{}]", "g{}")
    width = places(netlist)
    ports = ", ".join(f"votes_{label}" for label in range(CLASSES))
    lines = [
        *_head(netlist, name, "//"),
        f"module circuit(bits, {ports});",
        f"input [{max(0, len(netlist.inputs) - 1)}:0] bits;",
        f"output reg [{width - 1}:0] {ports};",
        "integer i;",
    ]
    lines += [f"wire g{n} = {formula};" for n, formula in enumerate(_formulas(netlist, names))]
    for label, votes in enumerate(_by_class(netlist)):
        lines.append(f"always @* begin votes_{label} = {netlist.constants[label]};")
        if len(votes):
            terms = ", ".join(names[signal] for signal in votes)
            lines[-1:-1] = [f"wire [{len(votes) - 1}:0] v{label} = {{{terms}}};"]
            body = f"votes_{label} = votes_{label} + v{label}[i];"
            lines.append(f"for (i = 0; i < {len(votes)}; i = i + 1) {body}")
        lines.append("end")
    return "\n".join([*lines, "endmodule", ""])


def blif(netlist: Netlist, name: str) -> str:
    """Return a model `circuit` of inputs b0, b1, ... and outputs v0, v1, ...: the single votes."""
    names = _names(netlist, "b{}", "g{}")
    inputs = " ".join(names[: len(netlist.inputs)])
    outputs = " ".join(f"v{number}" for number in range(len(netlist.votes)))
    lines = [
        *_head(netlist, name, "#"),
        f"# classes of the votes: {' '.join(map(str, netlist.classes))}",
        ".model circuit",
        f".inputs {inputs}",
        f".outputs {outputs}",
    ]
    for number, (a, b, table) in enumerate(_gates(netlist)):
        rows = [row for row in range(4) if table >> 3 - row & 1]
        if a == b:  # a negation: an input may be listed once
            lines += [f".names {names[a]} g{number}", "0 1"]
            continue
        lines.append(f".names {names[a]} {names[b]} g{number}")
        lines += [f"{row >> 1}{row & 1} 1" for row in rows]
    for number, signal in enumerate(netlist.votes.tolist()):
        lines += [f".names {names[signal]} v{number}", "1 1"]
    return "\n".join([*lines, ".end", ""])


def c_source(netlist: Netlist, name: str) -> str:
    """Return a function that counts the votes of as many digits as `circuit_word` has bits."""
    inputs = len(netlist.inputs)
    gates = [
        f"    s[{inputs + number}] = {formula};"
        for number, formula in enumerate(_formulas(netlist, _names(netlist, "s[{}]", "s[{}]")))
    ]
    votes = _by_class(netlist)
    starts = np.cumsum([0, *map(len, votes)])
    return C.format(
        head="\n".join(_head(netlist, name, "//")),
        inputs=inputs,
        signals=inputs + netlist.gates,
        classes=CLASSES,
        places=places(netlist),
        most=max(1, *map(len, votes)),
        votes=",".join(map(str, np.concatenate(votes).astype(int))) or "0",
        starts=",".join(map(str, starts)),
        constants=",".join(map(str, netlist.constants)),
        gates="\n".join(gates),
    )


def _head(netlist: Netlist, name: str, mark: str) -> list[str]:
    level, pixel = np.divmod(netlist.inputs, SIDE**2)
    bits = ", ".join(
        f"{p // SIDE},{p % SIDE}>{THRESHOLDS[t]}" for t, p in zip(level, pixel, strict=True)
    )
    return [
        f"{mark} {name}: {netlist.gates} gates, depth {netlist.depth}; classes 0 to 9, no digit",
        f"{mark} votes always cast: {' '.join(map(str, netlist.constants))}",
        f"{mark} inputs, from 0, as row,column>threshold of the image: {bits}",
    ]


def places(netlist: Netlist) -> int:
    """Return the bits that a count of votes needs."""
    votes = np.bincount(netlist.classes, minlength=CLASSES) + netlist.constants
    return int(votes.max()).bit_length()


def _names(netlist: Netlist, inputs: str, gates: str) -> list[str]:
    """Return the name of each signal; gates are numbered after the inputs if names are alike."""
    count = len(netlist.inputs)
    first = count if inputs == gates else 0
    return [
        *(inputs.format(number) for number in range(count)),
        *(gates.format(first + number) for number in range(netlist.gates)),
    ]


def _gates(netlist: Netlist) -> list[tuple[int, int, int]]:
    rows = (netlist.first.tolist(), netlist.second.tolist(), netlist.tables.tolist())
    return list(zip(*rows, strict=True))


def _formulas(netlist: Netlist, names: list[str]) -> list[str]:
    return [FORMULAS[t].format(a=names[a], b=names[b]) for a, b, t in _gates(netlist)]


def _by_class(netlist: Netlist) -> list[np.ndarray]:
    return [netlist.votes[netlist.classes == label] for label in range(CLASSES)]


C = """{head}
#include <string.h>
#ifndef circuit_word
#ifdef __GNUC__
typedef unsigned long long circuit_word __attribute__((vector_size(64)));
#else
typedef unsigned long long circuit_word;
#endif
#endif
enum {{ INPUTS = {inputs}, SIGNALS = {signals}, CLASSES = {classes}, PLACES = {places} }};
static const int votes[] = {{{votes}}};
static const int starts[] = {{{starts}}};
static const int constants[] = {{{constants}}};

// Count n votes; bit d of counts[k] is place k of the count for digit d. Three votes of one value
// are one of it and one of twice it.
static void count(circuit_word *v, int n, int constant, circuit_word *counts) {{
    circuit_word next[{most} + 1], zero;
    memset(&zero, 0, sizeof zero);
    for (int k = 0; k < PLACES; k++) {{
        int carries = 0;
        if (constant >> k & 1)
            v[n++] = ~zero;
        while (n > 1) {{
            int m = 0, i = 0;
            for (; i + 2 < n; i += 3) {{
                circuit_word a = v[i], b = v[i + 1], c = v[i + 2], either = a ^ b;
                v[m++] = either ^ c;
                next[carries++] = (a & b) | (either & c);
            }}
            if (n - i == 2 && n == 2) {{
                next[carries++] = v[0] & v[1];
                v[m++] = v[0] ^ v[1];
            }} else
                while (i < n)
                    v[m++] = v[i++];
            n = m;
        }}
        counts[k] = n ? v[0] : zero;
        memcpy(v, next, carries * sizeof *v);
        n = carries;
    }}
}}

// bits[i]: input i of as many digits as a word has bits. counts[c][k]: place k of class c's votes.
void circuit(const circuit_word bits[INPUTS], circuit_word counts[CLASSES][PLACES]) {{
    circuit_word s[SIGNALS], v[{most} + 2];
    memcpy(s, bits, INPUTS * sizeof *s);
{gates}
    for (int c = 0; c < CLASSES; c++) {{
        int n = 0;
        for (int i = starts[c]; i < starts[c + 1]; i++)
            v[n++] = s[votes[i]];
        count(v, n, constants[c], counts[c]);
    }}
}}
"""

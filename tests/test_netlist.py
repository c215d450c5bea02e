"""A circuit's netlist: simplified, on packed bits, in Verilog, BLIF and C."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import logic
from experiments import evaluation
from experiments.evaluation.evaluation import Evaluation
from export import hdl, to_onnx
from export.netlist import WORD, Netlist, compute, count, simplify
from models.logic import CLASSES, Circuit
from tests.expect import refused
from tests.inprocess import Store
from tests.test_logic import SMALL, random_circuit


@pytest.fixture(scope="module")
def circuit() -> Circuit:
    """Random gates: a sixteenth of each function, so constants and negations at every depth."""
    return random_circuit((300, 220, 154), seed=1)


def tool(name: str) -> str:
    """The path of an optional program; without it the test is skipped, but never in CI."""
    path = shutil.which(name)
    if path is None:
        assert not os.environ.get("CI"), f"CI must have {name}: install Debian's package"
        pytest.skip(f"no {name} on this machine; Debian and Ubuntu have it as a package")
    return path


def test_words_are_computed_by_each_of_the_16_functions() -> None:
    a, b = (np.array([word], np.uint64) for word in (0b0011, 0b0101))  # rows ab = 00, 01, 10, 11
    for table in range(16):
        bits = f"{int(compute(table, a, b)[0]) & 15:04b}"
        assert bits == f"{table:04b}"


def test_votes_are_counted_in_words() -> None:
    random = np.random.default_rng(0)
    for number in (0, 1, 2, 3, 8, 45):
        bits = random.integers(0, 2, (4, number, 2 * WORD), dtype=np.uint8)
        words = np.packbits(bits, axis=2, bitorder="little").view(np.uint64)
        assert np.array_equal(count(words.reshape(4, number, 2)), bits.sum(1, dtype=int).T)


@pytest.mark.parametrize("digits_used", [1, 64, 1000])
def test_a_simplified_netlist_has_the_same_votes(circuit, digits, digits_used: int) -> None:
    images = digits.test_images[:digits_used]
    whole = Netlist.of(circuit)
    small = simplify(whole)
    expected = logic.votes(circuit, images)
    for netlist in (whole, small):
        assert np.array_equal(netlist.run(netlist.pack(images))[: len(images)], expected)
    assert whole.gates == 674 and whole.depth == 3
    assert small.gates < 400 and small.constants.sum() > 0


def test_nothing_is_left_to_simplify(circuit) -> None:
    small = simplify(Netlist.of(circuit))
    rows = list(
        zip(small.first.tolist(), small.second.tolist(), small.tables.tolist(), strict=True)
    )
    assert len({*rows}) == len(rows)
    needed = {*small.first.tolist(), *small.second.tolist(), *small.votes.tolist()}
    assert needed == {*range(len(small.inputs) + small.gates)}
    negations = [signal for signal, other, _ in rows if signal == other]
    assert len({*negations}) == len(negations)
    reduced = {t for a, b, t in rows if a != b}  # neither constants nor functions of one input
    assert not reduced & {0b0000, 0b0011, 0b0101, 0b1010, 0b1100, 0b1111}


def test_blif_states_every_gate(circuit, digits) -> None:
    """It is evaluated by a reader of its own, row by row."""
    netlist = simplify(Netlist.of(circuit))
    image = digits.test_images[:1]
    bits = (netlist.pack(image)[:, 0] & np.uint64(1)).tolist()
    values = {f"b{number}": int(bit) for number, bit in enumerate(bits)}
    blocks = hdl.blif(netlist, "test").split(".names ")[1:]
    for block in blocks:
        head, *rows = block.replace(".end", "").strip().splitlines()
        *sources, target = head.split()
        now = "".join(str(values[source]) for source in sources)
        values[target] = int(any(row.split() == [now, "1"] for row in rows))
    votes = np.array([values[f"v{number}"] for number in range(len(netlist.votes))])
    counted = np.bincount(netlist.classes, votes, CLASSES) + netlist.constants
    assert np.array_equal(counted, logic.votes(circuit, image)[0])


def test_a_circuit_is_exported_as_a_netlist_and_a_network_is_not(
    own_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "get", lambda task: Evaluation())
    own_store.train(f"{SMALL} --epochs 0.3")
    own_store.train()
    folder, out = tmp_path / "netlist", tmp_path / "x.onnx"
    line = ["--netlist", str(folder), "--out", str(out)]
    result = CliRunner().invoke(to_onnx.command, ["--task", "logic", *line])
    assert result.exit_code == 0 and re.search(r"\d+ gates, depth \d", result.output)
    assert {*hdl.FILES} < {path.name for path in folder.iterdir()}
    uri = ["--model", "models:/gate/1"]
    with refused("netlist-unsuitable"):
        again = ["--task", "gate", *uri, "--netlist", f"{folder}2", "--out", f"{out}2"]
        CliRunner().invoke(to_onnx.command, again, standalone_mode=False, catch_exceptions=False)
    (tmp_path / "other").mkdir()
    with refused("folder-occupied"):
        hdl.check(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.parametrize("width", [8, 64])
def test_the_c_function_counts_the_same_votes(circuit, digits, tmp_path: Path, width: int) -> None:
    tool("cc")
    netlist, images = simplify(Netlist.of(circuit)), digits.test_images[:1024]
    flags = ("-O1", "-Dcircuit_word=unsigned long long") if width == 8 else logic.FLAGS
    compiled = logic.Compiled.of(netlist, tmp_path, width, flags)
    counts = compiled.run(compiled.blocks(netlist.pack(images)))
    assert np.array_equal(compiled.votes(counts), logic.votes(circuit, images))


BENCH = """
module bench;
  reg [{last}:0] memory [0:999];
  reg [{last}:0] bits;
  wire [{high}:0] {votes};
  integer i;
  circuit reader(bits, {votes});
  initial begin
    $readmemb("bits.txt", memory);
    for (i = 0; i < 1000; i = i + 1) begin
      bits = memory[i];
      #1 $display("{form}", {votes});
    end
  end
endmodule
"""


@pytest.mark.slow
def test_the_verilog_module_counts_the_same_votes(circuit, digits, tmp_path: Path) -> None:
    netlist, images = simplify(Netlist.of(circuit)), digits.test_images[:1000]
    packed = netlist.pack(images).view(np.uint8)
    bits = np.unpackbits(packed, axis=1, bitorder="little")[:, :1000].T
    rows = ["".join(map(str, row[::-1])) for row in bits]  # Verilog's bit 0 is the last
    (tmp_path / "bits.txt").write_text("\n".join(rows))
    (tmp_path / "circuit.v").write_text(hdl.verilog(netlist, "test"))
    votes = ", ".join(f"votes_{label}" for label in range(CLASSES))
    bench = BENCH.format(
        last=len(netlist.inputs) - 1,
        high=hdl.places(netlist) - 1,
        votes=votes,
        form=" ".join(["%0d"] * CLASSES),
    )
    (tmp_path / "bench.v").write_text(bench)
    line = [tool("iverilog"), "-o", "simulation", "bench.v", "circuit.v"]
    subprocess.run(line, cwd=tmp_path, check=True, capture_output=True)
    line = [tool("vvp"), "simulation"]
    printed = subprocess.run(line, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    found = [list(map(int, row.split())) for row in printed.splitlines() if row[:1].isdigit()]
    assert np.array_equal(found, logic.votes(circuit, images))


@pytest.mark.slow
@pytest.mark.parametrize("file", ["circuit.v", "circuit.blif"])
def test_yosys_reads_the_netlist_and_counts_its_cells(circuit, tmp_path: Path, file: str) -> None:
    netlist = simplify(Netlist.of(circuit))
    hdl.write(tmp_path / "netlist", netlist, "test")
    read = "read_verilog circuit.v" if file.endswith(".v") else "read_blif circuit.blif"
    script = f"{read}; synth -top circuit; abc -g gates; stat"
    line = [tool("yosys"), "-p", script]
    result = subprocess.run(line, cwd=tmp_path / "netlist", capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    cells = int(re.findall(r"(?:Number of cells:\s+(\d+)|(\d+) cells)", result.stdout)[-1][0] or 0)
    if file == "circuit.blif":  # the gates alone, which Yosys may still merge
        assert 0.3 * netlist.gates < cells <= 1.5 * netlist.gates
    else:  # and the adders
        assert cells > netlist.gates

"""What a circuit of logic gates costs: gates before and after simplification, digits a second.

    python -m benchmarks.logic --model models:/logic@champion

The simplified circuit must have the votes of the trained one for all 70,000 digits. Speed is
digits per second of processor time on one thread: of numpy and of the compiled C function on
packed bits, of onnxruntime and torch on the circuit, and of both on the default digit network,
untrained, in the same run. Needs a C compiler. Writes benchmarks/results/logic.json.
"""

from __future__ import annotations

import ctypes
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import record
from experiments import tasks
from experiments.core import cli
from experiments.core.onnx_session import open_session, run_batches
from export import hdl
from export.netlist import WORD, Netlist, simplify
from models.logic import CLASSES, Circuit

REPEATS = 5
FLAGS = ("-O1", "-march=native")
VECTOR = 64  # bytes of the C function's words


@dataclass(frozen=True)
class Compiled:
    """A netlist's C function, compiled for words of `width` bytes."""

    function: Callable[..., None]
    places: int
    width: int = VECTOR

    @classmethod
    def of(
        cls, netlist: Netlist, folder: Path, width: int = VECTOR, flags: tuple[str, ...] = FLAGS
    ) -> Compiled:
        """Return the function, compiled in `folder`."""
        source, library = folder / "circuit.c", folder / "circuit.so"
        source.write_text(hdl.c_source(netlist, "benchmark"))
        line = ["cc", *flags, "-shared", "-fPIC", "-o", str(library), str(source)]
        subprocess.run(line, check=True, capture_output=True)
        return cls(ctypes.CDLL(str(library)).circuit, hdl.places(netlist), width)

    def run(self, packed: np.ndarray) -> np.ndarray:
        """Return the binary places of the counts for packed inputs, a block a call.

        Args:
            packed: uint64 [blocks, inputs, words], aligned.

        Returns:
            uint64 [blocks, 11, places, words].
        """
        shape = (len(packed), CLASSES, self.places, packed.shape[2])
        counts = aligned(np.zeros(shape, np.uint64))
        source, target = packed.ctypes.data, counts.ctypes.data
        step, stride = packed[0].nbytes, counts[0].nbytes
        for block in range(len(packed)):
            bits = ctypes.c_void_p(source + block * step)
            self.function(bits, ctypes.c_void_p(target + block * stride))
        return counts

    def blocks(self, packed: np.ndarray) -> np.ndarray:
        """Return inputs [inputs, words] as `run` takes them; the words must fill whole blocks."""
        words = self.width // 8
        return aligned(packed.reshape(len(packed), -1, words).swapaxes(0, 1))

    def votes(self, counts: np.ndarray) -> np.ndarray:
        """Return the numbers of what `run` returns: int64 [digits, 11]."""
        bits = np.unpackbits(counts.view(np.uint8), axis=3, bitorder="little").astype(np.int64)
        return np.einsum("bckd,k->bdc", bits, 2 ** np.arange(self.places)).reshape(-1, CLASSES)


def aligned(array: np.ndarray) -> np.ndarray:
    """Return a copy at an address that vectors may have."""
    raw = np.zeros(array.nbytes + VECTOR, np.uint8)
    start = -raw.ctypes.data % VECTOR
    copy = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[:] = array
    return copy


@click.command("benchmarks.logic")
@click.option("--model", default="models:/logic@champion", show_default=True)
def command(model: str) -> None:
    """Measure a registered circuit, and write results/logic.json."""
    import torch

    from experiments.data import mnist
    from experiments.registry import loading, versions

    torch.set_num_threads(1)
    task = tasks.get("logic")
    version = versions.find(model, how_to_make=cli.HOW_TO_TRAIN.format(task="logic"))
    circuit, _ = loading.load_model(task, version)
    assert isinstance(circuit, Circuit)
    whole = Netlist.of(circuit)
    small = simplify(whole)
    digits = mnist.load()
    images = np.concatenate([digits.train_images, digits.test_images])
    same = small.run(small.pack(images))[: len(images)] == votes(circuit, images)
    shared = ("val_accuracy", "test_accuracy", "fit_seconds", "seed", "hparams")
    result = {
        "model": version.uri,
        **{name: version.metadata[name] for name in shared},
        "gates": whole.gates,
        "gates_simplified": small.gates,
        "inputs": len(small.inputs),
        "depth": small.depth,
        "same_votes": int(same.all(1).sum()),
        "digits_per_second": speeds(circuit, small, digits.test_images),
    }
    click.echo("\n".join(f"{name}: {value}" for name, value in result.items()))
    record.save("logic", f"python -m benchmarks.logic --model {model}", result)


def votes(circuit: Circuit, images: np.ndarray) -> np.ndarray:
    """Return the votes by class for images uint8 [N, 28, 28], as torch counts them: int64."""
    import torch

    with torch.inference_mode():
        last = [circuit.signals(x)[-1] for x in torch.tensor(images).split(500)]
    return torch.cat([bits.unflatten(1, (CLASSES, -1)).sum(2) for bits in last]).numpy()


def speeds(circuit: Circuit, netlist: Netlist, images: np.ndarray) -> dict[str, Any]:
    """Return digits per second of processor time by name of the program."""
    import torch

    from experiments.training.loop import initialise
    from experiments.training.metrics import predict
    from export import graph, verify

    mnist = tasks.get("mnist")
    cnn = initialise(mnist, mnist.load(mnist.data_options()), mnist.hparams(), 0).eval()
    logic = tasks.get("logic")
    raw = {
        name: verify.to_bytes(graph.of_task(task, net, images[:2], {}))
        for name, task, net in (("logic", logic, circuit), ("mnist", mnist, cnn))
    }
    sessions = {name: open_session(each, threads=1) for name, each in raw.items()}
    many = np.resize(images, (8 * 8192, 28, 28))
    packed, few = netlist.pack(many), torch.tensor(images)
    with tempfile.TemporaryDirectory() as folder:
        compiled = Compiled.of(netlist, Path(folder))
        blocks = compiled.blocks(packed)
        programs: dict[str, tuple[int, Callable[[], object]]] = {
            "C, packed bits": (len(many), lambda: compiled.run(blocks)),
            "numpy, packed bits": (len(many), lambda: netlist.run(packed)),
            "numpy, images": (len(many), lambda: packed_and_run(netlist, many)),
            "onnxruntime": (len(images), lambda: run_batches(sessions["logic"], images)),
            "torch": (len(images), lambda: predict(circuit, few)),
            "onnxruntime, CNN": (len(images), lambda: run_batches(sessions["mnist"], images)),
            "torch, CNN": (len(images), lambda: predict(cnn, few)),
        }
        return {name: round(speed(*program)) for name, program in programs.items()}


def packed_and_run(netlist: Netlist, images: np.ndarray) -> np.ndarray:
    """Return the votes for images, packed in parts that fit into a processor's cache."""
    parts = np.split(images, range(16 * WORD, len(images), 16 * WORD))
    return netlist.run(np.concatenate([netlist.pack(part) for part in parts], axis=1))


def speed(count: int, run: Callable[[], object]) -> float:
    """Return `count` per median second of processor time of `run`."""
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return count / statistics.median(seconds)


if __name__ == "__main__":
    cli.main(command)

"""Empty MLflow stores, versions registered in them, damaged files, and concurrent work."""

import functools
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from threading import Barrier
from typing import Any

import mlflow
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from experiments import tasks
from experiments.core.paths import ROOT
from experiments.registry import artifacts, versions
from experiments.registry.metadata import FORMAT, search_tags
from experiments.registry.versions import Version
from experiments.tracking import runs
from export import graph
from models.mlp import GateBank
from tests import inprocess

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)


def numbers(text: str) -> list[str]:
    """Return the numbers in a text, as they are written."""
    return re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?(?:e-?\d+)?", text)


@functools.cache
def _template() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return inprocess.make_empty(Path(folder)).read_bytes()


@contextmanager
def store_in(folder: Path) -> Iterator[Path]:
    """Use an MLflow store in `folder`, as the working folder."""
    with pytest.MonkeyPatch.context() as patch:
        empty = folder / "empty.db"
        empty.write_bytes(_template())
        inprocess.Store(folder, empty, patch)
        yield folder


def evidence(wrong: int = 0, **more: Any) -> dict[str, Any]:
    """Return the metadata of a training on all gates, with `wrong` of 64 answers."""
    splits = tasks.get("gate").load(tasks.get("gate").data_options())
    proof = {
        "holds": True,
        "parity": "4 of 4 decisions the same, largest difference of outputs 1.2e-07",
        "bytes": 1900,
        "latency_ms": 0.02,
    }
    return {
        "format": FORMAT,
        "task": "gate",
        "config": {"inputs": 2, "nets": [16], "hidden_dim": 4, "activation": "tanh"},
        "labels": list(splits.labels),
        "facts": {},
        "recipe": "default",
        "hparams": {"epochs": 200.0, "lr": 0.1},
        "seed": 7,
        "data_options": {"gate": "all"},
        "data_name": splits.name,
        "data_digest": splits.digest,
        "data_sizes": {"train": 4, "val": 4, "test": 4},
        "test_reads": ["evaluation"],
        "canonical": True,
        "exhaustive": True,
        "val_accuracy": 1 - wrong / 64,
        "val_loss": wrong / 64,
        "val_count": 64,
        "floor": 0.0,
        "unfit": None,
        "val_wrong": list(range(wrong)),
        "test_accuracy": 1 - wrong / 64,
        "test_count": 64,
        "confusion": [[32, 0], [wrong, 32 - wrong]],
        "fit_seconds": 1.25,
        "robustness": {},
        "reported": {},
        "metrics": {},
        "parameters": 272,
        "environment": {"python": "3.11.7", "torch": "2.14.1", "machine": "x86_64"},
        "code": {"commit": "0123456789abcdef0123456789abcdef01234567", "clean": False},
        "run_id": "f" * 32,
        "proof": proof,
        **more,
    }


def bank(seed: int = 0) -> GateBank:
    """Return a small net of its own weights."""
    torch.manual_seed(seed)
    return GateBank(inputs=2, nets=(16,)).eval()


def opened() -> AbstractContextManager[runs.Run]:
    """Open a run in the store's folder."""
    return runs.start("test", state=Path.cwd() / "state")


def registered(
    name: str = "gate", wrong: int = 0, seed: int = 0, tags: Mapping[str, object] = {}, **more: Any
) -> Version:
    """Register the bank of `seed`, with metadata of so many wrong answers."""
    stored = evidence(wrong, **more)
    with opened():
        return artifacts.register_torch(
            bank(seed), name, X[:2], stored, {**search_tags(stored), **tags}
        )


@functools.cache
def _logged(store: str, wrong: int) -> Version:
    return registered("logged", wrong)


def registered_again(name: str, wrong: int = 0) -> Version:
    """Register one logged model under a name of its own: quicker than `registered`."""
    once = _logged(os.environ["MLFLOW_TRACKING_URI"], wrong)
    made = mlflow.register_model(f"models:/{once.model}", name, tags=dict(once.tags))
    return versions.find(f"models:/{name}/{made.version}")


@functools.cache
def drawn(seed: int = 0) -> onnx.ModelProto:
    """Return the graph of the bank of `seed`."""
    return graph.of_task(tasks.get("gate"), bank(seed), X[:2], {"task": "gate"})


def registered_graph(origin: Version, seed: int = 0, name: str = "") -> Version:
    """Register the graph of the bank of `seed` as that of `origin`."""
    model = drawn(seed)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, {"x": X[:2]}), strict=True))
    raw = model.SerializeToString()
    about: dict[str, Any] = {"precision": "fp32", "opset": graph.OPSET, "bytes": len(raw)}
    about |= {"sha256": "a" * 64, "parity": origin.metadata["proof"]["parity"]}
    with opened():
        made = artifacts.register_onnx(
            model,
            name or f"{origin.name}-onnx",
            {"x": X[:2]},
            outputs,
            {**origin.metadata, **about},
            {"torch_model": origin.uri},
        )
    versions.tag(origin, {"onnx_model": made.uri})
    return made


def at_once(codes: list[str], store: Path) -> list[str]:
    """Run pieces of Python in processes that begin at one moment; return their outputs."""
    start = "import sys; from experiments.registry import aliases, artifacts, versions"
    start += "; import mlflow.artifacts"
    start += "\nversions.names(); print('ready', flush=True); sys.stdin.readline()\n"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", start + code],
            cwd=store,
            env=env,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        for code in codes
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        ends = [(process.communicate(timeout=300), process.returncode) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert not any(code for _, code in ends), ends
    return [words for (words, _), _ in ends]


def in_threads(*works: Callable[[], Any]) -> list[Any]:
    """Call functions in threads that begin at one moment; return their results."""
    barrier = Barrier(len(works))

    def begin(work: Callable[[], Any]) -> Any:
        barrier.wait(60)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return list(threads.map(begin, works))


@contextmanager
def damaged(version: Version, path: str, raw: bytes | None) -> Iterator[None]:
    """Replace one of a version's files by `raw`, or delete it, for the time of the context."""
    file = versions.folder(version) / path
    good = file.read_bytes() if file.exists() else None
    try:
        _put(file, raw)
        yield
    finally:
        _put(file, good)


def _put(file: Path, raw: bytes | None) -> None:
    if raw is None:
        file.unlink()
    else:
        file.write_bytes(raw)

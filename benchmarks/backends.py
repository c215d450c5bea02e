"""Whether other ONNX programs give torch's outputs, in every precision.

    python -m benchmarks.backends --count 1000

onnxruntime, in batches of 1, 2, 257 and 10,000; onnxruntime-web in a browser; and onnx's
reference evaluator, which is slow and gets the first --count samples only. Needs a champion of
each task, the packages of tests/requirements.txt, chromium, and npm the first time. Writes
benchmarks/results/backends.json.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks import record
from experiments import tasks
from experiments.core import cli
from experiments.core.onnx_session import open_session, run_batches
from experiments.evaluation.robustness import predictor
from experiments.registry import loading, versions

if TYPE_CHECKING:
    from experiments.registry.versions import Version
    from experiments.tasks.task import Task

Outputs = Mapping[str, np.ndarray]
COUNT = 10_000  # samples; a task with fewer repeats them
BATCHES = (1, 2, 257, 10_000)
REFERENCE_BATCH = 100  # the fastest of 10, 100 and 1,000
PRECISIONS = {"mnist": ("fp32", "fp16", "int8"), "gate": ("fp32",)}


@dataclass(frozen=True)
class Champion:
    """A registered net: COUNT samples x and y of its test split, and torch's outputs for them."""

    task: Task
    version: Version
    x: np.ndarray
    y: np.ndarray
    expected: Outputs


@dataclass(frozen=True)
class Backend:
    """A program that runs graphs: `run` takes a graph's bytes, x and a batch size."""

    name: str
    run: Callable[[bytes, np.ndarray, int], Outputs]
    batches: Sequence[int]
    count: int = COUNT


@dataclass(frozen=True)
class Agreement:
    """Samples compared, those with torch's decision, largest gap of logits, accuracy (0 to 1)."""

    count: int
    same: int
    largest: float
    accuracy: float


@click.command("benchmarks.backends")
@click.option(
    "--count",
    type=click.IntRange(1, COUNT),
    default=1000,
    show_default=True,
    help="Samples for the reference evaluator, which takes about 25 ms a digit.",
)
def command(count: int) -> None:
    """Compare every backend with torch, and write results/backends.json."""
    import onnx
    import onnxruntime

    from benchmarks import browser

    champions = [champion(name) for name in PRECISIONS]
    with browser.chromium() as chromium, browser.runtime(chromium) as web:
        web_name = f"onnxruntime-web {web.version}, Chromium {chromium.version.split('.')[0]}"
        reference_name = f"onnx {onnx.__version__} reference"
        backends = [
            Backend(f"onnxruntime {onnxruntime.__version__}", run_onnxruntime, BATCHES),
            Backend(web_name, web.run, BATCHES[2:]),
            Backend(reference_name, run_reference, [REFERENCE_BATCH], count),
        ]
        rows = [row for each in champions for row in compared(each, backends)]
    result = {"models": [each.version.uri for each in champions], "rows": rows}
    record.save("backends", f"python -m benchmarks.backends --count {count}", result)


def champion(name: str) -> Champion:
    """Return the champion of a task with torch's outputs for its test split."""

    task = tasks.get(name)
    how = cli.HOW_TO_TRAIN.format(task=name)
    version = versions.find(f"models:/{name}@{versions.CHAMPION}", how_to_make=how)
    net, _ = loading.load_model(task, version)
    test = loading.load_splits(task, version).test.open("benchmark")
    x, y = (np.resize(a, (COUNT, *a.shape[1:])) for a in (test.x, test.y))
    return Champion(task, version, x, y, predictor(task.outputs, net)(x))


def run_onnxruntime(graph: bytes, x: np.ndarray, batch: int) -> Outputs:
    """Return onnxruntime's outputs for x [N, ...] by name, `batch` samples at a time."""
    return run_batches(open_session(graph), x, batch)


def run_reference(graph: bytes, x: np.ndarray, batch: int) -> Outputs:
    """Return the same outputs from onnx's reference evaluator."""
    from onnx.reference import ReferenceEvaluator

    session = ReferenceEvaluator(graph)
    feeds = [{session.input_names[0]: x[at : at + batch]} for at in range(0, len(x), batch)]
    parts = [session.run(None, feed) for feed in feeds]
    names = session.output_names
    return {name: np.concatenate(values) for name, *values in zip(names, *parts, strict=True)}


def compared(champion: Champion, backends: Sequence[Backend]) -> list[dict[str, Any]]:
    """Return, for each precision and backend, the worst agreement of all its batch sizes."""
    from export import export_version

    rows = []
    for precision in PRECISIONS[champion.task.name]:
        graph = export_version.export(champion.version, precision).raw
        for backend in backends:
            x = champion.x[: backend.count]
            each = [agreement(champion, backend.run(graph, x, b)) for b in backend.batches]
            rows.append(
                {
                    "task": champion.task.name,
                    "precision": precision,
                    "bytes": len(graph),
                    "backend": backend.name,
                    "batches": list(backend.batches),
                    **asdict(worst(each)),
                }
            )
    return rows


def worst(each: Sequence[Agreement]) -> Agreement:
    """Return the fewest equal decisions, the largest gap and the least accuracy."""
    return Agreement(
        min(one.count for one in each),
        min(one.same for one in each),
        max(one.largest for one in each),
        min(one.accuracy for one in each),
    )


def agreement(champion: Champion, outputs: Outputs) -> Agreement:
    """Return how outputs for the champion's first samples compare with torch's."""
    import torch

    logits = torch.tensor(outputs["logits"])
    count = len(logits)
    expected = torch.tensor(champion.expected["logits"][:count])
    y = torch.tensor(champion.y[:count])
    decide = champion.task.predict
    agree = (decide(logits) == decide(expected)).reshape(count, -1).all(1)
    correct = champion.task.is_correct(logits, y).double()
    largest = float((logits - expected).abs().max())
    return Agreement(count, int(agree.sum()), largest, float(correct.mean()))


if __name__ == "__main__":
    cli.main(command)

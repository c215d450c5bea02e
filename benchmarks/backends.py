"""Whether other programs say of a graph what torch says of the net, in every precision.

    python -m benchmarks.backends --count 1000

onnxruntime, in batches of 1, 2, 257 and 10,000; onnxruntime-web in a browser; and onnx's own
reference evaluator, which is slow and gets the first --count samples only. Needs a champion of
each task, the packages of tests/requirements.txt, chromium, and npm the first time.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from benchmarks import record
from experiments import cli, rebuilt, tasks, versions

if TYPE_CHECKING:
    from experiments.tasks.base import Task
    from experiments.versions import Version

Outputs = Mapping[str, np.ndarray]
COUNT = 10_000  # samples; a task with fewer shows them again
BATCHES = (1, 2, 257, 10_000)
REFERENCE_BATCH = 100  # the quickest of 10, 100 and 1,000
PRECISIONS = {"mnist": ("fp32", "fp16", "int8"), "gate": ("fp32",)}
HEAD = [
    "task, precision",
    "bytes",
    "backend",
    "batches",
    "same class as torch",
    "largest difference of logits",
    "accuracy",
]


@dataclass(frozen=True)
class Champion:
    """A registered net: COUNT samples x and y of its test split, and torch's outputs for them."""

    task: Task
    version: Version
    x: np.ndarray
    y: np.ndarray
    said: Outputs


@dataclass(frozen=True)
class Backend:
    """A program that runs graphs: `run` takes a graph's bytes, x and a batch size."""

    name: str
    run: Callable[[bytes, np.ndarray, int], Outputs]
    batches: Sequence[int]
    count: int = COUNT


@dataclass(frozen=True)
class Agreement:
    """Samples compared, those whose decisions are torch's, largest gap of logits, accuracy."""

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
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
def command(count: int, workers: int) -> None:
    """Compare every backend with torch, write results/backends.json, and print the table."""
    import onnx
    import onnxruntime

    from benchmarks import browser

    champions = [champion(name) for name in PRECISIONS]
    refer = partial(run_reference, workers=workers)
    with browser.chromium() as chromium, browser.runtime(chromium) as web:
        web_name = f"onnxruntime-web {web.version}, Chromium {chromium.version.split('.')[0]}"
        backends = [
            Backend(f"onnxruntime {onnxruntime.__version__}", run_onnxruntime, BATCHES),
            Backend(web_name, web.run, BATCHES[2:]),
            Backend(f"onnx {onnx.__version__} reference", refer, [REFERENCE_BATCH], count),
        ]
        found = [row for each in champions for row in compared(each, backends)]
    result = {"models": [each.version.uri for each in champions], "rows": found}
    record.save("backends", f"python -m benchmarks.backends --count {count}", result)
    for row in (HEAD, ["---"] * len(HEAD), *rows(result)):
        click.echo(f"| {' | '.join(row)} |")


def run_onnxruntime(graph: bytes, x: np.ndarray, batch: int) -> Outputs:
    """Return the outputs of `graph` for x [N, ...] by name, `batch` samples at a time."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return _joined(session, graph, x, batch)


def run_reference(graph: bytes, x: np.ndarray, batch: int, workers: int = 1) -> Outputs:
    """Return the same as onnx's reference evaluator says it, x divided among processes."""
    parts = [part for part in np.array_split(x, workers) if len(part)]
    if len(parts) == 1:
        return _referred(graph, batch, x)
    fresh = multiprocessing.get_context("spawn")  # a fork would copy the locks of our threads
    with ProcessPoolExecutor(len(parts), fresh) as pool:
        return _concatenated(list(pool.map(partial(_referred, graph, batch), parts)))


def _referred(graph: bytes, batch: int, x: np.ndarray) -> Outputs:
    from onnx.reference import ReferenceEvaluator

    return _joined(ReferenceEvaluator(graph), graph, x, batch)


def _joined(session: Any, graph: bytes, x: np.ndarray, batch: int) -> Outputs:
    """Return a session's outputs by name, of batches put together."""
    import onnx

    known = onnx.load_from_string(graph).graph
    names = [output.name for output in known.output]
    starts = range(0, len(x), batch)
    runs = [session.run(names, {known.input[0].name: x[at : at + batch]}) for at in starts]
    return _concatenated([dict(zip(names, run, strict=True)) for run in runs])


def _concatenated(parts: Sequence[Outputs]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def champion(name: str) -> Champion:
    """Return the champion of a task with what torch says of its test split."""
    from experiments.robustness import of_net

    task = tasks.get(name)
    how = cli.HOW_TO_TRAIN.format(task=name)
    version = versions.find(f"models:/{name}@{versions.CHAMPION}", how_to_make=how)
    net, _ = rebuilt.network(task, version)
    splits = rebuilt.data(task, version)
    x, y = (np.resize(a, (COUNT, *a.shape[1:])) for a in (splits.test.x, splits.test.y))
    return Champion(task, version, x, y, of_net(task.outputs, net)(x))


def exported(champion: Champion, precision: str = "fp32") -> bytes:
    """Return the champion's graph as `export/convert.py` makes it: fp32, fp16 or int8."""
    from export import convert

    return convert.export(champion.version, precision).raw


def compared(champion: Champion, backends: Sequence[Backend]) -> list[dict[str, Any]]:
    """Return, for each precision and backend, the worst agreement of all its batches."""
    found = []
    for precision in PRECISIONS[champion.task.name]:
        graph = exported(champion, precision)
        for backend in backends:
            x = champion.x[: backend.count]
            each = [agreement(champion, backend.run(graph, x, b)) for b in backend.batches]
            found.append(
                {
                    "task": champion.task.name,
                    "precision": precision,
                    "bytes": len(graph),
                    "backend": backend.name,
                    "batches": list(backend.batches),
                    **asdict(worst(each)),
                }
            )
    return found


def worst(each: Sequence[Agreement]) -> Agreement:
    """Return the least of what should be large and the largest of what should be small."""
    return Agreement(
        min(one.count for one in each),
        min(one.same for one in each),
        max(one.largest for one in each),
        min(one.accuracy for one in each),
    )


def agreement(champion: Champion, outputs: Outputs) -> Agreement:
    """Return how outputs for the champion's first samples compare with torch's."""
    import torch

    ours = torch.tensor(outputs["logits"])
    count = len(ours)
    theirs, y = (torch.tensor(a[:count]) for a in (champion.said["logits"], champion.y))
    decide = champion.task.decide
    agree = (decide(ours) == decide(theirs)).reshape(count, -1).all(1)
    right = champion.task.correct(ours, y).double()
    largest = float((ours - theirs).abs().max())
    return Agreement(count, int(agree.sum()), largest, float(right.mean()))


def rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Return the table under HEAD, as people read it."""
    return [
        [
            f"{row['task']}, {row['precision']}",
            f"{row['bytes']:,}",
            row["backend"],
            ", ".join(f"{batch:,}" for batch in row["batches"]),
            f"{row['same']:,} of {row['count']:,}",
            f"{row['largest']:.1e}",
            f"{row['accuracy']:.2%}",
        ]
        for row in result["rows"]
    ]


if __name__ == "__main__":
    cli.main(command)

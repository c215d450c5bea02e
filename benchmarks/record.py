"""What every benchmark shares: one fit measured, means with deviations, files of results."""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import tasks
from experiments.errors import UserError
from experiments.options import Request
from experiments.tasks.base import DataOptions, Split

if TYPE_CHECKING:
    from experiments.job import Job

RESULTS = Path(__file__).with_name("results")


def request(
    name: str,
    recipe: str,
    seed: int = 0,
    *,
    trials: int = 0,
    data: DataOptions | None = None,
    changed: Mapping[str, Any] | None = None,
) -> Request:
    """Return what `train` would be asked for: a recipe of a task, some hyper-parameters changed."""
    task = tasks.get(name)
    if recipe not in task.recipes:
        raise UserError(f"recipe: expected {' or '.join(task.recipes)}; found {recipe!r}.")
    return Request(
        task=task,
        data=data or task.data_options(),
        recipe=recipe,
        hparams=replace(task.recipes[recipe], **(changed or {})),
        fixed=frozenset(changed or ()),
        trials=trials,
        seed=seed,
        device="cpu",  # the example, the roofline and the README's numbers are of processors
        precision="auto",
        aims=(task.objective,),
    )


def fitted(asked: Request) -> dict[str, Any]:
    """Return what one fit gives: accuracies (shares), seconds, parameters, and its settings."""
    from experiments import train
    from experiments.job import Job
    from experiments.tracking import NullRun

    job = Job.prepare(asked)
    net, history, seconds = train.fit(job, NullRun())
    measured, _ = train.evaluate(job, net)
    return {
        "val_accuracy": max(metrics.val_accuracy for metrics in history),
        "test_accuracy": measured["test_accuracy"],
        "seconds": seconds,
        "parameters": sum(p.numel() for p in net.parameters()),
        "precision": job.precision,
        "hparams": asdict(job.hparams),
    }


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, standard deviation (of a sample) and the values themselves."""
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return {"mean": mean, "std": deviation, "values": list(values)}


def warm_up(task: str, *recipes: str) -> None:
    """Let torch make what it makes once a process, so that no measurement pays for it."""
    for recipe in recipes:
        fitted(request(task, recipe, changed={"epochs": 0.05}))


def unjudged(job: Job) -> Job:
    """Return `job` with next to no validation, where training alone is to be measured."""
    return replace(job, val=Split(job.val.x[:2], job.val.y[:2]))


def fit_seconds(job: Job) -> float:
    """Return the seconds that a fit of `job` takes, without the making of its net."""
    net = job.net()
    started = time.perf_counter()
    list(job.fit(net, "timed"))
    return time.perf_counter() - started


def hardware() -> str:
    """Return processor, threads and the versions that matter, in a line."""
    import torch

    name = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__.split('+')[0]}"


def save(name: str, command: str, result: dict[str, Any]) -> None:
    """Write results/NAME.json: the result, the command that makes it, and the machine."""
    RESULTS.mkdir(exist_ok=True)
    record = {"command": command, "hardware": hardware(), **result}
    path = RESULTS / f"{name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(path)


def load(name: str) -> dict[str, Any]:
    """Return results/NAME.json, or nothing if it is not there."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else {}

"""What the benchmarks share: one measured fit, mean and deviation over seeds, result files."""

from __future__ import annotations

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import tasks
from experiments.core.errors import UserError
from experiments.tasks.task import DataOptions
from experiments.training.config import RunConfig

if TYPE_CHECKING:
    from torch import nn

    from experiments.training.metrics import EpochMetrics
    from experiments.training.trainer import Trainer

RESULTS = Path(__file__).with_name("results")


def request(
    name: str,
    recipe: str,
    seed: int = 0,
    *,
    data: DataOptions | None = None,
    changed: Mapping[str, Any] | None = None,
) -> RunConfig:
    """Return the configuration of one training without a search.

    Args:
        changed: hyper-parameters that differ from the recipe's.

    Raises:
        UserError: the task has no such recipe.
    """
    task = tasks.get(name)
    if recipe not in task.recipes:
        raise UserError("recipe-unknown", "recipe", " or ".join(task.recipes), repr(recipe))
    return RunConfig(
        task=task,
        data=data or task.data_options(),
        recipe=recipe,
        hparams=replace(task.recipes[recipe], **(changed or {})),
        fixed=frozenset(changed or ()),
        trials=0,
        seed=seed,
        device="cpu",  # the numbers of the README and of the example are of processors
        precision="auto",
        objectives=(task.objective,),
    )


def fit(asked: RunConfig) -> tuple[Trainer, nn.Module, list[EpochMetrics], float]:
    """Return the job, its trained network, the metrics of each epoch, and the seconds."""
    from experiments import train
    from experiments.tracking.runs import NullLogger
    from experiments.training.trainer import Trainer

    job = Trainer.prepare(asked)
    return job, *train.fit(job, NullLogger())


def fitted(asked: RunConfig) -> dict[str, Any]:
    """Return accuracies (0 to 1), seconds, number of parameters and settings of one fit."""
    from experiments import train

    job, net, history, seconds = fit(asked)
    measured, _, _ = train.evaluate(job, net)
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
    """Fit each recipe briefly, so that no measurement includes torch's first-use costs."""
    for recipe in recipes:
        fitted(request(task, recipe, changed={"epochs": 0.05}))


def hardware() -> str:
    """Return processor, threads and torch's version in one line."""
    import torch

    name = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__.split('+')[0]}"


def save(name: str, command: str, result: dict[str, Any], folder: Path = RESULTS) -> None:
    """Write results/NAME.json: the result, the command that measures it, and the machine."""
    folder.mkdir(exist_ok=True)
    record = {"command": command, "hardware": hardware(), **result}
    path = folder / f"{name}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1) + "\n")
    partial.replace(path)


def load(name: str, folder: Path = RESULTS) -> dict[str, Any]:
    """Return results/NAME.json, or an empty dictionary if there is no such file."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return {}
    result: dict[str, Any] = json.loads(path.read_text())
    return result


def between(text: str, start: str, end: str, new: str) -> str:
    """Return `text` with the part between the marks `start` and `end` replaced by `new`."""
    before, rest = text.split(start)
    after = rest.split(end)[1]
    return f"{before}{start}\n\n{new.strip()}\n\n{end}{after}"

"""Accuracy and time of a task's defaults over several seeds: mean and standard deviation.

    python -m benchmarks.accuracy --task mnist --seeds 5

No search, no tracking: the default hyper-parameters, fitted and measured on the test set once a
seed. Writes benchmarks/results/accuracy-TASK.json and prints a row for the README's table.
"""

import json
import platform
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from experiments import cli, tasks
from experiments.options import Request

RESULTS = Path(__file__).with_name("results")


@click.command("benchmarks.accuracy")
@click.option("--task", type=click.Choice(tasks.names()), default="mnist", show_default=True)
@click.option("--seeds", type=click.IntRange(2, 1000), default=5, show_default=True)
def command(task: str, seeds: int) -> None:
    """Measure a task's defaults over several seeds."""
    one(task, 0, epochs=1)  # warms up: the first step of a process imports half of torch
    results = [one(task, seed) for seed in range(seeds)]
    record = {
        "command": f"python -m benchmarks.accuracy --task {task} --seeds {seeds}",
        "task": task,
        "parameters": results[0]["parameters"],
        "test_accuracy": summary([r["test_accuracy"] for r in results]),
        "seconds": summary([r["seconds"] for r in results]),
        "hardware": hardware(),
        "precision": results[0]["precision"],
        "hparams": results[0]["hparams"],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"accuracy-{task}.json").write_text(json.dumps(record, indent=2) + "\n")
    click.echo(row(record))


def one(name: str, seed: int, **hparams: Any) -> dict:
    """Return what one seed gives: test accuracy (share), seconds of the fit, and the settings."""
    from experiments import train
    from experiments.job import Job
    from experiments.tracking import NullRun

    task = tasks.get(name)
    request = Request(
        task=task,
        data=task.data_options(),
        hparams=task.hparams(**hparams),
        fixed=frozenset(hparams),
        trials=0,
        seed=seed,
        device="auto",
        precision="auto",
    )
    job = Job.prepare(request)
    net, _, seconds = train.fit(job, NullRun())
    measured, _ = train.evaluate(job, net)
    accuracy = measured["test_accuracy"]
    click.echo(f"seed {seed}: {accuracy:.2%} in {seconds:.2f} s", err=True)
    return {
        "test_accuracy": accuracy,
        "seconds": seconds,
        "parameters": sum(p.numel() for p in net.parameters()),
        "precision": job.precision,
        "hparams": asdict(job.hparams),
    }


def summary(values: list[float]) -> dict:
    """Return mean, standard deviation (of a sample) and the values themselves."""
    return {"mean": statistics.mean(values), "std": statistics.stdev(values), "values": values}


def hardware() -> str:
    """Return processor, threads and the versions that matter, in a line."""
    import torch

    name = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__.split('+')[0]}"


def row(record: dict) -> str:
    """Return the record as a row of a Markdown table."""
    accuracy, seconds = record["test_accuracy"], record["seconds"]
    return (
        f"| {record['task']} | {record['parameters']:,} "
        f"| {accuracy['mean']:.2%} ± {100 * accuracy['std']:.2f} "
        f"| {seconds['mean']:.1f} ± {seconds['std']:.1f} s "
        f"| {record['hardware']}, {record['precision']} | `{record['command']}` |"
    )


if __name__ == "__main__":
    cli.main(command)

"""Start-up: how long a command takes besides its training, beside `import torch` alone.

    python -m benchmarks.startup --runs 5

Whole processes, each started anew, one kind after the other in each round. `train` records and
registers in a store that is made before and thrown away after. Writes
benchmarks/results/startup.json.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
from mlflow import MlflowClient

from benchmarks import record
from experiments import cli
from experiments.paths import ROOT

TRAIN = ("-m", "experiments.train", "--task", "mnist", "--recipe", "flash", "--trials", "0")


def measure(runs: int) -> dict[str, Any]:
    """Return the spread of seconds of each kind of process."""
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        uri = f"sqlite:///{folder}/mlflow.db"
        client = MlflowClient(uri)
        client.create_experiment("startup", Path(folder, "artifacts").as_uri())
        for _ in range(runs + 1):  # the first one fills the caches of the disk
            rounds.append(_round(client, uri))
            click.echo(", ".join(f"{k} {v:.2f}" for k, v in rounds[-1].items()), err=True)
    result: dict[str, Any] = {
        name: record.spread([one[name] for one in rounds[1:]]) for name in rounds[0]
    }
    torch = statistics.mean(one["import_torch"] for one in rounds[1:])
    for moment in ("to_accuracy", "to_end"):
        beside = [one[moment] - one["training"] for one in rounds[1:]]
        result[f"{moment}_besides_training_in_torch_imports"] = statistics.mean(beside) / torch
    return result


def _round(client: MlflowClient, uri: str) -> dict[str, float]:
    """Return seconds of each process, and what `train` says of itself."""
    imported = _seconds("-c", "import torch")
    helped = _seconds("-m", "experiments.train", "--help")
    started = time.time()
    ended = _seconds(*TRAIN, MLFLOW_TRACKING_URI=uri, MLFLOW_EXPERIMENT_NAME="startup")
    experiment = client.get_experiment_by_name("startup")
    assert experiment is not None
    run = client.search_runs([experiment.experiment_id], max_results=1)[0]
    reached = client.get_metric_history(run.info.run_id, "test_accuracy")[0]
    return {
        "import_torch": imported,
        "help": helped,
        "training": run.data.metrics["fit_seconds"],
        "to_accuracy": reached.timestamp / 1000 - started,
        "to_end": ended,
        "test_accuracy": reached.value,
    }


def _seconds(*arguments: str, **more: str) -> float:
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=os.environ | more,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=True,
    )
    return time.perf_counter() - started


@click.command("benchmarks.startup")
@click.option("--runs", type=click.IntRange(2, 100), default=5, show_default=True)
def command(runs: int) -> None:
    """Measure how long commands take to start."""
    record.save("startup", f"python -m benchmarks.startup --runs {runs}", measure(runs))


if __name__ == "__main__":
    cli.main(command)

"""The goals for speed, each as a ratio to an epoch of the well-known example in the same run.

    python -m benchmarks.summary

Measures commands in processes of their own, with a store of their own, alone and beside a busy
process, then one fit of `accurate`; takes what benchmarks.race has measured of `default` and
`fast`, and benchmarks.recipes of `accurate`. Writes benchmarks/results/summary.json.
"""

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from benchmarks import record, reference, server
from experiments.core import cli
from experiments.core.errors import UserError
from experiments.core.paths import ROOT

PAIRS = 3  # of a fit alone and one beside a busy process
TRAIN = ("mlflow", "run", ".", "-e", "train", "--env-manager", "local", "-P")
EXPORT = ("export/to_onnx.py", "--out")
NEEDED = {"race": "benchmarks.race", "mnist-accurate": "benchmarks.recipes --recipe accurate"}


@click.command("benchmarks.summary")
def command() -> None:
    """Measure the commands, and collect the goals for speed and accuracy in one file."""
    for name, module in NEEDED.items():
        if not record.load(name):
            fix = f"Measure it first: python -m {module}"
            raise UserError("result-missing", name, "a result", "none", fix)
    example = reference.epochs(0)
    epoch_seconds = [next(example)[0]]
    with tempfile.TemporaryDirectory() as folder:
        commands = measured_commands(Path(folder))
    pairs = [(fit_seconds("default", 0.5), beside_a_neighbour()) for _ in range(PAIRS)]
    accurate_seconds = fit_seconds("accurate")
    epoch_seconds.append(next(example)[0])
    epoch = record.spread(epoch_seconds)
    result = goals(
        epoch["mean"], commands, pairs, accurate_seconds, *(record.load(name) for name in NEEDED)
    )
    record.save("summary", "python -m benchmarks.summary", {"epoch_seconds": epoch, **result})


def goals(
    epoch: float,
    commands: dict[str, float],
    pairs: list[tuple[float, float]],
    accurate_seconds: float,
    race: dict[str, Any],
    accurate: dict[str, Any],
) -> dict[str, float]:
    """Return the goals' values by name, a mean with its deviation as NAME_std.

    Args:
        epoch: seconds of the example's epoch.
        commands: of `measured_commands`.
        pairs: seconds of the same fit, alone and beside a busy process.
        race, accurate: results of benchmarks.race and benchmarks.recipes.
    """
    targets = {target["schedule"][0]: target for target in race["targets"]}  # the last of each
    at_99 = next(target for target in race["targets"] if target["target"] == 0.99)
    default, race_epoch = targets["default"], race["reference_epoch_seconds"]["mean"]
    spreads = {
        "default_fit_in_epochs": record.spread(
            [seconds / race_epoch for seconds in default["seconds"]["values"]]
        ),
        "neighbour_slowdown": record.spread([beside / alone for alone, beside in pairs]),
        "fast_ratio_at_99.0": at_99["ratio"],
        "default_test_accuracy_mean": default["test_accuracy"],
        "accurate_test_accuracy_mean": accurate["test_accuracy"],
    }
    result = {
        **commands,
        "default_command_in_epochs": commands["default_command_seconds"] / epoch,
        "accurate_fit_in_epochs": accurate_seconds / epoch,
    }
    for name, spread in spreads.items():
        result |= {name: spread["mean"], f"{name}_std": spread["std"]}
    return result


def measured_commands(folder: Path) -> dict[str, float]:
    """Return the seconds of the commands that people run first.

    Args:
        folder: of their store and their files.
    """
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    model = str(folder / "model.onnx")
    wall, _ = run(TRAIN, "task=mnist", env=env)
    _, gate_processor = run(TRAIN, "task=gate", env=env)
    _, export_processor = run((sys.executable, *EXPORT), model, env=env)
    with server.serving("serve/app.py", "--model", model, "--port") as page:
        start = page.start_seconds
    return {
        "default_command_seconds": wall,
        "gate_command_processor_seconds": gate_processor,
        "export_processor_seconds": export_processor,
        "page_start_seconds": start,
    }


def run(line: tuple[str, ...], last: str, env: dict[str, str]) -> tuple[float, float]:
    """Return the seconds of a command, and those of the processor, its children's included."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*line, last], cwd=ROOT, env=env, check=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def fit_seconds(recipe: str, epochs: float | None = None) -> float:
    """Return the seconds of a fit in a new process, which chooses its number of threads."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_fit_seconds, (recipe, epochs))


def _fit_seconds(recipe: str, epochs: float | None) -> float:
    record.warm_up("mnist", recipe)
    changed = {} if epochs is None else {"epochs": epochs}
    return record.fit(record.request("mnist", recipe, changed=changed))[3]


def beside_a_neighbour() -> float:
    """Return the seconds of a short fit of `default` while another process is busy."""
    with neighbour():
        return fit_seconds("default", 0.5)


@contextmanager
def neighbour() -> Iterator[None]:
    """Keep one processor busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    cli.main(command)

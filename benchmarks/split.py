"""A whole training, split into what it spends its time on, and the memory it needs at most.

    python -m benchmarks.split

The default recipe with its default search, recorded and registered in a store of its own that is
thrown away. Writes benchmarks/results/split.json.
"""

import os
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click

from benchmarks import record
from experiments import card, checkpoint, cli, report, tracking, train, tune
from experiments.gallery import Gallery

TRACKED = ("__init__", "params", "tags", "metrics", "file", "image", "text", "dataset")
OVERHEAD = ("figures", "tracking", "registry", "checkpoints")
PARTS: dict[tuple[Any, str], str] = {  # what train.py calls -> what it is counted under
    (tune, "search"): "search",
    (tune, "log_outcome"): "figures",
    (train, "fit"): "fit",
    (train, "evaluate"): "evaluation",
    (Gallery, "hang"): "figures",
    (report, "publish"): "figures",
    (train, "examine"): "robustness",
    (train, "prove"): "registry",
    (train, "register"): "registry",
    (card, "publish"): "registry",
    (train, "promote"): "registry",
    (tracking, "connect"): "tracking",
    (checkpoint, "save"): "checkpoints",
    **{(tracking.Run, name): "tracking" for name in TRACKED},
}


class Clock:
    """Counts each moment for the innermost part that is open."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.open, self.since = ["all else"], time.perf_counter()

    def turn(self) -> None:
        """Count the time since the last turn."""
        now = time.perf_counter()
        self.seconds[self.open[-1]] += now - self.since
        self.since = now

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what happens in the context under `name`."""
        self.turn()
        self.open.append(name)
        try:
            yield
        finally:
            self.turn()
            self.open.pop()

    def counting(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return `function`, counted under `name`."""

        @wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            with self.part(name):
                return function(*arguments, **named)

        return counted


def measure(recipe: str, trials: int) -> dict[str, Any]:
    """Return seconds and shares by part, and the peak of resident memory in bytes."""
    clock = Clock()
    with clock.part("tracking"):
        import mlflow
    opening = {(mlflow, "start_run"): "tracking", (mlflow, "end_run"): "tracking"}
    for (owner, function), name in (PARTS | opening).items():
        setattr(owner, function, clock.counting(getattr(owner, function), name))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        os.chdir(folder)
        train.train(record.request("mnist", recipe, trials=trials))
        clock.turn()
    total = sum(clock.seconds.values())
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return {
        "trials": trials,
        "seconds": dict(clock.seconds) | {"total": total},
        "tracking_share": sum(clock.seconds[name] for name in OVERHEAD) / total,
        "peak_memory_bytes": unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }


def usual_trials() -> int:
    """Return how many trials `train` makes when it is not told."""
    usual = next(p.default for p in train.command.params if p.name == "trials")
    assert isinstance(usual, int)
    return usual


@click.command("benchmarks.split")
@click.option("--recipe", default="default", show_default=True)
def command(recipe: str) -> None:
    """Split a whole training into its parts."""
    result = measure(recipe, usual_trials())
    record.save("split", f"python -m benchmarks.split --recipe {recipe}", result)


if __name__ == "__main__":
    cli.main(command)

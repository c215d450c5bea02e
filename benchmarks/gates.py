"""Gates: seconds of a bank, how often every gate is learned, larger tables, starts of XOR.

    python -m benchmarks.gates --seeds 100

Writes benchmarks/results/gates.json; benchmarks.pictures draws the starts.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import click
import numpy as np

from benchmarks import record
from experiments import init_study, tasks
from experiments.core import cli

TABLES = 5  # trainings of parity8, and random truth tables of six inputs


@click.command("benchmarks.gates")
@click.option("--seeds", type=click.IntRange(2, 1000), default=100, show_default=True)
def command(seeds: int) -> None:
    """Measure banks of gate networks."""
    record.warm_up("gate", "default")
    random = np.random.default_rng(0)
    tables = ["".join(map(str, random.integers(0, 2, 64))) for _ in range(TABLES)]
    started = time.perf_counter()
    cells = [asdict(cell) for cell in init_study.measure("xor", 500)]
    seconds = time.perf_counter() - started
    result = {
        "all16": summary(["all"] * seeds),
        "parity8": summary(["parity8"] * TABLES),
        "random6": summary(tables),
        "init_study": {"gate": "xor", "seconds": seconds, "cells": cells},
    }
    record.save("gates", f"python -m benchmarks.gates --seeds {seeds}", result)


def summary(gates: Iterable[str]) -> dict[str, Any]:
    """Return the results of one training for each of `gates`, with seeds 0, 1, ..."""
    fits = [trained(gate, seed) for seed, gate in enumerate(gates)]
    return {
        "trainings": len(fits),
        "solved_share": float(np.mean([fit["margin"] > 0 for fit in fits])),
        "least_margin": min(fit["margin"] for fit in fits),
        "seconds": record.spread([fit["seconds"] for fit in fits]),
    }


def trained(gate: str, seed: int) -> dict[str, float]:
    """Return the seconds of a training, and the least margin of any row of its truth tables.

    A row's margin is how far its probability lies on the right side: 0 (wrong or 0.5) to 1.
    """
    import torch

    from experiments.training.metrics import predict

    task = tasks.get("gate")
    options: dict[str, Any] = {"gate": gate}
    data = task.data_options(**options)
    job, net, _, seconds = record.fit(
        record.request("gate", task.default_recipe(data), seed, data=data)
    )
    prob = predict(net, job.val.x).sigmoid()
    prob_of_label = torch.where(job.val.y > 0.5, prob, 1 - prob)
    margin = (2 * prob_of_label - 1).clamp(min=0)
    return {"seconds": seconds, "margin": float(margin.min())}


if __name__ == "__main__":
    cli.main(command)

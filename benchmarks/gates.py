"""Gates: seconds of a bank, how surely every gate is solved, larger tables, and luck.

    python -m benchmarks.gates --seeds 100

Writes benchmarks/results/gates.json, of which benchmarks.pictures draws the map of luck.
"""

import time
from dataclasses import asdict
from typing import Any

import click
import numpy as np

from benchmarks import record
from experiments import cli, luck, tasks

TABLES = 5  # random truth tables of six inputs, each with a seed of its own


def solved(gate: str, seed: int) -> dict[str, float]:
    """Return seconds, the share of gates solved, and the least margin of any row.

    A row's margin is how far its probability lies on the right side, 0 (wrong or undecided) to 1.
    """
    import torch

    from experiments import train
    from experiments.job import Job
    from experiments.metrics import predict
    from experiments.tracking import NullRun

    task = tasks.get("gate")
    options: dict[str, Any] = {"gate": gate}
    data = task.data_options(**options)
    job = Job.prepare(record.request("gate", task.suits(data), seed, data=data))
    net, _, seconds = train.fit(job, NullRun())
    probability = predict(net, job.val.x).sigmoid()
    right = torch.where(job.val.y > 0.5, probability, 1 - probability)
    margin = (2 * right - 1).clamp(min=0)
    return {
        "seconds": seconds,
        "solved": float((right > 0.5).all(0).float().mean()),
        "margin": float(margin.min()),
    }


def several(gates: list[str], seeds: list[int]) -> dict[str, Any]:
    """Return what all the trainings have in common."""
    each = [solved(gate, seed) for gate, seed in zip(gates, seeds, strict=True)]
    return {
        "trainings": len(each),
        "solved_share": float(np.mean([one["solved"] == 1 for one in each])),
        "least_margin": min(one["margin"] for one in each),
        "seconds": record.spread([one["seconds"] for one in each]),
    }


def measure(seeds: int) -> dict[str, Any]:
    """Return the figures of the bank, of parity8, of random tables, and the map of luck."""
    random = np.random.default_rng(0)
    tables = ["".join(map(str, random.integers(0, 2, 64))) for _ in range(TABLES)]
    started = time.perf_counter()
    cells = list(luck.measure("xor", 500))
    seconds = time.perf_counter() - started
    return {
        "all16": several(["all"] * seeds, list(range(seeds))),
        "parity8": several(["parity8"] * TABLES, list(range(TABLES))),
        "random6": several(tables, list(range(TABLES))),
        "luck": {"gate": "xor", "seconds": seconds, "cells": [asdict(cell) for cell in cells]},
    }


@click.command("benchmarks.gates")
@click.option("--seeds", type=click.IntRange(2, 1000), default=100, show_default=True)
def command(seeds: int) -> None:
    """Measure banks of gate networks."""
    record.warm_up("gate", "default")
    record.save("gates", f"python -m benchmarks.gates --seeds {seeds}", measure(seeds))


if __name__ == "__main__":
    cli.main(command)

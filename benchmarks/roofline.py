"""How far training is from the processor's roofline, and where its time goes.

    python -m benchmarks.roofline

The roof is the fastest large matrix multiplication in the precision that training uses. Writes
benchmarks/results/roofline.json.
"""

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import click

from benchmarks import record
from experiments import cli

SIDE = 2048  # of the square matrices
STEPS = 40
RECIPES = ("flash", "default")
KINDS = {  # a piece of an operator's name -> what it is counted under
    "convolution": "convolution",
    "pool": "pooling",
    "batch_norm": "batch norm",
    "gelu": "activation",
    "mm": "linear layers and muon",
    "grid_sample": "augmentation",
    "grid_generator": "augmentation",
    "copy": "copies and casts",
}


def peak(dtype: Any) -> float:
    """Return the most floating-point operations a second of a matrix multiplication."""
    import torch

    a, b = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(8):
        started = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - started)
    return 2 * SIDE**3 / min(seconds)


def measure(recipe: str) -> dict[str, Any]:
    """Return images a second, the share of the peak, and the shares of the time by kind."""
    from torch.profiler import ProfilerActivity, profile
    from torch.utils.flop_counter import FlopCounterMode

    from experiments.device import PRECISIONS
    from experiments.job import Job

    job = Job.prepare(record.request("mnist", recipe))
    count = STEPS * job.hparams.batch_size
    part = replace(job.hparams, epochs=count / len(job.train.x))
    job = record.unjudged(replace(job, hparams=part))
    seconds = record.fit_seconds(job)
    with FlopCounterMode(display=False) as counter:
        list(job.fit(job.net(), "counted"))
    with profile(activities=[ProfilerActivity.CPU]) as traced:
        list(job.fit(job.net(), "profiled"))
    kinds: Counter[str] = Counter()
    for event in traced.key_averages():
        kind = next((kind for piece, kind in KINDS.items() if piece in event.key), "all else")
        kinds[kind] += event.self_cpu_time_total
    roof = peak(PRECISIONS[job.precision])
    return {
        "precision": job.precision,
        "peak_gigaflops": roof / 1e9,
        "images_per_second": count / seconds,
        "gigaflops": counter.get_total_flops() / seconds / 1e9,
        "share_of_peak": counter.get_total_flops() / seconds / roof,
        "time_shares": {kind: t / kinds.total() for kind, t in kinds.most_common()},
    }


@click.command("benchmarks.roofline")
def command() -> None:
    """Measure how far training is from the roofline."""
    record.warm_up("mnist", *RECIPES)
    result = {recipe: measure(recipe) for recipe in RECIPES}
    record.save("roofline", "python -m benchmarks.roofline", result)


if __name__ == "__main__":
    cli.main(command)

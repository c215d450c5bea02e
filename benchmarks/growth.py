"""Growth: the cost of an image, and of a gate network, when there are many more of them.

    python -m benchmarks.growth

Writes benchmarks/results/growth.json.
"""

import time
from dataclasses import replace
from typing import Any

import click

from benchmarks import record
from experiments import cli

IMAGES = (10_000, 60_000, 200_000, 600_000)
NETWORKS = (1_000, 10_000, 100_000, 1_000_000)
GATES = 16


def images(count: int) -> float:
    """Return the microseconds an image takes in one epoch of `flash` over `count` of them."""
    from experiments.job import Job
    from experiments.tasks.base import Split

    job = Job.prepare(record.request("mnist", "flash", changed={"epochs": 1}))
    times = -(-count // len(job.train.x))
    many = Split(job.train.x.repeat(times, 1, 1)[:count], job.train.y.repeat(times)[:count])
    few = Split(job.val.x[:2], job.val.y[:2])  # else the evaluation would count
    return 1e6 * _seconds(replace(job, train=many, val=few)) / count


def networks(count: int) -> float:
    """Return the microseconds a network takes for an epoch, in a bank of `count`."""
    from experiments.job import Job

    epochs = 20
    restarts = count // GATES
    changed = {"epochs": epochs, "eval_every": epochs, "restarts": restarts}
    asked = record.request("gate", "default", changed=changed)
    return 1e6 * _seconds(Job.prepare(asked)) / (restarts * GATES * epochs)


def _seconds(job: Any) -> float:
    net = job.net()
    started = time.perf_counter()
    list(job.fit(net, "growth"))
    return time.perf_counter() - started


def run() -> None:
    """Measure and keep the result."""
    record.warm_up("mnist", "flash")
    networks(NETWORKS[0])
    result = {
        "image_microseconds": {str(count): images(count) for count in IMAGES},
        "network_microseconds": {str(count): networks(count) for count in NETWORKS},
    }
    record.save("growth", "python -m benchmarks.growth", result)


@click.command("benchmarks.growth")
def command() -> None:
    """Measure what many more images, and many more networks, cost apiece."""
    run()


if __name__ == "__main__":
    cli.main(command)

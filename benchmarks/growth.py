"""Growth: the cost of an image, and of a gate network, when there are many more of them.

    python -m benchmarks.growth

Writes benchmarks/results/growth.json.
"""

from dataclasses import replace

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
    return 1e6 * record.fit_seconds(record.unjudged(replace(job, train=many))) / count


def networks(count: int) -> float:
    """Return the microseconds a network takes for an epoch, in a bank of `count`."""
    from experiments.job import Job

    epochs = 20
    restarts = count // GATES
    changed = {"epochs": epochs, "eval_every": epochs, "restarts": restarts}
    asked = record.request("gate", "default", changed=changed)
    return 1e6 * record.fit_seconds(Job.prepare(asked)) / (restarts * GATES * epochs)


@click.command("benchmarks.growth")
def command() -> None:
    """Measure what many more images, and many more networks, cost apiece."""
    record.warm_up("mnist", "flash")
    networks(NETWORKS[0])
    result = {
        "image_microseconds": {str(count): images(count) for count in IMAGES},
        "network_microseconds": {str(count): networks(count) for count in NETWORKS},
    }
    record.save("growth", "python -m benchmarks.growth", result)


if __name__ == "__main__":
    cli.main(command)

"""A registered version made whole again: its network with its weights, and its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from experiments import artifacts
from experiments.errors import UserError

if TYPE_CHECKING:
    from experiments.tasks.base import Splits, Task
    from experiments.versions import Version


def network(task: Task, version: Version) -> tuple[Any, Any]:
    """Return the network of `version`, on the CPU, and the torch program it was registered as.

    Raises:
        UserError: the program cannot be loaded, or this project's network no longer fits it.
    """
    program = artifacts.load_torch(version)
    net = task.network(**version.metadata["config"])
    artifacts.restore(net, program, version)
    return net.eval(), program


def time_ratio(first: Version, second: Version, x: Any) -> float:
    """Return the first version's time for one sample, x [1, ...], as a share of the second's.

    Raises:
        UserError: one of them cannot be loaded.
    """
    from experiments import metrics

    return metrics.time_ratio(artifacts.load_torch(first), artifacts.load_torch(second), x)


def data(task: Task, version: Version) -> Splits:
    """Return the data that `version` was trained on: from where it says, else the task's usual.

    Raises:
        UserError: neither has the digest of the data that it was trained on.
    """
    stored = version.metadata
    problems = []
    for options in (task.data_options(**stored["data_options"]), task.data_options()):
        try:
            splits = task.load(options)
        except UserError as error:
            problems.append(str(error))
            continue
        if splits.digest == stored["data_digest"]:
            return splits
        problems.append(f"{splits.source} has {splits.digest}.")
    raise UserError(
        f"{version} was trained on {stored['data_name']} of digest {stored['data_digest']}, which "
        f"is not found: {' '.join(problems)} Set MNIST_DIR to the folder that holds it."
    )

"""A registered version in use again: its network with its weights, and its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments import tasks
from experiments.core import cli
from experiments.core.errors import UserError
from experiments.registry import artifacts, metadata

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from experiments.registry.versions import Version
    from experiments.tasks.task import Splits, Task


def task_of(version: Version) -> Task:
    """Return the task that `version` was trained for.

    Raises:
        UserError: version-outdated, or the task is unknown.
    """
    return tasks.get(metadata.check_current(version).metadata["task"])


def load_model(task: Task, version: Version) -> tuple[nn.Module, nn.Module]:
    """Return the network of `version`, on the CPU, and the torch program it was registered as.

    Raises:
        UserError: version-outdated; model-incompatible, the program cannot be loaded or this
            project's network has other weights; or its file was changed.
    """
    metadata.check_current(version)
    program = artifacts.load_torch(version)
    net = task.network(**version.metadata["config"])
    load_weights(net, program, version)
    return net.eval(), program


def load_weights(net: nn.Module, program: nn.Module, version: Version) -> None:
    """Copy the weights of the version's torch program into `net`.

    Raises:
        UserError: model-incompatible, the two do not have the same weights.
    """
    try:
        net.load_state_dict(program.state_dict())
    except RuntimeError:
        raise UserError(
            "model-incompatible",
            f"weights of {version}",
            expected="those of this project's network",
            found="those of an earlier one",
            fix=f"Train a new one: {cli.HOW_TO_TRAIN.format(task=version.name)}",
        ) from None


def time_ratio(first: Version, second: Version, x: np.ndarray) -> float:
    """Return the first version's time for one sample, x [1, ...], as a fraction of the second's.

    Raises:
        UserError: one of them cannot be loaded.
    """
    from experiments.training import metrics

    return metrics.time_ratio(artifacts.load_torch(first), artifacts.load_torch(second), x)


def load_splits(task: Task, version: Version) -> Splits:
    """Return the data that `version` was trained on: from where it states, else the task's usual.

    Raises:
        UserError: version-outdated; data-differ, neither has the digest of its training data.
    """
    stored = metadata.check_current(version).metadata
    problems = []
    for options in (task.data_options(**stored["data_options"]), task.data_options()):
        try:
            splits = task.load(options)
        except UserError as error:
            problems.append(str(error))
            continue
        if splits.digest == stored["data_digest"]:
            return splits
        problems.append(f"{splits.source} has {splits.digest}")
    where = ", and set MNIST_DIR to their folder" if "data_dir" in stored["data_options"] else ""
    raise UserError(
        "data-differ",
        f"data of {version}",
        expected=f"{stored['data_name']} of digest {stored['data_digest']}",
        found="; ".join(problems),
        fix=f"Restore these data{where}, or train again.",
    )

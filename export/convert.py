"""A version's program to a graph that is proven to be the same function."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import calibration, card, rebuilt, tasks
from experiments.errors import UserError
from export.graph import OPSET
from export.precision import to_precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from experiments.tasks.base import Splits, Task
    from experiments.versions import Version
    from export.parity import Parity

DEFAULT_TASK = "mnist"  # of the command
MOST_LOST = 0.001  # of test accuracy, by a reduced precision
PROBES = 500  # samples on which the rebuilt network is held against the registered program
EXAMPLES = 5  # samples that are kept with the graph


def file_name(task: str) -> str:
    """Return what a task's graph is called where nothing else is said."""
    return f"{'model' if task == DEFAULT_TASK else task}.onnx"


class ParityError(UserError):
    """The graph and the torch program do not say the same."""


@dataclass(frozen=True)
class Exported:
    """A graph that was proven to be a version's.

    Attributes:
        raw: its bytes.
        accuracy: its share right on the test set.
        examples: the first test samples, [5, ...].
    """

    raw: bytes
    precision: str
    opset: int
    parity: Parity
    accuracy: float
    examples: np.ndarray


def export(version: Version, precision: str = "fp32", opset: int = OPSET) -> Exported:
    """Return the checked graph of a registered version.

    Raises:
        ParityError: it is not the registered torch program's function: in fp32 any decision on
            the test set differs, in less too many are wrong.
        UserError: the version's data are not to be had.
    """
    from export import graph, proof

    task = tasks.get(version.metadata["task"])
    net, registered = rebuilt.network(task, version)
    splits = rebuilt.data(task, version)
    x = splits.test.x
    _check_program(version, net, registered, x[:PROBES])
    about = {**describe(task, version), "precision": precision, "opset": str(opset)}
    made = graph.of_task(task, net, x[:2], about, opset)
    made = to_precision(made, precision, lambda: splits.train.x)
    raw = proof.checked(made)
    parity = proof.compare(task, raw, lambda batch: task.outputs(net, batch), x)
    accuracy = version.metadata["test_accuracy"]
    if precision == "fp32":
        _check_same(version, parity)
    else:
        own = _measured(task, raw, splits, version.metadata["facts"])
        accuracy = own["test_accuracy"]
        _check_accuracy(version, precision, accuracy)
        for entry in made.metadata_props:
            if entry.key in own:
                entry.value = json.dumps(own[entry.key])
        raw = made.SerializeToString()
    return Exported(raw, precision, opset, parity, accuracy, x[:EXAMPLES])


def _measured(task: Task, raw: bytes, splits: Splits, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a graph of less precision says of itself instead of what its version says."""
    from export import proof

    told = proof.outputs(raw, splits.val.x)
    if calibration.REFUSED in facts:
        facts = {**facts, calibration.REFUSED: float(calibration.refuses(told, facts).mean())}
    test = proof.outputs(raw, splits.test.x)["logits"]
    return {
        "val_accuracy": proof.accuracy(task, told["logits"], splits.val.y),
        "test_accuracy": proof.accuracy(task, test, splits.test.y),
        "facts": facts,
    }


def _check_program(version: Version, net: Any, program: Any, x: np.ndarray) -> None:
    """Raise ParityError unless this project's network says what the registered program says."""
    import torch

    from export.parity import TOLERANCE

    with torch.inference_mode():
        gap = float((net(torch.tensor(x)) - program(torch.tensor(x))).abs().max())
    if not gap <= TOLERANCE:
        raise ParityError(
            f"{version}: the network that this project builds differs from the registered program "
            f"by {gap:.1e}; expected at most {TOLERANCE:g}. Nothing was written."
        )


def _check_same(version: Version, parity: Parity) -> None:
    from export.parity import TOLERANCE

    if not parity.holds:
        raise ParityError(
            f"{version} as ONNX is not the same function: {parity}; expected all the same and at "
            f"most {TOLERANCE:g}. Nothing was written."
        )


def _check_accuracy(version: Version, precision: str, accuracy: float) -> None:
    if (lost := version.metadata["test_accuracy"] - accuracy) > MOST_LOST:
        raise ParityError(
            f"{version} in {precision} loses {100 * lost:.2f} percentage points of test accuracy; "
            f"expected at most {100 * MOST_LOST:g}. Nothing was written."
        )


def describe(task: Task, version: Version) -> dict[str, str]:
    """Return what a client needs to know of the graph, as text; structures are JSON."""
    stored = version.metadata
    return {
        "task": task.name,
        "labels": json.dumps(stored["labels"]),
        "input": f"{task.input.name}, {task.input.dtype}: {task.input.meaning}",
        "outputs": json.dumps(task.meanings),
        "normalisation": "inside the graph: the input is fed as it is",
        "facts": json.dumps(stored["facts"]),
        "temperature": str(stored["facts"].get("temperature", "none")),
        "torch_model": version.uri,
        "run_id": stored["run_id"],
        "data_name": stored["data_name"],
        "data_digest": stored["data_digest"],
        "val_accuracy": repr(stored["val_accuracy"]),
        "test_accuracy": repr(stored["test_accuracy"]),
        "licence": f"{task.licence} {card.licence()}",
    }

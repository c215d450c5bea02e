"""A registered version to a graph that is as good on the validation split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

from experiments.core.errors import UserError
from experiments.core.exports import OPSET
from experiments.core.onnx_session import open_session, run_batches
from experiments.evaluation import calibration
from experiments.registry import loading, metadata, model_card
from export import graph, verify
from export.precision import to_precision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from experiments.registry.versions import Version
    from experiments.tasks.task import Task
    from export.verify import Parity

MAX_LOST = 0.001  # of validation accuracy, by a reduced precision
MAX_CHANGED = 0.002  # of the decisions on validation, by a reduced precision
PROBES = 500  # samples on which the rebuilt network is compared with the registered program
EXAMPLES = 5  # samples that are stored with the graph
NOTHING_WRITTEN = "Nothing was written."
HIGHER = f"{NOTHING_WRITTEN} Use a higher precision."


class ParityError(UserError):
    """The graph and the torch program do not decide the same."""


@dataclass(frozen=True)
class Exported:
    """A graph that validation has accepted as a version's.

    Attributes:
        raw: its bytes.
        parity: with the torch program, on the validation split.
        measured: of the graph itself: `val_accuracy`, `test_accuracy`, `facts`, `parity` as text,
            and `test_reads`, for what the test split was opened, by the version's training first.
        examples: the first validation samples, [5, ...].
    """

    raw: bytes
    precision: str
    opset: int
    parity: Parity
    measured: Mapping[str, object]
    examples: np.ndarray


def export(version: Version, precision: str = "fp32", opset: int = OPSET) -> Exported:
    """Return the checked graph of a registered version.

    Validation accepts or refuses it; the test split is opened after that, and only reported.

    Raises:
        ParityError: it is not the registered torch program's function: in fp32 any decision on
            the validation split differs, in less too many do, or too many are wrong.
        UserError: version-outdated, or the version's data are not found.
    """
    task = loading.task_of(version)
    net, program = loading.load_model(task, version)
    splits = loading.load_splits(task, version)
    x, y = splits.val.x, splits.val.y
    _check_program(version, net, program, x[:PROBES])
    # The graph, without metadata: they state what it achieves, which is measured first.
    model = graph.of_task(task, net, x[:2], {}, opset)
    model = to_precision(model, precision, lambda: splits.train.x)
    session = open_session(verify.to_bytes(model))
    # Validation decides.
    outputs = run_batches(session, x)
    expected = verify.torch_outputs(task, net, x)
    parity = verify.compare(outputs, expected, task.predict)
    val_accuracy = verify.accuracy(task, outputs["logits"], y)
    if precision == "fp32":
        check_same(version, parity)
    else:
        lost = round((verify.accuracy(task, expected["logits"], y) - val_accuracy) * y.size)
        check_reduced(f"{version} in {precision}", parity, lost, y.size, splits.exhaustive)
    # The test split reports.
    test = splits.test.open(f"accuracy of the accepted {precision} graph")
    logits = run_batches(session, test.x)["logits"]
    measured = {
        "val_accuracy": val_accuracy,
        "test_accuracy": verify.accuracy(task, logits, test.y),
        "facts": _facts(version.metadata["facts"], outputs),
        "test_reads": [*version.metadata["test_reads"], *splits.test.reads],
        "parity": str(parity),
    }
    texts = describe(task, version, measured) | {"precision": precision, "opset": str(opset)}
    onnx.helper.set_model_props(model, texts)
    return Exported(model.SerializeToString(), precision, opset, parity, measured, x[:EXAMPLES])


def _facts(facts: Mapping[str, object], outputs: Mapping[str, np.ndarray]) -> dict[str, object]:
    """Return the version's facts with the graph's own rate of rejected validation samples."""
    if calibration.FALSE_REJECT_RATE not in facts:
        return dict(facts)
    rate = float(calibration.is_refused(outputs, facts).mean())
    return {**facts, calibration.FALSE_REJECT_RATE: rate}


def _check_program(version: Version, net: nn.Module, program: nn.Module, x: np.ndarray) -> None:
    """Raise ParityError unless this project's network computes what the registered program does."""
    with torch.inference_mode():
        difference = float((net(torch.tensor(x)) - program(torch.tensor(x))).abs().max())
    if not difference <= verify.TOLERANCE:  # NaN, too
        what = f"{version}, rebuilt by this project,"
        expected = f"the registered program's logits to within {verify.TOLERANCE:g}"
        found = f"a difference of {difference:.1e}"
        raise ParityError("network-differs", what, expected, found, NOTHING_WRITTEN)


def check_same(version: Version, parity: Parity) -> None:
    """Raise ParityError unless every decision is the same, and each output within the tolerance."""
    if not parity.holds:
        what = f"{version} as ONNX"
        expected = f"every validation decision the same and outputs within {verify.TOLERANCE:g}"
        raise ParityError("graph-differs", what, expected, parity, NOTHING_WRITTEN)


def check_reduced(what: str, parity: Parity, lost: int, answers: int, exhaustive: bool) -> None:
    """Raise ParityError unless a graph of reduced precision is as good on validation.

    Args:
        parity: with the network in full precision.
        lost: how many of the network's correct `answers` are missing.
        exhaustive: whether the samples are all there are: then each one counts. Of any other set
            one may always change, since a small one cannot show less.
    """
    allowed = 0 if exhaustive else 1
    max_changed = max(allowed, int(MAX_CHANGED * parity.count))
    max_lost = max(allowed, int(MAX_LOST * answers))
    changed = parity.count - parity.same
    if changed > max_changed:
        expected = f"at most {max_changed} of {parity.count:,} validation decisions changed"
        raise ParityError("precision-changes-decisions", what, expected, changed, HIGHER)
    if lost > max_lost:
        expected = f"at most {max_lost} of {answers:,} validation answers lost"
        raise ParityError("precision-loses-accuracy", what, expected, lost, HIGHER)


def describe(task: Task, version: Version, measured: Mapping[str, object]) -> dict[str, str]:
    """Return what a client needs to know of the graph, as text; structures are JSON."""
    return {
        **metadata.onnx_metadata({**version.metadata, **measured}),
        "input": f"{task.input.name}, {task.input.dtype}: {task.input.meaning}",
        "outputs": json.dumps(task.output_docs),
        "normalisation": "inside the graph: the input is fed as it is",
        "torch_model": version.uri,
        "licence": f"{task.licence} {model_card.licence()}",
    }

"""What is stored with a version: one table of facts, and where each of them is shown.

A new fact is one line of FIELDS. Collecting it, the version's tags, the model card, the columns of
`registry list` and the metadata of the ONNX file are made from that line. torch is imported inside
functions: `registry list` does not need it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.core import cli, provenance
from experiments.core.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from experiments.evaluation.evaluation import EvaluationResult
    from experiments.registry.versions import Version
    from experiments.tasks.task import Split
    from experiments.training.metrics import EpochMetrics
    from experiments.training.trainer import Trainer

FORMAT = 2  # of the metadata; 1 is that of the releases that stored no number
PERCENT, COUNT = "{:.2%}", "{:,}"
VersionMetadata = Mapping[str, Any]  # JSON-able: what FIELDS says, and what the export adds


@dataclass(frozen=True)
class TrainingResult:
    """All that is known of a trained and calibrated net before it is registered.

    Attributes:
        best: the epoch whose weights the net has.
        facts: of its calibration, for its clients.
        measured: on the test set, and the duration of the fit.
        test, logits: the opened test split, and float32 [N, ...] of it.
        evaluation: beyond accuracy.
    """

    job: Trainer
    net: nn.Module
    best: EpochMetrics
    facts: Mapping[str, float]
    measured: Mapping[str, float]
    test: Split
    logits: np.ndarray
    evaluation: EvaluationResult


@dataclass(frozen=True)
class Field:
    """One fact of a version.

    Attributes:
        path: its key in the metadata; "proof/bytes" is the entry `bytes` of `proof`.
        read: the training's result -> its value; None if it is stored by another step.
        tag: name of the tag by which versions are searched; "" for none.
        label: of its row in the model card.
        column: its heading in `registry list`.
        onnx: its key in the ONNX file's metadata.
        form: how people see it, as a format.
    """

    path: str
    read: Callable[[TrainingResult], object] | None = None
    tag: str = ""
    label: str = ""
    column: str = ""
    onnx: str = ""
    form: str = "{}"

    def value(self, stored: VersionMetadata) -> Any:
        """Return the fact in a version's metadata, None if it is not there."""
        key, _, entry = self.path.partition("/")
        value = stored.get(key)
        if entry and value is not None:
            return value.get(entry)
        return value

    def text(self, stored: VersionMetadata) -> str:
        """Return the fact as people see it, "" if it is not there."""
        value = self.value(stored)
        return "" if value is None else self.form.format(value)


FIELDS: tuple[Field, ...] = (
    Field("format", lambda t: FORMAT),
    # What it is
    Field("task", lambda t: t.job.task.name, tag="task", onnx="task"),
    Field("config", lambda t: t.net.config),
    Field("labels", lambda t: list(t.job.splits.labels), onnx="labels"),
    Field("facts", lambda t: {**t.job.splits.export_metadata, **t.facts}, onnx="facts"),
    Field(
        "parameters",
        lambda t: sum(p.numel() for p in t.net.parameters()),
        tag="parameters",
        label="parameters",
        form=COUNT,
    ),
    # How it was trained, and on what
    Field("recipe", lambda t: t.job.options["recipe"], tag="recipe", column="recipe"),
    Field("hparams", lambda t: asdict(t.job.hparams)),
    Field("seed", lambda t: t.job.seed, tag="seed"),
    Field("data_options", lambda t: _texts(asdict(t.job.data))),
    Field("data_name", lambda t: t.job.splits.name, tag="data_name", onnx="data_name"),
    Field("data_digest", lambda t: t.job.splits.digest, tag="data_digest", onnx="data_digest"),
    Field("data_sizes", lambda t: t.job.splits.sizes()),
    Field("canonical", lambda t: t.job.splits.canonical),
    Field("exhaustive", lambda t: t.job.splits.exhaustive),
    Field(
        "unfit", lambda t: "; ".join(t.job.splits.unfit) or None, tag="unfit", label="unfit data"
    ),
    Field("fit_seconds", lambda t: t.measured["fit_seconds"]),
    Field("environment", lambda t: provenance.library_versions()),
    Field("code", lambda t: provenance.commit()),
    Field("code/commit", tag="code_commit"),
    Field("code/clean", tag="code_clean"),
    Field("run_id", onnx="run_id"),
    # How good it is
    Field(
        "val_accuracy",
        lambda t: t.best.val_accuracy,
        tag="val_accuracy",
        column="val",
        onnx="val_accuracy",
        form=PERCENT,
    ),
    Field("val_loss", lambda t: t.best.val_loss, tag="val_loss"),
    Field("val_wrong", lambda t: wrong_answers(t.job, t.net)),
    Field("val_count", lambda t: t.job.val.y.numel()),
    Field("floor", lambda t: t.job.task.floor(t.job.splits)),
    Field(
        "test_accuracy",
        lambda t: t.measured["test_accuracy"],
        tag="test_accuracy",
        column="test",
        onnx="test_accuracy",
        form=PERCENT,
    ),
    Field("test_count", lambda t: int(t.measured["test_count"])),
    Field("test_reads", lambda t: list(t.job.splits.test.reads)),
    Field("confusion", lambda t: confusion(t.job.task.predict, t.logits, t.test.y)),
    Field("robustness", lambda t: dict(t.evaluation.numbers)),
    Field("reported", lambda t: dict(t.evaluation.reported)),
    Field("metrics", lambda t: {name: asdict(m) for name, m in t.evaluation.metrics.items()}),
    Field("facts/temperature", label="temperature", onnx="temperature", form="{:.3f}"),
    # Its graph in fp32, as measured before registration
    Field(
        "proof/bytes",
        tag="onnx_bytes",
        label="bytes of the fp32 graph",
        column="fp32 bytes",
        form=COUNT,
    ),
    Field(
        "proof/latency_ms",
        form="{:.2f} ms",
        label="median time of the fp32 graph, one sample, one thread",
    ),
    Field("proof/holds", tag="parity"),
    Field("proof/parity", label="torch against fp32 graph, on validation"),
    # Of an exported graph: what it is itself
    Field("precision", column="precision"),
    Field("bytes", label="bytes of this graph", column="bytes", form=COUNT),
    Field("parity", label="torch against this graph, on validation"),
)


def texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return values as text, for tags and for ONNX; what is no text becomes JSON."""
    return {name: v if isinstance(v, str) else json.dumps(v) for name, v in values.items()}


def collect(result: TrainingResult) -> dict[str, object]:
    """Return, JSON-able, the metadata of a trained net, without its export's proof and its run."""
    return {field.path: field.read(result) for field in FIELDS if field.read is not None}


def search_tags(stored: VersionMetadata) -> dict[str, object]:
    """Return tag -> value: what versions are searched by."""
    values = {field.tag: field.value(stored) for field in FIELDS if field.tag}
    for metric, value in _metrics(stored):
        if metric["tag"]:
            values[metric["tag"]] = value
    return {tag: value for tag, value in values.items() if value is not None}


def onnx_metadata(stored: VersionMetadata) -> dict[str, str]:
    """Return key -> text of the ONNX file's metadata; what is no text is JSON."""
    values = {field.onnx: field.value(stored) for field in FIELDS if field.onnx}
    return texts({key: value for key, value in values.items() if value is not None})


def card_rows(stored: VersionMetadata) -> Iterator[tuple[str, str]]:
    """Yield label and text of each fact that a model card lists."""
    for field in FIELDS:
        if field.label and field.value(stored) is not None:
            yield field.label, field.text(stored)
    for metric, value in _metrics(stored):
        if metric["label"]:
            yield metric["label"], PERCENT.format(value)


def metric_of(stored: VersionMetadata, name: str) -> VersionMetadata:
    """Return how a number of the evaluation is used, by its name or its group; empty if unknown."""
    metrics = stored.get("metrics", {})
    known: VersionMetadata = metrics.get(name) or metrics.get(name.split("/")[0]) or {}
    return known


def _metrics(stored: VersionMetadata) -> Iterator[tuple[VersionMetadata, float]]:
    """Yield use and value of each number of the evaluation that is declared by its name."""
    values = {**stored.get("robustness", {}), **stored.get("reported", {})}
    for name, metric in stored.get("metrics", {}).items():
        if name in values:
            yield metric, values[name]


def columns(versions: Sequence[VersionMetadata]) -> dict[str, list[str]]:
    """Return heading -> one text a version, without the columns that none of them fills."""
    table = {f.column: [f.text(stored) for stored in versions] for f in FIELDS if f.column}
    return {heading: texts for heading, texts in table.items() if any(texts)}


def is_current(stored: VersionMetadata) -> bool:
    """Return whether this release has stored the metadata, so that all of FIELDS is there."""
    return stored.get("format") == FORMAT


def check_current(version: Version) -> Version:
    """Return the version.

    Raises:
        UserError: version-outdated, an earlier release registered it.
    """
    if is_current(version.metadata):
        return version
    raise UserError(
        "version-outdated",
        version,
        expected=f"a version of this release, metadata format {FORMAT}",
        found=f"format {version.metadata.get('format', 1)}, of an earlier release",
        fix=f"It stays listed; train a new one: {cli.HOW_TO_TRAIN.format(task=version.name)}",
    )


def wrong_answers(job: Trainer, net: nn.Module) -> list[int]:
    """Return the indices of the wrong answers in the flattened validation targets."""
    from experiments.training.metrics import predict

    correct = job.task.is_correct(predict(net, job.val.x), job.val.y)
    return np.flatnonzero(~correct.cpu().numpy().reshape(-1)).tolist()


def confusion(
    predict: Callable[[Tensor], Tensor], logits: np.ndarray, y: np.ndarray
) -> list[list[int]]:
    """Return the confusion matrix: true values as rows, predicted ones as columns.

    Args:
        predict: logits -> predictions, shaped as `y` is: whole numbers from 0 on.
        logits: float32 [N, ...].
    """
    import torch

    pred = predict(torch.as_tensor(logits)).numpy().reshape(-1).astype(int)
    truth = y.reshape(-1).astype(int)
    side = max(pred.max(), truth.max()) + 1
    return np.bincount(truth * side + pred, minlength=side**2).reshape(side, side).tolist()


def _texts(options: Mapping[str, object]) -> dict[str, str | None]:
    """Return the data options as text; None stays None."""
    return {name: None if value is None else str(value) for name, value in options.items()}

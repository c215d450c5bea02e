"""Predictors on onnxruntime: an ONNX file's session, its labels and its facts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
from onnxruntime import InferenceSession

from experiments.core import onnx_session
from serve.refusals import refusal

INPUTS = {
    "mnist": "image",
    "logic": "image",
    "gate": "x",
}  # task -> the one input that the page feeds
MAX_BYTES = 100_000_000  # of a model file; exported ones have less than two million


class Facts(TypedDict, total=False):
    """What a model stores for its clients besides its labels."""

    truth_tables: dict[str, str]  # gate -> outputs in counting order
    score_threshold: float  # a drawing with a lower score is no digit
    false_reject_rate: float  # at this threshold
    drawn_reject_rate: float  # the same, of digits that simulated hands drew


class Predictor(Protocol):
    """What the page needs of a model, whichever library runs it.

    Attributes:
        task: name of the task.
        labels: of the columns of `probabilities`.
        facts: see there.
        title: the version in words.
        key: the version as the text of a `ModelRef`.
        graph: the ONNX file's bytes; empty for a torch program.
        metadata: the ONNX file's metadata; empty for a torch program.
    """

    task: str
    labels: list[str]
    facts: Facts
    title: str
    key: str
    graph: bytes
    metadata: Mapping[str, str]

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the graph's outputs by name for x [B, ...], in the dtype the task asks for."""
        ...


class OnnxPredictor:
    """A predictor on onnxruntime, of an ONNX file and its metadata.

    Args:
        path: of the file.
        raw: its bytes if they are read already; `path` is then used in errors only.
    """

    def __init__(self, path: Path, raw: bytes | None = None) -> None:
        self.graph = read(path) if raw is None else raw
        self._session = open_session(path, self.graph)
        about = self._session.get_modelmeta().custom_metadata_map
        inputs = [each.name for each in self._session.get_inputs()]
        outputs = [each.name for each in self._session.get_outputs()]
        missing = [key for key in ("task", "labels", "facts") if key not in about]
        missing += [name for name in ("logits", "probabilities") if name not in outputs]
        if missing:
            raise refusal("metadata-missing", f"one without {', '.join(missing)}", file=path)
        self.metadata: Mapping[str, str] = about
        self.task = about["task"]
        expected = INPUTS.get(self.task, inputs[0])
        if inputs != [expected]:
            found = f"{', '.join(inputs)} (a merged model is for phones and browsers)"
            raise refusal("input-mismatch", found, file=path, name=expected)
        try:
            self.labels: list[str] = json.loads(about["labels"])
            self.facts: Facts = json.loads(about["facts"])
        except ValueError as error:
            raise refusal("metadata-invalid", "other text", file=path) from error
        self.key = str(path)
        origin = about.get("torch_model", path.name).removeprefix("models:/")
        self.title = ", ".join([origin, *filter(None, [about.get("precision")]), "onnxruntime"])

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return onnx_session.run_batches(self._session, x)


def open_session(path: Path, raw: bytes | None = None) -> InferenceSession:
    """Return a session of the ONNX file at `path`, or of its bytes `raw`.

    Raises:
        UserError: there is no such file, or it is no ONNX graph that onnxruntime can run.
    """
    raw = read(path) if raw is None else raw
    return onnx_session.open_session(raw, threads=1, name=path)  # one digit is too little for more


def read(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the bytes of a model file.

    Raises:
        UserError: there is none, it is too large, or it cannot be read.
    """
    if not path.is_file():
        raise refusal("file-missing", "none", file=path)
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise refusal("file-too-large", f"{size} bytes", file=path, limit=max_bytes)
        return path.read_bytes()
    except OSError as error:
        raise refusal("file-unreadable", error.strerror, file=path) from error

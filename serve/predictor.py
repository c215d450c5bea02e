"""A model to numbers: an ONNX file's session, its labels and its facts."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime

from experiments.errors import UserError
from serve.texts import model as say

FED = {"mnist": "image", "gate": "x"}  # task -> the one input that the page feeds
MAX_BYTES = 100_000_000  # of a model file; ours have less than two million


class Predictor(Protocol):
    """What the page needs of a model, whichever library runs it.

    Attributes:
        task: name of the task.
        labels: what the columns of `probabilities` stand for.
        facts: what else the model says of itself.
        title: which version this is, for people.
        key: which version this is, for programs.
        graph: the ONNX file's bytes; empty if it is none.
        metadata: what the graph says of itself, as text; empty if it is none.
    """

    task: str
    labels: list[str]
    facts: Mapping[str, Any]
    title: str
    key: str
    graph: bytes
    metadata: Mapping[str, str]

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Return the graph's outputs by name for x [B, ...], in the dtype the task asks for."""
        ...


class OnnxPredictor:
    """A predictor on onnxruntime; the file and its metadata are all it knows.

    Args:
        path: of the file.
        raw: its bytes, if they were read already; `path` is then but a name.
    """

    def __init__(self, path: Path, raw: bytes | None = None) -> None:
        self.graph = read(path) if raw is None else raw
        self._session = open_session(path, self.graph)
        about = self._session.get_modelmeta().custom_metadata_map
        given = self._session.get_inputs()
        self._input, self._outputs = given[0].name, [o.name for o in self._session.get_outputs()]
        missing = [key for key in ("task", "labels", "facts") if key not in about]
        missing += [name for name in ("logits", "probabilities") if name not in self._outputs]
        if missing:
            found = say.WITHOUT.format(names=", ".join(missing))
            raise UserError(say.NOT_OURS.format(path=path, found=found))
        self.metadata: Mapping[str, str] = about
        self.task = about["task"]
        if [each.name for each in given] != [FED.get(self.task, self._input)]:
            found = say.FED.format(names=", ".join(each.name for each in given))
            raise UserError(say.NOT_OURS.format(path=path, found=found))
        try:
            self.labels: list[str] = json.loads(about["labels"])
            self.facts: Mapping[str, Any] = json.loads(about["facts"])
        except ValueError as error:
            raise UserError(say.NOT_OURS.format(path=path, found=say.NO_JSON)) from error
        self.key = str(path)
        origin = about.get("torch_model", path.name).removeprefix("models:/")
        self.title = ", ".join([origin, *filter(None, [about.get("precision")]), "onnxruntime"])

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        values = self._session.run(self._outputs, {self._input: x})
        return dict(zip(self._outputs, values, strict=True))


def open_session(path: Path, raw: bytes | None = None) -> onnxruntime.InferenceSession:
    """Return a session of the ONNX file at `path`, or of its bytes `raw`.

    Raises:
        UserError: there is no such file, or it is no ONNX graph that onnxruntime can run.
    """
    raw = read(path) if raw is None else raw
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # one digit is too little work to share
    try:
        return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no common class but this
        raise UserError(say.NO_ONNX.format(path=path, kind=type(error).__name__)) from error


def read(path: Path) -> bytes:
    """Return the bytes of a model file.

    Raises:
        UserError: there is none, it is too large, or it cannot be read.
    """
    if not path.is_file():
        raise UserError(say.NO_FILE.format(path=path))
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(say.LARGE_FILE.format(path=path, most=MAX_BYTES))
        return path.read_bytes()
    except OSError as error:
        raise UserError(say.UNREADABLE.format(path=path, why=error.strerror)) from error

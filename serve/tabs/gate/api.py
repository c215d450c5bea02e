"""Evaluating and training gates for the page and for programs; every value is checked."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, TypedDict

import numpy as np
from anyio import CapacityLimiter, to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from experiments.core.errors import UserError
from experiments.core.stats import wilson_interval
from serve.backends.onnx_backend import Predictor
from serve.refusals import refusal
from serve.tabs.gate import numpy_training, onnx_weights

MAX_INPUTS, MAX_HIDDEN = 4, 8  # of a network that is trained in the page
CACHE_SIZE = 64  # trainings; each takes 0.1 MB
MIN_VALUE, MAX_VALUE = -10, 10  # of an input; the truth table has 0 and 1
MAX_WAITING = 50  # trainings, of a class; each takes 0.1 s
_one_at_a_time, _slots = CapacityLimiter(1), threading.BoundedSemaphore(1 + MAX_WAITING)


class TrainRequest(BaseModel):
    """What to train: a truth table's outputs in counting order, a network, one of its starts."""

    model_config = ConfigDict(strict=True, frozen=True)

    bits: Annotated[str, Field(pattern="^([01]{2}|[01]{4}|[01]{8}|[01]{16})$")]
    hidden: Annotated[int, Field(ge=1, le=MAX_HIDDEN)]
    activation: numpy_training.Activation
    start: Annotated[int, Field(ge=1, le=numpy_training.STARTS)]


class Inputs(BaseModel):
    """The inputs of a gate: 0 is off and 1 is on."""

    inputs: list[Annotated[float, Field(strict=True, ge=MIN_VALUE, le=MAX_VALUE)]]


class GateAnswer(TypedDict):
    """The prediction of one gate's network."""

    gate: str
    inputs: list[float]
    probability: float  # of a 1
    output: int  # 0 or 1
    model: str  # the version's title


def tables(predictor: Predictor) -> dict[str, str]:
    """Return gate -> its truth table's outputs; raise UserError unless it is a gate model."""
    if "truth_tables" not in predictor.facts:
        raise refusal("task-mismatch", predictor.title, task="gate")
    return predictor.facts["truth_tables"]


async def train(request: Mapping[str, object]) -> Mapping[str, object]:
    """Return what `training` returns, one request after the other.

    So when a class presses Train at once, the server's other threads remain free for drawings.
    """
    if not _slots.acquire(blocking=False):
        return _failure(refusal("page-busy", f"{MAX_WAITING} trainings that wait"))
    try:
        return await to_thread.run_sync(training, request, limiter=_one_at_a_time)
    finally:
        _slots.release()


def training(request: object) -> Mapping[str, object]:
    """Train networks on a truth table; return one start's history and all starts' results.

    For a wrong request, return the error's facts, with its sentence as `error`.

    Args:
        request: the fields of a `TrainRequest`.
    """
    try:
        return _trained(TrainRequest.model_validate(request))
    except ValidationError as error:
        return _failure(_invalid(error))


def _failure(error: UserError) -> dict[str, str]:
    return {"error": str(error), **error.facts()}


@lru_cache(CACHE_SIZE)
def _trained(request: TrainRequest) -> dict[str, object]:
    bits, start, activation = request.bits, request.start, request.activation
    result = numpy_training.train(bits, request.hidden, activation, start - 1)
    low, high = wilson_interval(int(result.learned.sum()), len(result.learned))
    return {
        "bits": bits,
        "start": start,
        "activation": activation,
        "epochs": result.epochs,
        "losses": result.losses,
        "right": result.right,
        "frames": onnx_weights.to_lists(result.frames),
        "learned": "".join(str(int(learned)) for learned in result.learned),
        "fraction": float(result.learned.mean()),
        "low": low,
        "high": high,
    }


def _invalid(error: ValidationError) -> UserError:
    """Return the first of pydantic's errors as one of ours."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "request"
    return refusal("value-invalid", _short(first["input"]), name=name, expected=first["msg"])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def evaluate(predictor: Predictor, gate: object, inputs: object) -> GateAnswer:
    """Return the prediction of one gate's network, or raise UserError.

    Args:
        gate: one of the model's labels.
        inputs: as many numbers as the gate has inputs, each from -10 to 10.
    """
    known = tables(predictor)
    if not isinstance(gate, str) or gate not in predictor.labels:
        raise refusal("gate-unknown", _short(gate), gates=", ".join(predictor.labels))
    try:
        x = Inputs.model_validate({"inputs": inputs}).inputs
    except ValidationError as error:
        raise _invalid(error) from error
    count = len(known[gate]).bit_length() - 1
    if len(x) != count:
        expected = f"a list of {count} numbers for {gate}"
        raise refusal("value-invalid", _short(inputs), name="inputs", expected=expected)
    prob = predictor(np.array([x], np.float32))["probabilities"]
    prob_of_gate = float(prob[0, predictor.labels.index(gate)])
    return {
        "gate": gate,
        "inputs": x,
        "probability": prob_of_gate,
        "output": int(prob_of_gate > 0.5),
        "model": predictor.title,
    }

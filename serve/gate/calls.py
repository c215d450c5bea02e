"""What is asked of gates from outside: an evaluation, or a training; every value is checked."""

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from anyio import CapacityLimiter, to_thread

from experiments.errors import UserError
from serve.gate import bank as gate_bank
from serve.gate import net as gate_net
from serve.predictor import Predictor
from serve.texts import gate as texts
from serve.texts.api import BUSY

MOST_INPUTS, MOST_HIDDEN = 4, 8  # of what is trained in the page
KEPT = 64  # trainings; each takes 0.1 MB
MOST_WAITING = 50  # trainings, of a class; each takes 0.1 s
LEAST, MOST = -10, 10  # of an input; the gates themselves know 0 and 1
_turn, _room = CapacityLimiter(1), threading.BoundedSemaphore(1 + MOST_WAITING)


def tables(predictor: Predictor) -> dict[str, str]:
    """Return gate -> its truth table's outputs.

    Raises:
        UserError: the model is not one of gates.
    """
    if "truth_tables" not in predictor.facts:
        raise UserError(texts.NO_GATES.format(title=predictor.title))
    return dict(predictor.facts["truth_tables"])


async def train(request: dict[str, Any]) -> dict[str, Any]:
    """Answer as `training` does, one request after the other.

    A whole class may press Train at once: that is quicker for all, and keeps none of the threads
    that drawings need.
    """
    if not _room.acquire(blocking=False):  # the others' drawings need turns, too
        return {"error": BUSY}
    try:
        return await to_thread.run_sync(training, request, limiter=_turn)
    finally:
        _room.release()


def training(request: dict[str, Any]) -> dict[str, Any]:
    """Train a network on a truth table, as the page asks; {"error": sentence} if it cannot.

    Args:
        request: `bits`, the table's outputs in counting order; `hidden`, 1 to 8; `activation`;
            `start`, 1 to 200.
    """
    try:
        bits, hidden, activation, start = _checked(request)
    except UserError as error:
        return {"error": str(error)}
    return _trained(bits, hidden, activation, start)


@lru_cache(KEPT)
def _trained(bits: str, hidden: int, activation: str, start: int) -> dict[str, Any]:
    training = gate_net.train(bits, hidden, activation, start - 1)
    learned = training.learned
    low, high = gate_net.wilson(int(learned.sum()), len(learned))
    return {
        "bits": bits,
        "start": start,
        "activation": activation,
        "epochs": training.epochs,
        "losses": training.losses,
        "right": training.right,
        "frames": gate_bank.drawn(training.frames),
        "learned": "".join("1" if one else "0" for one in learned),
        "share": float(learned.mean()),
        "low": low,
        "high": high,
    }


def _checked(request: Any) -> tuple[str, int, str, int]:
    """Return bits, hidden, activation and start of a request that may hold anything.

    Raises:
        UserError: one of them is not as `train` wants it.
    """
    found = request if isinstance(request, dict) else {}
    bits, activation = found.get("bits"), found.get("activation")
    sizes = [2**n for n in range(1, MOST_INPUTS + 1)]
    if not isinstance(bits, str) or set(bits) - {"0", "1"} or len(bits) not in sizes:
        raise UserError(texts.BAD_TABLE.format(found=_short(bits)))
    if activation not in gate_net.ACTIVATIONS:
        expected = ", ".join(gate_net.ACTIVATIONS)
        raise UserError(
            texts.BAD_SETTING.format(name="activation", expected=expected, found=_short(activation))
        )
    hidden = _whole(found, "hidden", MOST_HIDDEN)
    return bits, hidden, activation, _whole(found, "start", gate_net.STARTS)


def _whole(found: dict[str, Any], name: str, most: int) -> int:
    value = found.get(name)
    if type(value) is not int or not 1 <= value <= most:
        expected = texts.WHOLE.format(low=1, high=most)
        raise UserError(texts.BAD_SETTING.format(name=name, expected=expected, found=_short(value)))
    return value


def _short(value: Any) -> str:
    """Return how a value looks, in at most 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def evaluate(predictor: Predictor, gate: str, inputs: Sequence[float]) -> dict[str, Any]:
    """Return what the network of `gate` says of `inputs`.

    Args:
        gate: one of the model's labels.
        inputs: as many numbers as the gate has inputs, each from -10 to 10; 0 is off and 1 is on.

    Returns:
        `gate`, `inputs`, `probability` of a 1, `output` (0 or 1) and `model`, which it was.

    Raises:
        UserError: no such gate, or `inputs` are not as they should be.
    """
    known = tables(predictor)
    if gate not in predictor.labels:
        gates = ", ".join(predictor.labels)
        raise UserError(texts.UNKNOWN_GATE.format(gates=gates, found=_short(gate)))
    count = len(known[gate]).bit_length() - 1
    if not isinstance(inputs, list | tuple):
        raise UserError(texts.NOT_A_LIST.format(count=count, found=_short(inputs)))
    if len(inputs) != count:
        raise UserError(texts.WRONG_COUNT.format(count=count, gate=gate, found=len(inputs)))
    for value in inputs:
        if not isinstance(value, int | float) or not LEAST <= value <= MOST:  # so is no NaN
            found = _short(value)
            raise UserError(texts.NOT_A_NUMBER.format(low=LEAST, high=MOST, found=found))
    row = np.array([inputs], np.float32)
    share = float(predictor(row)["probabilities"][0, predictor.labels.index(gate)])
    return {
        "gate": gate,
        "inputs": [float(value) for value in inputs],
        "probability": share,
        "output": int(share > 0.5),
        "model": predictor.title,
    }

"""What gate networks do at every recorded step: their logits, margins, losses and surfaces.

Weights are a dict of weight1 [*nets, hidden, n], bias1 [*nets, hidden], weight2 [*nets, hidden]
and bias2 [*nets], as `models.mlp.GateBank` names them. `nets` is any shape: (steps, gates) for
a recorded training, (gates,) for one moment of it, (steps,) for one gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.errors import DataError

if TYPE_CHECKING:
    from models.mlp import GateBank

Weights = Mapping[str, np.ndarray]
LINE = np.linspace(-0.25, 1.25, 61, dtype=np.float32)  # values of an input on a surface
MOST_FOCUS = 4  # gates that fit a picture with a row each


def bank(weights: Weights, activation: str) -> GateBank:
    """Return the networks with these weights, so that their arithmetic stands in one place."""
    import torch

    from models.mlp import GateBank

    *nets, hidden, inputs = weights["weight1"].shape
    with torch.random.fork_rng(devices=[]):  # the bank draws a start that is not wanted
        made = GateBank(inputs, nets, hidden, activation)
    held = {name: torch.tensor(np.asarray(value)) for name, value in weights.items()}
    made.load_state_dict(held, assign=True)
    return made.requires_grad_(False)


def take(weights: Weights, index: Any) -> dict[str, np.ndarray]:
    """Return the weights of some of the networks: `index` selects along `nets`."""
    return {name: value[index] for name, value in weights.items()}


def logits(weights: Weights, activation: str, x: np.ndarray) -> np.ndarray:
    """Return the log-odds of a 1, float [B, *nets], for the inputs `x`, float [B, n]."""
    import torch

    points = torch.tensor(np.asarray(x, weights["weight1"].dtype))
    with torch.inference_mode():
        return bank(weights, activation)(points).numpy()


def margins(weights: Weights, activation: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return how far each row is on its right side: float [rows, *nets], in nats of log-odds.

    Negative is wrong. The loss of a row is log(1 + exp(-margin)).

    Args:
        x: float [rows, n] of 0 and 1.
        y: float [rows, gates] of 0 and 1 where `nets` ends with the gates, or [rows] of one gate.
    """
    raw = logits(weights, activation, x)
    sign = 2 * np.asarray(y, raw.dtype) - 1
    return raw * sign.reshape(len(y), *[1] * (raw.ndim - sign.ndim), *sign.shape[1:])


def losses(margin: np.ndarray) -> np.ndarray:
    """Return the mean cross-entropy over the rows, float [*nets], of margins [rows, *nets]."""
    return np.logaddexp(0, -margin).mean(0)


def right_from(steps: Sequence[int], margin: np.ndarray) -> list[int | None]:
    """Return for each gate the first recorded step from which on all its rows stay right.

    None where a row is wrong at the last step. It is as exact as the steps are dense.

    Args:
        steps: T steps, ascending.
        margin: float [rows, T, gates].
    """
    right = np.all(margin > 0, axis=0)
    wrong_after = [np.flatnonzero(~column) for column in right.T]
    first = [int(wrong[-1]) + 1 if len(wrong) else 0 for wrong in wrong_after]
    return [steps[i] if i < len(steps) else None for i in first]


def focus(since: Sequence[int | None], loss: np.ndarray, most: int = MOST_FOCUS) -> list[int]:
    """Return the gates most worth a look: never learned, then learned last, then greatest loss.

    Args:
        since: of `right_from`.
        loss: float [gates], the last step's.
        most: how many at most.
    """
    never = float("inf")
    late = [never if step is None else step for step in since]
    return sorted(range(len(late)), key=lambda gate: (-late[gate], -float(loss[gate])))[:most]


def picks(count: int, most: int = 8) -> list[int]:
    """Return at most `most` of `count` recorded steps, evenly, the first and the last among them.

    The recorded steps are ever farther apart; hence so are these.
    """
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int)).tolist()


def surfaces(weights: Weights, activation: str, line: np.ndarray = LINE) -> np.ndarray:
    """Return the probability of a 1 over two inputs: float [*nets, S, S], b by a.

    Row i has b = line[i], column j has a = line[j]. For networks of more inputs take
    `gate_slices.plane` first.

    Args:
        line: float [S], values of each input.

    Raises:
        DataError: the networks have not 2 inputs.
    """
    inputs = weights["weight1"].shape[-1]
    if inputs != 2:
        raise DataError(f"surface: expected gates of 2 inputs, found {inputs}.")
    b, a = np.meshgrid(line, line, indexing="ij")
    points, nets = np.stack([a, b], -1).reshape(-1, 2), weights["bias2"].shape
    flat = {name: value.reshape(-1, *value.shape[len(nets) :]) for name, value in weights.items()}
    chunks = np.array_split(np.arange(flat["bias2"].size), max(1, flat["bias2"].size // 16))
    raw = [logits(take(flat, chunk), activation, points).T for chunk in chunks]  # fits the cache
    return _sigmoid(np.concatenate(raw)).reshape(*nets, len(line), len(line))


def _sigmoid(raw: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -raw))  # no overflow on either side

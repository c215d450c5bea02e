"""What gate networks compute: logits, margins, losses and decision surfaces.

Weights are a dict of weight1 [*nets, hidden, n], bias1 [*nets, hidden], weight2 [*nets, hidden]
and bias2 [*nets], as `models.mlp.GateBank` names them. `nets` is any shape: (epochs, gates) for
a recorded training, (gates,) for one epoch of it, (epochs,) for one gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from experiments.core.errors import DataError
from experiments.core.stats import sigmoid
from experiments.evaluation.arrays import Array

if TYPE_CHECKING:
    from models.mlp import GateBank

Weights = Mapping[str, np.ndarray]
Index = int | slice | None | Sequence[int] | np.ndarray
LINE = np.linspace(-0.25, 1.25, 61, dtype=np.float32)  # values of each input on a surface


def bank(weights: Weights, activation: str) -> GateBank:
    """Return the torch networks that have these weights."""
    import torch

    from models.mlp import GateBank

    *nets, hidden, inputs = weights["weight1"].shape
    with torch.device("meta"):  # without an initialisation: no random number is drawn
        net = GateBank(inputs, nets, hidden, activation)
    tensors = {name: torch.tensor(np.asarray(value)) for name, value in weights.items()}
    net.load_state_dict(tensors, assign=True)
    return net.requires_grad_(False)


def take(weights: Weights, index: Index | tuple[Index, ...]) -> dict[str, np.ndarray]:
    """Return the weights of some of the networks: `index` selects along `nets`."""
    return {name: value[index] for name, value in weights.items()}


def bits(row: Float[Array, " inputs"]) -> str:
    """Return a row of a truth table as text: "01"."""
    return "".join(str(int(bit)) for bit in row)


def logits(
    weights: Weights, activation: str, x: Float[Array, "B inputs"]
) -> Float[Array, " B *nets"]:
    """Return the logits of the inputs `x`."""
    import torch

    points = torch.tensor(np.asarray(x, weights["weight1"].dtype))
    with torch.inference_mode():
        return bank(weights, activation)(points).numpy()


def margins(
    weights: Weights,
    activation: str,
    x: Float[Array, "rows inputs"],
    y: Float[Array, " rows *gates"],
) -> Float[Array, " rows *nets"]:
    """Return the margin of each row in nats: the logit towards the target.

    Negative is wrong. The loss of a row is log(1 + exp(-margin)).

    Args:
        x: 0 and 1.
        y: 0 and 1, of all gates where `nets` ends with the gates, or of one gate.
    """
    raw = logits(weights, activation, x)
    sign = 2 * np.asarray(y, raw.dtype) - 1
    return raw * sign.reshape(len(y), *[1] * (raw.ndim - sign.ndim), *sign.shape[1:])


def losses(margin: Float[Array, " rows *nets"]) -> Float[Array, " *nets"]:
    """Return the mean cross-entropy over the rows."""
    return np.asarray(np.logaddexp(0, -margin).mean(0))


def correct_from(epochs: Sequence[int], margin: Float[Array, "rows T gates"]) -> list[int | None]:
    """Return for each gate the first of T epochs from which on all its rows stay correct.

    None where a row is wrong at the last epoch.
    """
    wrong = ~np.all(margin > 0, axis=0)
    last_wrong = [np.flatnonzero(column)[-1:] for column in wrong.T]
    first = [int(index[0]) + 1 if len(index) else 0 for index in last_wrong]
    return [epochs[i] if i < len(epochs) else None for i in first]


def surfaces(
    weights: Weights, activation: str, line: Float[Array, " S"] = LINE
) -> Float[Array, " *nets S S"]:
    """Return the probability of a 1 over two inputs, whose values are those of `line`.

    Row i has b = line[i], column j has a = line[j]. For networks of more inputs take
    `gate_slices.restrict` first.

    Raises:
        DataError: the networks do not have 2 inputs.
    """
    inputs = weights["weight1"].shape[-1]
    if inputs != 2:
        raise DataError("gate-inputs-out-of-range", "surface", "gates of 2 inputs", inputs)
    b, a = np.meshgrid(line, line, indexing="ij")
    points, nets = np.stack([a, b], -1).reshape(-1, 2), weights["bias2"].shape
    flat = {name: value.reshape(-1, *value.shape[len(nets) :]) for name, value in weights.items()}
    # 16 networks at a time fit the CPU's cache
    chunks = np.array_split(np.arange(flat["bias2"].size), max(1, flat["bias2"].size // 16))
    raw = np.concatenate([logits(take(flat, chunk), activation, points).T for chunk in chunks])
    probability = sigmoid(raw)
    return probability.reshape(*nets, len(line), len(line))

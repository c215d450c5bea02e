"""Training one-hidden-layer gate networks in numpy, many starts at once, within a second.

The same network and recipe as `models/mlp.py` and `experiments/training/optim.py`, without torch.
"""

import math
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

import numpy as np

from experiments.core.stats import sigmoid
from experiments.data import truth_table

STARTS = 200  # networks that train at once; only their initial weights differ
STEPS = 300  # full-batch, one an epoch
FRAMES = 60  # of the history of one start, besides its initial weights
LR, WARMUP_FRAC = 0.1, 0.2  # peak, and the fraction of the steps until it is reached
BETAS, EPS = (0.7, 0.9), 1e-8
Activation = Literal["tanh", "relu", "sigmoid"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


class Bank(NamedTuple):
    """Independent networks, float32."""

    weight1: np.ndarray  # [starts, hidden, inputs]
    bias1: np.ndarray  # [starts, hidden]
    weight2: np.ndarray  # [starts, hidden]
    bias2: np.ndarray  # [starts]


class Training(NamedTuple):
    """The history of one start as frames, and the result of all starts."""

    epochs: list[int]  # of the frames
    losses: list[float]  # mean binary cross-entropy
    right: list[int]  # correct rows
    frames: Bank  # with the frames on the axis of the starts
    learned: np.ndarray  # bool [starts], whether every row is correct after the training


def initial(inputs: int, hidden: int, starts: int = STARTS) -> Bank:
    """Return PyTorch's default initialisation, the same weights at each call."""
    rng = np.random.default_rng([inputs, hidden])

    def uniform(*shape: int, fan_in: int) -> np.ndarray:
        values = rng.uniform(-1, 1, (starts, *shape)).astype(np.float32)
        return values / np.float32(math.sqrt(fan_in))

    return Bank(
        uniform(hidden, inputs, fan_in=inputs),
        uniform(hidden, fan_in=inputs),
        uniform(hidden, fan_in=hidden),
        uniform(fan_in=hidden),
    )


def forward(bank: Bank, x: np.ndarray, activation: Activation) -> tuple[np.ndarray, np.ndarray]:
    """Return activations [starts, B, hidden] and logits [starts, B] of x, float32 [B, inputs]."""
    hidden = x @ bank.weight1.swapaxes(1, 2) + bank.bias1[:, None]
    if activation == "tanh":
        hidden = np.tanh(hidden)
    elif activation == "relu":
        hidden = np.maximum(hidden, 0)
    else:
        hidden = sigmoid(hidden)
    return hidden, (hidden @ bank.weight2[..., None])[..., 0] + bank.bias2[:, None]


def losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the mean binary cross-entropy [starts] of logits [starts, B] for y [B] of 0 and 1."""
    return (np.logaddexp(0, logits) - logits * y).mean(1)


def gradient(bank: Bank, x: np.ndarray, y: np.ndarray, activation: Activation) -> Bank:
    """Return the gradient of each start's loss."""
    hidden, logits = forward(bank, x, activation)
    d_logits = (sigmoid(logits) - y) / len(y)
    slope = {"tanh": 1 - hidden**2, "relu": hidden > 0, "sigmoid": hidden * (1 - hidden)}
    d_hidden = d_logits[..., None] * bank.weight2[:, None] * slope[activation]
    return Bank(
        d_hidden.swapaxes(1, 2) @ x,
        d_hidden.sum(1),
        (d_logits[:, None] @ hidden)[:, 0],
        d_logits.sum(1),
    )


def fit(
    bank: Bank, x: np.ndarray, y: np.ndarray, activation: Activation, steps: int
) -> Iterator[Bank]:
    """Yield the bank before the first step and after each: full batches, Adam.

    The learning rate rises linearly to LR, then falls linearly to zero.
    """
    means = [np.zeros_like(p) for p in bank]
    squares = [np.zeros_like(p) for p in bank]
    warmup = max(1, round(WARMUP_FRAC * steps))
    yield bank
    for step in range(1, steps + 1):
        lr = LR * min(step / warmup, (steps - step + 1) / max(1, steps - warmup))
        gradients = gradient(bank, x, y, activation)
        updated = []
        for p, g, mean, square in zip(bank, gradients, means, squares, strict=True):
            # Running moments of the gradient, corrected for their start at zero.
            mean += (1 - BETAS[0]) * (g - mean)
            square += (1 - BETAS[1]) * (g * g - square)
            scale = np.sqrt(square / (1 - BETAS[1] ** step)) + EPS
            updated.append(p - lr / (1 - BETAS[0] ** step) * mean / scale)
        bank = Bank(*updated)
        yield bank


def train(bits: str, hidden: int, activation: Activation, start: int) -> Training:
    """Train all starts on a truth table and keep the history of one.

    Args:
        bits: the table's 2^inputs outputs in counting order.
        hidden: units of each network.
        start: the one whose history is kept, from 0.
    """
    x, y = table(bits)
    epochs = np.linspace(0, STEPS, FRAMES + 1).round().astype(int).tolist()
    history = []
    for step, bank in enumerate(fit(initial(x.shape[1], hidden), x, y, activation, STEPS)):
        if step in epochs:
            history.append([p[start] for p in bank])
    frames = Bank(*map(np.stack, zip(*history, strict=True)))
    logits = forward(frames, x, activation)[1]
    right = ((logits > 0) == y).sum(1).tolist()
    learned = ((forward(bank, x, activation)[1] > 0) == y).all(1)
    return Training(epochs, losses(logits, y).tolist(), right, frames, learned)


def best(bits: str, hidden: int, activation: Activation) -> Bank:
    """Return the trained start with the lowest loss on a truth table, as a bank of one."""
    x, y = table(bits)
    *_, bank = fit(initial(x.shape[1], hidden), x, y, activation, STEPS)
    index = int(losses(forward(bank, x, activation)[1], y).argmin())
    return Bank(*(p[index : index + 1] for p in bank))


def table(bits: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a truth table, float32 [2^n, n], and its outputs, float32 [2^n]."""
    return truth_table.inputs(len(bits).bit_length() - 1), np.array([*bits], np.float32)

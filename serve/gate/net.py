"""Training one-hidden-layer networks of a gate in numpy, many starts side by side, within a second.

The same network and recipe as `models/mlp.py` and `experiments/optim.py`, without torch.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

STARTS = 200  # networks that train side by side; they differ in their first weights alone
STEPS = 300  # full-batch, one an epoch
FRAMES = 60  # kept of one start's course, besides its first moment
LR, WARMUP = 0.1, 0.2  # peak; share of the steps in which it rises to it
BETAS, EPS = (0.7, 0.9), 1e-8
ACTIVATIONS = ("tanh", "relu", "sigmoid")


class Bank(NamedTuple):
    """Independent networks, float32: `starts` of them, with `hidden` units and `inputs`.

    Attributes:
        weight1: [starts, hidden, inputs].
        bias1: [starts, hidden].
        weight2: [starts, hidden].
        bias2: [starts].
    """

    weight1: np.ndarray
    bias1: np.ndarray
    weight2: np.ndarray
    bias2: np.ndarray


class Training(NamedTuple):
    """What a training leaves behind: one start's course, and how all starts ended.

    Attributes:
        epochs: int [frames], how many were done at each moment.
        losses: float [frames], mean binary cross-entropy of the start that is shown.
        right: int [frames], its rows that are right.
        frames: its weights, with the moments in the place of the starts.
        learned: bool [starts], which of them got every row right in the end.
    """

    epochs: list[int]
    losses: list[float]
    right: list[int]
    frames: Bank
    learned: np.ndarray


def initial(inputs: int, hidden: int, starts: int = STARTS) -> Bank:
    """Return the first weights, the same ones at each call: PyTorch's default initialisation."""
    random = np.random.default_rng([inputs, hidden])

    def uniform(*shape: int, fan_in: int) -> np.ndarray:
        return random.uniform(-1, 1, (starts, *shape)).astype(np.float32) / np.float32(
            math.sqrt(fan_in)
        )

    return Bank(
        uniform(hidden, inputs, fan_in=inputs),
        uniform(hidden, fan_in=inputs),
        uniform(hidden, fan_in=hidden),
        uniform(fan_in=hidden),
    )


def forward(bank: Bank, x: np.ndarray, activation: str) -> tuple[np.ndarray, np.ndarray]:
    """Return activations [starts, B, hidden] and logits [starts, B] of x, float32 [B, inputs]."""
    hidden = x @ bank.weight1.swapaxes(1, 2) + bank.bias1[:, None]
    if activation == "tanh":
        hidden = np.tanh(hidden)
    else:
        hidden = np.maximum(hidden, 0) if activation == "relu" else sigmoid(hidden)
    return hidden, (hidden @ bank.weight2[..., None])[..., 0] + bank.bias2[:, None]


def sigmoid(values: np.ndarray) -> np.ndarray:
    return (np.tanh(values / 2) + 1) / 2  # cannot overflow


def losses(logits: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the mean binary cross-entropy [starts] of logits [starts, B] for y [B] of 0 and 1."""
    return (np.logaddexp(0, logits) - logits * y).mean(1)


def gradient(bank: Bank, x: np.ndarray, y: np.ndarray, activation: str) -> Bank:
    """Return the gradient of each start's loss."""
    hidden, logits = forward(bank, x, activation)
    error = (sigmoid(logits) - y) / len(y)
    slope = {"tanh": 1 - hidden**2, "relu": hidden > 0, "sigmoid": hidden * (1 - hidden)}
    inner = error[..., None] * bank.weight2[:, None] * slope[activation]
    return Bank(
        inner.swapaxes(1, 2) @ x,
        inner.sum(1),
        (error[:, None] @ hidden)[:, 0],
        error.sum(1),
    )


def course(bank: Bank, x: np.ndarray, y: np.ndarray, activation: str, steps: int) -> Iterator[Bank]:
    """Yield the bank before the first step and after each: full batches, Adam.

    The learning rate rises linearly to LR, then falls linearly to zero; without weight decay,
    which is the gates' default, AdamW is Adam.
    """
    means, squares = ([np.zeros_like(p) for p in bank] for _ in range(2))
    rise = max(1, round(WARMUP * steps))
    yield bank
    for step in range(1, steps + 1):
        lr = LR * min(step / rise, (steps - step + 1) / max(1, steps - rise))
        moved = []
        for p, g, mean, square in zip(
            bank, gradient(bank, x, y, activation), means, squares, strict=True
        ):
            mean += (1 - BETAS[0]) * (g - mean)
            square += (1 - BETAS[1]) * (g * g - square)
            spread = np.sqrt(square / (1 - BETAS[1] ** step)) + EPS
            moved.append(p - lr / (1 - BETAS[0] ** step) * mean / spread)
        bank = Bank(*moved)
        yield bank


def train(bits: str, hidden: int, activation: str, start: int) -> Training:
    """Train all starts on a truth table and keep the course of one.

    Args:
        bits: the table's outputs in counting order, 2^inputs of them.
        hidden: units of each network.
        activation: tanh, relu or sigmoid.
        start: the one to be kept, from 0.
    """
    x, y = table(bits)
    kept = set(np.linspace(0, STEPS, FRAMES + 1).round().astype(int).tolist())
    one = slice(start, start + 1)
    frames: list[Bank] = []
    for step, bank in enumerate(course(initial(x.shape[1], hidden), x, y, activation, STEPS)):
        if step in kept:
            frames.append(Bank(*(p[one] for p in bank)))
    shown = Bank(*(np.concatenate(moments) for moments in zip(*frames, strict=True)))
    logits = forward(shown, x, activation)[1]
    learned = ((forward(bank, x, activation)[1] > 0) == y).all(1)
    right = ((logits > 0) == y).sum(1)
    return Training(
        sorted(kept), losses(logits, y).tolist(), right.astype(int).tolist(), shown, learned
    )


def best(bits: str, hidden: int, activation: str) -> Bank:
    """Return the trained start with the least loss on a truth table, as a bank of one."""
    x, y = table(bits)
    *_, bank = course(initial(x.shape[1], hidden), x, y, activation, STEPS)
    least = int(losses(forward(bank, x, activation)[1], y).argmin())
    return Bank(*(p[least : least + 1] for p in bank))


def table(bits: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a truth table, float32 [2^n, n], and its outputs, float32 [2^n]."""
    n = len(bits).bit_length() - 1
    rows = np.arange(len(bits))[:, None] >> np.arange(n)[::-1] & 1
    return rows.astype(np.float32), np.array([int(bit) for bit in bits], np.float32)


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return Wilson's interval of the share `right` of `count`, with 95 % confidence.

    As `experiments.chance.interval`, without scipy, which costs the page half a second.
    """
    z2, share = 1.959963984540054**2, right / count
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * count)) / count) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)

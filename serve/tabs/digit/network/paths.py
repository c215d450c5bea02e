"""The strongest paths through a digit network: what each map adds to one class's logit.

What a map adds is its activation times the logit's gradient, summed over its pixels; what an edge
adds is the part of it that passes through one map of the next layer. For ReLU networks the parts
that enter a layer and those of the biases add up to the logit (S. Bach et al., "On Pixel-Wise
Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance Propagation", 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serve.tabs.digit.network.blocks import Block

FOR, AGAINST = 5, 2  # maps of a layer that are lit: those that raise the logit most, and lower it
MAX_UNITS = 10  # of the hidden layer that are lit
MAX_EDGES = 14  # lit between two layers


@dataclass(frozen=True)
class Activity:
    """What a block computes for one image.

    Attributes:
        input: float32 [I, height, width].
        before: float32 [O, height, width], what the activation reads.
        output: float32 [O, height, width].
        winner: uint8 [O, height, width], the place in the pool's window, by rows; empty without.
    """

    input: np.ndarray
    before: np.ndarray
    output: np.ndarray
    winner: np.ndarray


@dataclass(frozen=True)
class Share:
    """What a block's inputs add to the logit.

    Attributes:
        maps: float32 [I].
        edges: float32 [O, I]; they add up to `maps`.
    """

    maps: np.ndarray
    edges: np.ndarray


def shares(blocks: Sequence[Block], activity: Sequence[Activity], target: int) -> list[Share]:
    """Return what the inputs of each block add to the logit of class `target`, the first first."""
    gradient = np.zeros_like(activity[-1].output)
    gradient[target] = 1
    result = []
    for block, active in zip(reversed(blocks), reversed(activity), strict=True):
        inner = gradient * slope(block, active) * block.scale[:, None, None]
        gradient, edges = _backward(block, active.input, _unpool(inner, active.winner, block))
        result.append(Share(edges.sum(0), edges))
    return result[::-1]


def slope(block: Block, active: Activity) -> np.ndarray:
    """Return the derivative of the activation at each value, float32 [O, height, width]."""
    x, y = active.before, active.output
    if block.activation == "relu":
        return (x > 0).astype(np.float32)
    if block.activation == "tanh":
        return 1 - y**2
    if not block.activation:
        return np.ones_like(x)
    # gelu is x * the normal distribution, silu x * the sigmoid, which is y / x for both.
    ratio = np.divide(y, x, out=np.full_like(x, 0.5), where=np.abs(x) > 1e-6)
    if block.activation == "gelu":
        return ratio + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    return ratio + y * (1 - ratio)


def _unpool(values: np.ndarray, winner: np.ndarray, block: Block) -> np.ndarray:
    """Return values at their winners' places before pooling; zeros elsewhere."""
    pool = block.pool
    if pool == 1:
        return values
    channels, height, width = values.shape
    places = np.arange(pool**2)[:, None, None] == winner[:, None]  # [O, pool^2, height, width]
    spread = np.where(places, values[:, None], 0).reshape(channels, pool, pool, height, width)
    return spread.transpose(0, 3, 1, 4, 2).reshape(channels, pool * height, pool * width)


def _backward(block: Block, x: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of a convolution's input, float32 [I, H, W], and its edges [O, I].

    Args:
        gradient: of its output; without the rows and columns that no pool's window covers.
    """
    pad = block.padding
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    grads = np.zeros_like(padded)
    outputs, inputs, *sides = block.kernel.shape
    edges = np.zeros((outputs, inputs), np.float32)
    height, width = gradient.shape[1:]
    flat = gradient.reshape(outputs, -1)
    for row, column in np.ndindex(*sides):
        place = np.s_[:, row : row + height, column : column + width]
        kernel = block.kernel[:, :, row, column]
        edges += kernel * (flat @ padded[place].reshape(inputs, -1).T)
        grads[place] += (kernel.T @ flat).reshape(inputs, height, width)
    end = -pad or None
    return grads[:, pad:end, pad:end], edges


def strongest(all_shares: Sequence[Share]) -> list[dict[str, list[list[float]]]]:
    """Return the lit maps and edges at each block's inputs.

    Each has `maps`, rows of (index, what it adds), and `edges`, rows of (to, from, what it adds);
    the strongest comes first. An edge joins two lit maps.
    """
    *before, units = [share.maps for share in all_shares]
    lit = [_both(maps) for maps in before] + [_largest(units, MAX_UNITS)]
    result = []
    for index, share in enumerate(all_shares):
        is_last = index == len(all_shares) - 1
        targets = np.flatnonzero(share.edges.any(1)) if is_last else lit[index + 1]
        edges = share.edges[np.ix_(targets, lit[index])]
        chosen = _largest(edges.ravel(), MAX_EDGES)
        rows = [(targets[e // len(lit[index])], lit[index][e % len(lit[index])]) for e in chosen]
        result.append(
            {
                "maps": [[int(each), _short(share.maps[each])] for each in lit[index]],
                "edges": [[int(to), int(of), _short(share.edges[to, of])] for to, of in rows],
            }
        )
    return result


def _both(values: np.ndarray) -> np.ndarray:
    """Return the indices of the largest positive and negative values, the largest first."""
    chosen = np.zeros_like(values)
    for side, count in ((np.maximum(values, 0), FOR), (np.minimum(values, 0), AGAINST)):
        indices = _largest(side, count)
        chosen[indices] = side[indices]
    return _largest(chosen, FOR + AGAINST)


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the indices of the largest absolute values that are not 0, the largest first."""
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    return order[values[order] != 0]


def _short(value: float) -> float:
    return float(f"{value:.4g}")

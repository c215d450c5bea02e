"""The digit network's filters, and what every block makes of one picture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from experiments.errors import DataError
from models.cnn import DIGITS, SIDE, DigitCNN

MOST_FILTERS = 32  # that one picture can show
STEPS = {"conv": "conv 3×3", "pool": "max pool", "norm": "batch norm", "gelu": "GELU"}
STEPS |= {"relu": "ReLU", "silu": "SiLU"}


@dataclass(frozen=True)
class Filters:
    """The first convolution on one picture, the filter that reacts most first.

    Attributes:
        channels: int [K], the filters' numbers in the net.
        kernels: float32 [K, S, S], the weights as they lie on the pixels, per standard deviation
            of ink; S is 3, or 6 where the net folds the picture.
        responses: float32 [K, H, W], the convolution's output less that of an empty page.
        total: how many filters the net has.
    """

    channels: np.ndarray
    kernels: np.ndarray
    responses: np.ndarray
    total: int


@dataclass(frozen=True)
class Block:
    """What a convolution block puts out for one picture: float32 [C, H, W], after `steps`."""

    steps: tuple[str, ...]
    maps: np.ndarray


@dataclass(frozen=True)
class Passage:
    """One picture on its way through the net.

    Attributes:
        blocks: of the convolutions, the first one first.
        hidden: float32 [hidden], after the activation.
        probabilities: float32 [10], of the digits; the class "no digit" is left out.
    """

    blocks: tuple[Block, ...]
    hidden: np.ndarray
    probabilities: np.ndarray


@torch.inference_mode()
def filters(net: DigitCNN, image: np.ndarray, most: int = MOST_FILTERS) -> Filters:
    """Return the `most` filters that react most to `image`: by the mean absolute response.

    The response is that beyond an empty page's, because the page itself is not 0 for the net
    (it is normalised), and would tint the whole picture.

    Args:
        image: uint8 [28, 28].

    Raises:
        DataError: if the image has another shape; names it.
    """
    net.eval()
    both = torch.stack([_tensor(net, image), torch.zeros(SIDE, SIDE, device=_device(net))])
    x = net.normalize(both).unsqueeze(1)
    if net.fold is not None:
        x = net.fold(x)
    ours, empty = net.get_submodule("stages.0.conv")(x)
    responses = (ours - empty).float().cpu().numpy()
    order = np.argsort(-abs(responses).mean((1, 2)), kind="stable")[:most]
    return Filters(order, kernels(net)[order], responses[order], len(responses))


def kernels(net: DigitCNN) -> np.ndarray:
    """Return the first convolution's weights on the picture's own pixels: float32 [C, S, S].

    A net that folds the picture has one input channel for each place of a cell of fold x fold
    pixels; unfolded, its 3x3 kernel is one of (3 fold) x (3 fold) pixels that moves by `fold`.
    """
    weight = net.get_parameter("stages.0.conv.weight").detach()
    laid = nn.functional.pixel_shuffle(weight, net.fold.downscale_factor if net.fold else 1)
    return laid[:, 0].float().cpu().numpy()


@torch.inference_mode()
def passage(net: DigitCNN, image: np.ndarray) -> Passage:
    """Return what each block, the hidden layer and the output make of `image`, uint8 [28, 28].

    Raises:
        DataError: if the image has another shape; names it.
    """
    net.eval()
    seen: list[np.ndarray] = []

    def record(module: nn.Module, _: Any, output: Tensor) -> None:
        seen.append(output[0].float().cpu().numpy())

    watched = [*net.stages, net.hidden]
    logits = _watching(watched, record, lambda: net(_tensor(net, image)[None]))
    steps = [tuple(STEPS[name] for name, _ in block.named_children()) for block in net.stages]
    probabilities = logits[0, :DIGITS].float().softmax(0).cpu().numpy()
    return Passage(tuple(map(Block, steps, seen[:-1])), seen[-1], probabilities)


def _watching(modules: list[nn.Module], record: Any, run: Callable[[], Tensor]) -> Tensor:
    handles = [module.register_forward_hook(record) for module in modules]
    try:
        return run()
    finally:
        for handle in handles:
            handle.remove()


def _device(net: DigitCNN) -> torch.device:
    return next(net.parameters()).device


def _tensor(net: DigitCNN, image: np.ndarray) -> Tensor:
    if image.shape != (SIDE, SIDE):
        raise DataError(f"Expected one picture of {SIDE}x{SIDE} pixels, got shape {image.shape}.")
    return torch.tensor(image, device=_device(net)).float()

"""The digit network's first filters, and every block's activations for one image."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from experiments.evaluation.arrays import Array
from models.cnn import DIGITS, DigitCNN

MAX_FILTERS = 24  # of `filters`
STEPS = {"conv": "conv 3×3", "pool": "max pool", "norm": "batch norm", "gelu": "GELU"}
STEPS |= {"relu": "ReLU", "silu": "SiLU", "tanh": "tanh"}
Image = UInt8[Array, "28 28"]


@dataclass(frozen=True)
class Filters:
    """The first convolution and its responses to one image, the strongest response first.

    Attributes:
        channels: indices of the filters.
        kernels: the weights on the image's own pixels; S is 3, or 6 where the net folds 2 × 2
            pixels into channels.
        responses: the convolution's output minus that for an empty image.
        total: number of filters of the net.
    """

    channels: Int[Array, " K"]
    kernels: Float[Array, "K S S"]
    responses: Float[Array, "K H W"]
    total: int


@dataclass(frozen=True)
class Block:
    """Names of a block's layers, and its output for one image."""

    steps: tuple[str, ...]
    maps: Float[Array, "C H W"]


@dataclass(frozen=True)
class Activations:
    """The activations of one image.

    Attributes:
        blocks: of the convolutions, in order.
        hidden: after the activation function.
        probabilities: of the digits, without the class "no digit".
    """

    blocks: tuple[Block, ...]
    hidden: Float[Array, " hidden"]
    probabilities: Float[Array, "10"]


@torch.inference_mode()
def filters(net: DigitCNN, image: Image, count: int = MAX_FILTERS) -> Filters:
    """Return the `count` filters with the largest mean absolute response to `image`.

    The response to an empty image is subtracted: normalisation makes it other than 0.
    """
    both = torch.cat([_batch(net, image), torch.zeros_like(_batch(net, image))])
    x = net.eval().normalize(both).unsqueeze(1)
    if net.fold is not None:
        x = net.fold(x)
    response, empty = net.get_submodule("stages.0.conv")(x)
    responses = (response - empty).float().cpu().numpy()
    order = np.argsort(-abs(responses).mean((1, 2)), kind="stable")[:count]
    # Unfolded, a 3×3 kernel on r² channels is one of 3r × 3r pixels that moves by r.
    weight = net.get_parameter("stages.0.conv.weight")
    unfolded = nn.functional.pixel_shuffle(weight, net.fold.downscale_factor if net.fold else 1)
    kernels = unfolded[:, 0].float().cpu().numpy()
    return Filters(order, kernels[order], responses[order], len(responses))


@torch.inference_mode()
def activations(net: DigitCNN, image: Image) -> Activations:
    """Return the output of each block, of the hidden layer and of the net for `image`."""
    from captum.attr import LayerActivation

    x = _batch(net, image)
    logits = net.eval()(x)
    layers = [*net.stages, net.hidden]
    outputs = LayerActivation(net, layers).attribute(x)
    *maps, hidden = (output[0].float().cpu().numpy() for output in outputs)
    steps = [tuple(STEPS[name] for name, _ in block.named_children()) for block in net.stages]
    probabilities = logits[0, :DIGITS].float().softmax(0).cpu().numpy()
    return Activations(tuple(map(Block, steps, maps)), hidden, probabilities)


def _batch(net: DigitCNN, image: Image) -> Float[Tensor, "1 28 28"]:
    """Return the image as a batch of one on the net's device."""
    return torch.tensor(image, device=next(net.parameters()).device).float()[None]

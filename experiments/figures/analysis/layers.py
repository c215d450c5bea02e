"""The layers of a network, in calling order, with shapes, parameters and multiply-adds."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One module as it was called.

    Attributes:
        name: its name in the network.
        kind: its class's name.
        detail: kernel and channels in a few words; may be empty.
        shape: of its output for one sample.
        parameters: number of learned values.
        kernel: height and width of its window; empty if it has none.
        activation: name of its activation function; empty if it has none.
        macs: multiply-adds for one sample, of convolutions and linear layers; 0 for all others.
    """

    name: str
    kind: str
    detail: str
    shape: tuple[int, ...]
    parameters: int
    kernel: tuple[int, ...] = ()
    activation: str = ""
    macs: int = 0


@torch.inference_mode()
def describe(net: nn.Module, example: Tensor) -> list[Layer]:
    """Return the leaf modules of `net` in calling order, run on `example` [B, ...]."""
    layers: list[Layer] = []

    def record(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def hook(module: nn.Module, _: object, output: Tensor) -> None:
            layers.append(_layer(name, module, tuple(output.shape[1:])))

        return hook

    with ExitStack() as hooks:
        for name, module in net.named_modules():
            if name and not list(module.children()):
                hooks.enter_context(module.register_forward_hook(record(name)))
        net.eval()(example)
    return layers


def dense(sizes: Sequence[int], activations: Sequence[str]) -> list[Layer]:
    """Return the layers of a fully connected net that has no modules for them.

    Args:
        sizes: units of each layer, the inputs first.
        activations: name of the activation of each layer after the inputs.
    """
    names = [f"hidden {number}" for number in range(1, len(sizes) - 1)] + ["output"]
    return [
        Layer(
            name=name,
            kind="Linear",
            detail=f"{before} → {after}",
            shape=(after,),
            parameters=(before + 1) * after,
            activation=activation,
            macs=before * after,
        )
        for name, (before, after), activation in zip(
            names, pairwise(sizes), activations, strict=True
        )
    ]


def _layer(name: str, module: nn.Module, shape: tuple[int, ...]) -> Layer:
    kind, macs, detail = type(module).__name__, 0, ""
    kernel: tuple[int, ...] = ()
    if isinstance(module, nn.Conv2d):
        kernel = module.kernel_size
        detail = f", {module.in_channels} → {module.out_channels}"
        macs = module.weight.numel() * math.prod(shape[1:])  # each weight once a place
    elif isinstance(module, nn.Linear):
        detail = f"{module.in_features} → {module.out_features}"
        macs = module.weight.numel()
    elif isinstance(module, nn.MaxPool2d):
        side = module.kernel_size
        kernel = (side, side) if isinstance(side, int) else side
    elif isinstance(module, nn.PixelUnshuffle):
        kernel = (module.downscale_factor,) * 2
    return Layer(
        name=name,
        kind=kind,
        detail="×".join(map(str, kernel)) + detail,
        shape=shape,
        parameters=sum(p.numel() for p in module.parameters()),
        kernel=kernel,
        activation=kind if type(module).__module__ == nn.ReLU.__module__ else "",
        macs=macs,
    )

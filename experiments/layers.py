"""What a network is made of: its layers in the order in which a sample passes them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """One module as it was called.

    Attributes:
        name: its name in the network.
        kind: its class's name.
        detail: kernel, channels or other figures in a few words; may be empty.
        shape: of its output for one sample.
        parameters: how many numbers it learns.
        kernel: height and width of the window that it moves over its input; empty if none.
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
    net.eval()

    def record(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            layers.append(_layer(name, module, tuple(output.shape[1:])))

        return hook

    leaves = [(name, m) for name, m in net.named_modules() if name and not list(m.children())]
    handles = [module.register_forward_hook(record(name)) for name, module in leaves]
    try:
        net(example)
    finally:
        for handle in handles:
            handle.remove()
    return layers


def dense(sizes: Sequence[int], activations: Sequence[str]) -> list[Layer]:
    """Return the layers of a fully connected net that has no modules of its own for them.

    Args:
        sizes: units of each layer, the inputs first.
        activations: name of the activation of each layer after the inputs.
    """
    return [
        Layer(
            name="output" if number == len(sizes) - 1 else f"hidden {number}",
            kind="Linear",
            detail=f"{before} → {after}",
            shape=(after,),
            parameters=(before + 1) * after,
            activation=activation,
            macs=before * after,
        )
        for number, ((before, after), activation) in enumerate(
            zip(pairwise(sizes), activations, strict=True), start=1
        )
    ]


def _layer(name: str, module: nn.Module, shape: tuple[int, ...]) -> Layer:
    kind = type(module).__name__
    return Layer(
        name=name,
        kind=kind,
        detail=_detail(module),
        shape=shape,
        parameters=sum(p.numel() for p in module.parameters()),
        kernel=_kernel(module),
        activation=kind if type(module).__module__ == nn.ReLU.__module__ else "",
        macs=_macs(module, shape),
    )


def _detail(module: nn.Module) -> str:
    window = "×".join(map(str, _kernel(module)))
    if isinstance(module, nn.Conv2d):
        return f"{window}, {module.in_channels} → {module.out_channels}"
    if isinstance(module, nn.Linear):
        return f"{module.in_features} → {module.out_features}"
    return window


def _kernel(module: nn.Module) -> tuple[int, ...]:
    if isinstance(module, nn.Conv2d):
        return tuple(module.kernel_size)
    if isinstance(module, nn.MaxPool2d):
        side = module.kernel_size
        return tuple(side) if isinstance(side, tuple) else (side, side)
    if isinstance(module, nn.PixelUnshuffle):
        return (module.downscale_factor, module.downscale_factor)
    return ()


def _macs(module: nn.Module, shape: tuple[int, ...]) -> int:
    """Each weight is multiplied once for each place of the output that it serves."""
    if isinstance(module, nn.Conv2d):
        return module.weight.numel() * math.prod(shape[1:])
    if isinstance(module, nn.Linear):
        return module.weight.numel() * math.prod(shape[:-1])
    return 0

"""What a network is made of: its layers in the order in which a sample passes them."""

from collections.abc import Callable
from dataclasses import dataclass
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
    """

    name: str
    kind: str
    detail: str
    shape: tuple[int, ...]
    parameters: int


@torch.inference_mode()
def describe(net: nn.Module, example: Tensor) -> list[Layer]:
    """Return the leaf modules of `net` in calling order, run on `example` [B, ...]."""
    layers: list[Layer] = []
    net.eval()

    def record(name: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def hook(module: nn.Module, _: Any, output: Tensor) -> None:
            parameters = sum(p.numel() for p in module.parameters())
            kind = type(module).__name__
            layers.append(Layer(name, kind, _detail(module), tuple(output.shape[1:]), parameters))

        return hook

    leaves = [(name, m) for name, m in net.named_modules() if name and not list(m.children())]
    handles = [module.register_forward_hook(record(name)) for name, module in leaves]
    try:
        net(example)
    finally:
        for handle in handles:
            handle.remove()
    return layers


def _detail(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        height, width = module.kernel_size
        return f"{height}×{width}, {module.in_channels} → {module.out_channels}"
    if isinstance(module, nn.Linear):
        return f"{module.in_features} → {module.out_features}"
    if isinstance(module, nn.MaxPool2d):
        return f"{module.kernel_size}×{module.kernel_size}"
    if isinstance(module, nn.PixelUnshuffle):
        return f"{module.downscale_factor}×{module.downscale_factor}"
    return ""

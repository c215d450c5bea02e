"""Many small networks for logic gates, trained side by side in one batched pass."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class GateBank(nn.Module):
    """Independent one-hidden-layer networks: no weight is shared, so no gradient is mixed.

    Args:
        inputs: number of inputs, n.
        nets: shape of the bank: (gates, restarts) in training, (gates,) once the best restart
            of each gate is chosen.
        hidden: hidden units of each network.
        activation: of the hidden units: tanh, relu or sigmoid. The output is a logit.
    """

    def __init__(
        self, inputs: int, nets: Sequence[int], hidden: int = 4, activation: str = "tanh"
    ) -> None:
        super().__init__()
        nets = tuple(nets)
        self.config: dict[str, Any] = {
            "inputs": inputs,
            "nets": nets,
            "hidden": hidden,
            "activation": activation,
        }
        self.weight1 = nn.Parameter(_uniform(*nets, hidden, inputs, fan_in=inputs))
        self.bias1 = nn.Parameter(_uniform(*nets, hidden, fan_in=inputs))
        self.weight2 = nn.Parameter(_uniform(*nets, hidden, fan_in=hidden))
        self.bias2 = nn.Parameter(_uniform(*nets, fan_in=hidden))
        self.activation = ACTIVATIONS[activation]()

    def hidden(self, x: Tensor) -> Tensor:
        """Return the pre-activations, float32 [B, *nets, hidden], of `x`, float32 [B, n]."""
        return torch.einsum("bi,...hi->b...h", x, self.weight1) + self.bias1

    def output(self, hidden: Tensor) -> Tensor:
        """Return the logits, float32 [B, *nets], of the pre-activations [B, *nets, hidden]."""
        return (self.activation(hidden) * self.weight2).sum(-1) + self.bias2

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, float32 [B, *nets], of `x`, float32 [B, n] in [0, 1]."""
        return self.output(self.hidden(x))

    def choose(self, restart: Tensor) -> "GateBank":
        """Return the bank of shape (gates,) that holds restart `restart[g]` of gate g.

        Args:
            restart: int64 [gates].
        """
        gates = len(restart)
        chosen = GateBank(**{**self.config, "nets": (gates,)})
        with torch.no_grad():
            for name, value in self.named_parameters():
                chosen.get_parameter(name).copy_(value[torch.arange(gates), restart])
        return chosen.to(restart.device)


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """PyTorch's default initialisation of a linear layer: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(shape).uniform_(-bound, bound)

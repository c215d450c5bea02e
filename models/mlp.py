"""Many small networks for logic gates, trained in one batched pass."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}


class GateBank(nn.Module):
    """Independent one-hidden-layer networks: no weight is shared, so no gradient is mixed.

    Args:
        inputs: number of inputs, n.
        nets: shape of the bank: (gates, restarts) in training, (gates,) once the best restart
            of each gate is chosen.
        hidden_dim: hidden units of each network.
        activation: of the hidden units: tanh, relu or sigmoid. The output is a logit.
    """

    def __init__(
        self, inputs: int, nets: Sequence[int], hidden_dim: int = 4, activation: str = "tanh"
    ) -> None:
        super().__init__()
        nets = tuple(nets)
        self.config: dict[str, Any] = {
            "inputs": inputs,
            "nets": nets,
            "hidden_dim": hidden_dim,
            "activation": activation,
        }
        self.weight1 = nn.Parameter(_uniform(*nets, hidden_dim, inputs, fan_in=inputs))
        self.bias1 = nn.Parameter(_uniform(*nets, hidden_dim, fan_in=inputs))
        self.weight2 = nn.Parameter(_uniform(*nets, hidden_dim, fan_in=hidden_dim))
        self.bias2 = nn.Parameter(_uniform(*nets, fan_in=hidden_dim))
        self.activation = ACTIVATIONS[activation]()

    def hidden(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch *nets hidden"]:
        """Return the pre-activations of `x`."""
        return torch.einsum("bi,...hi->b...h", x, self.weight1) + self.bias1

    def output(self, hidden: Float[Tensor, "batch *nets hidden"]) -> Float[Tensor, " batch *nets"]:
        """Return the logits of the pre-activations."""
        active: Tensor = self.activation(hidden)
        return (active * self.weight2).sum(-1) + self.bias2

    def forward(self, x: Float[Tensor, "batch inputs"]) -> Float[Tensor, " batch *nets"]:
        """Return the logits of `x`, in [0, 1]."""
        return self.output(self.hidden(x))

    def select(self, restart: Int64[Tensor, " gates"]) -> "GateBank":
        """Return the bank of shape (gates,) that holds restart `restart[g]` of gate g."""
        gates = len(restart)
        bank = GateBank(**{**self.config, "nets": (gates,)})
        with torch.no_grad():
            for name, value in self.named_parameters():
                bank.get_parameter(name).copy_(value[torch.arange(gates), restart])
        return bank.to(restart.device)


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """PyTorch's default initialisation of a linear layer: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    bound = 1 / math.sqrt(fan_in)
    return torch.empty(shape).uniform_(-bound, bound)

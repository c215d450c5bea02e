"""The optimiser and the course of its learning rate."""

from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from experiments.tasks.base import Hparams

ADAM_BETAS = (0.7, 0.9)  # short memories: a run has a thousand steps, not a million
SGD_MOMENTUM = 0.9


def build(net: nn.Module, hparams: Hparams, steps: int) -> tuple[Optimizer, LambdaLR]:
    """Return the optimiser of `net` and its schedule: lr rises linearly, then falls to zero.

    Args:
        steps: how many steps the whole training takes; lr peaks after `hparams.warmup` of them.
    """
    rule: dict[str, Any] = {"lr": hparams.lr, "weight_decay": hparams.weight_decay, "fused": True}
    optimizer: Optimizer
    if hparams.optimizer == "adamw":
        optimizer = AdamW(net.parameters(), betas=ADAM_BETAS, **rule)
    else:
        optimizer = SGD(net.parameters(), momentum=SGD_MOMENTUM, nesterov=True, **rule)
    rise = max(1, round(hparams.warmup * steps))
    return optimizer, LambdaLR(
        optimizer, lambda step: min((step + 1) / rise, (steps - step) / max(1, steps - rise))
    )

"""The update rules, each the few lines of arithmetic it is, and the course of the learning rate.

They do without torch.optim: its first use in a process imports torch's compiler, which takes as
long as torch itself, and its Muon takes no convolution.

Sources: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", 2019 (adamw);
I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013
(sgd); K. Jordan, "Muon: An optimizer for hidden layers in neural networks", 2024 (muon).
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from experiments.tasks.base import Hparams

# Short memories: a run has a thousand steps, not a million.
ADAM_BETAS, ADAM_EPS = (0.7, 0.9), 1e-8
SGD_MOMENTUM, MUON_MOMENTUM = 0.9, 0.6
MUON_STEPS = 3  # of Newton and Schulz's iteration
OTHERS_LR_SCALE = 0.05  # muon: learning rate of all that is no hidden matrix, times lr

Rule = Callable[[Tensor, list[Tensor], int], Tensor]


class Optimizer:
    """Moves the parameters of a net against their gradients.

    The learning rate rises linearly to `hparams.lr` within the first share `hparams.warmup` of
    the steps, then falls linearly to zero. Weight decay is decoupled from the gradient.

    Args:
        steps: how many steps the whole training takes.
    """

    def __init__(self, net: nn.Module, hparams: Hparams, steps: int) -> None:
        self.hparams, self.steps, self.done = hparams, steps, 0
        self.parameters = list(net.parameters())
        matrices = [p for p in self.parameters if p.ndim > 1]
        hidden = {id(p) for p in matrices[:-1]}  # the last one's rows are the classes
        muon = hparams.optimizer == "muon"
        others = _sgd if hparams.optimizer == "sgd" else _adamw
        self.rules: list[tuple[Rule, float]] = [
            (_muon, 1.0) if muon and id(p) in hidden else (others, OTHERS_LR_SCALE if muon else 1.0)
            for p in self.parameters
        ]
        self.memories = [[torch.zeros_like(p), torch.zeros_like(p)] for p in self.parameters]

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        rise = max(1, round(self.hparams.warmup * self.steps))
        fall = max(1, self.steps - rise)
        return self.hparams.lr * min((self.done + 1) / rise, (self.steps - self.done) / fall)

    def state(self) -> dict[str, Tensor]:
        """Return the memories by name; with the steps done, all that `restore` needs."""
        return {f"{i}.{j}": m for i, pair in enumerate(self.memories) for j, m in enumerate(pair)}

    def restore(self, memories: Mapping[str, Tensor], done: int) -> None:
        """Go on after `done` steps that left these memories."""
        self.done = done
        for name, memory in self.state().items():
            memory.copy_(memories[name])

    @torch.no_grad()
    def step(self) -> None:
        """Take one step with the gradients that there are, and forget them."""
        lr, self.done = self.lr, self.done + 1
        for p, (rule, scale), memory in zip(
            self.parameters, self.rules, self.memories, strict=True
        ):
            assert p.grad is not None
            update = rule(p.grad, memory, self.done)
            p.mul_(1 - lr * scale * self.hparams.weight_decay).sub_(update, alpha=lr * scale)
            p.grad = None


def _adamw(gradient: Tensor, memory: list[Tensor], step: int) -> Tensor:
    """The mean gradient over its root mean square, both freed of their start at zero."""
    (beta1, beta2), (mean, square) = ADAM_BETAS, memory
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    spread = (square / (1 - beta2**step)).sqrt_().add_(ADAM_EPS)
    return mean / spread / (1 - beta1**step)


def _sgd(gradient: Tensor, memory: list[Tensor], step: int) -> Tensor:
    """Nesterov's momentum: the gradient, and the velocity that it adds to."""
    velocity = memory[0].mul_(SGD_MOMENTUM).add_(gradient)
    return gradient.add(velocity, alpha=SGD_MOMENTUM)


def _muon(gradient: Tensor, memory: list[Tensor], step: int) -> Tensor:
    """Nesterov's momentum as a matrix, its singular values pushed towards one size."""
    velocity = memory[0].mul_(MUON_MOMENTUM).add_(gradient)
    update = gradient.add(velocity, alpha=MUON_MOMENTUM)
    matrix = update.flatten(1)  # a kernel [out, in, h, w] is the matrix [out, in * h * w]
    rows, columns = matrix.shape
    return (_orthogonal(matrix) * max(1, rows / columns) ** 0.5).view_as(update)


def _orthogonal(matrix: Tensor) -> Tensor:
    """Push the singular values of `matrix` [m, n] towards 1: a few steps of Newton and Schulz."""
    a, b, c = (
        3.4445,
        -4.7750,
        2.0315,
    )  # steep at 0: small values grow fast; large ones settle around 1
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(MUON_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.T

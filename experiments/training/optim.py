"""The update rules adamw, sgd and muon in plain arithmetic, and the learning rate schedule.

Not torch.optim: its first use in a process imports torch's compiler, which takes as long as torch
itself, and its Muon does not accept the weights of convolutions.

Sources: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", 2019 (adamw);
I. Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013
(sgd); K. Jordan, "Muon: An optimizer for hidden layers in neural networks", 2024 (muon).
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from experiments.tasks.task import Hparams

# Short memories: a run has a thousand steps, not a million.
ADAM_BETAS, ADAM_EPS = (0.7, 0.9), 1e-8
SGD_MOMENTUM, MUON_MOMENTUM = 0.9, 0.6
MUON_STEPS = 3  # of Newton and Schulz's iteration
ADAMW_LR_SCALE = 0.05  # muon: times lr for the parameters that adamw updates

Moments = tuple[Tensor, Tensor]  # of one parameter; sgd and muon use the first
Rule = Callable[[Tensor, Moments, int], Tensor]  # gradient, moments, step -> update


class Optimizer:
    """Updates the parameters of a net.

    The learning rate rises linearly to `hparams.lr` in the first fraction `hparams.warmup_frac`
    of the steps, then falls linearly to zero. Weight decay is decoupled from the gradient.

    Args:
        steps: how many steps the whole training takes.
    """

    def __init__(self, net: nn.Module, hparams: Hparams, steps: int) -> None:
        self.hparams, self.steps, self.done = hparams, steps, 0
        self.parameters = list(net.parameters())
        matrices = [p for p in self.parameters if p.ndim > 1]
        hidden = {id(p) for p in matrices[:-1]}  # the last one's rows are the classes
        # rule and scale of lr, of each parameter
        self.rules = [_rule(hparams.optimizer, id(p) in hidden) for p in self.parameters]
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        rise = max(1, round(self.hparams.warmup_frac * self.steps))
        fall = max(1, self.steps - rise)
        return self.hparams.lr * min((self.done + 1) / rise, (self.steps - self.done) / fall)

    def state(self) -> dict[str, Tensor]:
        """Return the moments by name; with the steps done, all that `restore` needs."""
        return {f"{i}.{j}": m for i, pair in enumerate(self.moments) for j, m in enumerate(pair)}

    def restore(self, moments: Mapping[str, Tensor], done: int) -> None:
        """Continue after `done` steps, with the moments of `state`."""
        self.done = done
        for name, moment in self.state().items():
            moment.copy_(moments[name])

    @torch.no_grad()
    def step(self) -> None:
        """Take one step with the present gradients, and clear them."""
        lr, self.done = self.lr, self.done + 1
        for p, (rule, scale), moments in zip(
            self.parameters, self.rules, self.moments, strict=True
        ):
            assert p.grad is not None
            update = rule(p.grad, moments, self.done)
            p.mul_(1 - lr * scale * self.hparams.weight_decay).sub_(update, alpha=lr * scale)
            p.grad = None


def _rule(optimizer: str, hidden: bool) -> tuple[Rule, float]:
    """Return update rule and scale of lr; `hidden` is true of a hidden layer's matrix."""
    if optimizer == "sgd":
        return _sgd, 1.0
    if optimizer == "adamw":
        return _adamw, 1.0
    return (_muon, 1.0) if hidden else (_adamw, ADAMW_LR_SCALE)


def _adamw(gradient: Tensor, moments: Moments, step: int) -> Tensor:
    """Return the mean gradient over its root mean square, both corrected for their zero start."""
    (beta1, beta2), (mean, square) = ADAM_BETAS, moments
    mean.lerp_(gradient, 1 - beta1)
    square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    spread = (square / (1 - beta2**step)).sqrt_().add_(ADAM_EPS)
    update: Tensor = mean / spread / (1 - beta1**step)
    return update


def _sgd(gradient: Tensor, moments: Moments, step: int) -> Tensor:
    """Return Nesterov's momentum: the gradient plus the velocity that it changes."""
    velocity = moments[0].mul_(SGD_MOMENTUM).add_(gradient)
    return gradient.add(velocity, alpha=SGD_MOMENTUM)


def _muon(gradient: Tensor, moments: Moments, step: int) -> Tensor:
    """Return Nesterov's momentum as a matrix whose singular values are pushed towards 1."""
    velocity = moments[0].mul_(MUON_MOMENTUM).add_(gradient)
    update = gradient.add(velocity, alpha=MUON_MOMENTUM)
    matrix = update.flatten(1)  # a kernel [out, in, h, w] is the matrix [out, in * h * w]
    rows, columns = matrix.shape
    scale: float = max(1, rows / columns) ** 0.5
    return (_orthogonal(matrix) * scale).view_as(update)


def _orthogonal(matrix: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
    """Push the singular values towards 1 by a few steps of Newton and Schulz's iteration."""
    # The polynomial a s + b s^3 + c s^5 is steep at 0, so small singular values grow fast.
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrix.shape[0] <= matrix.shape[1]
    x: Tensor = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(MUON_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.T

"""One training divided among several processes, on torch.distributed: torchrun starts them.

torchrun --nproc_per_node=2 -m experiments.train --task mnist --trials 0

Every process has all of the data and draws the same random numbers, takes its slice of each
batch, and adds its gradients to those of the others; so each takes the step that a single process
would take, up to the rounding of sums. The process of rank 0 leads: it alone searches, records
and registers; the others follow.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import batch_norm

from experiments import cli
from experiments.errors import UserError
from experiments.metrics import Meter

PATIENCE = timedelta(minutes=10)  # with a process that does not answer


@dataclass(frozen=True)
class Group:
    """The processes of a training, seen from one of them; a training alone is a group of one."""

    rank: int = 0
    size: int = 1

    def share(self, count: int) -> slice:
        """Return the slice of a batch of `count` samples that is this process's."""
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def add_gradients(self, net: nn.Module) -> None:
        """Give each parameter the sum of its gradients in all processes."""
        if self.size == 1:
            return
        gradients = [p.grad for p in net.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        pieces = flat.split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view_as(gradient))

    def total(self, meter: Meter) -> Meter:
        """Return the meter of all processes' samples."""
        if self.size == 1:
            return meter
        total, sums = Meter(), {name: value.clone() for name, value in meter.state().items()}
        for value in sums.values():
            distributed.all_reduce(value)
        total.restore(sums)
        return total

    @contextmanager
    def normalising(self, net: nn.Module) -> Iterator[None]:
        """Let batch normalisation see the whole batch, all processes' slices, while open."""
        layers = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        if self.size > 1:
            for layer in layers:
                layer.forward = partial(_normalised, layer)  # type: ignore[method-assign]
        try:
            yield
        finally:
            for layer in layers:
                vars(layer).pop("forward", None)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Turn the failure of another process into a sentence."""
        try:
            yield
        except RuntimeError as error:
            if self.size == 1:
                raise
            if cli.interrupted():  # torchrun ends all when one has died
                raise KeyboardInterrupt from None
            raise UserError(
                f"Rank {self.rank}: the processes of this training do not go on together "
                f"({str(error).splitlines()[0]:.120}). The same command goes on from here."
            ) from None

    def tell(self, message: bytes) -> None:
        """Send a message from the leader to all others, each of which must `hear` it."""
        if self.size == 1:
            return
        distributed.broadcast(torch.tensor(len(message)), 0)
        if message:
            distributed.broadcast(torch.frombuffer(bytearray(message), dtype=torch.uint8), 0)

    def hear(self) -> bytes:
        """Return the leader's next message."""
        size = torch.tensor(0)
        distributed.broadcast(size, 0)
        message = torch.empty(int(size), dtype=torch.uint8)
        if len(message):
            distributed.broadcast(message, 0)
        return message.numpy().tobytes()

    def end(self) -> None:
        """Let the leader tell the others that there is no more to do, and each leave the group.

        A process that ends while it is in a group may be aborted by its communication threads.
        """
        if self.size == 1:
            return
        if self.rank == 0:
            self.tell(b"")
        distributed.destroy_process_group()


ALONE = Group()


def rank() -> int:
    """Return this process's rank, as torchrun says; alone it is 0, the leader's."""
    return int(os.environ.get("RANK", 0))


def join(device: torch.device) -> Group:
    """Return the group that torchrun has started this process in, else that of one."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return ALONE
    if not distributed.is_initialized():
        both = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        distributed.init_process_group(both, timeout=PATIENCE)
    return Group(distributed.get_rank(), distributed.get_world_size())


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous()
        distributed.all_reduce(total)
        return total


def _normalised(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Normalise x [B, C, ...] by the mean and variance of all processes' samples.

    PyTorch's own layer for this takes CUDA tensors only.
    """
    mean, var = layer.running_mean, layer.running_var
    assert mean is not None and var is not None and layer.momentum is not None
    if not layer.training:
        return batch_norm(x, mean, var, layer.weight, layer.bias, eps=layer.eps)
    others = [0, *range(2, x.ndim)]
    count = torch.full([1], x.numel() / x.shape[1], device=x.device)
    wide = x.double()  # the difference of two sums below needs the digits
    sums = _Sum.apply(torch.cat([wide.sum(others), wide.square().sum(others), count.double()]))
    first, second, total = sums.split([x.shape[1], x.shape[1], 1])
    batch_mean = first / total
    batch_var = second / total - batch_mean.square()
    with torch.no_grad():
        mean.lerp_(batch_mean.to(mean.dtype), layer.momentum)
        var.lerp_((batch_var * total / (total - 1)).to(var.dtype), layer.momentum)
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.add_(1)
    shape = [1, -1, *[1] * (x.ndim - 2)]
    scale = layer.weight * (batch_var + layer.eps).rsqrt()
    offset = layer.bias - batch_mean * scale
    return (x * scale.view(shape) + offset.view(shape)).to(x.dtype)

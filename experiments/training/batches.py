"""Batches of a training, augmented ahead of the network where a processor is left over.

A training beside a busy process has one thread; its network then does not wait for the
augmentation: threads of one operation wait for each other, two operations do not.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from jaxtyping import Int64, UInt8
from torch import Generator, Tensor

from experiments.training import threads

AHEAD = 4  # batches; some take long, since their digits have to be drawn


class Batch(NamedTuple):
    """Samples of one step, and the states of the generators after them."""

    x: Tensor
    y: Tensor
    states: dict[str, Tensor]


def ahead(make: Callable[[int], Batch], first: int, last: int) -> Iterator[Batch]:
    """Yield `make(first)` to `make(last)`, which are called in this order.

    A thread calls them some steps ahead if a processor is left over.
    """
    if not threads.has_spare():
        yield from map(make, range(first, last + 1))
        return
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(make, i) for i in range(first, min(first + AHEAD, last + 1)))
        following = first + len(waiting)
        while waiting:
            batch = waiting.popleft().result()
            if following <= last:
                waiting.append(thread.submit(make, following))
                following += 1
            yield batch


class BatchSampler:
    """Endless batches of indices; each epoch has a new order.

    A last batch of a single sample is left out: batch normalisation needs two.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size = count, batch_size
        self.batches = max(1, (count + batch_size - 2) // batch_size)
        self.generator = Generator().manual_seed(seed)
        self.before = self.generator.get_state()  # before the present epoch was drawn
        self.remaining: list[Tensor] = []  # batches of the present epoch

    def __next__(self) -> Int64[Tensor, " batch"]:
        if not self.remaining:
            self.before = self.generator.get_state()
            indices = torch.randperm(self.count, generator=self.generator)
            self.remaining = list(indices.split(self.batch_size)[: self.batches])
        return self.remaining.pop(0)

    def state(self) -> UInt8[Tensor, " bytes"]:
        """Return what `restore` needs: the generator before the present epoch was drawn."""
        return self.before if self.remaining else self.generator.get_state()

    def restore(self, state: UInt8[Tensor, " bytes"], done: int) -> None:
        """Continue after `done` batches, counted over all epochs."""
        self.generator.set_state(state)
        for _ in range(done % self.batches):
            next(self)

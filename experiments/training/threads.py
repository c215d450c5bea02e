"""How many threads train: measured at the start, since each waits for the others.

Beside a busy process two threads on two processors are slower than one, on many processors a small
network gains nothing from all of them. $OMP_NUM_THREADS decides if it is set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import torch

from experiments.core import files
from experiments.core.paths import THREADS

ROUNDS, STEPS = 3, 2  # of each number, in turn, so that other load meets all alike
MIN_GAIN = 0.1  # of the time, or the smaller number is taken
AVAILABLE = torch.get_num_threads()  # before anything is set
In = TypeVar("In")
Out = TypeVar("Out")


def candidates(available: int) -> list[int]:
    """Return the powers of two below `available`, and `available`."""
    powers = [2**power for power in range(available.bit_length())]
    return [*(threads for threads in powers if threads < available), available]


def mapped(function: Callable[[In], Out], items: Iterable[In]) -> list[Out]:
    """Return `function` of each item, computed at once as far as the processors suffice.

    The function's own operations have the number of threads that was chosen.
    """
    with ThreadPoolExecutor(max(1, AVAILABLE // torch.get_num_threads())) as pool:
        return list(pool.map(function, items))


def has_spare() -> bool:
    """Return whether a processor is left over by the number of threads that was chosen."""
    return torch.get_num_threads() < AVAILABLE


def choose(step: Callable[[], object], folder: Path | None) -> int:
    """Set torch's number of threads to the stored or else the fastest one, and return it.

    Args:
        step: one step of a training; it runs a few times, unless the number is known.
        folder: of the run, which keeps the number when it is resumed; None for no folder.
    """
    if "OMP_NUM_THREADS" in os.environ or AVAILABLE == 1:
        return torch.get_num_threads()
    file = folder and folder / THREADS
    if file and file.is_file():
        threads = int(file.read_text())
    else:
        threads = fastest(step, candidates(AVAILABLE))
    torch.set_num_threads(threads)
    if file:
        files.write(str(threads).encode(), file)
    return threads


def fastest(
    step: Callable[[], object],
    numbers: Sequence[int],
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Return the smallest of `numbers`, ascending, that no larger one beats by `MIN_GAIN`."""
    seconds = dict.fromkeys(numbers, 0.0)
    for _ in range(ROUNDS):
        for threads in numbers:
            torch.set_num_threads(threads)
            step()  # the first one starts the threads
            started = clock()
            for _ in range(STEPS):
                step()
            seconds[threads] += clock() - started
    best = numbers[0]
    for threads in numbers[1:]:
        if seconds[threads] < (1 - MIN_GAIN) * seconds[best]:
            best = threads
    return best

"""The way to the registry: one process reads it at a time, few wait, a refusal holds a while.

Whoever asks for what somebody else is just asking for gets the same answer, a few seconds old at
most, and takes no turn.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from typing import Any, TypeVar

from experiments.errors import UserError
from serve.model.clerk import SECONDS
from serve.texts import model as say

PATIENCE = 8  # seconds to wait while the registry is read for others; with SECONDS below 30
WAITING = 3  # who may wait; each holds one of the server's threads
FOLLOWING = 20  # who may wait for what somebody else has asked for; the same
RESPITE = 10  # seconds until the registry is asked again for what it has just refused or lacked
MOST_REFUSED = 64  # keys whose refusal is remembered
T = TypeVar("T")


class Door:
    """Who may read the registry; all methods may be called from any thread.

    Attributes:
        listed: when the versions were listed, or could not be, as `time.monotonic` tells it.
    """

    def __init__(self) -> None:
        self.listed = float("-inf")
        self._refused: OrderedDict[str, tuple[float, str]] = OrderedDict()  # key -> when, why
        self._lock = threading.Lock()  # of what is remembered
        self._turn = threading.Lock()
        self._queue = threading.BoundedSemaphore(1 + WAITING)  # whose turn it is, and who waits
        self._followers = threading.BoundedSemaphore(FOLLOWING)
        self._coming: dict[str, Future[Any]] = {}  # what is asked for now -> its answer

    def ask(self, what: str, work: Callable[[], T]) -> T:
        """Return what `work`, which reads the registry, returns at its turn.

        Args:
            what: names the question; those who ask the same at once share one answer.

        Raises:
            UserError: too many wait already, or the turn does not come in PATIENCE seconds, or
                the shared answer not in SECONDS more; or as `work` raises it.
        """
        with self._lock:
            first = what not in self._coming
            answer = self._coming.setdefault(what, Future())
        if first:
            self._answer(what, work, answer)
        else:
            with _held(self._followers, 0):
                wait([answer], PATIENCE + SECONDS)  # a turn, and an answer
        if not answer.done():
            raise UserError(say.BUSY)
        found: T = answer.result()
        return found

    def _answer(self, what: str, work: Callable[[], Any], answer: Future[Any]) -> None:
        """Give `answer` what `work` returns or raises, at its turn."""
        try:
            with _held(self._queue, 0), _held(self._turn, PATIENCE):
                answer.set_result(work())
        except BaseException as error:
            answer.set_exception(error)
        finally:
            with self._lock:
                del self._coming[what]

    @property
    def fresh(self) -> bool:
        """Return whether the versions were listed, or could not be, less than RESPITE ago."""
        return time.monotonic() - self.listed < RESPITE

    def refuse(self, key: str, why: str) -> None:
        """Remember why a key was refused."""
        with self._lock:
            self._refused.pop(key, None)
            self._refused[key] = time.monotonic(), why
            while len(self._refused) > MOST_REFUSED:
                self._refused.popitem(last=False)

    def check(self, key: str) -> None:
        """Raise UserError, as it was raised before, if a key was refused less than RESPITE ago."""
        with self._lock:
            when, why = self._refused.get(key, (float("-inf"), ""))
        if time.monotonic() - when < RESPITE:
            raise UserError(why)


@contextmanager
def _held(lock: threading.Lock | threading.Semaphore, patience: float) -> Iterator[None]:
    """Hold a lock; raise UserError if it cannot be had in `patience` seconds."""
    if not lock.acquire(timeout=patience):
        raise UserError(say.BUSY)
    try:
        yield
    finally:
        lock.release()

"""The way to the registry: one process reads it at a time, few wait, a refusal holds a while."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.errors import UserError
from serve.texts import model as say

PATIENCE = 30  # seconds to wait while the registry is read for others
WAITING = 3  # who may wait; each holds one of the server's threads
RESPITE = 10  # seconds until the registry is asked again for what it has just refused or lacked
MOST_REFUSED = 64  # keys whose refusal is remembered


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

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the turn to read the registry.

        Raises:
            UserError: too many wait already, or the turn does not come in PATIENCE seconds.
        """
        if not self._queue.acquire(blocking=False):
            raise UserError(say.BUSY)
        try:
            if not self._turn.acquire(timeout=PATIENCE):
                raise UserError(say.BUSY)
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._queue.release()

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

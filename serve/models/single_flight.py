"""One piece of work at a time; calls with the same key share one result, few calls wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Any, TypeVar

from serve.refusals import refusal

T = TypeVar("T")
TIMEOUT_S = 28.0  # for a turn and the work, which takes 20 s at most; a request has 30
MAX_WAITING = 20  # calls; each holds one of the server's 40 threads


class SingleFlight:
    """Lets one call at a time read the registry; `call` may be used from any thread.

    Args:
        max_waiting: calls that may wait, whether for their turn or for a shared result.
        timeout_s: seconds until a call without a result fails.
    """

    def __init__(self, max_waiting: int = MAX_WAITING, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._slots = threading.BoundedSemaphore(1 + max_waiting)
        self._worker = ThreadPoolExecutor(1)
        self._pending: dict[str, Future[Any]] = {}  # key -> the result that is being computed
        self._lock = threading.Lock()  # of `_pending`

    def call(self, key: str, work: Callable[[], T]) -> T:
        """Return what `work` returns, or the result of a call with the same `key` in progress.

        Raises:
            UserError: registry-busy, too many calls wait or the result takes too long; or the
                error that `work` raises.
        """
        if not self._slots.acquire(blocking=False):
            raise _busy()
        try:
            # The first call with a key starts the work; the others wait for its result.
            with self._lock:
                self._pending = {k: f for k, f in self._pending.items() if not f.done()}
                if key not in self._pending:
                    self._pending[key] = self._worker.submit(work)
                future: Future[T] = self._pending[key]
            return future.result(self._timeout_s)
        except (TimeoutError, CancelledError):
            future.cancel()  # unless it has begun: nobody waits for it any more
            raise _busy() from None
        finally:
            self._slots.release()


def _busy() -> Exception:
    return refusal("registry-busy", "other requests that wait already")

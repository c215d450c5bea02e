"""The worker as the page sees it: a child process that reads and writes lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from experiments.core.paths import ROOT

COMMAND = (sys.executable, "-P", "-W", "ignore", "-m", "serve.tabs.learn.worker")
END_TIMEOUT_S = 5.0
Message = dict[str, Any]


class Worker:
    """A running worker; it ends with this object, and at the latest with this process.

    Args:
        receive: called in a thread of its own with this and each message, with None at the end.
        command: of the process.
    """

    def __init__(
        self, receive: Callable[[Worker, Message | None], None], command: Sequence[str] = COMMAND
    ) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        # its error output; `close` closes it
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        # Closing its input ends it; so does the end of this process, whatever the reason.
        self._finalizer = weakref.finalize(self, self._process.kill)
        self._thread = threading.Thread(target=self._read, args=[receive], daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def send(self, do: str, **values: object) -> None:
        """Send a command; one to a worker that has ended is lost, and its end is reported."""
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
            self._process.stdin.flush()

    def _read(self, receive: Callable[[Worker, Message | None], None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            receive(self, json.loads(line))
        self._process.wait()
        receive(self, None)

    def last_error(self) -> str:
        """Return the last line of its error output, else its exit code."""
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return lines[-1] if lines else f"exit code {self._process.poll()}"

    def close(self) -> None:
        """End the process."""
        self._finalizer()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_TIMEOUT_S)
        if threading.current_thread() is not self._thread:
            self._thread.join(END_TIMEOUT_S)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with suppress(OSError):
                assert stream is not None
                stream.close()

"""A server in its own process, on a free port of this machine."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psutil  # type: ignore[import-untyped]

from experiments.core.errors import UserError
from experiments.core.paths import ROOT

PAGE = ("serve/app.py", "--port")


@dataclass(frozen=True)
class Server:
    """A running server: its address, its process, and the seconds from start to first answer."""

    url: str
    process: psutil.Process
    start_seconds: float


@contextmanager
def serving(*command: str) -> Iterator[Server]:
    """Start `python COMMAND PORT`, wait for its first answer, and stop it at the end.

    Raises:
        UserError: the process ends before it answers; the message has its output.
    """
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *command, str(port)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            while not _answers(url):
                if process.poll() is not None:
                    assert process.stderr is not None
                    output = process.stderr.read()
                    raise UserError("server-failed", command[0], "a running server", output)
                time.sleep(0.02)
            yield Server(url, psutil.Process(process.pid), time.perf_counter() - started)
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=5)
    except httpx.TransportError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

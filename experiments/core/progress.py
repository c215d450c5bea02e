"""What a command is doing: a line that moves on a terminal, else a line a minute.

The line is written by a thread of its own, since much of the work (imports, registration, figures)
reports no steps. Bars of steps are tqdm's, below it.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

BEAT_S, LOG_S = 0.5, 60.0
_doing, _detail = "starting", ""


def stage(doing: str) -> None:
    """State what the command does from now on."""
    global _doing, _detail
    _doing, _detail = doing, ""


def detail(text: str) -> None:
    """State how far it is, for the lines of a log; a terminal has the bar."""
    global _detail
    _detail = text


class Heartbeat:
    """Shows the stage, and the time since the start, at each beat.

    Args:
        stream: gets a line that is rewritten if it is a terminal, else a line every `LOG_S`.
        clock: seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self.stream, self.clock = stream, clock
        self.started = self.written = clock()
        shape = "{desc} [{elapsed}]"
        self.bar = tqdm(file=stream, bar_format=shape, leave=False, disable=not stream.isatty())

    def beat(self) -> None:
        """Rewrite the terminal's line, or write a line into a log if it is time."""
        if not self.bar.disable:
            self.bar.set_description_str(_doing)  # and the time that has passed
        elif self.clock() - self.written >= LOG_S:
            self.written = self.clock()
            minutes, parts = (self.written - self.started) / 60, (_doing, _detail)
            print(f"{minutes:.0f} min: {', '.join(filter(None, parts))}", file=self.stream)
            self.stream.flush()


@contextmanager
def showing() -> Iterator[None]:
    """Show what this process is doing, on stderr."""
    stage("starting")
    heartbeat, end = Heartbeat(sys.stderr), threading.Event()

    def beat() -> None:
        heartbeat.beat()
        while not end.wait(BEAT_S):
            heartbeat.beat()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        heartbeat.bar.close()

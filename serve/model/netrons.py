"""Netron's servers on this machine, which show the graphs that the page serves."""

from __future__ import annotations

import atexit
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from experiments import hashes
from experiments.errors import UserError
from serve.predictor import Predictor
from serve.texts import model as say

MOST_NETRONS = 8  # that run at once; the oldest ends for a new one


class Netrons:
    """Netron's servers on this machine, one a graph; all end with the page."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, ExitStack]] = {}
        self._lock = threading.Lock()
        atexit.register(self.close)

    def show(self, predictor: Predictor) -> str:
        """Return the address at which Netron shows the model's graph, as it is served.

        Raises:
            UserError: it has no graph, or Netron does not start.
        """
        if not predictor.graph:
            raise UserError(say.NETRON_NO_GRAPH)
        graph = hashes.of_bytes(predictor.graph)
        with self._lock:
            if graph not in self._open:
                while len(self._open) >= MOST_NETRONS:
                    self._open.pop(next(iter(self._open)))[1].close()
                self._open[graph] = self._start(predictor)
            return self._open[graph][0]

    def _start(self, predictor: Predictor) -> tuple[str, ExitStack]:
        stack = ExitStack()
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder, f"{Path(predictor.title.partition(',')[0]).name}.onnx")
        path.write_bytes(predictor.graph)
        try:
            from export import netron_view

            return stack.enter_context(netron_view.serving(path)), stack
        except (ImportError, OSError) as error:
            stack.close()
            raise UserError(say.NETRON_FAILS.format(why=error)) from error

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            for _, stack in self._open.values():
                stack.close()
            self._open.clear()

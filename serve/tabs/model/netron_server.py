"""The local Netron server of the graph that was opened last.

Netron is imported when it is asked for: a Space has none.
"""

from __future__ import annotations

import atexit
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

from serve.backends.onnx_backend import Predictor
from serve.refusals import refusal


class NetronServer:
    """Shows one graph at a time, until the page stops."""

    def __init__(self) -> None:
        self._open, self._graph, self._url = ExitStack(), b"", ""
        self._lock = threading.Lock()
        atexit.register(self._open.close)

    def show(self, predictor: Predictor) -> str:
        """Return the address at which Netron shows the model's graph.

        Raises:
            UserError: it has no graph, or Netron does not start.
        """
        if not predictor.graph:
            raise refusal("graph-missing", "a torch program", model=predictor.title)
        with self._lock:
            if predictor.graph != self._graph:
                self._open.close()
                self._graph, self._url = b"", self._start(predictor)
                self._graph = predictor.graph
            return self._url

    def _start(self, predictor: Predictor) -> str:
        folder = self._open.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder, f"{Path(predictor.title.partition(',')[0]).name}.onnx")
        path.write_bytes(predictor.graph)
        try:
            from export import netron_view

            return self._open.enter_context(netron_view.serving(path))
        except (ImportError, OSError) as error:
            raise refusal("netron-failed", error) from error

"""The page's server: uvicorn in a thread, whose settings come from its arguments alone."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from serve.refusals import refusal, response

BACKLOG = 2048  # connections that wait to be accepted
STOP_TIMEOUT_S = 5.0


class JsonProtocol(H11Protocol):
    """HTTP/1.1 that refuses in JSON what is not HTTP, or has an address or headers too long."""

    def send_400_response(self, msg: str) -> None:
        """Send the refusal and close the connection."""
        answer = response(refusal("http-invalid", msg.rstrip(".")), headers={"Connection": "close"})
        lines = [b"HTTP/1.1 400 Bad Request", *(b": ".join(pair) for pair in answer.raw_headers)]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(answer.body)]))
        self.transport.close()


class PageServer:
    """Serves `app` in a thread of its own until `close`.

    Args:
        before_close: ends the app's own streams and processes; a stream would delay the end.

    Raises:
        UserError: port-taken, it cannot listen there.
    """

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        before_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._before_close = before_close
        try:
            listener = socket.create_server((host, port), backlog=BACKLOG)
            # Connections inherit it; asyncio sets it only for sockets that name their protocol.
            # Without it an answer's body waits 40 ms for the client to confirm its header.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            problem = "one in use, or not permitted"
            raise refusal("port-taken", problem, port=port, host=host) from None
        # Gradio's launch would call its own server, by whatever proxy the environment names.
        config = uvicorn.Config(
            app,
            http=JsonProtocol,
            lifespan="on",
            log_level="warning",
            workers=1,
            forwarded_allow_ips=["127.0.0.1", "::1"],  # a proxy on this machine
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=[listener], daemon=True)
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.001)
        if not self._server.started:
            raise RuntimeError("the page's server did not start; its log says why")

    def _run(self, listener: socket.socket) -> None:
        with listener:
            asyncio.run(self._server.serve([listener]))

    def close(self) -> None:
        """Stop listening and end the thread; Gradio's `Blocks.close` calls it."""
        self._before_close()
        self._server.should_exit = True
        self._thread.join(STOP_TIMEOUT_S)

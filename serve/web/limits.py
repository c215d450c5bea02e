"""Limits on what one request may cost: the bytes of its body, a slot to run in, and time."""

import asyncio

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from experiments.core.errors import UserError
from serve.refusals import refusal, response

MEGABYTE = 1_000_000
MAX_BODY_BYTES = 16 * MEGABYTE
MAX_FILE_BYTES = 10 * MEGABYTE  # of an upload, or of a picture opened on the pad
MAX_RUNNING = 64  # requests at once; Gradio works with at most 40 threads
MAX_OPEN = 800  # requests arriving, waiting, running or streaming; a process may have 1,024 files
MAX_HELD_BYTES = 256 * MEGABYTE  # of all bodies; above it only small ones are accepted
SMALL_BYTES = 100_000  # a drawing, or a call
WAIT_TIMEOUT_S = 10.0  # for a body to arrive, and again for a slot
ANSWER_TIMEOUT_S = 30.0
UNLIMITED = ("/healthz", "/metrics")  # need no slot, however busy the page is
# Gradio responds before the work is done and keeps the body until then: small ones only.
QUEUED = ("/gradio_api/queue/join", "/gradio_api/call/")
EVENT_STREAM = "text/event-stream"


def is_stream(message: Message) -> bool:
    """Return whether an ASGI message starts a response that is a stream of events."""
    if message["type"] != "http.response.start":
        return False
    return Headers(raw=message["headers"]).get("content-type", "").startswith(EVENT_STREAM)


class ConcurrencyLimit:
    """ASGI middleware: a bounded number of requests run at once, the others wait for a slot.

    The body is read first, so a slow sender occupies no slot. A request that waits too long, or is
    one too many, gets 503. One that takes too long gets 504, but keeps its slot until its thread
    ends, since a thread cannot be stopped. A stream of events releases its slot when it starts.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_running: int = MAX_RUNNING,
        max_open: int = MAX_OPEN,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        wait_timeout_s: float = WAIT_TIMEOUT_S,
    ) -> None:
        self.app, self.max_open, self.open = app, max_open, 0
        self.answer_timeout_s, self.wait_timeout_s = answer_timeout_s, wait_timeout_s
        self.held_bytes = 0
        self.slots = asyncio.Semaphore(max_running)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self.app(scope, receive, send)
            return
        body = bytearray()
        self.open += 1
        try:
            if self.open > self.max_open:
                raise refusal("page-busy", "none")
            await self._read(scope, receive, body)
            await self._acquire_slot()
            await self._run(scope, _replay(bytes(body), receive), send)
        except UserError as error:  # of the limits alone: the app answers its own errors
            headers = {} if error.code == "page-busy" else {"Connection": "close"}
            await response(error, headers=headers)(scope, receive, send)
        finally:
            self.open -= 1
            self.held_bytes -= len(body)

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> None:
        """Read the request's body into `body` and count its bytes as held."""
        limit = SMALL_BYTES if scope["path"].startswith(QUEUED) else MAX_BODY_BYTES
        try:
            async with asyncio.timeout(self.wait_timeout_s):
                async for part in Request(scope, receive).stream():
                    body += part
                    self.held_bytes += len(part)
                    if len(body) > limit:
                        raise refusal("request-too-large", "more", limit_mb=limit / MEGABYTE)
                    if self.held_bytes > MAX_HELD_BYTES and len(body) > SMALL_BYTES:
                        raise refusal("page-busy", "none")
        except (TimeoutError, ClientDisconnect) as error:
            size = f"{len(body)} bytes"
            raise refusal("request-incomplete", size, seconds=self.wait_timeout_s) from error

    async def _acquire_slot(self) -> None:
        try:
            async with asyncio.timeout(self.wait_timeout_s):
                await self.slots.acquire()
        except TimeoutError as error:
            raise refusal("page-busy", "none") from error

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond in time; the work is a task of its own, which can be abandoned."""
        started = abandoned = False
        streaming = asyncio.get_running_loop().create_future()

        async def forward(message: Message) -> None:
            nonlocal started
            if abandoned:
                return
            started = started or message["type"] == "http.response.start"
            if is_stream(message):
                streaming.set_result(None)
            await send(message)

        task = asyncio.ensure_future(self.app(scope, receive, forward))
        done, _ = await asyncio.wait(
            {task, streaming}, timeout=self.answer_timeout_s, return_when="FIRST_COMPLETED"
        )
        if done:
            self.slots.release()
            await task
            return
        abandoned = True
        task.add_done_callback(self._release_slot)
        if started:
            task.cancel()  # the client reads too slowly
            return
        # Not cancelled: that would release the slot while the thread continues.
        late = refusal("answer-late", "none", seconds=self.answer_timeout_s)
        await response(late)(scope, receive, send)

    def _release_slot(self, task: asyncio.Future[None]) -> None:
        self.slots.release()
        if not task.cancelled():
            task.exception()  # marks it as retrieved


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` once, and then what `receive` gives."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return messages.pop() if messages else await receive()

    return replayed

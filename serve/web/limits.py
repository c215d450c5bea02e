"""Limits on what one request may cost: bytes, its turn, and time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.texts import api as say

MEGABYTE = 1_000_000
MOST_BYTES = 16 * MEGABYTE  # of a request's body
LARGEST_FILE = 10 * MEGABYTE  # that is uploaded, or opened on the pad
AT_WORK = 64  # requests at once; Gradio works with at most 40 threads
OPEN = 800  # requests coming, waiting, at work, or streaming; a process may have 1,024 files
HELD = 256 * MEGABYTE  # of all bodies; when there are more, only small ones are taken
SMALL = 100_000  # bytes; a drawing, or a call
PATIENCE = 10.0  # seconds until a body must have come, and again until a request has had its turn
SECONDS = 30.0  # until it must have been answered
ASIDE = ("/healthz", "/metrics")  # answered without a turn, however busy the page is
# Answered before its work is done, so that its body is held beyond the answer: small ones only.
QUEUED = ("/gradio_api/queue/join", "/gradio_api/call/")
STREAM = "text/event-stream"


def refusal(status: int, sentence: str, **headers: str) -> JSONResponse:
    """Return an answer of one sentence, in the form in which Gradio tells errors."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"error": sentence}, status, named)


def kind_of_answer(message: Message) -> str:
    """Return the content type that a message of type http.response.start announces."""
    return Headers(raw=message["headers"]).get("content-type", "")


class Bodies:
    """Reads bodies whole, so that who sends slowly, or never ends, keeps no turn meanwhile."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self.most, self.held = most, 0

    @asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[Receive]:
        """Give a `receive` that hands the whole body on at once; it counts as held until the end.

        Raises:
            HTTPException: 413 too large, announced or not; 408 not in time; 503 too many are held.
        """
        headers = Headers(scope=scope)
        most = SMALL if scope["path"].startswith(QUEUED) else self.most
        announced = headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > most:
            raise _too_large(most)
        if announced == "0" and "transfer-encoding" not in headers:
            yield receive  # most requests: nothing to wait for
            return
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(PATIENCE):
                    while await self._more(receive, body, most):
                        pass
            except TimeoutError as error:
                raise HTTPException(408, say.NO_BODY.format(seconds=round(PATIENCE))) from error
            yield handed_on(bytes(body), receive)
        finally:
            self.held -= len(body)

    async def _more(self, receive: Receive, body: bytearray, most: int) -> bool:
        """Add what comes next to `body`, of at most so many bytes; return whether there is more."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise TimeoutError  # nobody is left to be told
        part = message.get("body", b"")
        body += part
        self.held += len(part)
        if len(body) > most:
            raise _too_large(most)
        if self.held > HELD and len(body) > SMALL:
            raise HTTPException(503, say.BUSY)
        return bool(message.get("more_body", False))


def _too_large(most: int) -> HTTPException:
    return HTTPException(413, say.TOO_LARGE.format(most=f"{most / MEGABYTE:g}"))


def handed_on(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives `body` once, and then what `receive` gives."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again


class Turns:
    """ASGI middleware: so many requests are at work at once, the others wait their turn; in time.

    A body is read before the turn is taken. A request that waits in vain, or comes when too many
    are open, is told so (503); one that is not answered in time, too (504), and keeps its turn
    until its thread has ended, since a thread cannot be stopped. A stream of events gives its
    turn back as soon as it has begun.
    """

    def __init__(
        self,
        app: ASGIApp,
        at_work: int = AT_WORK,
        most_open: int = OPEN,
        seconds: float = SECONDS,
        most: int = MOST_BYTES,
    ) -> None:
        self.app, self.most_open, self.seconds = app, most_open, seconds
        self.bodies = Bodies(most)
        self.turns = asyncio.Semaphore(at_work)
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ASIDE:
            await self.app(scope, receive, send)
            return
        self.open += 1
        try:
            if self.open > self.most_open:
                raise HTTPException(503, say.BUSY)
            async with self.bodies.read(scope, receive) as whole:
                await self._turn()
                await self._work(scope, whole, send)
        except HTTPException as error:  # of the limits alone: what the app raises, it answers
            more = {"retry_after": "5"} if error.status_code == 503 else {"connection": "close"}
            await refusal(error.status_code, error.detail, **more)(scope, receive, send)
        finally:
            self.open -= 1

    async def _turn(self) -> None:
        """Wait for this request's turn; raise HTTPException if it does not come."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self.turns.acquire()
        except TimeoutError as error:
            raise HTTPException(503, say.BUSY) from error

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer within the time; the work is a task of its own, so that it can be left behind."""
        started = given_up = False
        streaming = asyncio.get_running_loop().create_future()

        async def watched(message: Message) -> None:
            nonlocal started
            if given_up:
                return
            if message["type"] == "http.response.start":
                started = True
                if kind_of_answer(message).startswith(STREAM):
                    streaming.set_result(None)
            await send(message)

        task = asyncio.ensure_future(self.app(scope, receive, watched))
        either = {task, streaming}
        try:
            done, _ = await asyncio.wait(
                either, timeout=self.seconds, return_when="FIRST_COMPLETED"
            )
        except asyncio.CancelledError:
            task.cancel()
            self.turns.release()
            raise
        if done:
            self.turns.release()
            await task
            return
        given_up = True
        task.add_done_callback(self._left_behind)
        if started:
            task.cancel()  # a client that reads too slowly
        else:  # not cancelled: it would give up its turn while its thread goes on
            late = say.TOO_LATE.format(seconds=round(self.seconds))
            await refusal(504, late)(scope, receive, send)

    def _left_behind(self, task: asyncio.Future[None]) -> None:
        self.turns.release()
        if not task.cancelled():
            task.exception()  # has been seen

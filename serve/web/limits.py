"""Limits on what one request may cost: bytes, its turn, and time."""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.texts import api as say

MEGABYTE = 1_000_000
MOST_BYTES = 16 * MEGABYTE  # of a request's body
AT_WORK = 64  # requests at once; Gradio works with at most 40 threads
OPEN = 800  # requests at work, waiting for a turn, or streaming; a process may have 1,024 files
PATIENCE = 10.0  # seconds until a request must have had its turn
SECONDS = 30.0  # until it must have been answered
STREAM = "text/event-stream"


def refusal(status: int, sentence: str, **headers: str) -> JSONResponse:
    """Return an answer of one sentence, in the form in which Gradio tells errors."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"error": sentence}, status, named)


def kind_of_answer(message: Message) -> str:
    """Return the content type that a message of type http.response.start announces."""
    return Headers(raw=message["headers"]).get("content-type", "")


class BodyLimit:
    """ASGI middleware: a body of more than `most` bytes is refused, announced or not."""

    def __init__(self, app: ASGIApp, most: int = MOST_BYTES) -> None:
        self.app, self.most = app, most
        self.sentence = say.TOO_LARGE.format(most=most // MEGABYTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > self.most:
            await refusal(413, self.sentence, connection="close")(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most:
                raise HTTPException(413, self.sentence)  # the one error that parsers let pass
            return message

        await self.app(scope, counted, send)


class Turns:
    """ASGI middleware: so many requests are at work at once, the others wait their turn; in time.

    A request that waits in vain, or comes when too many are open, is told so (503); one that is
    not answered in time, too (504), and keeps its turn until its thread has ended, since a thread
    cannot be stopped. A stream of events gives its turn back as soon as it has begun.
    """

    def __init__(
        self, app: ASGIApp, at_work: int = AT_WORK, most_open: int = OPEN, seconds: float = SECONDS
    ) -> None:
        self.app, self.most_open, self.seconds = app, most_open, seconds
        self.turns = asyncio.Semaphore(at_work)
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        self.open += 1
        try:
            if self.open > self.most_open or not await self._turn():
                await refusal(503, say.BUSY, retry_after="5")(scope, receive, send)
                return
            await self._work(scope, receive, send)
        finally:
            self.open -= 1

    async def _turn(self) -> bool:
        """Return whether this request's turn came."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.turns.acquire()
        except TimeoutError:
            return False

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

"""The addresses of the learning tab: a stream of frames, and what a visitor does."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from serve.refusals import refusal
from serve.tabs.digit import inference, preprocess
from serve.tabs.learn.live import OWNER_ONLY, Live, Training
from serve.tabs.learn.options import checked

POLL_S = 0.04  # from one look for news to the next
BEAT_S = 5.0  # from one sign of life to the next, by which a dropped connection is noticed
CLIENT = re.compile(r"[\w-]{8,64}")
RECORDED = Path(__file__).with_name("recorded.json.gz")


def routes(live: Live, add_file: Callable[[Path], str]) -> list[Route]:
    """Return the routes; they precede Gradio's.

    Args:
        live: the page's training.
        add_file: makes an ONNX file a choice of the Digit tab; returns its key.
    """

    async def stream(request: Request) -> Response:
        client = _client(request.query_params.get("client"))
        return StreamingResponse(
            _events(live, client), 200, {"Cache-Control": "no-store"}, "text/event-stream"
        )

    async def act(request: Request) -> Response:
        body = await _body(request)
        client, do = _client(body.get("client")), request.path_params["do"]
        if do == "start":
            live.start(client, checked(body.get("request")))
        elif do == "drawing":
            image = await run_in_threadpool(_image, body.get("drawing"))
            live.draw(client, image)
        elif do == "try":
            run = body.get("run")
            if run not in (0, 1):
                raise refusal("request-invalid", "another run", values="run: 0 or 1")
            path = await run_in_threadpool(live.export, str(body.get("training")), run)
            if path is None:
                return JSONResponse({"pending": True})
            return JSONResponse({"key": await run_in_threadpool(add_file, path)})
        elif do == "speed":
            live.command(client, do, speed=checked_speed(body.get("speed")))
        elif do in OWNER_ONLY:
            live.command(client, do)
        else:
            raise refusal("endpoint-unknown", repr(do[:100]))
        return JSONResponse(live.state(client))

    async def recorded(_: Request) -> Response:
        raw = await run_in_threadpool(RECORDED.read_bytes)
        return Response(raw, 200, {"Content-Encoding": "gzip"}, "application/json")

    return [
        Route("/learn/stream", stream),
        Route("/learn/recorded", recorded),
        Route("/learn/{do}", act, methods=["POST"]),
    ]


def checked_speed(speed: object) -> str:
    """Return the speed, or raise UserError."""
    return checked({"runs": [{}], "speed": speed}).speed


def _client(value: object) -> str:
    if not isinstance(value, str) or not CLIENT.fullmatch(value):
        raise refusal("request-invalid", "none", values="client: 8 to 64 letters or digits")
    return value


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise refusal("request-invalid", "something else", values="client: ..., request: ...")
    return body


def _image(value: Any) -> Any:
    """Return the pad's drawing as the network's input, uint8 [1, 28, 28]; None if it is blank."""
    drawing = preprocess.from_pad(value or None)
    if not drawing.any() or inference.is_too_small(drawing):
        return None
    return preprocess.to_image(drawing)


def _event(kind: str, facts: object) -> str:
    return f"event: {kind}\ndata: {json.dumps(facts)}\n\n"


async def _events(live: Live, client: str) -> AsyncIterator[str]:
    """Yield the training's start, its points since the last event with the newest frame, states."""
    seen = _Seen()
    beat = BEAT_S
    yield _event("hello", {})
    while not live.closed:
        beat += POLL_S
        if beat >= BEAT_S:
            beat = 0.0
            await run_in_threadpool(live.watch, client)  # which may start a process
            yield ": here\n\n"
        for event in seen.news(live, client):
            yield event
        await asyncio.sleep(POLL_S)


class _Seen:
    """What one stream has sent already."""

    def __init__(self) -> None:
        self.training: Training | None = None
        self.is_started = self.is_final = False
        self.points, self.state = 0, ""

    def news(self, live: Live, client: str) -> list[str]:
        """Return the events that are new."""
        events: list[str] = []
        training = live.training
        if training is not self.training:
            self.training, self.points = training, 0
            self.is_started = self.is_final = False
        if training is not None:
            events += self._frames(training)
        state = json.dumps(live.state(client))
        if state != self.state:
            self.state = state
            events.append(f"event: state\ndata: {state}\n\n")
        return events

    def _frames(self, training: Training) -> list[str]:
        events: list[str] = []
        if training.start is not None and not self.is_started:
            self.is_started = True
            events.append(_event("start", training.start))
        points = len(training.points)
        if self.is_started and points > self.points:
            new, self.points = training.points[self.points : points], points
            events.append(_event("frame", {**(training.frame or {}), "points": new}))
        if training.final is not None and not self.is_final:
            self.is_final = True
            events.append(_event("final", training.final))
        return events

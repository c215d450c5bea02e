"""What the page counts of itself: requests, their times, and memory, for Prometheus."""

import re
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.web.limits import STREAM, kind_of_answer

# What is counted by name; all else is "other", so that no caller can invent new time series.
ENDPOINTS = re.compile(
    r"(?:/gradio_api)?/("
    r"run/(?:classify_digit|evaluate_gate|predict)|queue/(?:join|data)|upload|heartbeat|info"
    r"|assets|static|healthz|metrics|config|component_server|)(?=/|$)"
)
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Meters:
    """A registry of its own, and the three meters that requests move; process figures besides."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "page_requests",
            "Requests answered, by endpoint and HTTP status.",
            ["endpoint", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "page_request_seconds",
            "Seconds from a request to the end of its answer; of a stream, to its beginning.",
            ["endpoint"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "page_requests_in_flight",
            "Requests, streams among them, that are not at their end.",
            registry=self.registry,
        )

    def answer(self) -> Response:
        """Return all meters as Prometheus reads them."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class Measured:
    """ASGI middleware that moves the meters."""

    def __init__(self, app: ASGIApp, meters: Meters) -> None:
        self.app, self.meters = app, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name, started = endpoint(scope["path"]), time.perf_counter()
        status, until = 500, 0.0

        async def watched(message: Message) -> None:
            nonlocal status, until
            if message["type"] == "http.response.start":
                status = message["status"]
                if kind_of_answer(message).startswith(STREAM):
                    until = time.perf_counter()
            await send(message)

        with self.meters.in_flight.track_inprogress():
            try:
                await self.app(scope, receive, watched)
            finally:
                self.meters.requests.labels(name, str(status)).inc()
                taken = (until or time.perf_counter()) - started
                self.meters.seconds.labels(name).observe(taken)


def endpoint(path: str) -> str:
    """Return the name under which a request for `path` is counted."""
    found = ENDPOINTS.match(path)
    return "/" + found[1] if found else "other"

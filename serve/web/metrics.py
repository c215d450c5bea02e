"""Prometheus metrics of the page: requests, their seconds, and the process's memory."""

import re
import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.web.limits import is_stream

# Counted by name; everything else is "other", so that no client can create new time series.
ENDPOINTS = re.compile(
    r"(?:/gradio_api)?/("
    r"run/(?:classify_digit|evaluate_gate|predict)|queue/(?:join|data)|upload|heartbeat|info"
    r"|assets|static|learn|healthz|metrics|config|component_server|)(?=/|$)"
)


class Metrics:
    """The page's Prometheus registry: three metrics of its requests, and those of its process."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        labels = ["endpoint", "status"]
        self.requests = Counter("page_requests", "Requests answered.", labels, registry=own)
        self.seconds = Histogram(  # of a stream, until its first event
            "page_request_seconds", "Seconds until the response ends.", labels[:1], registry=own
        )
        self.in_flight = Gauge(
            "page_requests_in_flight", "Open requests, including streams.", registry=own
        )

    async def response(self, _: Request) -> Response:
        """Return all metrics in Prometheus's text format."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class RequestMetrics:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        name, status = endpoint(scope["path"]), 500
        start, end = time.perf_counter(), 0.0

        async def observe(message: Message) -> None:
            nonlocal status, end
            status = message.get("status", status)
            if is_stream(message):
                end = time.perf_counter()
            await send(message)

        with self.metrics.in_flight.track_inprogress():
            try:
                await self.app(scope, receive, observe)
            finally:
                self.metrics.requests.labels(name, str(status)).inc()
                self.metrics.seconds.labels(name).observe((end or time.perf_counter()) - start)


def endpoint(path: str) -> str:
    """Return the name under which a request for `path` is counted."""
    match = ENDPOINTS.match(path)
    return "/" + match[1] if match else "other"

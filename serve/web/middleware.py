"""ASGI middlewares around Gradio's app: who may call the page, and what its browsers may load."""

import base64
import re
import secrets
from collections.abc import Sequence, Set

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from experiments.core.errors import UserError
from experiments.core.process_env import LOOPBACK
from serve.refusals import refusal, response
from serve.web.errors import JsonErrors
from serve.web.hosts import HOST, is_own_origin
from serve.web.limits import ConcurrencyLimit
from serve.web.metrics import Metrics, RequestMetrics

OPEN = ("/healthz",)  # without a password
# Of Gradio's addresses, those that this page and Gradio's clients need; all others are closed.
KNOWN = re.compile(
    r"/(config|theme\.css|healthz|metrics|favicon\.ico|robots\.txt|manifest\.json|pwa_icon.*"
    r"|(assets|static|svelte)/.+)?"
    r"|/learn/[a-z]+"
    r"|/gradio_api/(info|openapi\.json|theme\.css|app_id|upload|reset|cancel"
    r"|component_server|heartbeat/[\w-]+|queue/(join|data|status)|(run|api)/[\w.-]+"
    r"|call/(v2/)?[\w.-]+(/\w+)?)/?"
)
# Gradio's page has its settings in inline scripts; Vega and our components use `new Function`.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {framers}"
)
CHALLENGE = {"WWW-Authenticate": 'Basic realm="Gates and digits", charset="UTF-8"'}


def middleware(
    metrics: Metrics,
    hosts: Sequence[str] = (),
    auth: str | None = None,
    framers: Sequence[str] = ("'self'",),
    root_path: str = "",
) -> list[Middleware]:
    """Return the middlewares, the outermost first.

    Args:
        hosts: names of the page besides this machine's; may have "*".
        auth: USER:PASSWORD that every request must send.
        framers: CSP sources that may show the page in a frame.
        root_path: path below which a proxy shows the page, whether or not it passes it on.
    """
    from serve.web.uploads import UploadQuota

    names = {*LOOPBACK, *(name.lower() for name in hosts)}
    return [
        Middleware(SecurityHeaders, framers=framers),
        Middleware(RootPath, root_path=root_path),
        Middleware(RequestMetrics, metrics=metrics),
        Middleware(JsonErrors),
        Middleware(Guard, hosts=names, auth=auth),
        Middleware(ConcurrencyLimit),
        Middleware(UploadQuota),
    ]


class SecurityHeaders:
    """Headers that keep browsers from loading other sites' content or framing the page there."""

    def __init__(self, app: ASGIApp, framers: Sequence[str]) -> None:
        self.app = app
        self.headers = {
            "Content-Security-Policy": POLICY.format(framers=" ".join(framers)),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"]).update(self.headers)
            await send(message)

        await self.app(scope, receive, with_headers)


class RootPath:
    """Removes from a request's path the one below which a proxy shows the page."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app, self.root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if self.root_path and path.startswith(f"{self.root_path}/"):
            raw_path = scope["raw_path"].removeprefix(self.root_path.encode())
            scope = {**scope, "path": path.removeprefix(self.root_path), "raw_path": raw_path}
        app = self.app
        if self.root_path and path == self.root_path:  # the page's links are relative
            app = RedirectResponse(f"{path}/")
        await app(scope, receive, send)


class Guard:
    """Refuses other host names, other sites' pages, closed paths and wrong passwords."""

    def __init__(self, app: ASGIApp, hosts: Set[str], auth: str | None) -> None:
        self.app, self.hosts = app, hosts
        self.credentials = base64.b64encode(auth.encode()) if auth else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = None if scope["type"] == "lifespan" else self._check(scope)
        if error is None:
            await self.app(scope, receive, send)
            return
        headers = CHALLENGE if error.code == "auth-missing" else None
        await response(error, headers=headers)(scope, receive, send)

    def _check(self, scope: Scope) -> UserError | None:
        headers, path = Headers(scope=scope), scope["path"]
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        match = HOST.fullmatch(host)
        name = match["name"].strip("[]") if match else host
        if not self.hosts & {name, "*"}:
            return refusal("host-foreign", repr(name), host=name)
        if origin is not None and not is_own_origin(origin.lower(), host):
            return refusal("origin-foreign", f"the page {origin!r}")
        if not KNOWN.fullmatch(path):
            return refusal("endpoint-unknown", repr(path[:100]))
        if self.credentials and path not in OPEN:
            scheme, _, value = headers.get("authorization", "").partition(" ")
            is_valid = secrets.compare_digest(value.strip().encode(), self.credentials)
            if not is_valid or scheme.lower() != "basic":
                return refusal("auth-missing", "none, or others")
        return None

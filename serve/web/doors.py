"""Who may come in, and what the page may reach: ASGI middlewares around Gradio's app."""

import base64
import ipaddress
import logging
import re
import secrets
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from experiments.errors import UserError
from serve.texts import api as say
from serve.web.limits import Turns, refusal

if TYPE_CHECKING:
    from serve.web.meters import Meters

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Without a password: whether the server is well, and what Gradio's launch asks of its own server.
OPEN = ("/healthz", "/gradio_api/startup-events")
# Of Gradio's addresses, those that this page and Gradio's clients need; all others are closed.
KNOWN = re.compile(
    r"/(config|theme\.css|healthz|metrics|favicon\.ico|robots\.txt|manifest\.json|pwa_icon.*"
    r"|(assets|static|svelte)/.+)?"
    r"|/gradio_api/(info|openapi\.json|startup-events|theme\.css|app_id|upload|reset|cancel"
    r"|component_server|heartbeat/[\w-]+|queue/(join|data|status)|(run|api)/[\w.-]+"
    r"|call/(v2/)?[\w.-]+(/\w+)?)/?"
)
# Gradio's page has its settings in inline scripts, and components of our own in `new Function`.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {framers}"
)
log = logging.getLogger("serve")


def middleware(
    hosts: Sequence[str] = (),
    auth: str | None = None,
    meters: "Meters | None" = None,
    framers: Sequence[str] = ("'self'",),
    known: re.Pattern[str] = KNOWN,
) -> list[Middleware]:
    """Return what `launch(app_kwargs={"middleware": ...})` takes, the outermost first.

    Args:
        hosts: names under which the page is asked for, besides this machine's own; "*" is any.
        auth: USER:PASSWORD that every request must bring; None asks for none.
        meters: counts all requests, the refused ones too.
        framers: sources (of a Content-Security-Policy) that may show the page in a frame.
        known: paths that may be asked for.
    """
    from serve.web.meters import Measured
    from serve.web.uploads import Quota

    measured = [Middleware(Measured, meters=meters)] if meters else []
    return [
        Middleware(Sealed, framers=" ".join(framers)),
        *measured,
        Middleware(Guarded, hosts={*LOOPBACK, *(name.lower() for name in hosts)}, known=known),
        *([Middleware(Locked, auth=auth)] if auth else []),
        Middleware(Turns),
        Middleware(Quota),
        Middleware(Caught),
    ]


def check_exposure(host: str, auth: str | None, allowed_hosts: Sequence[str]) -> None:
    """Raise UserError if the page could be reached from elsewhere without a lock on its door."""
    if auth is not None and not all(auth.partition(":")[::2]):
        raise UserError(say.AUTH_FORM)
    needed = {"--auth USER:PASSWORD": auth, "--allowed-host NAME": allowed_hosts}
    missing = [option for option, given in needed.items() if not given]
    if missing and exposed(host, allowed_hosts):
        named = next(name for name in (host, *allowed_hosts) if not loopback(name))
        raise UserError(say.EXPOSED.format(host=named, missing=" and ".join(missing)))


def exposed(host: str, allowed_hosts: Sequence[str]) -> bool:
    """Return whether people on other machines can come in, be it by a proxy on this one."""
    return not all(map(loopback, (host, *allowed_hosts)))


def loopback(host: str) -> bool:
    """Return whether `host`, a name or an address, is this machine and nobody else's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Sealed:
    """Headers that let a browser load nothing from elsewhere, nor show the page elsewhere."""

    def __init__(self, app: ASGIApp, framers: str = "'self'") -> None:
        self.app = app
        self.headers = {
            "Content-Security-Policy": POLICY.format(framers=framers),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"]).update(self.headers)
            await send(message)

        await self.app(scope, receive, sealed)


class Guarded:
    """Only requests for this server's names, by its own pages or by programs, and known paths."""

    def __init__(self, app: ASGIApp, hosts: Set[str], known: re.Pattern[str] = KNOWN) -> None:
        self.app, self.hosts, self.known = app, hosts, known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = None if scope["type"] == "lifespan" else self._refusal(scope)
        await (answer or self.app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        asked, origin = headers.get("host", ""), headers.get("origin")
        name = _parts(f"//{asked}")[0]
        if not self.hosts & {name, "*"}:
            return refusal(400, say.FOREIGN_HOST.format(host=name or asked))
        if origin is not None and _parts(origin)[1] != asked.lower():
            return refusal(403, say.FOREIGN_ORIGIN.format(origin=origin))
        if not self.known.fullmatch(scope["path"]):
            return refusal(404, say.NO_ENDPOINT)
        return None


def _parts(address: str) -> tuple[str, str]:
    """Return name, and name with port, of an address; both empty if it is none."""
    try:
        parts = urlsplit(address)
        return (parts.hostname or "").lower(), parts.netloc.lower()
    except ValueError:
        return "", ""


class Locked:
    """HTTP Basic authentication: browsers ask for it, and every client library can give it."""

    def __init__(self, app: ASGIApp, auth: str) -> None:
        self.app, self.auth = app, auth.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN or self._knows(scope):
            await self.app(scope, receive, send)
            return
        asks = 'Basic realm="Gates and digits", charset="UTF-8"'
        await refusal(401, say.NO_AUTH, www_authenticate=asks)(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
        try:
            told = base64.b64decode(given.strip(), validate=True)
        except ValueError:
            return False
        return scheme.lower() == "basic" and secrets.compare_digest(told, self.auth)


class Caught:
    """No request ends without an answer: what Gradio did not catch itself is told in a sentence."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watched)
        except Exception as error:
            if started:
                raise
            await _told(error, scope["path"])(scope, receive, send)


def _told(error: Exception, path: str) -> Response:
    """Return the answer to a request that failed; only a fault of ours is logged whole."""
    from gradio.exceptions import Error
    from gradio.route_utils import FnIndexInferError

    if isinstance(error, UserError | Error):
        return refusal(400, getattr(error, "message", str(error)))
    if isinstance(error, LookupError | TypeError | FnIndexInferError):
        log.warning("%s: %s: %s", path, type(error).__name__, error)
        return refusal(404, say.NO_ENDPOINT)
    log.error("%s", path, exc_info=error)
    return refusal(500, say.BROKEN.format(kind=type(error).__name__))

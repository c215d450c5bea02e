"""Every error that the page answers is JSON with `error` and `code`, from any layer."""

import json
from contextvars import ContextVar
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from experiments.core.errors import UserError
from serve.refusals import broken, refusal, response, retry_after
from serve.web.limits import MAX_FILE_BYTES, MEGABYTE

UPLOAD = "/gradio_api/upload"
NO_FILES = b"[]"  # Gradio's answer to an upload without any
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}
# Of this request's events: Gradio answers 500 to each, a client's mistake or a bug.
CAUSES: ContextVar[list[UserError]] = ContextVar("causes")


class JsonErrors:
    """ASGI middleware: an error response in another format becomes JSON, as does an exception."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_upload = scope["path"].rstrip("/") == UPLOAD
        held: list[Message] = []  # a response that may have to be another
        causes: list[UserError] = []
        CAUSES.set(causes)
        started = False

        async def forward(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start" and not started:
                started = not (is_upload or message["status"] >= HTTPStatus.BAD_REQUEST)
            if started:
                await send(message)
            else:
                held.append(message)

        try:
            await self.app(scope, receive, forward)
        except Exception as error:
            if started and isinstance(error.__cause__, HTTPException):
                await send(END)  # of a stream, whose last event is the refusal
                return
            if not started:
                await response(broken(error))(scope, receive, send)
            raise  # uvicorn logs it
        if causes and held:
            await response(causes[0])(scope, receive, send)
        elif held:
            await _answer(held, is_upload)(scope, receive, send)


def _answer(held: list[Message], is_upload: bool) -> Response:
    """Return a held response: as it is if that is right, else as JSON."""
    status, headers = held[0]["status"], Headers(raw=held[0].get("headers", []))
    raw = b"".join(message.get("body", b"") for message in held[1:])
    if is_upload and status == HTTPStatus.OK and raw == NO_FILES:
        return response(refusal("files-missing", "none"))
    fields = _fields(raw)
    is_right = status < HTTPStatus.BAD_REQUEST or {"error", "code"} <= fields.keys()
    if is_right or "content-encoding" in headers:
        answer = Response(raw, status)
        answer.raw_headers = list(held[0].get("headers", []))
        return answer
    if is_upload and status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return response(refusal("request-too-large", "more", limit_mb=MAX_FILE_BYTES / MEGABYTE))
    detail = fields.get("error") or fields.get("detail") or HTTPStatus(status).phrase
    errors = {"error": f"{str(detail).rstrip('.')}.", "code": f"http-{status}"}
    allow = {"Allow": headers["allow"]} if "allow" in headers else {}
    return JSONResponse({**fields, **errors}, status, allow | retry_after(status))


def _fields(raw: bytes) -> dict[str, object]:
    """Return the fields of a JSON object; of another body, its text as `detail`."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = raw.decode("utf-8", "replace")
    return body if isinstance(body, dict) else {"detail": body}

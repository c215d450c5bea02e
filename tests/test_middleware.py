"""The middlewares and limits alone, in front of a small app on a real server."""

import asyncio
import base64
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from experiments.core.errors import UserError
from serve.refusals import BROKEN
from serve.web import api, hosts, middleware
from serve.web.errors import JsonErrors
from serve.web.limits import SMALL_BYTES, ConcurrencyLimit
from serve.web.metrics import Metrics, endpoint
from serve.web.server import PageServer
from serve.web.uploads import UploadQuota
from tests.conftest import free_port
from tests.expect import refused

RUN = "/gradio_api/run"  # below which any name is a known path
ECHO, WAIT, BLOCK, EVENTS = (f"{RUN}/{name}" for name in ("echo", "wait", "block", "events"))
OPENED, ARRIVED = threading.Event(), threading.Semaphore(0)


@pytest.fixture
def opened() -> Iterator[threading.Event]:
    """Until it is set, no request for WAIT or BLOCK is answered; ARRIVED counts them."""
    while ARRIVED.acquire(blocking=False):
        pass
    OPENED.clear()
    yield OPENED
    OPENED.set()


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def wait(_: Request) -> Response:
    ARRIVED.release()
    while not OPENED.is_set():
        await asyncio.sleep(0.01)
    return PlainTextResponse("done")


def block(_: Request) -> Response:
    ARRIVED.release()
    OPENED.wait(60)  # in a thread, which cannot be stopped
    return PlainTextResponse("done")


async def events(_: Request) -> Response:
    async def forever() -> AsyncIterator[str]:
        while True:
            yield "data: alive\n\n"
            await asyncio.sleep(0.05)

    return StreamingResponse(forever(), media_type="text/event-stream")


async def upload(request: Request) -> Response:
    folder = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"]))
    (folder / "picture.png").write_bytes(await request.body())
    return PlainTextResponse(str(folder))


ROUTES = [
    Route(ECHO, echo, methods=["GET", "POST"]),
    Route(WAIT, wait),
    Route(BLOCK, block),
    Route(EVENTS, events),
    Route("/healthz", echo),
    Route("/gradio_api/upload", upload, methods=["POST"]),
]


@contextmanager
def running(*stack: Middleware) -> Iterator[httpx.Client]:
    """A client of a real server, in a thread, of the small app behind `stack`."""
    port = free_port()
    app = Starlette(routes=ROUTES, middleware=stack)
    config = uvicorn.Config(app, port=port, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of an error response, which is one short line."""
    body = answer.json()
    assert body["error"].strip() and "\n" not in body["error"] and len(body["error"]) < 300
    return answer.status_code, body["code"]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    names = ["page.example", hosts.host_name("[2001:db8::5]")]
    with running(*middleware.middleware(Metrics(), names)) as client:
        yield client


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:1", "http://localhost:1"),
        ("PAGE.example", "https://page.example"),
        ("page.example.", "https://page.example."),
        ("page.example:443", "https://page.example"),  # a browser leaves out the default port
        ("page.example:80", "http://page.example"),
        ("page.example", "https://page.example:443"),
        ("page.example:8443", "https://page.example:8443"),
        ("[2001:DB8::5]:8443", "https://[2001:db8::5]:8443"),
    ],
)
def test_the_pages_names_are_accepted(client: httpx.Client, host: str, origin: str) -> None:
    for more in ({}, {"Origin": origin}):
        answer = client.post(ECHO, headers={"Host": host, **more}, content=b"1234")
        assert (answer.status_code, answer.text) == (200, "4")


HOSTS = ["example.org", "127.0.0.1.example.org", "page.example@example.org", "[::1", ""]
ORIGINS = ["https://page.example.org", "https://page.example:80", "http://page.example", "null"]


def test_other_hosts_and_sites_are_refused(client: httpx.Client) -> None:
    for host in HOSTS:
        assert refusal(client.post(ECHO, headers={"Host": host})) == (400, "host-foreign"), host
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode()}
    for origin in [*ORIGINS, "http://["]:
        headers = {"Host": "page.example:443", "Origin": origin}
        assert refusal(client.post(ECHO, headers=headers)) == (403, "origin-foreign"), origin
        assert client.get(EVENTS, headers=headers | upgrade).status_code == 403


CLOSED = "file=7.png file=http://example.org/7.png file/7.png proxy=http://example.org runs "
CLOSED += "run-history/connect run-history/buckets deep_link vibe-edit stream/x dev/reload token "
CLOSED += "login_check custom_component/x queue/other run/a/b"


def test_what_the_page_does_not_need_is_closed(client: httpx.Client) -> None:
    for path in [f"/gradio_api/{name}" for name in CLOSED.split()] + ["/monitoring", "/x"]:
        for method in (client.get, client.post):
            assert refusal(method(path)) == (404, "endpoint-unknown"), path


def test_what_is_queued_is_small(client: httpx.Client) -> None:
    for path in ("/gradio_api/queue/join", "/gradio_api/call/classify_digit"):
        answer = client.post(path, content=bytes(SMALL_BYTES + 1))
        assert refusal(answer) == (413, "request-too-large")
        assert client.post(path, content=bytes(SMALL_BYTES)).status_code == 404  # no such route


def test_every_response_has_the_security_headers(client: httpx.Client) -> None:
    for answer in (client.get("/healthz"), client.get("/", headers={"Host": "example.org"})):
        policy = answer.headers["Content-Security-Policy"].split("; ")
        sources = {part.partition(" ")[0]: set(part.split()[1:]) for part in policy}
        assert sources["default-src"] == sources["frame-ancestors"] == {"'self'"}
        own = {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}
        assert set().union(*sources.values()) <= own
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_only_the_password_gives_access() -> None:
    right = base64.b64encode("me:sé:cret".encode()).decode()
    wrong = base64.b64encode(b"me:secret").decode()
    with running(*middleware.middleware(Metrics(), auth="me:sé:cret")) as client:
        assert client.post(ECHO, headers={"Authorization": f"Basic {right}"}).text == "0"
        for value in (f"Basic {wrong}", f"Bearer {right}", "Basic", f"Basic {right[:-4]}", "é", ""):
            answer = client.post(ECHO, headers={"Authorization": value.encode()})
            assert refusal(answer) == (401, "auth-missing"), value
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        assert client.get("/healthz").status_code == 200


def start(client: httpx.Client, count: int, running: int) -> list[Future[httpx.Response]]:
    """Send requests for WAIT in threads, and wait until so many of them are running."""
    pool = ThreadPoolExecutor(count)
    answers = [pool.submit(client.get, WAIT) for _ in range(count)]
    pool.shutdown(wait=False)
    for _ in range(running):
        assert ARRIVED.acquire(timeout=60)
    return answers


@pytest.mark.parametrize(
    "limits",
    [
        {"max_running": 2, "wait_timeout_s": 0.1},  # no slot becomes free in time
        {"max_running": 2, "max_open": 2, "wait_timeout_s": 60},  # too many are open
    ],
)
def test_a_request_without_room_is_refused(limits: dict, opened: threading.Event) -> None:
    with running(Middleware(ConcurrencyLimit, **limits)) as client:
        answers = start(client, 2, running=2)
        answer = client.get(ECHO)
        assert client.get("/healthz").status_code == 200  # needs no slot
        opened.set()
        assert [answer.result().status_code for answer in answers] == [200] * 2
        until(lambda: client.get(ECHO).status_code == 200)
    assert refusal(answer) == (503, "page-busy") and int(answer.headers["Retry-After"]) > 0


def test_an_app_that_is_busy_says_when_to_try_again() -> None:
    async def busy(_: Request) -> Response:
        return Response(json.dumps({"detail": "Queue is full."}), 503)

    app = JsonErrors(Starlette(routes=[Route(ECHO, busy)]))
    answer = TestClient(app).get(ECHO)
    assert refusal(answer) == (503, "http-503") and int(answer.headers["Retry-After"]) > 0


def test_a_slow_sender_occupies_no_slot_and_is_refused() -> None:
    limit = Middleware(ConcurrencyLimit, max_running=1, wait_timeout_s=1)
    head = f"POST {ECHO} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1234"
    with running(limit) as client:
        address = ("127.0.0.1", client.base_url.port)
        with socket.create_connection(address, timeout=60) as sender:
            sender.sendall(head.encode())
            assert client.post(ECHO, content=b"12").text == "2"
            answer = sender.makefile("rb").read()
    assert b" 408 " in answer and b'"code":"request-incomplete"' in answer


@pytest.mark.parametrize("path", [WAIT, BLOCK])
def test_a_late_request_keeps_its_slot_until_it_ends(path: str, opened: threading.Event) -> None:
    limits = {"max_running": 1, "answer_timeout_s": 0.2, "wait_timeout_s": 0.2}
    with running(Middleware(ConcurrencyLimit, **limits)) as client:
        assert refusal(client.get(path)) == (504, "answer-late")
        assert refusal(client.get(ECHO)) == (503, "page-busy")
        opened.set()
        until(lambda: client.get(ECHO).status_code == 200)


def test_a_stream_of_events_lasts_and_occupies_no_slot() -> None:
    limits = {"max_running": 1, "answer_timeout_s": 0.5, "wait_timeout_s": 60}
    with (
        running(Middleware(ConcurrencyLimit, **limits)) as client,
        client.stream("GET", EVENTS) as stream,
    ):
        lines, start_s = stream.iter_lines(), time.monotonic()
        next(lines)
        assert client.get(ECHO).text == "0"
        while time.monotonic() < start_s + 1:
            assert next(lines) in ("data: alive", "")


def test_the_oldest_uploads_are_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    (tmp_path / "own.png").write_bytes(bytes(5000))
    for quota, left in (({"max_bytes": 2500}, 3), ({"max_files": 4}, 5)):
        with running(Middleware(UploadQuota, **quota)) as client:
            client.get("/healthz")
            paths = [client.post("/gradio_api/upload", content=bytes(1000)).text for _ in range(9)]
        assert [path for path in paths if Path(path).exists()] == paths[-left:], quota
    assert (tmp_path / "own.png").exists()


def test_metrics_count_refusals_too_and_have_fixed_names() -> None:
    metrics = Metrics()
    with running(*middleware.middleware(metrics)) as client:
        client.get("/healthz", headers={"Host": "example.org"})
        client.get("/healthz")
        client.get("/some/thing")
    value = metrics.registry.get_sample_value
    for name, status in (("/healthz", "400"), ("/healthz", "200"), ("other", "404")):
        assert value("page_requests_total", {"endpoint": name, "status": status}) == 1
    assert value("page_requests_in_flight") == 0
    assert endpoint("/gradio_api/run/classify_digit") == "/run/classify_digit"
    assert endpoint("/gradio_api/run/secret") == endpoint("/gradio_api/run/predictions") == "other"


@pytest.mark.parametrize(
    ("host", "names"),
    [("0.0.0.0", []), ("page.example", []), ("::", []), ("127.0.0.1", ["page.example"])],  # noqa: S104
)
def test_a_public_page_needs_a_password_and_a_name(host: str, names: list[str]) -> None:
    with refused("page-exposed", expected="--auth") as caught:
        hosts.check_exposure(host, None, names)
    assert ("--allowed-host" in caught.value.expected) == (not names)
    hosts.check_exposure(host, "me:secret", ["page.example"])


def test_a_local_page_needs_neither() -> None:
    for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
        hosts.check_exposure(host, None, ["localhost"])
    for auth in ("me", "me:", ":secret", ""):
        with refused("auth-invalid", what="auth") as caught:
            hosts.check_exposure("127.0.0.1", auth, [])
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("cause", "status", "code"),
    [
        (KeyError("ours"), 500, BROKEN),
        (UserError("value-invalid", "image"), 400, "value-invalid"),
    ],
)
def test_the_cause_of_an_error_decides_the_status(cause: Exception, status: int, code: str) -> None:
    def failing() -> dict:
        raise cause

    routes = api._direct("failing", failing)
    stack = middleware.middleware(Metrics())
    app = Starlette(routes=routes, middleware=stack, exception_handlers=api.HANDLERS)  # type: ignore[arg-type]
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.post(f"{RUN}/failing", json={"data": []})
    assert refusal(answer) == (status, code)
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]


def test_below_a_root_path_the_page_is_the_same() -> None:
    with running(*middleware.middleware(Metrics(), root_path="/nets/digits")) as client:
        for path in ("/healthz", "/nets/digits/healthz"):
            assert client.get(path).text == "0"
        for path in ("/nets/digitsx/healthz", "/nets", "/nets/digits/nets/digits/healthz"):
            assert refusal(client.get(path)) == (404, "endpoint-unknown")


def test_names_and_root_paths_are_understood() -> None:
    for text, name in {
        "Page.example:443": "page.example",
        "bücher.example": "xn--bcher-kva.example",
        "[2001:DB8::5]:443": "2001:db8::5",
        "2001:DB8::5": "2001:db8::5",
    }.items():
        assert hosts.host_name(text) == name
    for text in ("https://page.example", "page.example/x", "a b", ""):
        with refused("host-invalid", found=repr(text)):
            hosts.host_name(text)
    for text in ("/digits", "digits/", "/digits/"):
        assert hosts.clean_root_path(text) == "/digits"
    assert hosts.clean_root_path("/") == hosts.clean_root_path("") == ""
    for text in ("https://page.example/digits", "/a//b", "/a?b", "/a b", "/../a", "/a/."):
        with refused("root-path-invalid", found=repr(text)):
            hosts.clean_root_path(text)


def test_what_is_not_http_is_refused_in_json() -> None:
    server = PageServer(Starlette(), "127.0.0.1", port := free_port())
    try:
        for request in (b"no HTTP\r\n\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as sender:
                sender.sendall(request)
                answer = sender.makefile("rb").read()
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 400 ") and b"application/json" in head
            assert json.loads(body)["code"] == "http-invalid"
    finally:
        server.close()


def test_health_checks_leave_the_registrys_error_as_it_is() -> None:
    """A shared exception that is raised again and again keeps the traceback of each time."""
    store = SimpleNamespace(defaults={}, problem=UserError("storage-unreachable", "registry"))
    with TestClient(Starlette(routes=api.routes(store, Metrics()))) as client:
        answers = [client.get("/healthz") for _ in range(3)]
    assert [refusal(answer) for answer in answers] == [(503, "storage-unreachable")] * 3
    assert store.problem.__traceback__ is None

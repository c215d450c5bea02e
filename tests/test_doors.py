"""The doors and limits alone, before a small app on a real server: who comes in, and what waits."""

import asyncio
import base64
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from experiments.errors import UserError
from experiments.paths import ROOT
from serve.web import api, doors, limits
from serve.web.limits import Turns
from serve.web.meters import Meters, endpoint
from serve.web.uploads import Quota
from tests.conftest import free_port

OUTSIDE = """
import asyncio, sys
from serve.web import tamed

with tamed.quick_import():  # as the page does, which also turns Gradio's own reports off
    import gradio as gr
from gradio.data_classes import FileData
from gradio.processing_utils import async_move_files_to_cache

asked = []
sys.addaudithook(lambda event, _: asked.append(event) if event.startswith("socket.") else None)
tamed.no_outside()
given = {"path": "http://example.org/7.png", "meta": {"_type": "gradio.FileData"}}
with gr.Blocks():
    image = gr.Image()
for move in (
    lambda: asyncio.run(async_move_files_to_cache(given, image)),
    lambda: image.move_resource_to_block_cache("https://example.org/7.png"),
):
    try:
        move()
    except gr.Error as error:
        print(error.message)
print([event for event in asked if event in ("socket.getaddrinfo", "socket.connect")])
"""


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


async def slow(request: Request) -> Response:
    await asyncio.sleep(float(request.query_params["seconds"]))
    return PlainTextResponse("done")


def stuck(request: Request) -> Response:
    time.sleep(float(request.query_params["seconds"]))  # in a thread, which nobody can stop
    return PlainTextResponse("done")


async def events(_: Request) -> Response:
    async def forever() -> Iterator[str]:
        while True:
            yield "data: alive\n\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(forever(), media_type="text/event-stream")


async def broken(_: Request) -> Response:
    raise ZeroDivisionError("of ours")


async def kept(request: Request) -> Response:
    folder = Path(tempfile.mkdtemp(dir=os.environ["GRADIO_TEMP_DIR"]))
    (folder / "picture.png").write_bytes(await request.body())
    return PlainTextResponse(str(folder))


async def health(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


ANY = re.compile(".*")  # paths, since the small app has others than the page
ROUTES = [
    Route("/echo", echo, methods=["POST"]),
    Route("/slow", slow),
    Route("/stuck", stuck),
    Route("/events", events),
    Route("/broken", broken),
    Route("/healthz", health),
    Route("/gradio_api/upload", kept, methods=["POST"]),
]


@contextmanager
def running(middleware: list[Middleware]) -> Iterator[httpx.Client]:
    """A client of a real server, in a thread, of the small app behind `middleware`."""
    port = free_port()
    app = Starlette(routes=ROUTES, middleware=middleware)
    config = uvicorn.Config(app, port=port, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with running(doors.middleware(["page.example"], known=ANY)) as client:
        yield client


def is_sentence(answer: httpx.Response) -> bool:
    told = answer.json()["error"]
    return told[0].isupper() and told.endswith(".") and "\n" not in told and len(told) < 300


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:1"}, 200),
        ({"Host": "PAGE.example"}, 200),
        ({"Host": "page.example:443", "Origin": "https://page.example:443"}, 200),
        ({"Host": "example.org"}, 400),
        ({"Host": "127.0.0.1.example.org"}, 400),
        ({"Host": "page.example@example.org"}, 400),
        ({"Host": "[::1"}, 400),
        ({"Host": ""}, 400),
        ({"Host": "page.example", "Origin": "https://page.example"}, 200),
        ({"Host": "page.example", "Origin": "https://page.example.org"}, 403),
        ({"Host": "page.example", "Origin": "https://page.example:8080"}, 403),
        ({"Origin": "http://localhost:7860"}, 403),
        ({"Origin": "http://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://["}, 403),
    ],
)
def test_only_own_names_and_pages_come_in(
    client: httpx.Client, headers: dict[str, str], status: int
) -> None:
    answer = client.post("/echo", headers=headers, content=b"1234")
    assert answer.status_code == status
    assert answer.text == "4" if status == 200 else is_sentence(answer)


def test_a_foreign_page_gets_no_socket(client: httpx.Client) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    upgrade |= {"Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode()}
    answer = client.get("/events", headers=upgrade | {"Origin": "http://example.org"})
    assert answer.status_code == 403
    with client.stream("GET", "/events", headers={"Origin": "http://example.org"}) as answer:
        assert answer.status_code == 403


CLOSED = ("file=7.png", "file=http://example.org/7.png", "file/7.png", "proxy=http://example.org")
CLOSED += (
    "run-history/connect",
    "run-history/buckets",
    "runs",
    "deep_link",
    "vibe-edit",
    "stream/x",
)
CLOSED += ("dev/reload", "token", "login_check", "custom_component/x", "queue/other", "run/a/b")


@pytest.mark.parametrize("path", [f"/gradio_api/{name}" for name in CLOSED] + ["/monitoring", "/x"])
def test_what_the_page_does_not_need_is_closed(path: str) -> None:
    with running(doors.middleware()) as client:
        for ask in (client.get, client.post):
            answer = ask(path)
            assert answer.status_code == 404 and is_sentence(answer)


def test_what_is_queued_is_small() -> None:
    with running(doors.middleware()) as client:
        for path in ("/gradio_api/queue/join", "/gradio_api/call/classify_digit"):
            answer = client.post(path, content=bytes(100_001))
            assert answer.status_code == 413 and "at most 0.1 MB" in answer.text
            assert client.post(path, content=bytes(100_000)).status_code == 404  # there is no such


def test_every_answer_tells_the_browser_what_it_may(client: httpx.Client) -> None:
    for answer in (client.get("/healthz"), client.get("/", headers={"Host": "example.org"})):
        policy = answer.headers["Content-Security-Policy"].split("; ")
        sources = {part.partition(" ")[0]: set(part.split()[1:]) for part in policy}
        assert sources["default-src"] == sources["frame-ancestors"] == {"'self'"}
        assert sources["object-src"] == {"'none'"}
        own = {"'self'", "'none'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:"}
        assert set().union(*sources.values()) <= own
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_a_fault_of_ours_is_a_sentence_and_the_next_request_is_answered(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get("/broken")
    assert answer.status_code == 500 and is_sentence(answer)
    assert "of ours" not in answer.text and "of ours" in caplog.text
    assert client.get("/healthz").status_code == 200


def test_the_password_opens_and_nothing_else_does() -> None:
    with running(doors.middleware(auth="me:sé:cret", known=ANY)) as client:
        for auth in (("me", "sé:cret"),):
            header = base64.b64encode(":".join(auth).encode()).decode()
            assert client.post("/echo", headers={"Authorization": f"Basic {header}"}).text == "0"
        right = base64.b64encode("me:sé:cret".encode()).decode()
        wrong = base64.b64encode(b"me:secret").decode()
        for given in (
            f"Basic {wrong}",
            f"Bearer {right}",
            "Basic",
            f"Basic {right[:-4]}",
            "Basic é",
        ):
            answer = client.post("/echo", headers={"Authorization": given.encode()})
            assert answer.status_code == 401 and is_sentence(answer), given
        missing = client.post("/echo")
        assert missing.status_code == 401
        assert missing.headers["WWW-Authenticate"].startswith("Basic ")
        assert client.get("/healthz").status_code == 200


def test_a_body_is_limited_announced_or_not() -> None:
    with running([Middleware(Turns, most=1_000_000)]) as client:
        assert client.post("/echo", content=b"x" * 1_000_000).text == "1000000"
        assert client.post("/echo", content=(b"x" * 1000 for _ in range(1000))).text == "1000000"
        announced = client.post("/echo", content=b"x" * 1_000_001)
        assert announced.status_code == 413 and is_sentence(announced)
        streamed = client.post("/echo", content=(b"x" * 1000 for _ in range(1001)))
        assert streamed.status_code == 413 and "at most 1 MB" in streamed.text
        assert client.post("/echo", content=b"x").text == "1"


def test_requests_wait_their_turn_and_too_many_are_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.3)
    with running([Middleware(Turns, at_work=2, most_open=5)]) as client:

        def status(seconds: float) -> httpx.Response:
            return client.get("/slow", params={"seconds": seconds})

        with_wait = _at_once([lambda: status(0.1)] * 4)
        assert [answer.status_code for answer in with_wait] == [200] * 4
        answers = _at_once([lambda: status(1)] * 4)
        assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503]
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert is_sentence(refused) and int(refused.headers["Retry-After"]) > 0
        assert 503 in {answer.status_code for answer in _at_once([lambda: status(0.1)] * 12)}
        assert status(0).text == "done"


def test_who_does_not_send_the_rest_keeps_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 1)
    head = b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1234"
    with running([Middleware(Turns, at_work=1)]) as client:
        address = ("127.0.0.1", client.base_url.port)
        slow = [socket.create_connection(address, timeout=20) for _ in range(5)]
        for sender in slow:
            sender.sendall(head)
        assert client.post("/echo", content=b"12").text == "2"  # none has been given up yet
        slow[0].sendall(b"56789")
        answers = [sender.makefile("rb").read() for sender in slow[1:]]
        assert slow[0].recv(4096).startswith(b"HTTP/1.1 200")
        for sender in slow:
            sender.close()
    assert all(b" 408 " in answer and b"send it again." in answer for answer in answers)


def test_health_is_told_without_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.1)
    with running([Middleware(Turns, at_work=0)]) as client:
        assert client.get("/slow", params={"seconds": 0}).status_code == 503
        assert client.get("/healthz").status_code == 200


def test_the_oldest_uploads_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr("serve.web.uploads.UPLOADS", 1)
    (tmp_path / "own.png").write_bytes(bytes(5000))
    for most, left in (({"most_bytes": 2500}, 3), ({"most_files": 4}, 5)):
        with running([Middleware(Quota, **most)]) as client:
            client.get("/healthz")
            paths = [client.post("/gradio_api/upload", content=bytes(1000)).text for _ in range(9)]
        assert [path for path in paths if Path(path).exists()] == paths[-left:], most
    assert (tmp_path / "own.png").exists()


def _at_once(calls: list) -> list[httpx.Response]:
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda call=call: answers.append(call())) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("path", ["/slow", "/stuck"])
def test_what_takes_too_long_is_given_up_and_keeps_its_turn_until_it_ends(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "PATIENCE", 0.2)
    with running([Middleware(Turns, at_work=1, seconds=0.2)]) as client:
        answer = client.get(path, params={"seconds": 1})
        assert answer.status_code == 504 and is_sentence(answer)
        meanwhile = client.get("/slow", params={"seconds": 0})
        time.sleep(1)
        after = client.get("/slow", params={"seconds": 0})
    assert (meanwhile.status_code, after.status_code) == (503, 200)


def test_a_stream_of_events_lasts_and_takes_no_turn() -> None:
    turns = Middleware(Turns, at_work=1, seconds=0.3)
    with running([turns]) as client, client.stream("GET", "/events") as stream:
        lines = stream.iter_lines()
        assert client.get("/slow", params={"seconds": 0}).text == "done"
        assert [next(lines) for _ in range(20)][-2] == "data: alive"  # a second, and more


def test_meters_count_refusals_too_and_invent_no_names() -> None:
    meters = Meters()
    with running(doors.middleware(meters=meters)) as client:
        client.get("/healthz", headers={"Host": "example.org"})
        client.get("/healthz")
        client.get("/some/thing")
    counted = meters.registry.get_sample_value
    name = "page_requests_total"
    assert counted(name, {"endpoint": "/healthz", "status": "400"}) == 1
    assert counted(name, {"endpoint": "/healthz", "status": "200"}) == 1
    assert counted(name, {"endpoint": "other", "status": "404"}) == 1
    assert counted("page_requests_in_flight") == 0


def test_addresses_are_counted_under_few_names() -> None:
    assert endpoint("/gradio_api/run/classify_digit") == "/run/classify_digit"
    assert endpoint("/gradio_api/run/secret") == endpoint("/gradio_api/run/predictions") == "other"
    assert endpoint("/gradio_api/heartbeat/abc") == "/heartbeat"
    assert (endpoint("/"), endpoint("/x")) == ("/", "other")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "page.example", "::"])  # noqa: S104
def test_a_page_for_others_needs_a_lock_and_a_name(host: str) -> None:
    for auth, names in ((None, []), ("me:secret", []), (None, ["page.example"])):
        with pytest.raises(UserError) as refused:
            doors.check_exposure(host, auth, names)
        assert ("--auth" in str(refused.value)) == (auth is None)
        assert ("--allowed-host" in str(refused.value)) == (not names)
    doors.check_exposure(host, "me:secret", ["page.example"])


def test_a_page_for_oneself_needs_none() -> None:
    for host in ("127.0.0.1", "127.0.0.2", "localhost", "::1"):
        doors.check_exposure(host, None, [])
    doors.check_exposure("127.0.0.1", None, ["localhost"])
    for auth in ("me", "me:", ":secret", ""):
        with pytest.raises(UserError, match="USER:PASSWORD"):
            doors.check_exposure("127.0.0.1", auth, [])


def test_a_page_behind_a_proxy_is_one_for_others() -> None:
    with pytest.raises(UserError, match=r"page\.example can be reached.* needs --auth"):
        doors.check_exposure("127.0.0.1", None, ["page.example"])
    doors.check_exposure("127.0.0.1", "me:secret", ["page.example"])
    assert doors.exposed("127.0.0.1", ["page.example"])
    assert not doors.exposed("localhost", ["127.0.0.1"])


def test_a_fault_of_an_endpoints_own_is_no_wrong_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> dict:
        return {}["of ours"]

    app = Starlette(routes=[api._direct("broken", broken)], middleware=[Middleware(doors.Caught)])
    with TestClient(app, base_url="http://localhost") as client:
        answer = client.post("/gradio_api/run/broken", json={"data": []})
    assert answer.status_code == 500 and is_sentence(answer) and "of ours" in caplog.text


def test_gradio_asks_nobody_for_a_file_given_as_an_address() -> None:
    command = [sys.executable, "-W", "ignore", "-c", OUTSIDE]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *sentences, asked = result.stdout.splitlines()
    assert len(sentences) == 2 and all("fetches nothing" in sentence for sentence in sentences)
    assert asked == "[]"

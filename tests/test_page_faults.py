"""Whatever the page receives, it responds and keeps running; nothing leaves it."""

import gc
import json
import os
import re
import socket
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from experiments.core.paths import ROOT
from serve.web.limits import MAX_BODY_BYTES, MAX_FILE_BYTES
from tests.conftest import page_in_thread
from tests.expect import refused

JSON = {"Content-Type": "application/json"}
SEVEN = ROOT / "serve" / "tabs" / "digit" / "examples" / "7.png"
TOKEN = {"HF_TOKEN": "hf_somebodys"}  # with which Gradio would keep a history elsewhere
HISTORY = ("run-history/connect", "run-history/buckets", "deep_link", "runs")
LOCAL = {"127.0.0.1", "localhost", "0.0.0.0"}  # noqa: S104
# Run by the server's Python at its start: logs every address that it looks up or connects to.
WATCH = """
import sys

def log(event, values):
    if event in ("socket.getaddrinfo", "socket.connect", "socket.sendto"):
        address = values[0] if event == "socket.getaddrinfo" else values[-1]
        with open({path!r}, "a") as file:
            print(address[0] if isinstance(address, tuple) else address, file=file)

sys.addaudithook(log)
"""


class Server:
    """A page and a client of it."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def call(self, name: str, *data: object) -> dict:
        body = json.dumps({"data": data})  # writes NaN as NaN, as Python's clients do
        return self.client.post(f"/gradio_api/run/{name}", content=body, headers=JSON).json()

    def upload(self, raw: bytes) -> dict[str, str]:
        files = {"files": ("picture.png", raw)}
        [path] = self.client.post("/gradio_api/upload", files=files).json()
        return {"path": path}

    def classify(self, raw: bytes) -> dict:
        return self.call("classify_digit", self.upload(raw))


@pytest.fixture(scope="session")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The addresses that this process calls; an audit hook cannot be removed, so there is one."""
    path = tmp_path_factory.mktemp("watch") / "calls.txt"
    exec(WATCH.format(path=str(path)))  # noqa: S102
    socket.getaddrinfo("localhost", 80)
    assert path.read_text().split() == ["localhost"]
    return path


@pytest.fixture(scope="module")
def served(trained: Path) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in TOKEN.items():
            patch.setenv(name, value)
        with page_in_thread(trained) as url, httpx.Client(base_url=url, timeout=60) as client:
            yield Server(client)


@pytest.fixture
def server(
    served: Server, calls: Path, capfd: Any, caplog: pytest.LogCaptureFixture
) -> Iterator[Server]:
    """The page, which after the test still responds, has printed no traceback, called nobody."""
    calls.write_text("")
    yield served
    assert served.classify(SEVEN.read_bytes())["data"][0]["label"] == "7"
    assert "Traceback" not in "".join([*capfd.readouterr(), caplog.text])
    assert set(calls.read_text().split()) <= LOCAL


def code(answer: dict) -> str:
    """Return the code of a response that is a client's mistake, in one short line."""
    assert "data" not in answer, answer
    assert answer["error"].strip() and "\n" not in answer["error"] and len(answer["error"]) < 400
    assert answer["code"] != "server-failed", answer
    return answer["code"]


def encoded(picture: Image.Image, path: Path, **options: object) -> bytes:
    picture.save(path, **options)
    return path.read_bytes()


def seven() -> Image.Image:
    """A digit as in a photo: dark on light, 8 bits, larger than MNIST's."""
    return ImageOps.invert(Image.open(SEVEN).convert("L")).resize((280, 280))


def rotated(folder: Path) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown rotated by 90 degrees, clockwise
    picture = seven().transpose(Image.Transpose.ROTATE_90)
    return encoded(picture, folder / "a.jpg", exif=exif)


def animated(folder: Path) -> bytes:
    frames = {"save_all": True, "append_images": [Image.new("L", (280, 280))] * 3}
    return encoded(seven(), folder / "a.gif", **frames)


READABLE = {
    "animated": animated,
    "rotated": rotated,
    "large": lambda d: encoded(seven().resize((4000, 4000)), d / "a.png"),
}


@pytest.mark.parametrize("make", READABLE.values(), ids=READABLE)
def test_an_unusual_picture_is_read(
    make: Callable[[Path], bytes], server: Server, tmp_path: Path
) -> None:
    answer = server.classify(make(tmp_path))
    assert answer["data"][0]["digit"] == "7", answer


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def false_header(width: int, height: int) -> bytes:
    """A PNG file whose header announces more pixels than its few bytes have."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def text_bomb(folder: Path) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a" * 60_000_000, zip=True)
    return encoded(seven(), folder / "a.png", pnginfo=info)


UNREADABLE = {
    "20,000 x 20,000": lambda d: encoded(Image.new("1", (20_000, 20_000)), d / "a.png"),
    "a false header": lambda _: false_header(100_000, 100_000),
    "the largest header": lambda _: false_header(9_000, 9_000),
    "no pixels": lambda _: false_header(0, 0),
    "a bomb of text": text_bomb,
    "truncated": lambda d: encoded(seven(), d / "a.jpg")[:2000],
    "text": lambda _: b"no picture",
    "empty": lambda _: b"",
    "svg": lambda _: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>",
    "postscript": lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_picture_is_refused(
    make: Callable[[Path], bytes], server: Server, tmp_path: Path
) -> None:
    assert code(server.classify(make(tmp_path))) == "picture-unreadable"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (["xor", [float("nan"), 1]], "value-invalid"),
        (["xor", [1e308, 1]], "value-invalid"),
        (["xor", [None, 1]], "value-invalid"),
        (["xor", {"a": 0, "b": 1}], "value-invalid"),
        (["x" * 100_000, [0, 1]], "gate-unknown"),
        ([{"xor": 1}, [0, 1]], "gate-unknown"),
        (["xor"], "request-invalid"),
        ([], "request-invalid"),
    ],
    ids=lambda data: str(data)[:30],
)
def test_invalid_values_are_refused(data: list, expected: str, server: Server) -> None:
    assert code(server.call("evaluate_gate", *data)) == expected


@pytest.mark.parametrize("body", ["", "rubbish", "[1]", '{"data": 1}', '{"data":', "[" * 100_000])
def test_an_invalid_body_is_refused(body: str, server: Server) -> None:
    answer = server.client.post("/gradio_api/run/evaluate_gate", content=body, headers=JSON)
    assert (answer.status_code, code(answer.json())) == (400, "request-invalid")


@pytest.mark.parametrize("path", ["run/nothing", "call/v2/nothing", "call/nothing", "nothing"])
def test_an_unknown_endpoint_is_refused(path: str, server: Server) -> None:
    answer = server.client.post(f"/gradio_api/{path}", json={"data": [], "fn_index": 9999})
    assert 400 <= answer.status_code < 500, answer.text
    assert code(answer.json()) in ("endpoint-unknown", f"http-{answer.status_code}")


@pytest.mark.parametrize(
    ("data", "words"),
    [([], ["evaluate_gate", "3", "0"]), (["xor", [0, 1], 5], ["model", "5"])],
    ids=str,
)
def test_gradios_own_call_without_its_values_is_refused(
    data: list, words: list[str], server: Server
) -> None:
    path = "/gradio_api/call/evaluate_gate"
    event = server.client.post(path, json={"data": data}).json()["event_id"]
    answer = server.client.get(f"{path}/{event}").text
    assert answer.startswith("event: error") and "Traceback" not in answer
    assert all(re.search(rf"\b{word}\b", answer) for word in words), answer


API = "/gradio_api"
FORM = {"Content-Type": "multipart/form-data; boundary=x"}
REFUSED = [
    ("POST", "/upload", {"files": {"file": b"x"}}, 400, "files-missing"),
    ("POST", "/upload", {"data": {"files": "text"}, "files": {"a": b"x"}}, 400, "files-missing"),
    ("POST", "/upload", {"headers": FORM, "content": b"x"}, 400, "http-400"),
    ("POST", "/upload", {"headers": {"Content-Type": "multipart/form-data"}}, 400, "http-400"),
    ("POST", "/upload", {"json": {}}, 400, "http-400"),
    ("POST", "/upload", {"files": {"files": bytes(MAX_FILE_BYTES + 1)}}, 413, "request-too-large"),
    ("GET", "/upload", {}, 405, "http-405"),
    ("PUT", "/run/classify_digit", {"json": {"data": []}}, 405, "http-405"),
    ("OPTIONS", "/run/classify_digit", {}, 405, "http-405"),
    ("POST", "/run/evaluate_gate", {"data": {"data": "xor"}}, 400, "request-invalid"),
    ("POST", "/run/evaluate_gate/", {"json": {"data": ["nonsense", [0, 1]]}}, 400, "gate-unknown"),
    ("POST", "/api/evaluate_gate", {"json": {"data": ["nonsense", [0]]}}, 400, "gate-unknown"),
    ("POST", "/queue/join", {"content": b"{"}, 422, "request-invalid"),
    ("POST", "/queue/join", {"json": {"a": "b" * 2000}}, 422, "request-invalid"),
    ("POST", "/queue/join", {"json": {"data": [], "fn_index": 9999}}, 400, "http-400"),
    ("GET", "/queue/data", {}, 422, "request-invalid"),
    ("POST", "/run/predict", {"json": {"data": [], "fn_index": 1}}, 400, "value-invalid"),
    ("POST", "/reset", {"json": 7}, 422, "request-invalid"),
    ("POST", "/cancel", {"content": b""}, 422, "request-invalid"),
    ("POST", "/component_server", {"json": {"a": 1}}, 400, "http-400"),
    ("GET", f"/{'x' * 60_000}", {}, 404, "endpoint-unknown"),
    ("GET", "/../assets/nothing.js", {}, 404, "http-404"),
    ("GET", "/../pwa_icon", {}, 404, "http-404"),
]


@pytest.mark.parametrize(
    ("method", "path", "request_", "status", "expected"),
    REFUSED,
    ids=[row[1][:20] for row in REFUSED],
)
def test_every_refusal_is_json(
    method: str, path: str, request_: dict, status: int, expected: str, server: Server
) -> None:
    answer = server.client.request(method, f"{API}{path}", **request_)
    assert (answer.status_code, code(answer.json())) == (status, expected)


@pytest.mark.parametrize(
    "path", ["/call/evaluate_gate/unknown", "/queue/data?session_hash=unknown"]
)
def test_a_stream_of_an_unknown_event_ends_with_its_refusal(path: str, server: Server) -> None:
    answer = server.client.get(f"{API}{path}")  # an incomplete response is an error of the client's
    assert answer.status_code == 200 and "Not Found" in answer.text


OUTSIDE = ["/etc/passwd", "{root}/mlflow.db", "README.md", "http://example.org/7.png"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_other_file_or_address_is_read(name: str, server: Server, trained: Path) -> None:
    path = name.format(root=trained)
    below = f"{Path(server.upload(b'x')['path']).parent}/../../../../../../..{path}"
    images = [{"path": path}, {"path": below}, {"url": path}, {"path": path, "url": path}]
    images += [{**image, "meta": {"_type": "gradio.FileData"}} for image in images]
    for image in [*images, None, 7, path, [], {"path": None}, {"path": "\0"}]:
        assert code(server.call("classify_digit", image)) == "file-not-uploaded"
    for route in ("file=", "file/", "proxy="):
        answer = server.client.get(f"/gradio_api/{route}{path}")
        assert (answer.status_code, code(answer.json())) == (404, "endpoint-unknown")
    for folder in ("assets", "static", "svelte"):
        for prefix in ("../" * 12, "%2e%2e%2f" * 12, "..%5c" * 12):
            answer = server.client.get(f"/{folder}/{prefix}{path.lstrip('/')}")
            assert answer.status_code in (403, 404) and b"root:" not in answer.content


def test_no_history_is_kept(server: Server) -> None:
    assert server.client.get("/config").json()["run_history"] is False
    for path in HISTORY:
        answer = server.client.post(f"/gradio_api/{path}", params={"session_hash": "x"})
        assert (answer.status_code, code(answer.json())) == (404, "endpoint-unknown")


def test_too_large_a_request_is_refused(server: Server) -> None:
    body, path = bytes(MAX_BODY_BYTES + 1), "/gradio_api/run/classify_digit"
    for content in (body, iter([body])):
        answer = server.client.post(path, content=content, headers=JSON)
        assert (answer.status_code, code(answer.json())) == (413, "request-too-large")


def test_without_a_registry_the_page_starts(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(os.urandom(4096))
    with page_in_thread(tmp_path) as url, httpx.Client(base_url=url, timeout=60) as client:
        health = client.get("/healthz")
        assert (health.status_code, health.json()["status"]) == (503, "ill")
        assert health.json()["code"] == "storage-unreachable"


def test_a_taken_port_is_refused(trained: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with refused("port-taken", what=port), page_in_thread(trained, port=port):
            pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # Gradio leaves sockets open
        gc.collect()

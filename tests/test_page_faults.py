"""Whatever is handed to the running page, it says a sentence and goes on; nothing leaves it."""

import base64
import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image, ImageOps, PngImagePlugin
from playwright.sync_api import Browser, Page, expect

from experiments.paths import ROOT
from tests.conftest import Command, free_port, serving

JSON = {"Content-Type": "application/json"}
SEVEN = ROOT / "serve" / "digit" / "examples" / "7.png"
AUTH = ("me", "sé:cret")
TOKEN = {"HF_TOKEN": "hf_somebodys"}  # with which Gradio would keep a history elsewhere
HISTORY = ("run-history/connect", "run-history/buckets", "deep_link", "runs")
# Run by the server's Python at its start: notes every address that it looks up or connects to.
WATCH = """
import sys

def note(event, values):
    if event in ("socket.getaddrinfo", "socket.connect", "socket.sendto"):
        address = values[0] if event == "socket.getaddrinfo" else values[-1]
        with open(FILE, "a") as asked:
            asked.write(f"{address[0] if isinstance(address, tuple) else address}\\n")

sys.addaudithook(note)
"""


class Server:
    """The real server: a client of it, what it wrote to its console, whom it called."""

    def __init__(self, client: httpx.Client, pid: int, calls: Path) -> None:
        self.client, self.pid, self.calls = client, pid, calls

    def said(self) -> str:
        return Path(f"/proc/{self.pid}/fd/1").read_text()

    def upload(self, raw: bytes, name: str = "picture.png") -> dict[str, str]:
        files = {"files": (name, raw)}
        [path] = self.client.post("/gradio_api/upload", files=files).json()
        return {"path": path}

    def ask(self, name: str, *data: object) -> dict:
        body = json.dumps({"data": data})  # writes NaN as NaN, as Python's clients do
        return self.client.post(f"/gradio_api/run/{name}", content=body, headers=JSON).json()

    def read(self, raw: bytes, name: str = "picture.png") -> dict:
        return self.ask("classify_digit", self.upload(raw, name))


@pytest.fixture(scope="module")
def served(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("watch"), free_port()
    calls = folder / "calls.txt"
    calls.touch()
    (folder / "sitecustomize.py").write_text(f"FILE = {str(calls)!r}\n{WATCH}")
    url = f"http://127.0.0.1:{port}"
    line = f"python serve/app.py --port {port}"
    with (
        serving(line, trained, url, PYTHONPATH=str(folder), **TOKEN) as process,
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        yield Server(client, process.pid, calls)


@pytest.fixture
def server(served: Server) -> Iterator[Server]:
    """The server, which after the test still answers, has shown no traceback, called nobody."""
    yield served
    assert served.read(SEVEN.read_bytes())["data"][0]["label"] == "7"
    assert "Traceback" not in served.said()
    assert set(served.calls.read_text().split()) <= {"127.0.0.1", "localhost"}


def told(answer: dict) -> str:
    """Return the sentence of an answer that is an error, which must be one."""
    assert "data" not in answer, answer
    sentence = answer["error"]
    assert sentence.endswith(".") and "\n" not in sentence and len(sentence) < 400
    assert "Traceback" not in sentence and "Something went wrong" not in sentence
    return sentence


def encoded(picture: Image.Image, path: Path, **how: object) -> bytes:
    picture.save(path, **how)
    return path.read_bytes()


def seven() -> Image.Image:
    """A digit as a photo would have it: dark on light, 8 bits, larger than MNIST's."""
    return ImageOps.invert(Image.open(SEVEN).convert("L")).resize((280, 280))


def sixteen_bits(path: Path) -> bytes:
    deep = np.asarray(seven(), np.uint16) * 200
    return encoded(Image.fromarray(deep), path)


def cmyk(path: Path) -> bytes:
    return encoded(seven().convert("CMYK"), path.with_suffix(".jpg"))


def alpha(path: Path) -> bytes:
    drawing = Image.new("RGBA", (280, 280), (0, 0, 0, 0))
    drawing.putalpha(ImageOps.invert(seven()))
    return encoded(drawing, path)


def animated(path: Path) -> bytes:
    frames = {"save_all": True, "append_images": [Image.new("L", (280, 280))] * 3}
    return encoded(seven(), path.with_suffix(".gif"), **frames)


def turned(path: Path) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees, clockwise
    picture = seven().transpose(Image.Transpose.ROTATE_90)
    return encoded(picture, path.with_suffix(".jpg"), exif=exif)


def palette(path: Path) -> bytes:
    return encoded(seven().convert("P"), path)


def one_bit(path: Path) -> bytes:
    return encoded(seven().convert("1"), path.with_suffix(".tiff"))


def large(path: Path) -> bytes:
    return encoded(seven().resize((4000, 4000)), path)


READABLE = [sixteen_bits, cmyk, alpha, animated, turned, palette, one_bit, large]


@pytest.mark.parametrize("make", READABLE, ids=lambda make: make.__name__)
def test_an_unusual_picture_is_read(
    make: Callable[[Path], bytes], server: Server, tmp_path: Path
) -> None:
    raw = make(tmp_path / "seven.png")
    answer = server.read(raw)
    assert answer["data"][0]["digit"] == "7", answer


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_a_picture_of_next_to_nothing_is_no_digit(
    size: tuple[int, int], server: Server, tmp_path: Path
) -> None:
    answer = server.read(encoded(Image.new("L", size, 255), tmp_path / "small.png"))
    assert ("error" in answer and told(answer)) or answer["data"][0]["label"] is None


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_says(width: int, height: int) -> bytes:
    """A PNG file whose header promises what its few bytes do not hold."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    data = zlib.compress(bytes(1000))
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def huge(path: Path) -> bytes:
    return encoded(Image.new("1", (20_000, 20_000)), path)


def text_bomb(path: Path) -> bytes:
    about = PngImagePlugin.PngInfo()
    about.add_text("Comment", "a" * 60_000_000, zip=True)
    return encoded(seven(), path, pnginfo=about)


def truncated(path: Path) -> bytes:
    return encoded(seven(), path.with_suffix(".jpg"))[:2000]


UNREADABLE = {
    "20,000 x 20,000": huge,
    "a header that lies": lambda _: png_that_says(100_000, 100_000),
    "a header of the most": lambda _: png_that_says(9_000, 9_000),
    "no pixels": lambda _: png_that_says(0, 0),
    "a bomb of text": text_bomb,
    "truncated": truncated,
    "text": lambda _: b"no picture",
    "empty": lambda _: b"",
    "a page": lambda _: (
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>"
    ),
    "postscript": lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
    "a magic number alone": lambda _: b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("make", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_picture_is_told(
    make: Callable[[Path], bytes], server: Server, tmp_path: Path
) -> None:
    assert "no picture that can be read" in told(server.read(make(tmp_path / "fault.png")))


@pytest.mark.parametrize(
    "data",
    [
        ["xor", [float("nan"), 1]],
        ["xor", [float("inf"), 1]],
        ["xor", [1e308, 1]],
        ["xor", ["0", "1"]],
        ["xor", [None, 1]],
        ["xor", [[0], [1]]],
        ["xor", [0]],
        ["xor", [0, 1, 1]],
        ["xor", []],
        ["xor", "01"],
        ["xor", {"a": 0, "b": 1}],
        ["xor", None],
        ["no gate", [0, 1]],
        ["", [0, 1]],
        [None, [0, 1]],
        [["xor"], [0, 1]],
        [{"xor": 1}, [0, 1]],
        ["x" * 100_000, [0, 1]],
        ["xor"],
        [],
    ],
    ids=lambda data: str(data)[:30],
)
def test_what_no_gate_takes_is_told(data: list, server: Server) -> None:
    told(server.ask("evaluate_gate", *data))


@pytest.mark.parametrize("body", ["", "rubbish", "[1]", '{"data": 1}', '{"data":', "[" * 100_000])
def test_a_body_that_is_no_call_is_told(body: str, server: Server) -> None:
    answer = server.client.post("/gradio_api/run/evaluate_gate", content=body, headers=JSON)
    assert 400 <= answer.status_code < 500
    told(answer.json())


@pytest.mark.parametrize("path", ["run/nothing", "call/v2/nothing", "call/nothing", "nothing"])
def test_an_endpoint_that_is_not_there_is_told(path: str, server: Server) -> None:
    answer = server.client.post(f"/gradio_api/{path}", json={"data": [], "fn_index": 9999})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]


@pytest.mark.parametrize("data", [[], ["xor"], ["xor", [0, 1]], ["xor", [0, 1], 5]], ids=str)
def test_a_call_of_gradios_without_its_values_is_told(data: list, server: Server) -> None:
    client = server.client
    event = client.post("/gradio_api/call/evaluate_gate", json={"data": data}).json()["event_id"]
    answer = client.get(f"/gradio_api/call/evaluate_gate/{event}").text
    assert "event: error" in answer and "Something went wrong" not in answer
    assert ("values" in answer or "found int" in answer) and "Traceback" not in answer


OUTSIDE = ["/etc/passwd", "{root}/mlflow.db", "{root}/README.md", "README.md", "../../etc/passwd"]
KINDS = [{}, {"meta": {"_type": "gradio.FileData"}}]


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_file_of_others_is_read_or_sent(name: str, server: Server, trained: Path) -> None:
    path = name.format(root=trained)
    below = f"{Path(server.upload(b'x')['path']).parent}/../../../../../../..{path}"
    for asked in (path, below):
        for more in KINDS:
            refused = server.ask("classify_digit", {"path": asked, **more})
            assert "not uploaded here" in told(refused)
        for address in ("file=", "file/"):
            answer = server.client.get(f"/gradio_api/{address}{asked}")
            assert answer.status_code == 404 and answer.json()["error"]
    for folder in ("assets", "static", "svelte"):
        for way in ("../" * 12, "%2e%2e%2f" * 12, "..%5c" * 12):
            answer = server.client.get(f"/{folder}/{way}{path.lstrip('/')}")
            assert answer.status_code in (403, 404) and b"root:" not in answer.content


@pytest.mark.parametrize("address", ["http://example.org/7.png", "https://127.0.0.1:1/7.png"])
def test_no_address_is_fetched(address: str, server: Server) -> None:
    for more in KINDS:
        for image in ({"path": address}, {"path": address, "url": address}, {"url": address}):
            told(server.ask("classify_digit", {**image, **more}))
    for way in ("file=", "file/", "proxy="):
        answer = server.client.get(f"/gradio_api/{way}{address}")
        assert answer.status_code == 404 and answer.json()["error"]


@pytest.mark.parametrize("path", HISTORY)
def test_no_history_is_kept_here_or_elsewhere(path: str, server: Server) -> None:
    assert server.client.get("/config").json()["run_history"] is False
    for ask in (server.client.get, server.client.post):
        answer = ask(f"/gradio_api/{path}", params={"session_hash": "x"})
        assert answer.status_code == 404 and told(answer.json())


def test_pictures_are_not_kept_with_their_sessions(server: Server) -> None:
    """Each of 40 browsers opens a picture of 5 MB; what Gradio would keep of that is 200 MB."""
    noise = base64.b64encode(os.urandom(5_000_000)).decode()
    value = {"kind": "file", "data": f"data:image/png;base64,{noise}"}
    config = server.client.get("/config").json()
    pad = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "pad")
    answers = [each for each in config["dependencies"] if each["inputs"][:1] == [pad]]
    event = next(each for each in answers if (pad, "input") in map(tuple, each["targets"]))

    def resident() -> float:
        return psutil.Process(server.pid).memory_info().rss / 1e6

    def open_in(sessions: range) -> None:
        for session in sessions:
            call = {"data": [value, ""], "fn_index": event["id"], "session_hash": f"s{session}"}
            answer = server.client.post("/gradio_api/run/predict", json=call)
            assert answer.is_success, answer.text

    open_in(range(5))
    before = resident()
    open_in(range(5, 45))
    assert resident() - before < 80


@pytest.mark.parametrize("image", [None, 7, "7.png", [], {}, {"path": None}, {"path": "\0"}])
def test_what_is_no_file_is_told(image: object, server: Server) -> None:
    told(server.ask("classify_digit", image))


def test_foreign_names_and_pages_are_refused(server: Server) -> None:
    for headers in ({"Host": "example.org"}, {"Origin": "http://example.org"}, {"Origin": "null"}):
        for path in ("/gradio_api/run/evaluate_gate", "/gradio_api/queue/join"):
            answer = server.client.post(path, headers=headers, json={"data": ["xor", [0, 1]]})
            assert answer.status_code in (400, 403) and told(answer.json())
        assert server.client.get("/gradio_api/heartbeat/x", headers=headers).is_client_error


def test_too_much_is_refused(server: Server) -> None:
    much = bytes(17_000_000)
    whole = server.client.post("/gradio_api/run/classify_digit", content=much, headers=JSON)
    in_parts = server.client.post(
        "/gradio_api/run/classify_digit", content=iter([much]), headers=JSON
    )
    for answer in (whole, in_parts):
        assert answer.status_code == 413 and "at most 16 MB" in told(answer.json())
    file = server.client.post("/gradio_api/upload", files={"files": bytes(12_000_000)})
    assert file.status_code == 413


def test_without_a_registry_the_page_starts_and_can_look_again(trained: Path) -> None:
    port = free_port()
    line, url = f"python serve/app.py --port {port}", f"http://127.0.0.1:{port}"
    with (
        serving(line, trained, url, MLFLOW_TRACKING_URI="http://127.0.0.1:9"),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        ill = client.get("/healthz")
        assert ill.status_code == 503 and ill.json()["status"] == "ill"
        assert "registry" in ill.json()["error"]
        texts = [each["props"].get("value") for each in client.get("/config").json()["components"]]
        assert texts.count("Refresh versions") == 2


def test_a_registry_that_is_mended_is_shown_without_a_restart(
    trained: Path, tmp_path: Path, browser: Browser
) -> None:
    store, port = tmp_path / "mlflow.db", free_port()
    store.write_bytes(os.urandom(4096))
    line, url = f"python serve/app.py --port {port}", f"http://127.0.0.1:{port}"
    with serving(line, trained, url, MLFLOW_TRACKING_URI=f"sqlite:///{store}"):
        one, other = browser.new_page(), browser.new_page()
        one.goto(url)
        one.get_by_role("tab", name="Model", exact=True).click()
        expect(one.locator("#model-facts-mnist")).to_contain_text("No model of this task")
        shutil.copy(trained / "mlflow.db", store)
        one.get_by_role("button", name="Refresh versions").first.click()
        sees_both_models(one)
        one.get_by_role("tab", name="Digit", exact=True).click()
        reads_a_seven(one)
        other.goto(url)
        reads_a_seven(other)
        other.get_by_role("tab", name="Model", exact=True).click()
        sees_both_models(other)
        one.close()
        other.close()


def sees_both_models(page: Page) -> None:
    facts = page.locator("#model-facts-mnist")
    expect(facts).to_contain_text("models:/mnist-onnx/", timeout=60_000)
    page.get_by_role("tab", name="Gates", exact=True).click()
    facts = page.locator("#model-facts-gate")
    expect(facts).to_contain_text("models:/gate-onnx/", timeout=60_000)


def reads_a_seven(page: Page) -> None:
    page.locator("[data-example]").nth(7).click()
    expect(page.locator("#digit-answer .answer b")).to_have_text("7", timeout=60_000)


def test_a_taken_port_is_told(server: Server, run: Command) -> None:
    port = server.client.base_url.port
    result = run(f"python serve/app.py --port {port}", fails=True)
    assert result.returncode == 2
    assert f"port {port}" in result.stderr and "--port" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_page_for_others_asks_for_a_password(trained: Path, run: Command) -> None:
    refused = run("python serve/app.py --host 0.0.0.0", fails=True)
    assert refused.returncode == 2 and "--auth" in refused.stderr
    port = free_port()
    line = f"python serve/app.py --host 0.0.0.0 --port {port} --allowed-host page.example"
    url = f"http://127.0.0.1:{port}"
    with (
        serving(f"{line} --auth {':'.join(AUTH)}", trained, f"{url}/healthz"),
        httpx.Client(base_url=url, timeout=60) as client,
    ):
        call = {"url": "/gradio_api/run/evaluate_gate", "json": {"data": ["xor", [0, 1]]}}
        for path in ("/", "/config", "/gradio_api/info", "/metrics", "/assets/x", "/theme.css"):
            answer = client.get(path)
            assert answer.status_code == 401 and told(answer.json()), path
        assert client.post(**call).status_code == 401
        assert client.post(**call, auth=("me", "guess")).status_code == 401
        assert client.post(**call, auth=AUTH).json()["data"][0]["output"] == 1
        named = {"Host": "page.example", "Origin": "https://page.example"}
        assert client.post(**call, auth=AUTH, headers=named).is_success
        foreign = {"Host": "example.org"}
        assert client.post(**call, auth=AUTH, headers=foreign).status_code == 400
        assert (
            client.get("/metrics", auth=AUTH).is_success and client.get("/", auth=AUTH).is_success
        )

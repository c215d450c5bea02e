"""An ONNX graph run by onnxruntime-web (WebAssembly, one thread) in a real headless browser.

The browser reaches this process, by loopback, and nothing else. Arrays go there and back as raw
bytes. Needs the packages of tests/requirements.txt, chromium, and npm the first time.
"""

import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from playwright.sync_api import Browser, Page, Route, sync_playwright

from benchmarks import npm
from experiments.errors import UserError

MEMBERS = ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm")
TYPES = {"html": "text/html", "mjs": "text/javascript", "wasm": "application/wasm"}
ARRAYS = {"uint8": "Uint8Array", "float32": "Float32Array"}  # of numpy and of JavaScript
FLAGS = ("gpu", "background-networking", "component-update", "sync", "quic")

PAGE = b"""<!doctype html><link rel="icon" href="data:,"><script type="module">
import * as ort from "/ort.wasm.bundle.min.mjs";
ort.env.wasm.numThreads = 1;
const raw = async (name) => (await fetch(name)).arrayBuffer();
window.answer = async ({type, array, shape, batch}) => {
  const session = await ort.InferenceSession.create(await raw("/graph"));
  const x = new window[array](await raw("/x"));
  const [count, ...rest] = shape;
  const size = rest.reduce((a, b) => a * b, 1);
  const parts = {}, shapes = {};
  for (let start = 0; start < count; start += batch) {
    const here = Math.min(batch, count - start);
    const some = x.subarray(start * size, (start + here) * size);
    const input = new ort.Tensor(type, some, [here, ...rest]);
    const outputs = await session.run({[session.inputNames[0]]: input});
    for (const name of session.outputNames) {
      (parts[name] ??= []).push(outputs[name].data);
      shapes[name] = [outputs[name].type, [count, ...outputs[name].dims.slice(1)]];
    }
  }
  await session.release();
  for (const name of session.outputNames)
    await fetch("/" + name, {method: "POST", body: new Blob(parts[name])});
  return shapes;
};
window.version = ort.env.versions.web;
</script>"""


class Desk(ThreadingHTTPServer):
    """What the page may have (`given`) and what it brings back (`brought`), on loopback."""

    def __init__(self, given: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.given = dict(given)
        self.brought: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    """One request of the page."""

    server: Desk

    def do_GET(self) -> None:
        name = self.path.lstrip("/") or "index.html"
        raw = self.server.given.get(name)
        self.send_response(404 if raw is None else 200)
        kind = TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw or b"")))
        self.end_headers()
        self.wfile.write(raw or b"")

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.server.brought[self.path.lstrip("/")] = self.rfile.read(length)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@dataclass
class Runtime:
    """onnxruntime-web in an open page.

    Attributes:
        elsewhere: addresses that the page asked for beyond this process, and did not get.
    """

    page: Page
    desk: Desk
    elsewhere: list[str] = field(default_factory=list)

    @property
    def version(self) -> str:
        """Return the version of onnxruntime-web, as it says itself."""
        return str(self.page.evaluate("window.version"))

    def run(self, graph: bytes, x: np.ndarray, batch: int) -> dict[str, np.ndarray]:
        """Return all outputs of `graph` by name, for x [N, ...], given to it `batch` at a time.

        Args:
            graph: with one input, and outputs whose first dimension is the batch.
            x: uint8 or float32.
        """
        self.desk.given |= {"graph": graph, "x": np.ascontiguousarray(x).tobytes()}
        asked = {"type": x.dtype.name, "array": ARRAYS[x.dtype.name], "shape": x.shape}
        shapes = self.page.evaluate("asked => window.answer(asked)", {**asked, "batch": batch})
        return {
            name: np.frombuffer(self.desk.brought.pop(name), kind).reshape(shape)
            for name, (kind, shape) in shapes.items()
        }


@contextmanager
def runtime(browser: Browser) -> Iterator[Runtime]:
    """Open a page with onnxruntime-web in it, and with it alone.

    Raises:
        DataError: the package cannot be had.
    """
    desk = Desk({"index.html": PAGE, **npm.read(npm.ONNXRUNTIME_WEB, MEMBERS)})
    threading.Thread(target=desk.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{desk.server_port}/"
    context = browser.new_context()
    try:
        opened = Runtime(context.new_page(), desk)

        def refuse(route: Route) -> None:
            opened.elsewhere.append(route.request.url)
            route.abort()

        context.route(lambda address: not address.startswith(origin), refuse)
        opened.page.goto(origin)
        opened.page.wait_for_function("window.version")
        yield opened
    finally:
        context.close()
        desk.shutdown()
        desk.server_close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the machine's own chromium, headless, without traffic of its own.

    Raises:
        UserError: there is none.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise UserError("chromium is needed; Debian and Ubuntu have it as a package.")
    flags = ["--no-sandbox", *(f"--disable-{name}" for name in FLAGS)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()

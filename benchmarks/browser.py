"""A headless browser: pen strokes on the served page, and ONNX graphs run by onnxruntime-web.

Needs the packages of tests/requirements.txt, chromium, and npm the first time.
"""

import base64
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from playwright.sync_api import Browser, Page, Route, sync_playwright

from benchmarks import npm
from experiments.core.errors import UserError

MEMBERS = ("dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm")
ORIGIN = "http://localhost/"  # its requests are answered by `Runtime.answer`, not by a server
CONTENT_TYPES = {"html": "text/html", "mjs": "text/javascript", "wasm": "application/wasm"}
JAVASCRIPT_ARRAYS = {"uint8": "Uint8Array", "float32": "Float32Array"}
DISABLED = ("gpu", "background-networking", "component-update", "sync", "quic")

# onnxruntime-web on one WebAssembly thread; `run` returns each output as type, shape and base64.
HTML = b"""<!doctype html><link rel="icon" href="data:,"><script type="module">
import * as ort from "/ort.wasm.bundle.min.mjs";
ort.env.wasm.numThreads = 1;
const bytes = async (name) => (await fetch(name)).arrayBuffer();
const base64 = (parts) => new Promise((resolve) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.split(",")[1]);
  reader.readAsDataURL(new Blob(parts));
});
window.run = async ({type, array, shape, batch}) => {
  const session = await ort.InferenceSession.create(await bytes("/graph"));
  const x = new window[array](await bytes("/x"));
  const [count, ...rest] = shape;
  const size = rest.reduce((a, b) => a * b, 1);
  const parts = {}, results = {};
  for (let start = 0; start < count; start += batch) {
    const length = Math.min(batch, count - start);
    const values = x.subarray(start * size, (start + length) * size);
    const input = new ort.Tensor(type, values, [length, ...rest]);
    const outputs = await session.run({[session.inputNames[0]]: input});
    for (const name of session.outputNames) {
      (parts[name] ??= []).push(outputs[name].data);
      results[name] = [outputs[name].type, [count, ...outputs[name].dims.slice(1)]];
    }
  }
  for (const name of session.outputNames) results[name].push(await base64(parts[name]));
  await session.release();
  return results;
};
window.version = ort.env.versions.web;
</script>"""


@dataclass
class Runtime:
    """onnxruntime-web in an open page.

    Attributes:
        files: what the page can fetch from ORIGIN, by name.
        blocked: all other addresses that the page requested.
    """

    page: Page
    files: dict[str, bytes]
    blocked: list[str] = field(default_factory=list)

    @property
    def version(self) -> str:
        """The version of onnxruntime-web."""
        return str(self.page.evaluate("window.version"))

    def answer(self, route: Route) -> None:
        """Answer a request of the page from `files`, or block it."""
        url = route.request.url
        name = url.removeprefix(ORIGIN)
        if name not in self.files:
            self.blocked.append(url)
            route.abort()
            return
        content_type = CONTENT_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
        route.fulfill(body=self.files[name], content_type=content_type)

    def run(self, graph: bytes, x: np.ndarray, batch: int) -> dict[str, np.ndarray]:
        """Return all outputs of `graph` by name for x [N, ...], `batch` samples at a time.

        Args:
            graph: with one input, and outputs whose first dimension is the batch.
            x: uint8 or float32.
        """
        self.files |= {"graph": graph, "x": np.ascontiguousarray(x).tobytes()}
        array = JAVASCRIPT_ARRAYS[x.dtype.name]
        arguments = {"type": x.dtype.name, "array": array, "shape": x.shape, "batch": batch}
        results = self.page.evaluate("arguments => window.run(arguments)", arguments)
        return {
            name: np.frombuffer(base64.b64decode(raw), dtype).reshape(shape)
            for name, (dtype, shape, raw) in results.items()
        }


@contextmanager
def runtime(browser: Browser) -> Iterator[Runtime]:
    """Open a page that has onnxruntime-web and no network.

    Raises:
        DataError: the package is not available.
    """
    files = {"index.html": HTML, **npm.read(npm.ONNXRUNTIME_WEB, MEMBERS)}
    context = browser.new_context()
    try:
        web = Runtime(context.new_page(), files)
        context.route("**/*", web.answer)
        web.page.goto(f"{ORIGIN}index.html")
        web.page.wait_for_function("window.version")
        yield web
    finally:
        context.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the machine's chromium, headless, without background traffic.

    Raises:
        UserError: there is none.
    """
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        fix = "Install chromium: Debian and Ubuntu have it as a package."
        raise UserError("browser-missing", "chromium", "a program on the PATH", "none", fix)
    flags = ["--no-sandbox", *(f"--disable-{name}" for name in DISABLED)]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


def draw_stroke(page: Page, points: Iterable[tuple[float, float]]) -> None:
    """Draw one stroke on the served page; x and y are fractions of the canvas's sides."""
    canvas = page.locator("#pad canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    for index, (x, y) in enumerate(points):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if index == 0:
            page.mouse.down()
    page.mouse.up()

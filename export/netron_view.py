"""A graph in Netron: shown in the user's browser, or drawn as SVG; nothing leaves this machine."""

from __future__ import annotations

import http.client
import logging
import re
import shutil
import tempfile
import threading
import webbrowser
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import click
import netron  # type: ignore[import-untyped]
import onnx
import onnx_ir as ir

from experiments.core.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOST = "127.0.0.1"
TIMEOUT_MS = 60_000  # until Netron has drawn the graph
QUIET = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}"]
OWN = "default-src 'self' blob: data:; style-src 'self' 'unsafe-inline'"
# Netron removes eval from its page, and the browser's driver needs it.
KEEP_EVAL = (
    "Object.defineProperty(window, 'eval', {get: ((own) => () => own)(window.eval), set: () => {}})"
)


def view(path: Path) -> None:
    """Show the graph in Netron in the user's browser, until Ctrl-C."""
    with (
        tempfile.TemporaryDirectory() as folder,  # Netron serves all files of the graph's folder
        serving(Path(shutil.copy(path, folder))) as url,
    ):
        click.echo(f"Netron shows {path} at {url}; Ctrl-C ends it.")
        webbrowser.open(url)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    click.echo()


def picture(path: Path) -> str:
    """Return the graph as Netron draws it: a self-contained SVG on a light background.

    Nodes have their names, edges the name and the shape of their value, weights their shapes.

    Raises:
        UserError: package-missing, browser-missing, or drawing-failed.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        labelled = Path(folder, path.name)
        _label_shapes(path, labelled)
        # In another thread: playwright refuses one that has an event loop already.
        svg = thread.submit(_draw, labelled).result()
    # Make the labels legible on lines and in every font, and the picture scalable.
    halo = r"\g<0>paint-order: stroke; stroke: #fff; stroke-width: 3px; "
    svg = re.sub(r'class="edge-label"[^>]*style="', halo, svg)
    svg = svg.replace("\u3008", " [").replace("\u3009", "]")
    return re.sub(r'width="(\d+)" height="(\d+)"', r'\g<0> viewBox="0 0 \1 \2"', svg, count=1)


def _label_shapes(path: Path, labelled: Path) -> None:
    """Copy a graph with its values' shapes in their names: Netron shows only one of the two."""
    model = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.load(path)))
    for value in ir.convenience.create_value_mapping(model.graph).values():
        if not value.is_initializer() and value.shape is not None:
            value.name = f"{value.name}  {'×'.join(map(str, value.shape))}".strip()
    ir.save(model, labelled)


def _draw(path: Path) -> str:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise UserError(
            "package-missing",
            "package playwright",
            expected="an installed package, which draws Netron's picture",
            found="none",
            fix="Run python -m pip install -r tests/requirements.txt.",
        ) from error
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise UserError(
            "browser-missing",
            "chromium",
            expected="a program on the PATH, which draws Netron's picture",
            found="none",
            fix="Install the package chromium of Debian or Ubuntu.",
        )
    try:
        with (
            serving(path) as url,
            sync_playwright() as playwright,
            closing(playwright.chromium.launch(executable_path=browser, args=QUIET)) as chromium,
        ):
            context = chromium.new_context(color_scheme="light")
            context.route(lambda to: not to.startswith(url), lambda route: route.abort())
            context.add_init_script(KEEP_EVAL)
            page = context.new_page()
            page.goto(url)
            return _export(page)
    except Error as error:
        raise UserError(
            "drawing-failed",
            path.name,
            expected="a graph that Netron draws",
            found=error.message.splitlines()[0],
            fix="Netron stops working half a year after its release: "
            "run python -m pip install --upgrade netron.",
        ) from error


def _export(page: Page) -> str:
    """Return what Netron's command 'Export as SVG' saves, with the nodes' names switched on."""
    canvas = "body.default #canvas"
    page.locator(canvas).evaluate("drawing => drawing.dataset.first = ''", timeout=TIMEOUT_MS)
    page.keyboard.press("Control+u")
    page.locator(f"{canvas}:not([data-first])").wait_for(timeout=TIMEOUT_MS)
    with page.expect_download(timeout=TIMEOUT_MS) as download:
        page.keyboard.press("Control+Alt+e")
    return download.value.path().read_text("utf-8")


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """Serve Netron with the graph on a free port of this machine; yield the address."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)  # or Netron configures the process's logging
    address = netron.start(str(path), address=(HOST, 0), browse=False)
    proxy = ThreadingHTTPServer((HOST, 0), _proxy(*address))
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{proxy.server_port}"
    finally:
        proxy.shutdown()
        proxy.server_close()
        netron.stop(address)
        logging.getLogger().removeHandler(handler)


def _proxy(host: str, port: int) -> type[BaseHTTPRequestHandler]:
    """Return a handler that forwards Netron's pages, without access to any other address.

    Netron's page asks one host for the user's country and reports to another. The header forbids
    both in every browser; the cookie answers the question for consent.
    """

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            own = f"{HOST}:{self.connection.getsockname()[1]}"
            if self.headers["Host"] != own:  # another name that resolves to this machine
                self.send_error(403)
                return
            with closing(http.client.HTTPConnection(host, port)) as connection:
                connection.request("GET", self.path)
                response = connection.getresponse()
                raw = response.read()
            self.send_response(response.status)
            self.send_header("Content-Type", response.getheader("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("Content-Security-Policy", OWN)
            self.send_header("Set-Cookie", "consent=1; Path=/; SameSite=Strict")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """Log no requests."""

    return Proxy

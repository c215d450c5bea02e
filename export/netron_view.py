"""A graph in Netron: shown in the user's browser, or drawn by it as an SVG; nothing goes out."""

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

from experiments.errors import UserError

if TYPE_CHECKING:
    import onnx
    from playwright.sync_api import Page

HOST = "127.0.0.1"
PATIENCE = 60_000  # milliseconds until Netron must have drawn the graph
QUIET = ["--no-sandbox", "--disable-gpu", f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}"]
OWN = "default-src 'self' blob: data:; style-src 'self' 'unsafe-inline'"
# Netron takes eval away from its page, and the browser's driver needs it.
KEEP_EVAL = (
    "Object.defineProperty(window, 'eval', {get: ((own) => () => own)(window.eval), set: () => {}})"
)


def view(path: Path) -> None:
    """Show the graph in Netron in the user's browser, until Ctrl-C.

    Raises:
        UserError: there is no such file.
    """
    _check(path)
    with (
        tempfile.TemporaryDirectory() as folder,  # Netron serves all that lies beside the file
        serving(Path(shutil.copy(path, folder))) as url,
    ):
        click.echo(f"Netron shows {path} at {url}; Ctrl-C ends it.")
        webbrowser.open(url)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
    click.echo()


def _check(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"netron: expected an ONNX file; {path} is none.")


def picture(path: Path) -> str:
    """Return the graph as Netron draws it, an SVG that stands alone, on a light ground.

    A node bears its name, an edge the name and the shape of its value, a weight its shape.

    Raises:
        UserError: there is no such file, no playwright or no chromium, or Netron draws nothing.
    """
    _check(path)
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise UserError(f"netron: expected an ONNX file; {path} is none.") from error
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as thread:
        labelled = Path(folder, path.name)
        onnx.save(_labelled(model), labelled)
        # In a thread of its own: playwright refuses one that has an event loop already.
        return _standalone(thread.submit(_draw, labelled).result())


def _labelled(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose values carry their shapes in their names: Netron shows one or other."""
    from onnx import shape_inference

    model = shape_inference.infer_shapes(model)
    graph = model.graph
    labels: dict[str, str] = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = [dim.dim_param or str(dim.dim_value) for dim in value.type.tensor_type.shape.dim]
        labels[value.name] = value.name = f"{value.name}  {'×'.join(dims)}".strip()
    known = {weight.name for weight in graph.initializer}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [name if name in known else labels.get(name, name) for name in names]
    return model


def _standalone(svg: str) -> str:
    """Return Netron's SVG able to be scaled, its labels legible on lines and in every font."""
    halo = r"\g<0>paint-order: stroke; stroke: #fff; stroke-width: 3px; "
    svg = re.sub(r'class="edge-label"[^>]*style="', halo, svg)
    svg = svg.replace("\u3008", " [").replace("\u3009", "]")
    return re.sub(r'width="(\d+)" height="(\d+)"', r'\g<0> viewBox="0 0 \1 \2"', svg, count=1)


def _draw(path: Path) -> str:
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError as error:
        raise UserError(
            "picture: expected the package playwright, found none; "
            "python -m pip install -r tests/requirements.txt brings it."
        ) from error
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise UserError(
            "picture: expected the browser chromium, found none; install the package chromium "
            "of Debian or Ubuntu."
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
        reason = error.message.splitlines()[0]
        raise UserError(
            f"picture: expected Netron to draw {path.name}; found: {reason}. (A release of Netron "
            "works for half a year: python -m pip install --upgrade netron.)"
        ) from error


def _export(page: Page) -> str:
    """Return what Netron's own command 'Export as SVG' saves, the nodes' names switched on."""
    drawn = "body.default #canvas"
    page.locator(drawn).evaluate("drawing => drawing.dataset.first = ''", timeout=PATIENCE)
    page.keyboard.press("Control+u")
    page.locator(f"{drawn}:not([data-first])").wait_for(timeout=PATIENCE)
    with page.expect_download(timeout=PATIENCE) as download:
        page.keyboard.press("Control+Alt+e")
    return download.value.path().read_text("utf-8")


@contextmanager
def serving(path: Path) -> Iterator[str]:
    """Serve Netron with the graph on a free port of this machine; yield the address."""
    import netron  # type: ignore[import-untyped]

    said = logging.NullHandler()
    logging.getLogger().addHandler(said)  # or Netron sets up the logging of the whole process
    address = netron.start(str(path), address=(HOST, 0), browse=False)
    gate = ThreadingHTTPServer((HOST, 0), _gate(*address))
    threading.Thread(target=gate.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{gate.server_port}"
    finally:
        gate.shutdown()
        gate.server_close()
        netron.stop(address)
        logging.getLogger().removeHandler(said)


def _gate(host: str, port: int) -> type[BaseHTTPRequestHandler]:
    """Return what hands on Netron's pages and forbids them every address but their own.

    Netron's page asks a host where the user is and tells another what he does. The header keeps
    every browser from it; the cookie spares the question whether that is welcome.
    """

    class Gate(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            own = f"{HOST}:{self.connection.getsockname()[1]}"
            if self.headers["Host"] != own:  # a foreign name that leads here
                self.send_error(403)
                return
            with closing(http.client.HTTPConnection(host, port)) as link:
                link.request("GET", self.path)
                answer = link.getresponse()
                raw = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("Content-Security-Policy", OWN)
            self.send_header("Set-Cookie", "consent=1; Path=/; SameSite=Strict")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing of each request."""

    return Gate

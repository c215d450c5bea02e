"""Netron: its picture is complete and self-contained, and nothing leaves this machine."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from playwright.sync_api import Browser

from experiments.core.paths import ROOT
from export import netron_view
from tests.expect import refused

SVG = "{http://www.w3.org/2000/svg}"
NODES = ("scaled", "projection", "squashed", "scores")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of four named nodes and two outputs, without the shapes of the values inside."""
    text = """
        <ir_version: 10, opset_import: ["" : 20]>
        small (float[batch, 3] points) => (float[batch, 16] squashed, float[batch, 16] scores)
        <float half = {0.5}>
        {
            [scaled] scaled = Mul(points, half)
            [projection] projection = MatMul(scaled, weight)
            [squashed] squashed = Tanh(projection)
            [scores] scores = Softmax(squashed)
        }
    """
    model = onnx.parser.parse_model(text)
    weight = np.ones((3, 16), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weight, "weight"))
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path_factory.mktemp("netron") / "a small graph.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser that draws the picture logs all that it does on the network."""
    return tmp_path_factory.mktemp("journal") / "network.json"


@pytest.fixture(scope="module")
def svg(file: Path, journal: Path, chromium: str) -> str:
    """The picture, drawn by a browser whose network stack keeps a journal."""
    wrapper = journal.with_name("chromium")
    wrapper.write_text(f'#!/bin/sh\nexec {chromium} --log-net-log={journal} "$@"\n')
    wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
        return netron_view.picture(file)


def _tree(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314  # of the project's own making


@pytest.mark.browser
def test_picture_has_all_names_and_refers_to_no_other_file(svg: str) -> None:
    tree = ElementTree.fromstring(svg)  # noqa: S314  # drawn by this project
    labels = [" ".join(text.itertext()) for text in tree.iter(f"{SVG}text")]
    words = " ".join(" ".join(labels).split())
    assert {*NODES} <= {*labels}
    for label in ("points batch×3", "projection batch×16", "squashed batch×16", "scores batch×16"):
        assert label in words
    assert "[3×16]" in words and "0.5" in words
    tags = {element.tag.removeprefix(SVG) for element in tree.iter()}
    assert tags <= {"svg", "g", "rect", "path", "line", "text", "tspan", "title", "defs", "marker"}
    names = {name for element in tree.iter() for name in element.attrib}
    values = [value for element in tree.iter() for value in element.attrib.values()]
    assert set(re.findall(r"url\(([^)]*)\)", " ".join(values))) == {'"#arrowhead"'}
    assert not [value for value in values if "//" in value or value.startswith("javascript")]
    assert not [name for name in names if name.endswith("href")]


@pytest.mark.browser
def test_picture_is_complete_and_light(svg: str, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "graph.svg").write_text(svg)
    page = browser.new_page(color_scheme="dark")
    page.goto((tmp_path / "graph.svg").as_uri())
    left, top, width, height = page.locator("svg").evaluate(
        "svg => [...svg.getAttribute('viewBox').split(' ').map(Number)]"
    )
    assert left == top == 0
    for text in page.locator("svg text").all():
        box = text.bounding_box()
        assert box is not None and box["width"] > 5 and min(box["x"], box["y"]) >= 0
        assert box["x"] + box["width"] <= width and box["y"] + box["height"] <= height
    style = "element => getComputedStyle(element)"
    assert page.locator("#background").evaluate(f"{style}.fill") == "rgb(255, 255, 255)"
    assert page.locator(".edge-label").first.evaluate(f"{style}.fontSize") == "10px"
    page.close()


@pytest.mark.browser
def test_drawing_connects_to_this_machine_only(svg: str, journal: Path) -> None:
    log = json.loads(journal.read_text())
    kinds = {number: name for name, number in log["constants"]["logEventTypes"].items()}
    events = [(kinds[event["type"]], event.get("params", {})) for event in log["events"]]
    (address,) = {what["address"] for kind, what in events if "address" in what and "TCP" in kind}
    assert svg and address.startswith("127.0.0.1:")
    assert not [kind for kind, _ in events if re.search("HOST_RESOLVER_(DNS|SYSTEM)_TASK", kind)]


@pytest.mark.browser
def test_view_asks_no_other_host_and_ends_quietly(file: Path, browser: Browser) -> None:
    code = (
        "import sys, pathlib; from export.netron_view import view; view(pathlib.Path(sys.argv[1]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-uc", code, str(file)],
        cwd=ROOT,
        env={**os.environ, "BROWSER": "/bin/true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert match and str(file) in line
    address = match[0].removeprefix("http://")
    assert _status(address, "/", address) == 200
    assert _status(address, "/", "elsewhere.example") == 403
    (file.parent / "secret.txt").write_text("secret")
    assert _status(address, "/data/secret.txt", address) == 404
    context = browser.new_context()
    context.add_init_script(netron_view.KEEP_EVAL)
    page = context.new_page()
    urls: list[str] = []
    context.on("request", lambda request: urls.append(request.url))
    page.goto(match[0])
    page.locator("body.default svg text", has_text="Softmax").wait_for(timeout=60_000)
    page.wait_for_timeout(500)  # for what the page reports once it has drawn
    context.close()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and rest.strip() == ""
    assert urls and all(url.startswith((match[0], "blob:", "data:")) for url in urls)


def _status(address: str, path: str, host: str) -> int:
    link = http.client.HTTPConnection(address)
    link.request("GET", path, headers={"Host": host})
    status = link.getresponse().status
    link.close()
    return status


def test_what_is_missing_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        with refused("browser-missing", what="chromium"):
            netron_view.picture(file)
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with refused("package-missing", what="playwright"):
        netron_view.picture(file)

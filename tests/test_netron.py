"""Netron: the picture it draws stands alone and says all, and neither it nor the page asks out."""

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
from onnx import TensorProto, helper, numpy_helper
from playwright.sync_api import Browser

from experiments.errors import UserError
from experiments.paths import ROOT
from export import netron_view

SVG = "{http://www.w3.org/2000/svg}"
NODES = ("scaled", "projection", "squashed", "scores")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of four named nodes and two outputs; the shapes inside are not written into it."""
    scale, weight = np.float32(0.5), np.ones((3, 16), np.float32)
    nodes = [
        helper.make_node("Mul", ["points", "half"], ["scaled"], NODES[0]),
        helper.make_node("MatMul", ["scaled", "weight"], ["projection"], NODES[1]),
        helper.make_node("Tanh", ["projection"], ["squashed"], NODES[2]),
        helper.make_node("Softmax", ["squashed"], ["scores"], NODES[3]),
    ]
    points, squashed, scores = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width])
        for name, width in (("points", 3), ("squashed", 16), ("scores", 16))
    )
    constants = [numpy_helper.from_array(scale, "half"), numpy_helper.from_array(weight, "weight")]
    graph = helper.make_graph(nodes, "small", [points], [squashed, scores], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    path = tmp_path_factory.mktemp("netron") / "a small graph.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the browser that draws the picture writes down all that it does on the network."""
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


def test_picture_has_all_names_and_shapes(svg: str) -> None:
    said = [" ".join(text.itertext()) for text in _tree(svg).iter(f"{SVG}text")]
    words = " ".join(" ".join(said).split())
    for name in NODES:
        assert name in said, said
    for label in ("points batch×3", "projection batch×16", "squashed batch×16", "scores batch×16"):
        assert label in words
    assert "[3×16]" in words and "0.5" in words


def test_picture_refers_to_nothing_outside(svg: str) -> None:
    tree = _tree(svg)
    tags = {element.tag.removeprefix(SVG) for element in tree.iter()}
    assert tags <= {"svg", "g", "rect", "path", "line", "text", "tspan", "title", "defs", "marker"}
    values = [value for element in tree.iter() for value in element.attrib.values()]
    assert set(re.findall(r"url\(([^)]*)\)", " ".join(values))) == {'"#arrowhead"'}
    assert not [value for value in values if "//" in value or value.startswith("javascript")]
    assert not [name for element in tree.iter() for name in element.attrib if name.endswith("href")]


def test_picture_alone_is_whole_and_light(svg: str, browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "graph.svg").write_text(svg)
    page = browser.new_page(color_scheme="dark")
    page.goto((tmp_path / "graph.svg").as_uri())
    size = _tree(svg).attrib
    assert size["viewBox"] == f"0 0 {size['width']} {size['height']}"
    for text in page.locator("svg text").all():
        box = text.bounding_box()
        assert box is not None and box["width"] > 5 and min(box["x"], box["y"]) >= 0
        assert box["x"] + box["width"] <= float(size["width"])
        assert box["y"] + box["height"] <= float(size["height"])
    at = "element => getComputedStyle(element)"
    assert page.locator("#background").evaluate(f"{at}.fill") == "rgb(255, 255, 255)"
    assert page.locator(".edge-label").first.evaluate(f"{at}.fontSize") == "10px"
    tops = [page.locator("svg text", has_text=name).first.bounding_box() for name in NODES]
    assert [box["y"] for box in tops if box] == sorted(box["y"] for box in tops if box)
    page.close()


def test_drawing_connects_to_this_machine_only(svg: str, journal: Path) -> None:
    kept = json.loads(journal.read_text())
    kinds = {number: name for name, number in kept["constants"]["logEventTypes"].items()}
    happened = [(kinds[event["type"]], event.get("params", {})) for event in kept["events"]]
    reached = {what["address"] for kind, what in happened if "address" in what and "TCP" in kind}
    looked_up = [kind for kind, _ in happened if re.search("HOST_RESOLVER_(DNS|SYSTEM)_TASK", kind)]
    assert svg and len(reached) == 1 and reached.pop().startswith("127.0.0.1:")
    assert not looked_up


def test_view_shows_the_graph_asks_nobody_and_ends_quietly(file: Path, browser: Browser) -> None:
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
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found and str(file) in line
    address = found[0].removeprefix("http://")
    assert _status(address, "/", address) == 200
    assert _status(address, "/", "elsewhere.example") == 403
    (file.parent / "secret.txt").write_text("beside the graph")
    assert _status(address, "/data/secret.txt", address) == 404
    context = browser.new_context()
    context.add_init_script(netron_view.KEEP_EVAL)
    page = context.new_page()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page.goto(found[0])
    page.locator("body.default svg text", has_text="Softmax").wait_for(timeout=60_000)
    page.wait_for_timeout(500)  # for what the page reports once it has drawn
    context.close()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and rest.strip() == ""
    assert asked and all(url.startswith((found[0], "blob:", "data:")) for url in asked)


def _status(address: str, path: str, host: str) -> int:
    link = http.client.HTTPConnection(address)
    link.request("GET", path, headers={"Host": host})
    status = link.getresponse().status
    link.close()
    return status


@pytest.mark.parametrize("show", [netron_view.view, netron_view.picture])
def test_a_file_that_is_not_there_is_refused(show, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected an ONNX file; .*absent.onnx is none"):
        show(tmp_path / "absent.onnx")


def test_what_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.onnx").write_bytes(b"\xffnot a graph")
    with pytest.raises(UserError, match=r"expected an ONNX file; .*words.onnx is none"):
        netron_view.picture(tmp_path / "words.onnx")


def test_what_is_missing_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        with pytest.raises(UserError, match="install the package chromium"):
            netron_view.picture(file)
    monkeypatch.setitem(sys.modules, "playwright.sync_api", None)
    with pytest.raises(UserError, match="expected the package playwright"):
        netron_view.picture(file)

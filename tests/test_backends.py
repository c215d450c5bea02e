"""Proof beyond torch: other programs, a browser and MLflow's own server say what the net says."""

import base64
import hashlib
import io
import json
import os
import shutil
import tarfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import onnxruntime
import pytest
from playwright.sync_api import Browser, Error

from benchmarks import backends, npm
from benchmarks.browser import Runtime, runtime
from experiments.core.errors import DataError
from experiments.core.exports import file_name
from experiments.data.mnist import Mnist
from export.precision import to_precision
from tests.conftest import free_port, serving
from tests.expect import refused
from tests.graphs import TABLE

COUNT, FEW = 1000, 100  # samples; few for the reference evaluator, which is slow
TOLERANCE = 1e-4  # of outputs, which are of the order of 10


@pytest.fixture(scope="module")
def web(browser: Browser) -> Iterator[Runtime]:
    """onnxruntime-web in a page; without npm the test is skipped, but never in CI."""
    fetched = npm.CACHE / npm.ONNXRUNTIME_WEB.file
    if not fetched.is_file() and shutil.which("npm") is None:
        assert not os.environ.get("CI"), "CI must have npm: install Debian's npm"
        pytest.skip("no npm on this machine; Debian and Ubuntu have it as a package")
    with runtime(browser) as opened:
        yield opened


@pytest.fixture(scope="module", params=["mnist", "gate"])
def champion(request: pytest.FixtureRequest, trained: Path) -> backends.Champion:
    """A champion of the checkout, and what torch says by it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
        return backends.champion(request.param)


@pytest.fixture(scope="module")
def graph(champion: backends.Champion, trained: Path) -> bytes:
    """Its graph in fp32, as the checkout has it exported."""
    return (trained / file_name(champion.task.name)).read_bytes()


@pytest.fixture(scope="module")
def outputs(champion: backends.Champion, graph: bytes) -> backends.Outputs:
    """What onnxruntime says of all samples."""
    return backends.run_onnxruntime(graph, champion.x, 500)


def assert_as_torch(champion: backends.Champion, outputs: backends.Outputs, count: int) -> None:
    assert list(outputs) == list(champion.expected) and len(outputs) == 3
    for name, value in outputs.items():
        expected = champion.expected[name][:count]
        assert value.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(value, expected, rtol=0, atol=TOLERANCE, err_msg=name)
    found = backends.agreement(champion, outputs)
    assert (found.count, found.same) == (count, count) and found.accuracy > 0.9


def test_onnxruntime_says_what_torch_says(
    champion: backends.Champion, outputs: backends.Outputs
) -> None:
    assert_as_torch(champion, outputs, backends.COUNT)


def test_the_reference_says_what_torch_says(champion: backends.Champion, graph: bytes) -> None:
    outputs = backends.run_reference(graph, champion.x[:FEW], 50)
    assert_as_torch(champion, outputs, FEW)


@pytest.mark.browser
def test_the_browser_says_what_torch_says(
    champion: backends.Champion, graph: bytes, web: Runtime
) -> None:
    assert_as_torch(champion, web.run(graph, champion.x[:COUNT], 100), COUNT)


@pytest.mark.browser
@pytest.mark.parametrize("champion", ["mnist"], indirect=True)
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_browser_knows_small_graphs(
    precision: str, champion: backends.Champion, graph: bytes, digits: Mnist, web: Runtime
) -> None:
    made = to_precision(onnx.load_from_string(graph), precision, lambda: digits.train_images)
    small, x = made.SerializeToString(), champion.x[:COUNT]
    theirs, ours = web.run(small, x, 257), backends.run_onnxruntime(small, x, 257)
    same = theirs["logits"].argmax(1) == ours["logits"].argmax(1)
    assert same.mean() >= 0.999
    assert np.abs(theirs["probabilities"] - ours["probabilities"]).mean() < 1e-3


@pytest.mark.browser
def test_the_runtime_reaches_no_network(browser: Browser, web: Runtime) -> None:
    assert web.version == npm.ONNXRUNTIME_WEB.version
    assert web.blocked == []  # in all that it has run so far
    address = f"http://127.0.0.1:{free_port()}/leak"
    with runtime(browser) as opened:
        with pytest.raises(Error):
            opened.page.evaluate("to => fetch(to, {mode: 'no-cors'})", address)
        assert opened.blocked == [address]


@pytest.fixture
def packed(tmp_path: Path) -> npm.Package:
    """A small package in a cache, by its right hash."""
    with tarfile.open(tmp_path / "small-1.0.0.tgz", "w:gz") as archive:
        for name, raw in (("package/dist/a.mjs", b"one"), ("package/b.wasm", b"two")):
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            archive.addfile(entry, io.BytesIO(raw))
    digest = hashlib.sha512((tmp_path / "small-1.0.0.tgz").read_bytes()).digest()
    return npm.Package("small", "1.0.0", f"sha512-{base64.b64encode(digest).decode()}")


def test_a_changed_package_is_not_opened(packed: npm.Package, tmp_path: Path) -> None:
    path = tmp_path / packed.file
    path.write_bytes(path.read_bytes() + b"\0")
    with refused("checksum-wrong", DataError, what=path, expected=packed.integrity):
        npm.read(packed, ["b.wasm"], tmp_path)


def assert_same_numbers(predictions: Mapping[str, Any], file: Path, x: np.ndarray) -> None:
    """Compare what MLflow answers with what onnxruntime says of x."""
    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    assert list(predictions) == names
    expected = session.run(names, {session.get_inputs()[0].name: x})
    for name, value in zip(names, expected, strict=True):
        found = np.array(predictions[name], np.float32)
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_mlflow_serves_the_same_numbers(trained: Path, digits: Mnist) -> None:
    x, port = digits.test_images[:5], free_port()
    url = f"http://127.0.0.1:{port}"
    line = f"mlflow models serve -m models:/mnist-onnx@champion --env-manager local --port {port}"
    request = urllib.request.Request(
        f"{url}/invocations",
        json.dumps({"inputs": {"image": x.tolist()}}).encode(),
        {"Content-Type": "application/json"},
    )
    with (
        serving(line, trained, f"{url}/ping", MLFLOW_DISABLE_TELEMETRY="true"),
        urllib.request.urlopen(request, timeout=60) as answer,
    ):
        predictions = json.load(answer)["predictions"]
    assert_same_numbers(predictions, trained / "model.onnx", x)


@pytest.mark.parametrize(
    ("task", "name", "file"), [("mnist", "image", "model.onnx"), ("gate", "x", "gate.onnx")]
)
def test_mlflow_predicts_the_same_numbers(
    task: str, name: str, file: str, trained: Path, digits: Mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    x = {"mnist": digits.test_images[:5], "gate": TABLE}[task]
    model = mlflow.pyfunc.load_model(f"models:/{task}-onnx@champion")
    assert_same_numbers(model.predict({name: x}), trained / file, x)

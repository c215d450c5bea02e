"""Proof beyond torch: other programs, a browser and MLflow's own server say what the net says."""

import base64
import hashlib
import io
import json
import os
import shutil
import tarfile
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from playwright.sync_api import Browser, Error

from benchmarks import backends, npm
from benchmarks.browser import MEMBERS, Desk, Runtime, chromium, runtime
from experiments.data.mnist import Mnist
from experiments.errors import DataError, UserError
from export.precision import to_precision
from tests.conftest import Command, free_port, serving

COUNT = 1000
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
    """Its graph in fp32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
        return backends.exported(champion)


def reference(graph: bytes, x: np.ndarray, batch: int) -> backends.Outputs:
    return backends.run_reference(graph, x, batch, workers=2)


@pytest.mark.parametrize("backend", ["onnxruntime", "onnxruntime-web", "onnx reference"])
def test_a_backend_says_what_torch_says(
    backend: str, champion: backends.Champion, graph: bytes, web: Runtime
) -> None:
    runs = {"onnxruntime": backends.run_onnxruntime, "onnxruntime-web": web.run}
    outputs = runs.get(backend, reference)(graph, champion.x[:COUNT], 100)
    assert list(outputs) == list(champion.said) and len(outputs) == 3
    for name, value in outputs.items():
        expected = champion.said[name][:COUNT]
        assert value.dtype == expected.dtype == np.float32
        np.testing.assert_allclose(value, expected, rtol=0, atol=TOLERANCE, err_msg=name)
    found = backends.agreement(champion, outputs)
    assert (found.count, found.same) == (COUNT, COUNT) and found.accuracy > 0.9


@pytest.mark.parametrize(
    ("batch", "count"), [(1, 1000), (2, 1000), (257, 10_000), (10_000, 10_000)]
)
def test_the_batch_changes_nothing(
    batch: int, count: int, champion: backends.Champion, graph: bytes
) -> None:
    outputs = backends.run_onnxruntime(graph, champion.x[:count], batch)
    assert backends.agreement(champion, outputs).same == count
    for name, value in backends.run_onnxruntime(graph, champion.x[:count], 500).items():
        np.testing.assert_allclose(outputs[name], value, rtol=0, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("batch", [1, 2, 257])
def test_the_browser_takes_any_batch(
    batch: int, champion: backends.Champion, graph: bytes, web: Runtime
) -> None:
    x = champion.x[:300]
    outputs = web.run(graph, x, batch)
    for name, value in backends.run_onnxruntime(graph, x, 300).items():
        np.testing.assert_allclose(outputs[name], value, rtol=0, atol=TOLERANCE, err_msg=name)


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


@pytest.mark.parametrize("champion", ["mnist"], indirect=True)
def test_a_difference_is_counted(champion: backends.Champion, digits: Mnist) -> None:
    logits = champion.said["logits"][:COUNT].copy()
    right = int((logits.argmax(1) == digits.test_labels[:COUNT]).sum())
    exact = backends.agreement(champion, {"logits": logits.copy()})
    assert exact == backends.Agreement(COUNT, COUNT, 0.0, right / COUNT)
    true = int(np.flatnonzero(logits.argmax(1) == digits.test_labels[:COUNT])[0])
    logits[true] = -1e3 * np.eye(10, dtype=np.float32)[digits.test_labels[true]]
    found = backends.agreement(champion, {"logits": logits})
    assert (found.same, found.accuracy) == (COUNT - 1, (right - 1) / COUNT)
    assert found.largest > 900
    assert backends.worst([exact, found]) == found == backends.worst([found, exact])


def test_the_table_is_read_by_people() -> None:
    row = {"task": "mnist", "precision": "int8", "bytes": 190392, "backend": "x 1.0"}
    row |= {"batches": [1, 10000], "count": 10000, "same": 9997, "largest": 1.04, "accuracy": 0.997}
    assert backends.rows({"rows": [row]}) == [
        ["mnist, int8", "190,392", "x 1.0", "1, 10,000", "9,997 of 10,000", "1.0e+00", "99.70%"]
    ]
    assert len(backends.HEAD) == 7


def test_the_page_reaches_this_process_only(browser: Browser, web: Runtime) -> None:
    assert web.version == npm.ONNXRUNTIME_WEB.version
    other = Desk({})
    threading.Thread(target=other.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{other.server_port}/leak"
    send = "to => fetch(to, {method: 'POST', mode: 'no-cors', body: 'x'})"
    free = browser.new_page()
    free.evaluate(send, address)
    assert other.brought.pop("leak") == b"x"  # it can be reached
    with runtime(browser) as opened:
        assert opened.elsewhere == []
        with pytest.raises(Error, match="Failed to fetch"):
            opened.page.evaluate(send, address)
        assert opened.elsewhere == [address] and other.brought == {}
    assert web.elsewhere == []  # in all that it has run so far
    free.close()
    other.shutdown()
    other.server_close()


def test_a_browser_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="chromium is needed"), chromium():
        pass


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


def test_a_package_is_read_without_being_unpacked(packed: npm.Package, tmp_path: Path) -> None:
    found = npm.read(packed, ["dist/a.mjs", "b.wasm"], tmp_path)
    assert found == {"a.mjs": b"one", "b.wasm": b"two"}
    assert [path.name for path in tmp_path.iterdir()] == [packed.file]
    with pytest.raises(DataError, match=r"expected the file c\.js in it, found none"):
        npm.read(packed, ["c.js"], tmp_path)


def test_a_changed_package_is_not_opened(packed: npm.Package, tmp_path: Path) -> None:
    path = tmp_path / packed.file
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="it was not opened"):
        npm.read(packed, ["b.wasm"], tmp_path)


def test_npm_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"fetch onnxruntime-web@[\d.]+ once, and found none"):
        npm.read(npm.ONNXRUNTIME_WEB, MEMBERS, tmp_path / "cache")
    assert list(tmp_path.iterdir()) == []


def assert_same_numbers(answer: bytes, file: Path, x: np.ndarray) -> None:
    """Compare what MLflow answers with what onnxruntime says of x."""
    session = onnxruntime.InferenceSession(file)
    names = [output.name for output in session.get_outputs()]
    predictions = json.loads(answer)["predictions"]
    assert list(predictions) == names
    expected = session.run(names, {session.get_inputs()[0].name: x})
    for name, value in zip(names, expected, strict=True):
        found = np.array(predictions[name], np.float32)
        np.testing.assert_allclose(found, value, rtol=0, atol=1e-6, err_msg=name)


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
        assert_same_numbers(answer.read(), trained / "model.onnx", x)


@pytest.mark.parametrize(
    ("task", "name", "file"), [("mnist", "image", "model.onnx"), ("gate", "x", "gate.onnx")]
)
def test_mlflow_predicts_the_same_numbers(
    task: str, name: str, file: str, trained: Path, run: Command, digits: Mnist, tmp_path: Path
) -> None:
    table = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    x = {"mnist": digits.test_images[:5], "gate": table}[task]
    asked, answer = tmp_path / "in.json", tmp_path / "out.json"
    asked.write_text(json.dumps({"inputs": {name: x.tolist()}}))
    of = f"-m models:/{task}-onnx@champion --env-manager local -i {asked} -o {answer}"
    run(f"mlflow models predict {of}", MLFLOW_DISABLE_TELEMETRY="true")
    assert_same_numbers(answer.read_bytes(), trained / file, x)

"""The endpoints for programs, on the page in a thread; every example of docs/api.md is run."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from experiments.core.paths import ROOT
from serve.backends.onnx_backend import OnnxPredictor
from serve.refusals import REFUSALS, START
from tests.conftest import environment

EXAMPLES = ROOT / "serve" / "tabs" / "digit" / "examples"
DOCUMENT = (ROOT / "docs" / "api.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENT, re.M | re.S)


@pytest.fixture
def http(url_in_process: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url_in_process, timeout=60) as client:
        yield client


def upload(http: httpx.Client, path: Path) -> dict[str, str]:
    [address] = http.post("/gradio_api/upload", files={"files": path.read_bytes()}).json()
    return {"path": address}


def post(http: httpx.Client, name: str, *data: object) -> httpx.Response:
    return http.post(f"/gradio_api/run/{name}", json={"data": data})


def call(http: httpx.Client, name: str, *data: object) -> dict:
    return post(http, name, *data).json()["data"][0]


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=[kind for kind, _ in BLOCKS])
def test_the_documents_examples_work(
    language: str, code: str, url_in_process: str, trained: Path
) -> None:
    assert [kind for kind, _ in BLOCKS] == ["sh", "python", "python"]
    command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    result = subprocess.run(
        [*command[language], code.replace("http://127.0.0.1:7860", url_in_process)],
        cwd=trained,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "7" in result.stdout and '"error"' not in result.stdout


def test_digits_are_answered_as_the_graph_predicts_them(http: httpx.Client, trained: Path) -> None:
    predictor = OnnxPredictor(trained / "model.onnx")
    preds = []
    for digit in range(10):
        answer = call(http, "classify_digit", upload(http, EXAMPLES / f"{digit}.png"))
        assert set(answer) == {
            *("label", "digit", "probabilities", "score", "threshold", "false_reject_rate"),
            *("unread", "model"),
        }
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-4)
        assert answer["digit"] == str(np.argmax(answer["probabilities"]))
        is_rejected = answer["score"] < answer["threshold"]
        assert answer["label"] == (None if is_rejected else answer["digit"])
        assert answer["threshold"] == predictor.facts["score_threshold"]
        preds.append(answer["digit"])
    assert sum(pred == str(digit) for digit, pred in enumerate(preds)) >= 9


def test_the_label_of_noise_is_null(http: httpx.Client, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    answer = call(http, "classify_digit", upload(http, tmp_path / "noise.png"))
    assert answer["label"] is None and answer["digit"] in set("0123456789")


def test_gradios_client_and_a_named_model_give_the_same(
    url_in_process: str, http: httpx.Client
) -> None:
    client = Client(url_in_process, verbose=False)
    try:
        path = EXAMPLES / "3.png"
        answer = client.predict(image=handle_file(path), api_name="/classify_digit")
        endpoints = client.view_api(return_format="dict")["named_endpoints"]
    finally:
        client.close()
    image = upload(http, path)
    assert answer == call(http, "classify_digit", image)
    assert answer == call(http, "classify_digit", image, "models:/mnist-onnx@champion")
    assert set(endpoints) == {"/classify_digit", "/evaluate_gate"}


@pytest.mark.parametrize(
    ("model", "code"),
    [
        ("models:/gate-onnx@champion", "task-mismatch"),
        ("models:/mnist-onnx/999", "version-unknown"),
        ("../../etc/passwd", "key-invalid"),
        (7, "key-invalid"),
        (["a"], "key-invalid"),
    ],
)
def test_an_invalid_model_is_refused(model: object, code: str, http: httpx.Client) -> None:
    answer = post(http, "classify_digit", upload(http, EXAMPLES / "5.png"), model)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


@pytest.mark.parametrize(
    ("method", "address", "status", "code"),
    [
        ("POST", "queue/join", 422, "request-invalid"),
        ("GET", "run/classify_digit", 405, "http-405"),
    ],
)
def test_gradios_refusals_have_a_code(
    method: str, address: str, status: int, code: str, http: httpx.Client
) -> None:
    answer = http.request(method, f"/gradio_api/{address}", json=[])
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["error"].endswith(".")


def test_the_document_names_every_status() -> None:
    statuses = {row.status for row in REFUSALS.values()} - {START} | {422}
    assert all(str(status) in DOCUMENT for status in statuses)


def test_health_and_metrics(http: httpx.Client) -> None:
    def families() -> dict:
        text = http.get("/metrics").text
        return {family.name: family for family in text_string_to_metric_families(text)}

    def count(endpoint: str, status: str) -> float:
        labels = {"endpoint": endpoint, "status": status}
        samples = families()["page_requests"].samples
        return sum(s.value for s in samples if s.labels == labels and s.name.endswith("_total"))

    before = [count("/run/evaluate_gate", status) for status in ("200", "400")]
    for gate in ("and", "or", "nonsense"):
        post(http, "evaluate_gate", gate, [1, 1])
    after = [count("/run/evaluate_gate", status) for status in ("200", "400")]
    assert np.subtract(after, before).tolist() == [2, 1]
    assert families()["process_resident_memory_bytes"].samples[0].value > 50e6
    assert families()["page_requests_in_flight"].samples[0].value >= 1  # this one
    assert families()["page_request_seconds"].type == "histogram"
    health = http.get("/healthz").json()
    assert health["status"] == "ok" and set(health["models"]) == {"mnist", "gate"}

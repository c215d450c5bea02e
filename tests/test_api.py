"""The endpoints for programs, on the real server; every example of docs/api.md is run."""

import json
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

from experiments.paths import ROOT
from serve.predictor import OnnxPredictor
from tests.conftest import environment

JSON = {"Content-Type": "application/json"}
EXAMPLES = ROOT / "serve" / "digit" / "examples"
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "docs" / "api.md").read_text(), re.M | re.S)


@pytest.fixture
def http(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def uploaded(http: httpx.Client, path: Path) -> dict[str, str]:
    [there] = http.post("/gradio_api/upload", files={"files": path.read_bytes()}).json()
    return {"path": there}


def asked(http: httpx.Client, name: str, *data: object) -> dict:
    answer = http.post(
        f"/gradio_api/run/{name}", content=json.dumps({"data": data}), headers=JSON
    ).json()
    return answer["data"][0]


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=[kind for kind, _ in BLOCKS])
def test_the_documents_examples_work(language: str, code: str, url: str, trained: Path) -> None:
    command = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    result = subprocess.run(
        [*command[language], code.replace("http://127.0.0.1:7860", url)],
        cwd=trained,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "7" in result.stdout and '"error"' not in result.stdout


def test_the_document_has_the_examples_that_were_asked_for() -> None:
    assert [kind for kind, _ in BLOCKS] == ["sh", "python", "python"]
    assert len(BLOCKS[-1][1].splitlines()) == 10


def test_digits_are_answered_as_the_graph_answers_them(http: httpx.Client, trained: Path) -> None:
    predictor = OnnxPredictor(trained / "model.onnx")
    shown = json.loads(http.get("/healthz").text)
    read = []
    for digit in range(10):
        answer = asked(http, "classify_digit", uploaded(http, EXAMPLES / f"{digit}.png"))
        assert set(answer) == {
            *("label", "digit", "probabilities", "score", "threshold", "refused_digits", "model")
        }
        assert len(answer["probabilities"]) == 10
        assert sum(answer["probabilities"]) == pytest.approx(1, abs=1e-4)
        assert answer["digit"] == str(np.argmax(answer["probabilities"]))
        assert answer["label"] == (
            None if answer["score"] < answer["threshold"] else answer["digit"]
        )
        assert answer["threshold"] == predictor.facts["score_threshold"]
        assert answer["model"] == shown["models"]["mnist"]
        read.append(answer["digit"])
    assert sum(said == str(digit) for digit, said in enumerate(read)) >= 9


def test_no_digit_is_said_by_null(http: httpx.Client, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    answer = asked(http, "classify_digit", uploaded(http, tmp_path / "noise.png"))
    assert answer["label"] is None and answer["digit"] in set("0123456789")


def test_every_gate_answers_its_truth_table(http: httpx.Client, trained: Path) -> None:
    tables = OnnxPredictor(trained / "gate.onnx").facts["truth_tables"]
    for gate, table in tables.items():
        answers = [
            asked(http, "evaluate_gate", gate, [a, b]) for a, b in ((0, 0), (0, 1), (1, 0), (1, 1))
        ]
        assert "".join(str(answer["output"]) for answer in answers) == table
        assert all(answer["gate"] == gate for answer in answers)
        assert all((answer["probability"] > 0.5) == answer["output"] for answer in answers)
        assert answers[1]["inputs"] == [0, 1]


def test_gradios_own_client_sees_the_same(url: str, http: httpx.Client) -> None:
    client = Client(url, verbose=False)
    try:
        path = EXAMPLES / "3.png"
        theirs = client.predict(image=handle_file(path), api_name="/classify_digit")
        assert theirs == asked(http, "classify_digit", uploaded(http, path))
        named = client.view_api(return_format="dict")["named_endpoints"]
        assert client.heartbeat.is_alive()  # it ends where its address is closed
    finally:
        client.close()
    assert set(named) == {"/classify_digit", "/evaluate_gate"}


def test_a_model_can_be_named(http: httpx.Client) -> None:
    picture = uploaded(http, EXAMPLES / "5.png")
    usual = asked(http, "classify_digit", picture)
    named = asked(http, "classify_digit", picture, "models:/mnist-onnx@champion")
    assert named["model"] == usual["model"]
    assert named["probabilities"] == pytest.approx(usual["probabilities"], abs=1e-4)
    for wrong in (
        "models:/gate-onnx@champion",
        "models:/mnist-onnx/999",
        "../../etc/passwd",
        7,
        ["a"],
    ):
        body = json.dumps({"data": [picture, wrong]})
        told = http.post("/gradio_api/run/classify_digit", content=body, headers=JSON).json()
        assert told["error"].endswith(".") and "Something went wrong" not in told["error"], wrong
        assert isinstance(wrong, str) or "expected a text" in told["error"]


def test_health_and_metrics_count_what_was_asked(http: httpx.Client) -> None:
    def count(endpoint: str, status: str) -> float:
        families = text_string_to_metric_families(http.get("/metrics").text)
        samples = {
            tuple(sorted(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
            if sample.name == "page_requests_total"
        }
        return samples.get((("endpoint", endpoint), ("status", status)), 0)

    before = count("/run/evaluate_gate", "200"), count("/run/evaluate_gate", "400")
    for gate in ("and", "or", "nonsense"):
        body = json.dumps({"data": [gate, [1, 1]]})
        http.post("/gradio_api/run/evaluate_gate", content=body, headers=JSON)
    after = count("/run/evaluate_gate", "200"), count("/run/evaluate_gate", "400")
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)
    text = http.get("/metrics").text
    seen = {family.name: family for family in text_string_to_metric_families(text)}
    resident = seen["process_resident_memory_bytes"].samples[0].value
    assert 50e6 < resident < 2e9
    assert seen["page_requests_in_flight"].samples[0].value >= 1  # this one
    assert seen["page_request_seconds"].type == "histogram"
    http.get("/invented/by/a/caller")
    assert "invented" not in http.get("/metrics").text
    healthy = http.get("/healthz").json()
    assert healthy["status"] == "ok" and set(healthy["models"]) == {"mnist", "gate"}

"""Behind the page: predictors, pictures from the pad and from files, the command's refusals."""

import base64
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from experiments.core.cli import HOW_TO_EXPORT
from experiments.data import truth_table
from serve.app import TASKS, command
from serve.backends.onnx_backend import OnnxPredictor, Predictor, read
from serve.models.store import ModelStore
from serve.tabs.digit import markup, preprocess
from tests.conftest import Command, LocalQuery, client
from tests.expect import ending, refused


@pytest.fixture(autouse=True)
def registry(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")


def opened(backend: str = "onnxruntime", models: tuple[str, ...] = ()) -> ModelStore:
    return ModelStore(models, backend, TASKS, query=LocalQuery).open()


@pytest.fixture(params=["onnxruntime", "torch"])
def predictors(request: pytest.FixtureRequest) -> Iterator[dict[str, Predictor]]:
    """Both tasks' champions on each backend: the contract below holds for all."""
    store = opened(request.param)
    assert store.notes == {}
    yield {task: store.load(key) for task, key in store.defaults.items()}


def test_the_contract_of_predictors(predictors, trained: Path, digits) -> None:
    predictor = predictors["mnist"]
    assert predictor.task == "mnist" and predictor.labels == list("0123456789")
    outputs = predictor(digits.test_images[:200])
    assert (outputs["probabilities"].argmax(1) == digits.test_labels[:200]).mean() > 0.95
    expected = OnnxPredictor(trained / "model.onnx")(digits.test_images[:200])
    assert list(outputs) == list(expected)
    for name, values in expected.items():
        assert outputs[name].dtype == np.float32
        np.testing.assert_allclose(outputs[name], values, atol=1e-4)

    predictor = predictors["gate"]
    outputs = predictor(truth_table.inputs(2))
    assert outputs["hidden"].shape[:2] == (4, 16)
    for column, label in enumerate(predictor.labels):
        bits = "".join(str(int(p > 0.5)) for p in outputs["probabilities"][:, column])
        assert bits == predictor.facts["truth_tables"][label]


def test_a_champion_that_is_not_exported_is_noted(trained: Path) -> None:
    registry = client(trained)
    former = registry.get_model_version_by_alias("gate", "champion")
    newer = registry.create_model_version("gate", former.source, former.run_id, dict(former.tags))
    registry.set_registered_model_alias("gate", "champion", newer.version)
    try:
        store = opened()
    finally:
        registry.set_registered_model_alias("gate", "champion", former.version)
        registry.delete_model_version("gate", newer.version)
    assert store.load(store.defaults["gate"]).title.startswith(f"gate/{former.version}")
    note = store.notes["gate"]
    assert note.code == "champion-unexported" and f"gate version {newer.version}" in note.expected
    assert HOW_TO_EXPORT.format(task="gate") in note.fix


def test_files_that_are_no_models_are_refused(tmp_path: Path, trained: Path) -> None:
    path = tmp_path / "a.onnx"
    with refused("file-missing", what=path):
        OnnxPredictor(path)
    path.write_bytes(os.urandom(1000))
    with refused("model-corrupt", what=path):
        OnnxPredictor(path)
    with refused("file-too-large", expected=999, found=1000):
        read(path, 999)
    with refused("file-unreadable", what="/proc/self/mem"):
        OnnxPredictor(Path("/proc/self/mem"))  # not even by root


def test_graphs_of_other_programs_are_refused(tmp_path: Path, trained: Path) -> None:
    path, graph = tmp_path / "odd.onnx", onnx.load(trained / "gate.onnx")
    labels = next(entry for entry in graph.metadata_props if entry.key == "labels")
    labels.value = "no JSON"
    onnx.save(graph, path)
    with refused("metadata-invalid", what=path):
        OnnxPredictor(path)
    del graph.metadata_props[:]
    del graph.graph.output[1]  # probabilities
    onnx.save(graph, path)
    with refused("metadata-missing", found="task, labels, facts, probabilities"):
        OnnxPredictor(path)
    digits = onnx.load(trained / "model.onnx")
    digits.graph.input[0].name = "canvas"
    for node in digits.graph.node:
        node.input[:] = ["canvas" if name == "image" else name for name in node.input]
    onnx.save(digits, path)
    with refused("input-mismatch", found="canvas"):
        OnnxPredictor(path)


def on_pad(pixels: np.ndarray, kind: str) -> dict[str, str]:
    """Return what the pad sends for RGBA pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"kind": kind, "data": address}


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "pen"},
        {"kind": "pen", "data": 7},
        {"kind": "file", "data": "data:image/png;base64,no picture"},
        {"kind": "pen", "data": "data:image/png;base64,AAAA"},
        "data:image/png;base64,AAAA",
        on_pad(np.zeros((2001, 10, 4), np.uint8), "pen"),  # larger than any pad
    ],
    ids=range(6),
)
def test_an_unreadable_pad_is_refused(value) -> None:
    with refused("picture-unreadable"):
        preprocess.from_pad(value)


def test_the_ink_of_the_pad_is_its_alpha() -> None:
    assert not any(preprocess.from_pad(value).any() for value in (None, {}, ""))
    drawn = np.zeros((50, 40, 4), np.uint8)
    drawn[20:30, 30:34, 3] = 200
    assert np.array_equal(preprocess.from_pad(on_pad(drawn, "pen")), drawn[..., 3])
    from_file = preprocess.from_pad(on_pad(drawn, "file"))
    assert np.array_equal(from_file > 0, drawn[..., 3] > 0)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "I;16", "1"])
def test_pictures_of_any_mode_and_polarity(digits, mode: str) -> None:
    digit = np.kron(digits.test_images[0], np.ones((4, 4), np.uint8))
    expected = preprocess.to_image(digit)[0]
    for pixels in (digit, 255 - digit):
        picture = Image.fromarray(pixels)
        if mode == "I;16":
            picture = Image.fromarray(pixels.astype(np.uint16) * 257)
        else:
            picture = picture.convert(mode)
        result = preprocess.to_image(preprocess.from_picture(picture))[0]
        assert np.abs(result.astype(int) - expected).mean() < (12 if mode == "1" else 1)


def test_examples_are_mnists_own(digits) -> None:
    for digit in range(10):
        path = preprocess.CANVAS.with_name("examples") / f"{digit}.png"
        image = preprocess.to_image(preprocess.from_picture(Image.open(path)))[0].astype(int)
        index = np.flatnonzero(digits.test_labels == digit)[0]
        assert np.abs(image - digits.test_images[index]).max() <= 13  # the faintest ink is dropped


def test_bars_keep_the_labels_order_and_mark_the_top() -> None:
    text = markup.bars(["a", "b", "<c>"], np.array([0.1, 0.7, 0.2]))
    assert re.findall(r"width:([\d.]+%)", text) == ["10.00%", "70.00%", "20.00%"]
    assert "70.0%" in text and text.count("bar top") == 1
    assert "bar top" not in markup.bars(["a", "b"], np.array([0.1, 0.9]), refused=True)
    assert "&lt;c&gt;" in text and "<c>" not in text


@pytest.mark.parametrize(
    ("backend", "models", "code", "facts"),
    [
        ("onnxruntime", ["absent.onnx"], "file-missing", {"what": "absent.onnx"}),
        ("onnxruntime", ["models:/mnist/1"], "file-unregistered", {"what": "mnist version 1"}),
        ("torch", ["models:/mnist-onnx/1"], "file-unregistered", {"what": "mnist-onnx version 1"}),
        ("onnxruntime", ["gate.onnx", "gate.onnx"], "model-repeated", {"expected": "gate"}),
        ("torch", ["model.onnx"], "backend-mismatch", {"found": "model.onnx"}),
    ],
)
def test_a_model_that_cannot_be_served_is_refused(
    backend: str,
    models: list[str],
    code: str,
    facts: dict[str, str],
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(trained)
    with refused(code, **facts):
        opened(backend, models)


@pytest.mark.parametrize(
    ("line", "code", "facts"),
    [
        ("--host ::1", "host-unknown", {"found": "::1"}),
        ("--allowed-host page.example", "page-exposed", {"what": "page.example"}),
        ("model.onnx", "option-unknown", {"found": "model.onnx"}),
    ],
)
def test_wrong_options_are_refused(line: str, code: str, facts: dict[str, str]) -> None:
    with refused(code, **facts):
        command.main(line.split(), standalone_mode=False)
    with refused("value-invalid", what="port", found="'99999'"):
        command.main(["--port", "99999"], standalone_mode=False)


@pytest.mark.slow
def test_a_command_ends_in_one_sentence_and_its_code(run: Command) -> None:
    result = run("python serve/app.py --model absent.onnx", fails=True)
    assert result.returncode == 2 and ending(result.stderr).code == "file-missing"
    assert len(result.stderr.strip().splitlines()) == 1

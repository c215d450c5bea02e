"""Behind the page: predictors, ink, markup, and the command's refusals."""

import base64
import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from experiments.errors import UserError
from experiments.paths import ROOT
from serve.app import TASKS
from serve.digit import ink, markup
from serve.model.shelf import Shelf
from serve.predictor import OnnxPredictor, Predictor
from tests.conftest import Command, client, environment, free_port, serving


@pytest.fixture(params=["onnxruntime", "torch"])
def predictors(
    request: pytest.FixtureRequest, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Predictor]]:
    """Both tasks' champions on each backend: the contract below holds for all."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    shelf = Shelf.open([], request.param, TASKS)
    assert shelf.notes == {}
    yield {task: shelf.get(key) for task, key in shelf.first.items()}


def test_predictor_reads_digits(predictors, digits) -> None:
    predictor = predictors["mnist"]
    assert predictor.task == "mnist" and predictor.labels == list("0123456789")
    outputs = predictor(digits.test_images[:100])
    assert outputs["probabilities"].dtype == np.float32
    assert (outputs["probabilities"].argmax(1) == digits.test_labels[:100]).mean() > 0.95


def test_predictor_knows_gates(predictors) -> None:
    predictor = predictors["gate"]
    rows = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    outputs = predictor(rows)
    assert outputs["hidden"].shape[:2] == (4, 16)
    for column, label in enumerate(predictor.labels):
        bits = "".join(str(int(p > 0.5)) for p in outputs["probabilities"][:, column])
        assert bits == predictor.facts["truth_tables"][label]


def test_backends_agree(trained: Path, digits, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments import versions
    from serve.torch_backend import TorchPredictor

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    ours = OnnxPredictor(trained / "model.onnx")(digits.test_images[:200])
    theirs = TorchPredictor(versions.find("models:/mnist@champion"))(digits.test_images[:200])
    assert list(ours) == list(theirs)
    for name in ours:
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-4)


def test_a_champion_that_is_not_exported_is_noted(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    store = client(trained)
    assert Shelf.open([], "onnxruntime", TASKS).notes == {}
    former = store.get_model_version_by_alias("gate", "champion")
    newer = store.create_model_version("gate", former.source, former.run_id, dict(former.tags))
    store.set_registered_model_alias("gate", "champion", newer.version)
    try:
        shelf = Shelf.open([], "onnxruntime", TASKS)
    finally:
        store.set_registered_model_alias("gate", "champion", former.version)
        store.delete_model_version("gate", newer.version)
    assert shelf.get(shelf.first["gate"]).title.startswith(f"gate/{former.version}")
    assert "not exported yet: python export/to_onnx.py --task gate" in shelf.notes["gate"]


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    for name, raw in {"a.png": os.urandom(500), "b.jpg": b"", "c.gif": b"GIF89a"}.items():
        (tmp_path / name).write_bytes(raw)
        with pytest.raises(UserError, match="no picture that can be read"):
            ink.from_file(tmp_path / name)
    Image.new("1", (20_000, 20_000)).save(tmp_path / "bomb.png")
    with pytest.raises(UserError, match="no picture that can be read"):
        ink.from_file(tmp_path / "bomb.png")


def test_rubbish_is_refused_with_a_sentence(tmp_path: Path, trained: Path) -> None:
    (tmp_path / "rubbish.onnx").write_bytes(os.urandom(1000))
    with pytest.raises(UserError, match="expected an ONNX model"):
        OnnxPredictor(tmp_path / "rubbish.onnx")
    with pytest.raises(UserError, match="there is no such model file"):
        OnnxPredictor(tmp_path / "absent.onnx")
    foreign = onnx.load(trained / "gate.onnx")
    del foreign.metadata_props[:]
    onnx.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(UserError, match="without task, labels, facts;"):
        OnnxPredictor(tmp_path / "foreign.onnx")


def test_a_graph_that_says_rubbish_of_itself_is_refused(tmp_path: Path, trained: Path) -> None:
    path, graph = tmp_path / "odd.onnx", onnx.load(trained / "gate.onnx")
    kept = {entry.key: entry for entry in graph.metadata_props}
    kept["labels"].value = "no JSON"
    onnx.save(graph, path)
    with pytest.raises(UserError, match="whose labels or facts are no JSON"):
        OnnxPredictor(path)
    kept["labels"].value = "[]"
    del graph.graph.output[1]  # probabilities
    onnx.save(graph, path)
    with pytest.raises(UserError, match="found one without probabilities"):
        OnnxPredictor(path)
    digits = onnx.load(trained / "model.onnx")
    digits.graph.input[0].name = "canvas"
    for node in digits.graph.node:
        node.input[:] = ["canvas" if name == "image" else name for name in node.input]
    onnx.save(digits, path)
    with pytest.raises(UserError, match="with the input canvas"):
        OnnxPredictor(path)
    with pytest.raises(UserError, match="could not be read"):
        OnnxPredictor(Path("/proc/self/mem"))  # not even by root


@pytest.mark.parametrize("value", [None, {}, ""])
def test_an_empty_pad_has_no_ink(value) -> None:
    assert not ink.from_pad(value).any()


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "pen"},
        {"kind": "pen", "data": 7},
        {"kind": "file", "data": "data:image/png;base64,no picture"},
        {"kind": "pen", "data": "data:image/png;base64,AAAA"},
        "data:image/png;base64,AAAA",
    ],
)
def test_a_pad_with_rubbish_is_told(value) -> None:
    with pytest.raises(UserError, match="no picture that can be read"):
        ink.from_pad(value)


def on_pad(pixels: np.ndarray, kind: str) -> dict[str, str]:
    """What the pad sends for RGBA pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"kind": kind, "data": address}


def test_drawn_ink_is_the_alpha_of_the_pad() -> None:
    drawn = np.zeros((50, 40, 4), np.uint8)
    drawn[20:30, 30:34, 3] = 200
    assert np.array_equal(ink.from_pad(on_pad(drawn, "pen")), drawn[..., 3])
    as_a_file = ink.from_pad(on_pad(drawn, "file"))
    assert np.array_equal(as_a_file > 0, drawn[..., 3] > 0)


def test_a_paper_larger_than_the_page_has_is_refused() -> None:
    with pytest.raises(UserError, match="no picture that can be read"):
        ink.from_pad(on_pad(np.zeros((2001, 10, 4), np.uint8), "pen"))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "I;16", "1"])
def test_pictures_of_any_mode_and_polarity(digits, mode: str) -> None:
    digit = np.kron(digits.test_images[0], np.ones((4, 4), np.uint8))
    expected = ink.to_image(digit)[0]
    for pixels in (digit, 255 - digit):
        picture = Image.fromarray(pixels)
        if mode == "I;16":
            picture = Image.fromarray(pixels.astype(np.uint16) * 257)
        else:
            picture = picture.convert(mode)
        found = ink.to_image(ink.from_picture(picture))[0]
        difference = np.abs(found.astype(int) - expected)
        assert difference.mean() < (12 if mode == "1" else 1), mode


def test_transparent_pictures_show_their_ink(digits) -> None:
    alpha = digits.test_images[0]
    black = np.zeros((28, 28, 4), np.uint8)
    black[..., 3] = alpha
    assert np.abs(ink.from_picture(Image.fromarray(black)).astype(int) - alpha).max() <= 13


def test_even_pages_are_blank() -> None:
    for shade in (0, 128, 255):
        assert not ink.from_picture(Image.new("L", (50, 80), shade)).any()


def test_large_pictures_are_reduced() -> None:
    assert max(ink.from_picture(Image.new("L", (5000, 40), 255)).shape) <= ink.LONGEST_SIDE


PEAK = """
import re, sys
from pathlib import Path
from serve.digit import ink

def peak():  # of this program alone, in kB
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = peak()
ink.from_file(Path(sys.argv[1]))
print((peak() - before) / 1000)
"""


@pytest.mark.parametrize(
    ("pixels", "name"),
    [
        (np.zeros((4000, 4000), np.float32), "page.tiff"),
        (np.zeros((4000, 4000), np.uint16), "page.png"),
        (np.full((4000, 4000, 4), 99, np.uint8), "page.png"),
        (np.zeros((7000, 7000, 3), np.uint8), "page.jpg"),
    ],
    ids=["floats", "16 bits", "alpha", "jpeg"],
)
def test_a_large_picture_takes_little_memory(pixels: np.ndarray, name: str, tmp_path: Path) -> None:
    how = {"compression": "tiff_deflate"} if name == "page.tiff" else {}
    Image.fromarray(pixels).save(tmp_path / name, **how)
    del pixels
    line = [sys.executable, "-c", PEAK, str(tmp_path / name)]
    told = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert 30 < float(told) < 120  # megabytes; unthinned, floats and 16 bits take 270 and more


def test_what_takes_too_much_memory_is_refused(tmp_path: Path) -> None:
    Image.new("P", (4100, 4000)).save(tmp_path / "page.png")
    with pytest.raises(UserError, match="a JPEG of at most 50 megapixels, or a PNG of at most 16"):
        ink.from_file(tmp_path / "page.png")


def test_examples_are_mnists_own(digits) -> None:
    files = sorted(ink.CANVAS.with_name("examples").glob("*.png"))
    assert [file.stem for file in files] == list("0123456789")
    for file in files:
        index = np.flatnonzero(digits.test_labels == int(file.stem))[0]
        seen = ink.to_image(ink.from_picture(Image.open(file)))[0].astype(int)
        assert np.abs(seen - digits.test_images[index]).max() <= 13  # the faintest ink is dropped


def test_bars_keep_the_labels_order_and_mark_the_top() -> None:
    text = markup.bars(["a", "b", "<c>"], np.array([0.1, 0.7, 0.2]))
    assert re.findall(r"width:([\d.]+%)", text) == ["10.00%", "70.00%", "20.00%"]
    assert "70.0%" in text and text.count("bar top") == 1
    assert "bar top" not in markup.bars(["a", "b"], np.array([0.1, 0.9]), refused=True)
    assert "&lt;c&gt;" in text and "<c>" not in text


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--backend tensorflow", "is not one of 'onnxruntime', 'torch'"),
        ("--port 99999", "99999 is not in the range"),
        ("--model absent.onnx", "absent.onnx: there is no such model file"),
        ("--model README.md", "expected an ONNX model"),
        ("--model models:/mnist/1", "mnist version 1 was registered without model.onnx"),
        ("--backend torch --model models:/mnist-onnx/1", "registered without data/model.pt2"),
        ("--model gate.onnx gate.onnx", "of task gate, which is named twice"),
        ("--host ::1", "expected a name or an IPv4 address"),
        ("--allowed-host page.example", "page.example can be reached from other machines"),
        ("--backend torch --model model.onnx", "the torch backend takes models:/NAME/VERSION"),
        ("model.onnx", "name model files by --model"),
    ],
)
def test_mistakes_end_in_one_sentence(trained: Path, run: Command, line: str, says: str) -> None:
    result = run(f"python serve/app.py {line}", fails=True)
    assert result.returncode == 2 and says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_taken_port_is_told(trained: Path, run: Command) -> None:
    port = free_port()
    with serving(
        f"python -m http.server --bind 127.0.0.1 {port}", trained, f"http://127.0.0.1:{port}"
    ):
        result = run(f"python serve/app.py --port {port} --model gate.onnx", fails=True)
    assert result.returncode == 2 and f"port {port} on 127.0.0.1 is taken" in result.stderr


def test_torch_stays_out_of_the_running_page(trained: Path, run: Command) -> None:
    code = (
        "import sys; from serve import page; from serve.model.shelf import Shelf; "
        f"page.build(Shelf.open([], 'onnxruntime', {TASKS})); "
        "print([name for name in ('torch', 'mlflow') if name in sys.modules])"
    )
    import subprocess
    import sys

    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=trained,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip().endswith("[]")

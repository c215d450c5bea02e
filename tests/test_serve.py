"""Behind the page: predictors, ink, markup, and the command's refusals."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from experiments.errors import UserError
from serve import gate_tab, ink, markup
from serve.predictor import OnnxPredictor, Predictor
from tests.conftest import Command, client, environment, free_port, serving


@pytest.fixture(params=["onnxruntime", "torch"])
def predictors(
    request: pytest.FixtureRequest, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Predictor]]:
    """Both tasks' champions on each backend: the contract below holds for all."""
    from serve.app import find_predictors

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    found, problems = find_predictors(request.param, [])
    assert problems == {}
    yield found


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
    from serve.app import find_predictors

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    store = client(trained)
    assert find_predictors("onnxruntime", [])[1] == {}
    former = store.get_model_version_by_alias("gate", "champion")
    newer = store.create_model_version("gate", former.source, former.run_id, dict(former.tags))
    store.set_registered_model_alias("gate", "champion", newer.version)
    try:
        predictors, notes = find_predictors("onnxruntime", [])
    finally:
        store.set_registered_model_alias("gate", "champion", former.version)
        store.delete_model_version("gate", newer.version)
    assert predictors["gate"].title.startswith(f"gate/{former.version}")
    assert "not exported yet: python export/to_onnx.py --task gate" in notes["gate"]


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
    with pytest.raises(UserError, match="without task, labels, facts in its metadata"):
        OnnxPredictor(tmp_path / "foreign.onnx")


@pytest.mark.parametrize(
    "drawing", [None, {}, {"layers": []}, {"layers": None}, {"layers": [None]}]
)
def test_nothing_drawn_is_no_ink(drawing) -> None:
    assert not ink.from_drawing(drawing).any()


def test_drawn_ink_is_the_layers_alpha() -> None:
    layer = np.zeros((5, 4, 4), np.uint8)
    layer[2, 3, 3] = 200
    assert np.array_equal(ink.from_drawing({"layers": [layer]}), layer[..., 3])


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
    assert "<b>b</b> with 70.0%" in text and text.count("bar top") == 1
    assert "&lt;c&gt;" in text and "<c>" not in text


class Known:
    """A gate predictor whose probabilities are exact, to test the page's arithmetic."""

    task, title = "gate", "exact"
    labels: list[str] = ["and3"]  # noqa: RUF012
    facts = {"truth_tables": {"and3": "00000001"}}  # noqa: RUF012

    def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
        return {"probabilities": (x > 0.5).all(1, keepdims=True).astype(np.float32)}


def test_gate_of_three_inputs_holds_the_third_switch() -> None:
    names = ["a", "b", "c"]
    answer, table, surface = gate_tab.render(Known(), "and3", names, [True, True, True])
    assert "a = 1, b = 1, c = 1 → and3 says <b>1</b>" in answer
    assert table.count("✓") == 8 and table.count('class="present"') == 1
    assert "c = 1" in surface
    assert surface.count(f'fill="rgb{markup.ONE}"') == 1
    off = gate_tab.render(Known(), "and3", names, [True, True, False])[2]
    assert off.count(f'fill="rgb{markup.ONE}"') == 0


def test_surface_points_upwards_and_to_the_right() -> None:
    class FirstInput(Known):
        labels = ["a"]  # noqa: RUF012
        facts = {"truth_tables": {"a": "0011"}}  # noqa: RUF012

        def __call__(self, x: np.ndarray) -> dict[str, np.ndarray]:
            return {"probabilities": (x[:, :1] > 0.5).astype(np.float32)}

    pictures = []
    real, markup_png = markup._png, lambda pixels: pictures.append(pixels) or ""
    markup._png = markup_png
    try:
        gate_tab.render(FirstInput(), "a", ["a", "b"], [False, False])
    finally:
        markup._png = real
    assert tuple(pictures[0][0, -1]) == tuple(pictures[0][-1, -1]) == markup.ONE
    assert tuple(pictures[0][0, 0]) == tuple(pictures[0][-1, 0]) == markup.ZERO


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
        "import sys; from serve.app import build, find_predictors; "
        "build(*find_predictors('onnxruntime', [])); print('torch' in sys.modules)"
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
    assert result.stdout.strip().endswith("False")

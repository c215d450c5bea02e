"""The ONNX file: what it holds, that it says what torch says, and when it is not written."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from experiments import outfile, tasks, versions
from experiments.data.mnist import Mnist
from experiments.data.split import SPLIT_SEED, VAL_SHARE, stratified
from export import convert, page_assets, parity
from models.canvas import Canvas
from tests.conftest import Command, client

TASKS = ", ".join(repr(name) for name in tasks.names())


@pytest.fixture
def registry(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The checkout's registry for commands that run in this process, in a folder of their own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "name", "dtype", "outputs"),
    [
        ("model.onnx", "image", onnx.TensorProto.UINT8, ["logits", "probabilities", "score"]),
        ("gate.onnx", "x", onnx.TensorProto.FLOAT, ["logits", "probabilities", "hidden"]),
    ],
)
def test_graph_is_whole_and_named(trained: Path, file: str, name: str, dtype: int, outputs) -> None:
    model = onnx.load(trained / file)
    onnx.checker.check_model(model, full_check=True)
    assert [i.name for i in model.graph.input] == [name]
    assert model.graph.input[0].type.tensor_type.elem_type == dtype
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [o.name for o in model.graph.output] == outputs
    assert not any(t.external_data for t in model.graph.initializer)
    about = {p.key: p.value for p in model.metadata_props}
    assert about["torch_model"].startswith("models:/") and len(about["run_id"]) == 32
    assert (
        len(json.loads(about["labels"]))
        == model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    )
    assert {"task", "input", "facts", "data_digest", "test_accuracy"} <= set(about)
    assert str(trained).encode() not in (trained / file).read_bytes()


@pytest.mark.parametrize("batch", [1, 2, 257])
def test_normalisation_is_inside_and_batch_is_free(trained: Path, digits, batch: int) -> None:
    session = onnxruntime.InferenceSession(trained / "model.onnx")
    logits, probabilities, score = session.run(None, {"image": digits.test_images[:batch]})
    assert logits.shape == probabilities.shape == (batch, 10) and score.shape == (batch,)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (logits.argmax(1) == digits.test_labels[:batch]).mean() > 0.9


def test_registry_tells_the_accuracy_it_has(trained: Path, digits) -> None:
    session = onnxruntime.InferenceSession(trained / "model.onnx")
    logits = session.run(["logits"], {"image": digits.test_images})[0]
    measured = (logits.argmax(1) == digits.test_labels).mean()
    claimed = client(trained).get_model_version_by_alias("mnist", "champion").tags["test_accuracy"]
    assert float(claimed) == pytest.approx(measured, abs=1e-9)


def test_parity_was_measured_on_the_whole_test_set(trained: Path) -> None:
    found = client(trained).search_runs(["0"], filter_string="metrics.parity_count = 10000")
    assert found[0].data.metrics["parity_same"] == 10000
    assert found[0].data.metrics["parity_largest"] <= 1e-4


def test_comparison_sees_a_small_difference(trained: Path, digits) -> None:
    session = onnxruntime.InferenceSession(trained / "model.onnx")
    decide = torch.Tensor.argmax

    def other(by: float):
        def reference(x: torch.Tensor) -> dict[str, torch.Tensor]:
            logits = session.run(["logits"], {"image": x.numpy()})[0].copy()
            logits[:, 3] += by
            return {"logits": torch.from_numpy(logits)}

        return reference

    def of(by: float) -> parity.Parity:
        x = digits.test_images[:2500]
        return parity.compare(other(by), session, x, lambda logits: decide(logits, 1))

    assert of(0).holds and of(0).count == 2500
    assert not of(2e-4).holds and of(2e-4).largest == pytest.approx(2e-4, rel=0.1)
    assert of(50).same < 500


def test_disagreement_is_no_export(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "TOLERANCE", -1.0)
    version = versions.find("models:/gate@champion")
    with pytest.raises(convert.ParityError, match="Nothing was written"):
        convert.export(version)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--model models:/mnist@absent", "@champion, 1"),
        ("--model models:/mnist/99", "@champion, 1"),
        ("--model models:/absent/1", "Registered models: "),
        ("--model models:/gate/1", "expected a version of task mnist, found one of task gate"),
        ("--model models:/mnist-onnx/1", "mnist-onnx version 1 was registered without data/"),
        ("--out .", "expected the name of a file"),
        ("--model mnist", "expected models:/NAME@ALIAS or models:/NAME/NUMBER"),
        ("--out absent/model.onnx", "absent is none"),
        ("--task foo", f"'foo' is not one of {TASKS}"),
    ],
)
def test_mistakes_end_in_one_sentence(trained: Path, run: Command, line: str, says: str) -> None:
    result = run(f"python export/to_onnx.py {line}", fails=True)
    assert result.returncode == 2 and says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_deleted_version_is_registered_again(trained: Path, run: Command) -> None:
    store = client(trained)
    gone = store.get_model_version_by_alias("gate-onnx", "champion").version
    store.delete_model_version("gate-onnx", gone)
    run("python export/to_onnx.py --task gate --out gate.onnx")
    assert int(store.get_model_version_by_alias("gate-onnx", "champion").version) > int(gone)


def test_writing_replaces_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    outfile.write(b"first", path)
    outfile.write(b"second", path)
    assert path.read_bytes() == b"second" and len(list(tmp_path.iterdir())) == 1


def test_canvas_graph_is_the_canvas(digits) -> None:
    session = onnxruntime.InferenceSession(page_assets.TAB / "canvas.onnx")
    canvas, random = Canvas(), np.random.default_rng(0)
    pages = [digits.test_images[0], np.zeros((1, 1), np.uint8)]
    pages += [
        (random.random(shape) > 0.97).astype(np.uint8) * 255
        for shape in ((28, 28), (320, 320), (50, 700), (701, 33))
    ]
    for page in pages:
        image, box, ink = session.run(None, {"canvas": page})
        expected = canvas(torch.tensor(page))
        assert np.abs(image.astype(int) - expected[0].numpy()).max() <= 1
        assert box.tolist() == expected[1].tolist()
        np.testing.assert_allclose(ink, expected[2], atol=1e-6)


def test_page_assets_are_what_the_command_makes() -> None:
    made = onnx.load_from_string(page_assets.canvas_graph())
    kept = onnx.load(page_assets.TAB / "canvas.onnx")
    assert made.graph == kept.graph


def test_a_small_one_with_its_canvas_and_a_bundle(trained: Path, run: Command, digits) -> None:
    line = "python export/to_onnx.py --precision int8 --opset 21 --with-canvas --bundle bundle"
    said = run(f"{line} --out int8.onnx").stdout
    assert "of 10,000 decisions the same" in said and "mnist-onnx-int8 version 1" in said
    model = onnx.load(trained / "int8.onnx")
    assert model.opset_import[0].version == 21 and "conv1_quantized" in str(model.graph.node)
    check_own_figures(model, digits)
    assert (trained / "bundle" / "model.onnx").read_bytes() == model.SerializeToString()
    assert "# mnist-onnx-int8 version 1" in (trained / "bundle" / "README.md").read_text()
    front = onnxruntime.InferenceSession(trained / "canvas.onnx")
    image = front.run(
        ["image"],
        {"canvas": np.kron(digits.test_images[0], np.ones((9, 9))).astype(np.uint8)},
    )[0]
    assert np.array_equal(image[0], digits.test_images[0])
    version = client(trained).get_model_version_by_alias("mnist", "champion")
    told = json.loads(version.tags["precision.int8"])
    assert told["count"] == 10_000 and told["bytes"] == (trained / "int8.onnx").stat().st_size
    assert f"| int8 | {told['same']:,} of 10,000 |" in version.description
    assert version.tags["onnx_model"] == "models:/mnist-onnx/1"
    small = client(trained).get_model_version_by_alias("mnist-onnx-int8", "champion")
    assert small.tags["torch_model"] == "models:/mnist/1"


def check_own_figures(model: onnx.ModelProto, digits: Mnist) -> None:
    """A graph of less precision states what it does itself, not what its version does."""
    about = {entry.key: entry.value for entry in model.metadata_props}
    facts = json.loads(about["facts"])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    held = stratified(digits.train_labels, VAL_SHARE, SPLIT_SEED)
    logits, score = session.run(["logits", "score"], {"image": digits.train_images[held]})
    a_digit = pytest.approx(0, abs=1.5 / len(score))  # batches of another size round otherwise
    assert facts["refused_digits"] - (score < facts["score_threshold"]).mean() == a_digit
    right = logits.argmax(1) == digits.train_labels[held]
    assert float(about["val_accuracy"]) - right.mean() == a_digit
    logits = session.run(["logits"], {"image": digits.test_images})[0]
    right = logits.argmax(1) == digits.test_labels
    assert float(about["test_accuracy"]) - right.mean() == pytest.approx(0, abs=1.5 / len(right))


def test_one_file_reads_drawings(trained: Path, run: Command, digits) -> None:
    run("python export/to_onnx.py --with-canvas=merged --out merged.onnx")
    whole = onnxruntime.InferenceSession(trained / "merged.onnx")
    model = onnxruntime.InferenceSession(trained / "model.onnx")
    page = np.kron(digits.test_images[3], np.ones((7, 7))).astype(np.uint8)
    image, logits = whole.run(["image", "logits"], {"canvas": page})
    assert np.array_equal(image[0], digits.test_images[3])
    np.testing.assert_allclose(logits, model.run(["logits"], {"image": image})[0], atol=1e-5)
    said = run("python export/to_onnx.py --task gate --with-canvas --out no.onnx", fails=True)
    assert said.returncode == 2 and not (trained / "no.onnx").exists()


def test_netrons_picture_lies_beside_the_version(trained: Path, run: Command, chromium) -> None:
    run("python export/to_onnx.py --task gate --out gate.onnx --picture")
    store = client(trained)
    version = store.get_model_version_by_alias("gate-onnx", "champion")
    assert "architecture.svg" in json.loads(version.tags["attached"])
    model = store.get_logged_model(version.source.removeprefix("models:/"))
    kept = Path(model.artifact_location.removeprefix("file://")) / "architecture.svg"
    assert "probabilities" in kept.read_text() and "hidden" in kept.read_text()
    assert "each file as it was registered" in run("python -m experiments.registry verify").stdout

"""The ONNX file: what it holds, that it computes what torch computes, when it is not written."""

import json
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from experiments import tasks
from experiments.core import files
from experiments.core.onnx_session import open_session, run_batches
from experiments.data.mnist import Mnist
from experiments.registry import artifacts
from experiments.registry.__main__ import command as registry_command
from export import export_version, page_assets, to_onnx
from export.export_version import ParityError
from export.verify import Parity
from tests import graphs
from tests.conftest import client
from tests.expect import refused

VAL = 3000  # MNIST's validation digits


@pytest.fixture
def registry(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The checkout's registry for commands that run in this process, in an empty folder."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def export(line: str) -> None:
    """Run the command in this process."""
    result = CliRunner().invoke(to_onnx.command, line.split(), standalone_mode=False)
    if result.exception is not None:
        raise result.exception


@pytest.mark.parametrize(
    ("file", "name", "dtype", "outputs"),
    [
        ("model.onnx", "image", onnx.TensorProto.UINT8, ["logits", "probabilities", "score"]),
        ("gate.onnx", "x", onnx.TensorProto.FLOAT, ["logits", "probabilities", "hidden"]),
    ],
)
def test_file_is_self_contained(trained: Path, file: str, name: str, dtype: int, outputs) -> None:
    model = onnx.load(trained / file)
    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    assert image.name == name and image.type.tensor_type.elem_type == dtype
    assert image.type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [output.name for output in model.graph.output] == outputs
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    about = graphs.metadata_of(model)
    assert about["torch_model"].startswith("models:/") and len(about["run_id"]) == 32
    labels = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    assert len(json.loads(about["labels"])) == labels
    assert {"task", "input", "facts", "data_digest", "test_accuracy"} <= set(about)
    assert str(trained).encode() not in (trained / file).read_bytes()


def test_batches_give_the_registered_accuracy(trained: Path, digits: Mnist) -> None:
    session = open_session(trained / "model.onnx")
    outputs = run_batches(session, digits.test_images)
    for size in (1, 2, 257):
        for name, values in run_batches(session, digits.test_images[:300], size).items():
            np.testing.assert_allclose(values, outputs[name][:300], atol=1e-4)
    np.testing.assert_allclose(outputs["probabilities"].sum(1), 1, rtol=1e-5)
    accuracy = (outputs["logits"].argmax(1) == digits.test_labels).mean()
    tags = client(trained).get_model_version_by_alias("mnist", "champion").tags
    assert float(tags["test_accuracy"]) == pytest.approx(accuracy, abs=1e-9)
    runs = client(trained).search_runs(["0"], filter_string=f"metrics.parity_count = {VAL}")
    assert runs[0].data.metrics["parity_same"] == VAL
    assert runs[0].data.metrics["parity_largest"] <= 1e-4


def test_a_session_refuses_other_files_and_inputs(trained: Path) -> None:
    with refused("model-corrupt", what="words.onnx"):
        open_session(b"\xffno graph", name="words.onnx")
    with refused("input-mismatch", what="image", found="int64 [2, 28, 28]"):
        run_batches(open_session(trained / "model.onnx"), np.zeros((2, 28, 28), np.int64))


@pytest.mark.parametrize(("same", "largest"), [(9, 1e-6), (10, 2e-4), (10, float("nan"))])
def test_fp32_must_be_the_same(same: int, largest: float) -> None:
    export_version.check_same("a version", Parity(10, 10, 1e-5))
    parity = Parity(10, same, largest)
    with refused("graph-differs", ParityError, what="a version", found=parity):
        export_version.check_same("a version", parity)


@pytest.mark.parametrize(
    ("count", "changed", "lost", "exhaustive", "code"),
    [  # 0.2 % of the decisions, 0.1 % of the answers, and one of a set too small to show less
        (3000, 6, 3, False, None),
        (3000, 7, 0, False, "precision-changes-decisions"),
        (3000, 0, 4, False, "precision-loses-accuracy"),
        (30, 1, 1, False, None),
        (30, 2, 0, False, "precision-changes-decisions"),
        (30, 0, 2, False, "precision-loses-accuracy"),
        (64, 0, 1, True, "precision-loses-accuracy"),
    ],
)
def test_reduced_precision_must_be_as_good(
    count: int, changed: int, lost: int, exhaustive: bool, code: str | None
) -> None:
    parity = Parity(count, count - changed, 0.5)
    with refused(code, ParityError, found=changed or lost) if code else nullcontext():
        export_version.check_reduced("a graph", parity, lost, count, exhaustive)


@pytest.mark.parametrize(
    ("line", "code", "facts"),
    [
        ("--model models:/mnist@absent", "version-unknown", {"expected": "@champion, 1"}),
        ("--model models:/mnist/99", "version-unknown", {"expected": "@champion, 1"}),
        ("--model models:/absent/1", "model-unknown", {"what": "absent", "found": "mnist"}),
        ("--model models:/gate/1", "task-mismatch", {"expected": "mnist", "found": "gate"}),
        ("--model models:/mnist-onnx/1", "file-unregistered", {"expected": artifacts.PROGRAM}),
        ("--model mnist", "uri-invalid", {"found": "mnist"}),
        ("--task foo", "task-unknown", {"what": "task", "found": "foo"}),
        ("--out .", "file-is-folder", {"what": "out"}),
        ("--out absent/model.onnx", "folder-missing", {"what": "out", "found": "absent,"}),
        ("--task gate --with-canvas --out no.onnx", "input-mismatch", {"what": "gate"}),
    ],
)
def test_mistakes_are_refused(registry: Path, line: str, code: str, facts: dict[str, str]) -> None:
    with refused(code, **facts):
        export(line)
    assert list(registry.iterdir()) == []


def test_a_deleted_version_is_registered_again(trained: Path, registry: Path) -> None:
    store = client(trained)
    deleted = store.get_model_version_by_alias("gate-onnx", "champion").version
    store.delete_model_version("gate-onnx", deleted)
    for _ in range(2):  # the second export finds the graph registered
        export("--task gate --out gate.onnx")
        champion = store.get_model_version_by_alias("gate-onnx", "champion")
        assert int(champion.version) == int(deleted) + 1


def test_a_file_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx"
    for raw in (b"first", b"second"):
        files.write(raw, path)
    assert path.read_bytes() == b"second" and len(list(tmp_path.iterdir())) == 1
    monkeypatch.setattr("os.access", lambda *_: False)
    with refused("folder-unwritable", what="out", found=f"{tmp_path}, which"):
        files.check_file(path)
    with refused("file-unwritable", what="out", found=tmp_path / "absent", fix="writable"):
        files.write(b"raw", tmp_path / "absent" / "model.onnx")


def test_page_assets_are_what_the_command_makes() -> None:
    committed = onnx.load(page_assets.TAB / "canvas.onnx")
    assert graphs.of("canvas").graph == committed.graph


def test_int8_with_its_canvas_and_a_bundle(trained: Path, registry: Path, digits: Mnist) -> None:
    export("--precision int8 --opset 21 --with-canvas --bundle bundle --out int8.onnx")
    model = onnx.load(registry / "int8.onnx")
    assert model.opset_import[0].version == 21 and "conv1_quantized" in str(model.graph.node)
    check_measurements(model, digits)
    assert (registry / "bundle" / "model.onnx").read_bytes() == model.SerializeToString()
    assert "models:/mnist-onnx-int8/1" in (registry / "bundle" / "README.md").read_text()
    enlarged = np.kron(digits.test_images[0], np.ones((9, 9))).astype(np.uint8)
    canvas = open_session(registry / "canvas.onnx")
    (image,) = canvas.run(["image"], {"canvas": enlarged})
    assert np.array_equal(image[0], digits.test_images[0])
    # The torch version names the graph, and the graph the torch version.
    version = client(trained).get_model_version_by_alias("mnist", "champion")
    row = json.loads(version.tags["precision.int8"])
    assert row["count"] == VAL and row["bytes"] == (registry / "int8.onnx").stat().st_size
    line = next(line for line in version.description.splitlines() if line.startswith("| int8 |"))
    assert f"{row['same']:,}" in line and f"{VAL:,}" in line
    assert version.tags["onnx_model"] == "models:/mnist-onnx/1"
    small = client(trained).get_model_version_by_alias("mnist-onnx-int8", "champion")
    assert int(small.version) == 1 and small.tags["torch_model"] == "models:/mnist/1"


def check_measurements(model: onnx.ModelProto, digits: Mnist) -> None:
    """A graph of reduced precision states its own accuracies, not those of its version."""
    about = graphs.metadata_of(model)
    facts = json.loads(about["facts"])
    task = tasks.get("mnist")
    val = task.load(task.data_options()).val
    outputs = graphs.run(model, val.x)
    rejected = (outputs["score"] < facts["score_threshold"]).mean()
    one = 1.5 / len(val.y)
    assert facts["false_reject_rate"] == pytest.approx(rejected, abs=one)
    accuracy = (outputs["logits"].argmax(1) == val.y).mean()
    assert float(about["val_accuracy"]) == pytest.approx(accuracy, abs=one)
    pred = graphs.run(model, digits.test_images)["logits"].argmax(1)
    accuracy = (pred == digits.test_labels).mean()
    assert float(about["test_accuracy"]) == pytest.approx(accuracy, abs=1.5 / len(pred))


@pytest.mark.slow
def test_one_file_reads_drawings(trained: Path, registry: Path, digits: Mnist) -> None:
    export("--with-canvas=merged --out merged.onnx")
    drawing = np.kron(digits.test_images[3], np.ones((7, 7))).astype(np.uint8)
    merged = open_session(registry / "merged.onnx")
    image, logits = merged.run(["image", "logits"], {"canvas": drawing})
    assert np.array_equal(image[0], digits.test_images[3])
    expected = run_batches(open_session(trained / "model.onnx"), image)["logits"]
    np.testing.assert_allclose(logits, expected, atol=1e-5)


@pytest.mark.browser
def test_netrons_picture_is_stored(trained: Path, registry: Path, chromium: str) -> None:
    export("--task gate --out gate.onnx --picture")
    store = client(trained)
    version = store.get_model_version_by_alias("gate-onnx", "champion")
    assert "architecture.svg" in json.loads(version.tags["attached"])
    model = store.get_logged_model(version.source.removeprefix("models:/"))
    svg = Path(model.artifact_location.removeprefix("file://")) / "architecture.svg"
    assert "probabilities" in svg.read_text() and "hidden" in svg.read_text()
    verified = CliRunner().invoke(registry_command, ["verify"], standalone_mode=False)
    assert verified.exception is None, verified.output

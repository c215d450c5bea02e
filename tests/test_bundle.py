"""The canvas as a graph and in one file with a model; the folder for inference servers."""

import errno
import importlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import tritonclient
from google.protobuf import text_format
from tritonclient.utils import triton_to_np_dtype

from experiments.core import files
from experiments.core.exports import OPSET, PRECISIONS
from experiments.core.onnx_session import open_session, run_batches
from experiments.data.mnist import Mnist
from export import bundle, preprocessing
from export.precision import to_precision
from models.canvas import Canvas
from tests import graphs
from tests.expect import refused

OTHER = pytest.mark.slow  # than the default opset: exported in the slow set


@pytest.fixture(scope="module")
def drawings(digits: Mnist) -> list[np.ndarray]:
    """Canvases of several sizes with one real digit each, two blank ones, and one of noise."""
    canvases = [np.zeros((1, 1), np.uint8), np.zeros((40, 30), np.uint8), digits.test_images[0]]
    canvases.append((np.random.default_rng(0).random((50, 70)) > 0.97).astype(np.uint8) * 255)
    for index, (height, width) in enumerate([(320, 320), (300, 700), (701, 290)]):
        canvas = np.zeros((height, width), np.uint8)
        enlarged = np.kron(digits.test_images[index + 1], np.ones((9, 9), np.uint8))  # [252, 252]
        canvas[7 : 7 + 252, -270 : -270 + 252] = enlarged
        canvases.append(canvas)
    return canvases


def _signature(values: Any) -> dict[str, str]:
    """Name -> dtype and shape, as preprocessing.OUTPUTS begins its sentences."""
    result = {}
    for value in values:
        tensor = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        shape = ", ".join(dim.dim_param or str(dim.dim_value) for dim in tensor.shape.dim)
        result[value.name] = f"{dtype} [{shape}]"
    return result


@pytest.mark.parametrize(
    "opset", [pytest.param(18, marks=OTHER), OPSET, pytest.param(23, marks=OTHER)]
)
def test_canvas_is_the_torch_module_and_states_what_it_is(opset: int, drawings) -> None:
    model = graphs.of("canvas", opset)
    onnx.checker.check_model(model, full_check=True)
    assert [each.version for each in model.opset_import] == [opset]
    about = graphs.metadata_of(model)
    assert _signature(model.graph.input) == {"canvas": "uint8 [height, width]"}
    assert about["input"].startswith("canvas, uint8 [height, width]: ")
    stated, outputs = json.loads(about["outputs"]), _signature(model.graph.output)
    assert list(stated) == list(outputs)
    assert all(stated[name].startswith(f"{kind}: ") for name, kind in outputs.items())
    session, module = open_session(model.SerializeToString()), Canvas()
    for drawing in drawings:
        image, box, ink = session.run(None, {"canvas": drawing})
        expected = module(torch.tensor(drawing))
        assert np.abs(image.astype(int) - expected[0].numpy()).max() <= 1
        assert box.tolist() == expected[1].tolist()
        np.testing.assert_allclose(ink, expected[2], atol=1e-6)


@pytest.mark.parametrize(
    ("opset", "precision"),
    [
        *((OPSET, precision) for precision in PRECISIONS),
        *(pytest.param(*each, marks=OTHER) for each in [(18, "int8"), (23, "fp32"), (23, "fp16")]),
    ],
)
def test_merged_computes_the_one_after_the_other(
    opset: int, precision: str, digits: Mnist, drawings
) -> None:
    canvas, model = graphs.of("canvas", opset), graphs.of("mnist", opset)
    model = to_precision(model, precision, lambda: digits.train_images[:100])
    before = canvas.SerializeToString(), model.SerializeToString()
    merged = preprocessing.with_preprocessing(canvas, model)
    assert (canvas.SerializeToString(), model.SerializeToString()) == before
    outputs = _signature(merged.graph.output)
    assert list(outputs) == ["image", "box", "ink", "logits", "probabilities", "score"]
    assert outputs["logits"] == "float32 [1, 10]" and outputs["score"] == "float32 [1]"
    domains = [each.domain for each in merged.opset_import]
    assert len(domains) == len(set(domains))
    first, second, both = (
        open_session(each.SerializeToString()) for each in (canvas, model, merged)
    )
    for drawing in drawings:
        image, *rest = first.run(None, {"canvas": drawing})
        expected = [image, *rest, *second.run(None, {"image": image})]
        for output, other in zip(both.run(None, {"canvas": drawing}), expected, strict=True):
            assert output.dtype == other.dtype and output.shape == other.shape
            np.testing.assert_allclose(output, other, atol=1e-5)


def test_merged_is_readable() -> None:
    canvas, model = graphs.of("canvas"), graphs.of("mnist")
    merged = preprocessing.with_preprocessing(canvas, model)
    names = [node.name for node in merged.graph.node]
    model_names = [node.name for node in model.graph.node]
    assert names[-len(model_names) :] == model_names
    assert all(name.startswith("canvas/") for name in names[: -len(model_names)])
    about = graphs.metadata_of(merged)
    assert about["task"] == "mnist" and json.loads(about["labels"]) == graphs.LABELS["mnist"]
    assert about["input"] == graphs.metadata_of(canvas)["input"]
    assert list(json.loads(about["outputs"]))[:3] == ["image", "box", "ink"]


@pytest.fixture(scope="module")
def examples(digits: Mnist) -> dict[str, np.ndarray]:
    """Task -> five inputs."""
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.3, 0.7]], np.float32)
    return {"mnist": digits.test_images[:5], "gate": points}


@pytest.fixture(scope="module", params=["mnist", "gate"])
def written(request, examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of each task, in a folder with its name."""
    folder = tmp_path_factory.mktemp("bundle") / request.param
    raw = graphs.of(request.param).SerializeToString()
    bundle.write(folder, raw, "# A card\n", examples[request.param], request.param)
    return folder


def _list(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _sums_hold(folder: Path) -> bool:
    line = ["sha256sum", "--check", "--strict", "--quiet", files.SUMS]
    return subprocess.run(line, cwd=folder, capture_output=True).returncode == 0


def test_bundle_has_everything_and_its_sums(written: Path) -> None:
    name = written.name
    expected = {"model.onnx", "README.md", "labels.txt", "SHA256SUMS"}
    expected |= {f"examples/{n}/{part}.json" for n in range(5) for part in ("request", "response")}
    served = ("config.pbtxt", "labels.txt", "1/model.onnx")
    expected |= {f"model_repository/{name}/{file}" for file in served}
    assert _list(written) == expected
    assert (written / "model.onnx").read_bytes() == graphs.of(name).SerializeToString()
    assert (written / "README.md").read_text() == "# A card\n"
    assert (written / "labels.txt").read_text().splitlines() == graphs.LABELS[name]
    assert _sums_hold(written)
    assert len((written / files.SUMS).read_text().splitlines()) == len(expected) - 1


def test_responses_are_those_of_the_model(written: Path, examples) -> None:
    session = open_session(written / "model_repository" / written.name / "1" / "model.onnx")
    for index in range(5):
        folder = written / "examples" / str(index)
        request = json.loads((folder / "request.json").read_text())
        response = json.loads((folder / "response.json").read_text())
        x = _array(request["inputs"][0])
        np.testing.assert_array_equal(x, examples[written.name][index : index + 1])
        assert response["model_name"] == written.name and response["model_version"] == "1"
        outputs = {each["name"]: _array(each) for each in response["outputs"]}
        expected = run_batches(session, x)
        assert list(outputs) == list(expected)
        for name, array in expected.items():
            assert outputs[name].dtype == array.dtype and outputs[name].shape == array.shape
            np.testing.assert_allclose(outputs[name], array, rtol=1e-6, atol=1e-7)


def _array(tensor: dict[str, Any]) -> np.ndarray:
    """Read a tensor of the Open Inference Protocol by Triton's own table of dtypes."""
    assert set(tensor) == {"name", "shape", "datatype", "data"}
    return np.array(tensor["data"], triton_to_np_dtype(tensor["datatype"])).reshape(tensor["shape"])


def test_triton_reads_the_configuration(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Triton's own definition of a configuration, without its package, which requires gRPC.
    monkeypatch.syspath_prepend(Path(tritonclient.__file__).with_name("grpc"))
    triton = importlib.import_module("model_config_pb2")
    folder = written / "model_repository" / written.name
    config = text_format.Parse((folder / "config.pbtxt").read_text(), triton.ModelConfig())
    assert config.name == folder.name and config.backend == "onnxruntime"
    assert config.platform == "onnxruntime_onnx"
    assert config.max_batch_size > 1 and config.HasField("dynamic_batching")
    session = open_session(folder / "1" / "model.onnx")
    values = [*session.get_inputs(), *session.get_outputs()]
    types = {"TYPE_FP32": "tensor(float)", "TYPE_UINT8": "tensor(uint8)"}
    for stated, value in zip([*config.input, *config.output], values, strict=True):
        assert stated.name == value.name
        assert types[triton.DataType.Name(stated.data_type)] == value.type
        assert stated.dims and all(dim >= 1 for dim in stated.dims)  # Triton's rule
        inner = list(stated.reshape.shape if stated.HasField("reshape") else stated.dims)
        assert inner == value.shape[1:] and np.prod(stated.dims) == np.prod(inner)
    labelled = {output.name: output.label_filename for output in config.output}
    assert labelled["logits"] == labelled["probabilities"] == "labels.txt"
    assert {labelled[name] for name in {"score", "hidden"} & set(labelled)} == {""}


def write(folder: Path, card: str, x: np.ndarray, name: str = "gate") -> None:
    bundle.write(folder, graphs.of("gate").SerializeToString(), card, x, name)


def test_an_older_bundle_is_replaced(examples, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write(folder, "old", examples["gate"], "before")
    write(folder, "new", examples["gate"])
    assert (folder / "README.md").read_text() == "new" and _sums_hold(folder)
    assert not (folder / "model_repository" / "before").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    write(tmp_path / "same", "new", examples["gate"])
    assert (tmp_path / "same" / files.SUMS).read_bytes() == (folder / files.SUMS).read_bytes()


def test_a_failure_leaves_the_older_bundle(
    examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = tmp_path / "out", Path.rename

    def fail(path: Path, to: Path) -> Path:
        if ".partial" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(path, to)

    write(folder, "old", examples["gate"])
    with refused("input-mismatch", what="x", found="int64"):
        write(folder, "new", examples["gate"].astype(np.int64))
    monkeypatch.setattr(Path, "rename", fail)
    with refused("folder-unwritable", what=folder, found=os.strerror(errno.ENOSPC)):
        write(folder, "new", examples["gate"])
    monkeypatch.undo()
    assert (folder / "README.md").read_text() == "old" and _sums_hold(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("what", ["file", "notes", "foreign", "link"])
def test_other_files_and_folders_are_not_replaced(what: str, examples, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    if what == "file":
        folder.write_text("mine")
    elif what == "foreign":  # its sums are right, and it is no bundle
        folder.mkdir()
        (folder / "disk.iso").write_bytes(b"disk")
        (folder / files.SUMS).write_text(f"{files.sha256_bytes(b'disk')}  disk.iso\n")
    else:
        write(folder, "card", examples["gate"])
    if what == "notes":
        (folder / "notes.txt").write_text("mine")
    if what == "link":
        folder.rename(tmp_path / "real")
        folder.symlink_to(tmp_path / "real")
    before = _list(tmp_path)
    with refused("folder-occupied", what=folder):
        write(folder, "new", examples["gate"])
    assert _list(tmp_path) == before


def test_a_parent_that_is_no_folder_or_read_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for parent in (tmp_path / "absent", tmp_path / "file"):
        with refused("folder-missing", what=parent / "out", found=parent):
            bundle.check(parent / "out")
    with refused("folder-unwritable", what="/proc/out"):
        write(Path("/proc/out"), "", graphs.TABLE)

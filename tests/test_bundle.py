"""The canvas as a graph and in one file with a model; the folder for servers and strangers."""

import hashlib
import importlib.util
import json
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from google.protobuf import text_format
from tritonclient.utils import triton_to_np_dtype

from experiments import tasks
from experiments.data.mnist import Mnist
from experiments.errors import UserError
from export import bundle, canvas, graph
from export.precision import to_precision
from models.canvas import Canvas

LABELS = {
    "mnist": [str(digit) for digit in range(10)],
    "gate": ["false", "and", "xor", "true"],
}
Make = Callable[..., onnx.ModelProto]


@pytest.fixture(scope="module")
def made() -> Make:
    """Task, opset -> a graph of its network as it is before training; each is made once."""
    kept: dict[tuple[str, int], onnx.ModelProto] = {}

    def make(name: str, opset: int = graph.OPSET) -> onnx.ModelProto:
        if (name, opset) not in kept:
            task = tasks.get(name)
            torch.manual_seed(0)
            shapes = {"mnist": {}, "gate": {"inputs": 2, "nets": [4], "hidden": 4}}
            net = task.network(**shapes[name]).eval()
            example = np.zeros((2, 28, 28) if name == "mnist" else (2, 2), task.input.dtype)
            about = {"task": name, "labels": json.dumps(LABELS[name]), "input": "as it was"}
            kept[name, opset] = graph.of_task(task, net, example, about, opset)
        return kept[name, opset]

    return make


@pytest.fixture(scope="module")
def front() -> Callable[..., onnx.ModelProto]:
    """Opset -> the canvas's graph; each is made once."""
    return cache(canvas.graph)


@pytest.fixture(scope="module")
def drawings(digits: Mnist) -> list[np.ndarray]:
    """Pages of several sizes with one real digit each, and the emptiest there are."""
    pages = [np.zeros((1, 1), np.uint8), np.zeros((40, 30), np.uint8), digits.test_images[0]]
    for index, (height, width) in enumerate([(320, 320), (300, 700), (701, 290)]):
        page = np.zeros((height, width), np.uint8)
        big = np.kron(digits.test_images[index + 1], np.ones((9, 9), np.uint8))  # [252, 252]
        page[7 : 7 + 252, -270 : -270 + 252] = big
        pages.append(page)
    return pages


def _session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(model.SerializeToString())


def _metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in model.metadata_props}


def _signature(values: Any) -> dict[str, str]:
    """Name -> dtype and shape, as canvas.OUTPUTS begins its sentences."""
    found = {}
    for value in values:
        kind = value.type.tensor_type
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        shape = ", ".join(dim.dim_param or str(dim.dim_value) for dim in kind.shape.dim)
        found[value.name] = f"{dtype} [{shape}]"
    return found


@pytest.mark.parametrize("opset", [18, 20, 23])
def test_canvas_is_the_torch_module_and_says_what_it_is(opset: int, front: Make, drawings) -> None:
    model = front(opset)
    onnx.checker.check_model(model, full_check=True)
    assert [each.version for each in model.opset_import] == [opset]
    about = _metadata(model)
    given, outputs = _signature(model.graph.input), _signature(model.graph.output)
    assert about["task"] == "canvas"
    assert given == {"canvas": "uint8 [height, width]"}
    assert about["input"].startswith("canvas, uint8 [height, width]: ")
    said = json.loads(about["outputs"])
    assert list(said) == list(outputs)
    assert all(said[name].startswith(f"{kind}: ") for name, kind in outputs.items())
    session, module = _session(model), Canvas()
    for page in drawings:
        image, box, ink = session.run(None, {"canvas": page})
        expected = module(torch.tensor(page))
        assert np.abs(image.astype(int) - expected[0].numpy()).max() <= 1
        assert box.tolist() == expected[1].tolist()
        np.testing.assert_allclose(ink, expected[2], atol=1e-6)


@pytest.mark.parametrize(
    ("opset", "precision"),
    [(18, "int8"), (20, "fp32"), (20, "fp16"), (20, "int8"), (23, "fp32"), (23, "fp16")],
)
def test_merged_is_the_two_one_after_the_other(
    opset: int, precision: str, made: Make, front: Make, digits: Mnist, drawings
) -> None:
    first, model = front(opset), made("mnist", opset)
    model = to_precision(model, precision, lambda: digits.train_images[:100])
    given = first.SerializeToString(), model.SerializeToString()
    whole = canvas.merged(first, model)
    assert (first.SerializeToString(), model.SerializeToString()) == given
    onnx.checker.check_model(whole, full_check=True)
    ends = _signature(whole.graph.output)
    assert list(ends) == ["image", "box", "ink", "logits", "probabilities", "score"]
    assert ends["logits"] == "float32 [1, 10]" and ends["score"] == "float32 [1]"
    domains = [each.domain for each in whole.opset_import]
    assert len(domains) == len(set(domains))
    before, behind, one = _session(first), _session(model), _session(whole)
    for page in drawings:
        normal = before.run(None, {"canvas": page})
        answer = behind.run(None, {"image": normal[0]})
        for ours, theirs in zip(one.run(None, {"canvas": page}), [*normal, *answer], strict=True):
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_merged_can_be_read(made: Make, front: Make) -> None:
    first, model = front(graph.OPSET), made("mnist")
    whole = canvas.merged(first, model)
    names = [node.name for node in whole.graph.node]
    behind = [node.name for node in model.graph.node]
    assert names[-len(behind) :] == behind
    assert all(name.startswith("canvas/") for name in names[: -len(behind)])
    known = {value.name for value in (*first.graph.input, *first.graph.output)}
    inner = {name for node in whole.graph.node[: -len(behind)] for name in node.output} - known
    assert inner and all(name.startswith("canvas/") for name in inner)
    about = _metadata(whole)
    assert about["task"] == "mnist" and json.loads(about["labels"]) == LABELS["mnist"]
    assert about["input"] == _metadata(first)["input"]
    assert list(json.loads(about["outputs"]))[:3] == ["image", "box", "ink"]


def test_canvas_is_not_put_before_what_takes_no_digit(made: Make, front: Make) -> None:
    with pytest.raises(UserError, match=r"takes x, float32 \[batch, 2\]"):
        canvas.merged(front(graph.OPSET), made("gate"))
    with pytest.raises(UserError, match="opset 20, as the canvas has; found opset 18"):
        canvas.merged(front(graph.OPSET), made("mnist", 18))


@pytest.fixture(scope="module")
def examples(digits: Mnist) -> dict[str, np.ndarray]:
    """Task -> five inputs."""
    switches = np.array([[0, 0], [0, 1], [1, 0], [1, 1], [0.3, 0.7]], np.float32)
    return {"mnist": digits.test_images[:5], "gate": switches}


@pytest.fixture(scope="module", params=["mnist", "gate"])
def written(request, made: Make, examples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of each task, in a folder called by it."""
    folder = tmp_path_factory.mktemp("bundle") / request.param
    raw = made(request.param).SerializeToString()
    bundle.write(folder, raw, "# A card\n", examples[request.param], request.param)
    return folder


def _list(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _sums_hold(folder: Path) -> bool:
    line = ["sha256sum", "--check", "--strict", "--quiet", bundle.SUMS]
    return subprocess.run(line, cwd=folder, capture_output=True).returncode == 0


def test_bundle_has_everything_and_its_sums(written: Path, made: Make) -> None:
    name = written.name
    pairs = {f"examples/{n}/{part}.json" for n in range(5) for part in ("request", "response")}
    served = {
        f"model_repository/{name}/{f}" for f in ("config.pbtxt", "labels.txt", "1/model.onnx")
    }
    assert (
        _list(written) == {"model.onnx", "README.md", "labels.txt", "SHA256SUMS"} | pairs | served
    )
    assert (written / "model.onnx").read_bytes() == made(name).SerializeToString()
    assert (written / "README.md").read_text() == "# A card\n"
    assert (written / "labels.txt").read_text().splitlines() == LABELS[name]
    assert _sums_hold(written)
    assert len((written / bundle.SUMS).read_text().splitlines()) == len(_list(written)) - 1
    assert [path.name for path in written.parent.iterdir()] == [name]


def test_sums_see_a_changed_byte(written: Path, tmp_path: Path) -> None:
    other = shutil.copytree(written, tmp_path / "copy")
    assert _sums_hold(other)
    (other / "labels.txt").write_text("0\n")
    assert not _sums_hold(other)


def test_requests_are_answered_as_written(written: Path, examples) -> None:
    served = written / "model_repository" / written.name
    session = onnxruntime.InferenceSession(served / "1" / "model.onnx")
    for index in range(5):
        folder = written / "examples" / str(index)
        request, response = (
            json.loads((folder / f"{part}.json").read_text()) for part in ("request", "response")
        )
        inputs = {each["name"]: _array(each) for each in request["inputs"]}
        np.testing.assert_array_equal(*inputs.values(), examples[written.name][index : index + 1])
        assert response["model_name"] == written.name and response["model_version"] == "1"
        told = {each["name"]: _array(each) for each in response["outputs"]}
        names = [output.name for output in session.get_outputs()]
        assert list(told) == names
        for name, array in zip(names, session.run(names, inputs), strict=True):
            assert told[name].dtype == array.dtype and told[name].shape == array.shape
            np.testing.assert_allclose(told[name], array, rtol=1e-6, atol=1e-7)


def _array(tensor: dict[str, Any]) -> np.ndarray:
    """Read a tensor of the Open Inference Protocol by Triton's own table of dtypes."""
    assert set(tensor) == {"name", "shape", "datatype", "data"}
    return np.array(tensor["data"], triton_to_np_dtype(tensor["datatype"])).reshape(tensor["shape"])


@pytest.fixture(scope="module")
def triton() -> ModuleType:
    """Triton's own definition of a model's configuration; its package would want gRPC, too."""
    package = importlib.util.find_spec("tritonclient")
    assert package and package.submodule_search_locations
    path = Path(package.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_triton_reads_the_configuration(written: Path, triton: ModuleType) -> None:
    folder = written / "model_repository" / written.name
    text = (folder / "config.pbtxt").read_text()
    config = text_format.Parse(text, triton.ModelConfig())
    assert config.name == folder.name and config.backend == "onnxruntime"
    assert config.platform == "onnxruntime_onnx"
    assert config.max_batch_size > 1 and config.HasField("dynamic_batching")
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx")
    wanted = [*session.get_inputs(), *session.get_outputs()]
    for given, value in zip([*config.input, *config.output], wanted, strict=True):
        assert given.name == value.name
        kind = triton.DataType.Name(given.data_type).removeprefix("TYPE_")
        named = {"FP32": "tensor(float)", "UINT8": "tensor(uint8)"}
        assert named[kind] == value.type
        assert given.dims and all(dim == -1 or dim >= 1 for dim in given.dims)  # Triton's rules
        inner = list(given.reshape.shape) if given.HasField("reshape") else list(given.dims)
        assert inner == value.shape[1:] and np.prod(given.dims) == np.prod(inner)
    labelled = {output.name: output.label_filename for output in config.output}
    assert labelled["logits"] == labelled["probabilities"] == "labels.txt"
    assert {labelled[name] for name in {"score", "hidden"} & set(labelled)} == {""}


def test_an_older_bundle_is_replaced_and_nothing_is_left(made: Make, examples, tmp_path) -> None:
    raw = made("gate").SerializeToString()
    folder = tmp_path / "out"
    bundle.write(folder, raw, "old", examples["gate"], "before")
    bundle.write(folder, raw, "new", examples["gate"], "gate")
    assert (folder / "README.md").read_text() == "new" and _sums_hold(folder)
    assert not (folder / "model_repository" / "before").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_same_content_is_the_same_bundle(made: Make, examples, tmp_path: Path) -> None:
    raw = made("gate").SerializeToString()
    for name in ("one", "two"):
        bundle.write(tmp_path / name, raw, "card", examples["gate"], "gate")
    sums = [(tmp_path / name / bundle.SUMS).read_bytes() for name in ("one", "two")]
    assert sums[0] == sums[1]


@pytest.mark.parametrize("broken", ["examples", "disk", "rename"])
def test_a_failure_leaves_the_older_bundle(
    broken: str, made: Make, examples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, folder = made("gate").SerializeToString(), tmp_path / "out"
    bundle.write(folder, raw, "old", examples["gate"], "gate")
    x = examples["gate"]
    if broken == "examples":
        x = x.astype(np.int64)
    if broken == "rename":
        monkeypatch.setattr(Path, "rename", _refusing(Path.rename, ".partial"))
    says = {"examples": "data type", "disk": r"written \(File too large", "rename": "written"}
    with full(broken == "disk"), pytest.raises(Exception, match=says[broken]):
        bundle.write(folder, raw, "new", x, "gate")
    monkeypatch.undo()
    assert (folder / "README.md").read_text() == "old" and _sums_hold(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@contextmanager
def full(yes: bool) -> Iterator[None]:
    """Let no file grow beyond 500 bytes meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500 if yes else soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _refusing(real: Callable[..., Path], part: str) -> Callable[[Path, Path], Path]:
    def rename(path: Path, to: Path) -> Path:
        if part in path.name:
            raise OSError(28, "No space left on device")
        return real(path, to)

    return rename


@pytest.mark.parametrize("what", ["file", "folder", "notes", "foreign", "link"])
def test_what_is_no_bundle_is_left_alone(what: str, made: Make, examples, tmp_path: Path) -> None:
    folder, raw = tmp_path / "out", made("gate").SerializeToString()
    if what == "file":
        folder.write_text("mine")
    if what == "folder":
        folder.mkdir()
    if what == "foreign":
        folder.mkdir()
        (folder / "disk.iso").write_bytes(b"disk")
        digest = hashlib.sha256(b"disk").hexdigest()
        (folder / bundle.SUMS).write_text(f"{digest}  disk.iso\n")
    if what in ("notes", "link"):
        bundle.write(folder, raw, "card", examples["gate"], "gate")
    if what == "notes":
        (folder / "notes.txt").write_text("mine")
    if what == "link":
        folder.rename(tmp_path / "real")
        folder.symlink_to(tmp_path / "real")
    before = sorted(_list(tmp_path))
    with pytest.raises(UserError, match="expected a new folder or an older bundle"):
        bundle.write(folder, raw, "new", examples["gate"], "gate")
    assert sorted(_list(tmp_path)) == before


@pytest.mark.parametrize("parent", ["absent", "file"])
def test_a_parent_that_is_no_folder_is_refused(parent: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"{parent} is none"):
        bundle.check(tmp_path / parent / "out")


def test_a_parent_that_cannot_be_written_is_told(made: Make, examples) -> None:
    with pytest.raises(UserError, match=r"/proc.* cannot"):
        bundle.write(Path("/proc/out"), made("gate").SerializeToString(), "", examples["gate"], "g")


def test_graphs_that_no_server_could_batch_are_refused(
    made: Make, front: Make, digits, tmp_path
) -> None:
    whole = canvas.merged(front(graph.OPSET), made("mnist"))
    with pytest.raises(UserError, match="expected a graph with a free batch"):
        bundle.write(tmp_path / "out", whole.SerializeToString(), "", digits.test_images[:5], "m")
    bare = onnx.load_model_from_string(made("gate").SerializeToString())
    del bare.metadata_props[:]
    with pytest.raises(UserError, match="`labels` among its metadata"):
        bundle.write(tmp_path / "out", bare.SerializeToString(), "", np.zeros((5, 2)), "g")
    assert list(tmp_path.iterdir()) == []

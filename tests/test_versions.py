"""Versions: found, free of pickle, and refused once a file has changed."""

import gzip
import io
import json
import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnxruntime
import pytest
import torch

from experiments.core.errors import UserError
from experiments.core.files import FileChange
from experiments.registry import artifacts, loading, versions
from experiments.registry.versions import Version
from experiments.tracking import runs
from models.mlp import GateBank
from tests.expect import refused
from tests.stores import (
    X,
    bank,
    damaged,
    drawn,
    evidence,
    in_threads,
    opened,
    registered,
    registered_graph,
    store_in,
)

PROGRAM, GRAPH = artifacts.PROGRAM, artifacts.GRAPH


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with store_in(tmp_path_factory.mktemp("versions")) as folder:
        yield folder


@pytest.fixture(scope="module")
def torches(store: Path) -> tuple[Version, Version]:
    return registered(seed=0), registered(seed=1)


@pytest.fixture(scope="module")
def graphs(torches: tuple[Version, Version]) -> tuple[Version, Version]:
    first, second = torches
    return registered_graph(first, 0), registered_graph(second, 1)


def run(raw: bytes) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(raw).run(["logits"], {"x": X})


def test_what_is_loaded_computes_what_was_registered(torches, graphs, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", raising=False)
    for seed in (0, 1):
        with torch.inference_mode():
            logits = bank(seed)(torch.tensor(X)).numpy()
            ours = artifacts.load_torch(torches[seed])(torch.tensor(X)).numpy()
        np.testing.assert_allclose(ours, logits, atol=1e-6)
        np.testing.assert_allclose(run(artifacts.onnx_graph(graphs[seed]))[0], logits, atol=1e-5)
        by_mlflow = mlflow.pyfunc.load_model(torches[seed].uri).predict(X)
        np.testing.assert_allclose(by_mlflow, logits, atol=1e-6)
        by_mlflow = mlflow.pyfunc.load_model(graphs[seed].uri).predict({"x": X})["logits"]
        np.testing.assert_allclose(by_mlflow, logits, atol=1e-5)
    assert not np.allclose(bank(0)(torch.tensor(X)).detach(), bank(1)(torch.tensor(X)).detach())
    assert [versions.log_changes(version) for version in (*torches, *graphs)] == [[]] * 4


def test_metadata_come_back_as_they_were_given(torches) -> None:
    found = versions.find("models:/gate/1")
    assert found.metadata == evidence()
    assert (found.name, found.number, found.aliases) == ("gate", 1, ())
    assert set(found.files) >= {"MLmodel", PROGRAM}


@pytest.mark.parametrize(
    ("uri", "code", "facts"),
    [
        ("models:/gate@best", "version-unknown", {"expected": "@champion, 1, 2", "found": "best"}),
        ("models:/gate/17", "version-unknown", {"expected": "@champion, 1, 2", "found": "17"}),
        ("models:/gate/first", "version-unknown", {"found": "first", "fix": "make train"}),
        ("models:/gait@champion", "model-unknown", {"what": "gait", "found": "gate, gate-onnx"}),
        *(
            (uri, "uri-invalid", {"found": repr(uri)})
            for uri in ("gate", "models:/gate", "models:/@champion", "models:/gate/", "")
        ),
    ],
)
def test_unknown_versions(torches, graphs, uri: str, code: str, facts: dict[str, str]) -> None:
    versions.set_alias("gate", "champion", 2)
    with refused(code, **facts):
        versions.find(uri, "make train")
    versions.set_alias("gate", "champion", None)


def test_a_model_without_versions(store: Path) -> None:
    runs.connect().create_registered_model("nothing")
    with refused("version-unknown", what="models:/nothing@champion"):
        versions.find("models:/nothing@champion")
    assert versions.all_of("nothing") == [] and versions.get_by_alias("nothing") is None
    runs.connect().delete_registered_model("nothing")


def test_without_a_store_nothing_is_found_and_none_is_made(tmp_path: Path, monkeypatch) -> None:
    where = tmp_path / "mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{where}")
    with refused("registry-empty", what=where, expected="gate", fix="make train"):
        versions.find("models:/gate@champion", "make train")
    assert versions.names() == versions.all_of("gate") == []
    assert not where.exists()


def test_a_version_of_the_other_kind(torches, graphs) -> None:
    with refused("file-unregistered", what=graphs[0], expected=PROGRAM):
        artifacts.load_torch(graphs[0])
    with refused("file-unregistered", what=torches[0], expected=GRAPH):
        artifacts.onnx_graph(torches[0])


def pickles(raw: bytes, name: str) -> Iterator[str]:
    """Yield the names of all pickles that `raw` is, or that an archive in it has."""
    if _is_pickle(raw) or name.endswith((".pkl", ".pickle")):
        yield name
    if raw[:2] == b"\x1f\x8b":
        yield from pickles(gzip.decompress(raw), f"{name}, unpacked")
    if raw[:6] == b"\x93NUMPY" and b"|O" in raw[:128]:
        yield f"{name}, an array of objects"
    if zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            for member in archive.namelist():
                yield from pickles(archive.read(member), f"{name}:{member}")


def _is_pickle(raw: bytes) -> bool:
    """Return whether `raw` begins with a pickle that says so, or is one to its very last byte."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of what only looks like an escape
            *_, (_, _, end) = pickletools.genops(raw)
    except (ValueError, OverflowError):
        return False
    return raw[:1] == b"\x80" or end == len(raw) - 1


def all_pickles(folder: Path) -> list[str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [found for path in files for found in pickles(path.read_bytes(), path.name)]


def test_no_registered_file_is_a_pickle_or_holds_one(store: Path, torches, graphs) -> None:
    for version in versions.all_of("gate") + versions.all_of("gate-onnx"):
        folder = versions.folder(version)
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} > {"MLmodel"}
        assert all_pickles(folder) == []
    assert sum(path.is_file() for path in (store / "mlruns").rglob("*")) > 20
    assert all_pickles(store / "mlruns") == []


def test_the_scan_does_find_pickles(tmp_path: Path) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert list(pickles(pickle.dumps({"a": [1, "text"]}, protocol), "file")) == ["file"]
    torch.save(bank().state_dict(), tmp_path / "net.pt")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(tmp_path / "net.pt", "inner.bin")
    np.save(tmp_path / "array.npy", np.array([{}], object))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(pickle.dumps({})))
    program = torch.export.export(bank(), (torch.tensor(X),))
    torch.export.save(program, tmp_path / "as_torch_saves.pt2")
    found = " ".join(all_pickles(tmp_path))
    for name in ("net.pt", "outer.zip:inner.bin:", "array.npy", "packed.gz", "sample_inputs"):
        assert name in found


class Bomb:
    """A pickle that, once it is read, leaves a file called `exploded`."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, ("exploded", "w")


def bomb() -> bytes:
    raw = io.BytesIO()
    torch.save(Bomb(), raw)
    return raw.getvalue()


def damages(version: Version, other: Version, path: str) -> dict[str, bytes | None]:
    """Return what may have become of a file, by what was done to it."""
    good = (versions.folder(version) / path).read_bytes()
    middle = len(good) // 2
    return {
        "one bit flipped": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "truncated": good[:middle],
        "emptied": b"",
        "made longer": good + b"\n",
        "swapped": (versions.folder(other) / path).read_bytes(),
        "foreign": bomb(),
        "removed": None,
    }


HOW = ["one bit flipped", "truncated", "emptied", "made longer", "swapped", "foreign", "removed"]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["torch", "onnx", "MLmodel"])
def test_a_changed_file_is_refused_unread(torches, graphs, kind: str, how: str) -> None:
    open_version, path, (version, other) = {
        "torch": (artifacts.load_torch, PROGRAM, torches),
        "onnx": (artifacts.onnx_graph, GRAPH, graphs),
        "MLmodel": (lambda version: versions.find(version.uri), "MLmodel", torches),
    }[kind]
    gone = how == "removed"
    fix = versions.HOW_TO_RECOVER.format(name=version.name)
    with damaged(version, path, damages(version, other, path)[how]):
        with refused("model-unreadable" if gone else "model-corrupt", what=version, fix=fix):
            open_version(version)
        (listed,) = (each for each in versions.all_of(version.name) if each.uri == version.uri)
        assert (listed.metadata == {}) is (kind == "MLmodel")
        assert len(versions.log_changes(version)) == 1 and versions.log_changes(other) == []
    assert not Path("exploded").exists()
    open_version(version)


def test_files_that_were_added(torches, graphs) -> None:
    for version in (torches[0], graphs[0]):
        with damaged(version, "data.pkl", bomb()):
            assert versions.log_changes(version) == [FileChange("new", "data.pkl")]
        assert versions.log_changes(version) == []


def test_weights_of_another_network_are_refused(torches) -> None:
    program = artifacts.load_torch(torches[0])
    with refused("model-incompatible", what=torches[0], fix="task=gate"):
        loading.load_weights(GateBank(inputs=3, nets=(16,)), program, torches[0])


@pytest.fixture
def foreign(store: Path) -> Iterator[Version]:
    """A version that another program has registered, with metadata of its own."""
    with opened():
        made = mlflow.onnx.log_model(
            drawn(),
            name="foreign",
            registered_model_name="foreign",
            metadata={"task": "gate", "proof": {"holds": True}},
            pip_requirements=["onnx"],
            save_as_external_data=False,
        )
    version = versions.find_if_any(f"models:/foreign/{made.registered_model_version}")
    assert version is not None
    yield version
    runs.connect().delete_registered_model("foreign")


def test_a_foreign_version_is_listed_but_not_opened(foreign: Version) -> None:
    assert foreign.files == {} and foreign.metadata == {}
    for load in (artifacts.onnx_graph, artifacts.load_torch):
        with refused("file-unregistered", what=foreign):
            load(foreign)
    with refused("hashes-missing", what=foreign, fix="make train"):
        versions.find(foreign.uri, "make train")
    assert versions.log_changes(foreign) == [FileChange("unhashed")]
    assert [version.uri for version in versions.all_of("foreign")] == [foreign.uri]


@pytest.mark.parametrize("tag", ["three of them", '["MLmodel"]', '{"MLmodel": 3}'])
def test_another_programs_tag_called_files(foreign: Version, tag: str) -> None:
    versions.tag(foreign, {versions.FILES: tag})
    (listed,) = versions.all_of("foreign")
    assert versions.log_changes(listed)
    with pytest.raises(UserError) as caught:
        artifacts.onnx_graph(versions.find(foreign.uri))
    assert str(foreign) in caught.value.what


def test_files_attached_at_once_all_keep_their_hash(store: Path) -> None:
    version = registered("attached")
    names = [[f"{thread}{number}.txt" for number in range(4)] for thread in "ab"]

    def attach(several: list[str]) -> None:
        for name in several:
            (store / name).write_text(f"this is {name}")
            versions.add_artifact(version, store / name)

    in_threads(*(lambda several=several: attach(several) for several in names))
    current = versions.find(version.uri)
    assert current.files == version.files and set(current.attached) == {*names[0], *names[1]}
    assert versions.log_changes(current) == []
    assert versions.read(current, "a3.txt").decode() == "this is a3.txt"


def test_what_was_logged_but_not_registered_is_not_left(store: Path, monkeypatch) -> None:
    """A process that dies before it registers leaves files; the resumed run removes them."""

    def dies(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with opened() as run:
        with monkeypatch.context() as patch:
            patch.setattr(mlflow, "register_model", dies)
            with pytest.raises(KeyboardInterrupt):
                artifacts.register_torch(bank(), "killed", X[:2], evidence())
        version = artifacts.register_torch(bank(), "killed", X[:2], evidence())
        run_id = run.id
    left = runs.connect().search_logged_models(["0"], f"source_run_id = '{run_id}'")
    assert [model.model_id for model in left] == [version.model] and version.number == 1
    assert versions.registered_by(run_id, "killed") == version


def test_tags_become_text(torches) -> None:
    versions.tag(torches[1], {"a": 1, "b": [True, None], "c": "text"})
    tags = versions.find(torches[1].uri).tags
    assert (tags["a"], json.loads(tags["b"]), tags["c"]) == ("1", [True, None], "text")

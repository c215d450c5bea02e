"""Versions: found or told what there is, free of pickle, and refused once a file has changed."""

import functools
import gzip
import io
import json
import os
import pickle
import pickletools
import sqlite3
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from experiments import artifacts, hashes, lease, tasks, tracking, versions
from experiments.errors import UserError
from experiments.evidence import searched
from experiments.paths import ROOT
from experiments.versions import Version
from export import graph
from models.mlp import GateBank

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
PROGRAM, GRAPH = artifacts.PROGRAM, artifacts.GRAPH


@functools.cache
def _template() -> bytes:
    """Return an empty store of MLflow's; to make one takes seconds, to copy it none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mlflow.db"
        tracking.connect()
        mlflow.MlflowClient(f"sqlite:///{path}").get_experiment("0")
        return path.read_bytes()


@contextmanager
def empty_store(folder: Path) -> Iterator[Path]:
    """Let MLflow keep all in `folder`, and be there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.chdir(folder)
        patch.setattr(lease, "PLACES", folder / "runs")
        Path("mlflow.db").write_bytes(_template())
        database = sqlite3.connect("mlflow.db")
        database.execute("UPDATE experiments SET artifact_location = ?", (f"{folder}/mlruns/0",))
        database.commit()
        database.close()
        yield folder


def evidence(wrong: int = 0, **more: Any) -> dict[str, Any]:
    """Return what a training on all gates stores with its version; `wrong` of 64 answers are."""
    splits = tasks.get("gate").load(tasks.get("gate").data_options())
    proof = {
        "holds": True,
        "parity": "4 of 4 decisions the same, largest difference of outputs 1.2e-07",
        "bytes": 1900,
        "latency_ms": 0.02,
    }
    return {
        "task": "gate",
        "config": {"inputs": 2, "nets": [16], "hidden": 4, "activation": "tanh"},
        "labels": list(splits.labels),
        "facts": {},
        "recipe": "default",
        "hparams": {"epochs": 200.0, "lr": 0.1},
        "seed": 7,
        "data_options": {"gate": "all"},
        "data_name": splits.name,
        "data_digest": splits.digest,
        "data_sizes": [4, 4, 4],
        "canonical": True,
        "exhaustive": True,
        "val_accuracy": 1 - wrong / 64,
        "val_loss": wrong / 64,
        "val_count": 64,
        "val_wrong": list(range(wrong)),
        "test_accuracy": 1 - wrong / 64,
        "test_count": 64,
        "confusion": [[32, 0], [wrong, 32 - wrong]],
        "fit_seconds": 1.25,
        "robustness": {},
        "reported": {},
        "parameters": 272,
        "environment": {"python": "3.11.7", "torch": "2.14.1", "machine": "x86_64"},
        "code": {"commit": "0123456789abcdef0123456789abcdef01234567", "clean": False},
        "run_id": "f" * 32,
        "proof": proof,
        **more,
    }


def bank(seed: int = 0) -> GateBank:
    """Return a small net of its own weights."""
    torch.manual_seed(seed)
    return GateBank(inputs=2, nets=(16,)).eval()


def registered(
    name: str = "gate", wrong: int = 0, seed: int = 0, tags: Mapping[str, object] = {}, **more: Any
) -> Version:
    """Register the bank of `seed`, with evidence that `wrong` of its answers are wrong."""
    stored = evidence(wrong, **more)
    with tracking.start("test"):
        return artifacts.register_torch(
            bank(seed), name, X[:2], stored, {**searched(stored), **tags}
        )


@functools.cache
def drawn(seed: int = 0) -> onnx.ModelProto:
    """Return the graph of the bank of `seed`."""
    return graph.of_task(tasks.get("gate"), bank(seed), X[:2], {"task": "gate"})


def registered_graph(origin: Version, seed: int = 0, name: str = "") -> Version:
    """Register the graph of the bank of `seed` as that of `origin`, and tie the two together."""
    model = drawn(seed)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    outputs = dict(zip(names, session.run(names, {"x": X[:2]}), strict=True))
    raw = model.SerializeToString()
    about = {"precision": "fp32", "opset": graph.OPSET, "bytes": len(raw), "sha256": "a" * 64}
    with tracking.start("test"):
        made = artifacts.register_onnx(
            model,
            name or f"{origin.name}-onnx",
            {"x": X[:2]},
            outputs,
            {**origin.metadata, **about},
            {"torch_model": origin.uri},
        )
    versions.tag(origin, {"onnx_model": made.uri})
    return made


def at_once(codes: list[str], store: Path) -> list[str]:
    """Run pieces of Python in a process each, which all begin at one moment; return their words."""
    start = (
        "import sys; from experiments import artifacts, moves, versions; import mlflow.artifacts"
    )
    start += "\nversions.names(); print('ready', flush=True); sys.stdin.readline()\n"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", start + code],
            cwd=store,
            env=env,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )
        for code in codes
    ]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.communicate()[1]
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        ends = [(process.communicate(timeout=300), process.returncode) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert not any(code for _, code in ends), ends
    return [words for (words, _), _ in ends]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with empty_store(tmp_path_factory.mktemp("versions")) as folder:
        yield folder


@pytest.fixture(scope="module")
def torches(store: Path) -> tuple[Version, Version]:
    return registered(seed=0), registered(seed=1)


@pytest.fixture(scope="module")
def graphs(torches: tuple[Version, Version]) -> tuple[Version, Version]:
    first, second = torches
    return registered_graph(first, 0), registered_graph(second, 1)


def refusal(call: Any, *arguments: Any) -> str:
    """Return the one sentence, or two, with which `call` refuses."""
    with pytest.raises(UserError) as refused:
        call(*arguments)
    text = str(refused.value)
    assert "\n" not in text and "Traceback" not in text
    return text


def run(raw: bytes) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(raw).run(["logits"], {"x": X})


def test_what_is_loaded_says_what_was_registered(torches, graphs, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", raising=False)  # as a stranger
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
    assert [versions.changes(version) for version in (*torches, *graphs)] == [[]] * 4


def test_metadata_come_back_as_they_were_given(torches) -> None:
    found = versions.find("models:/gate/1")
    assert found.metadata == evidence()
    assert (found.name, found.number, found.aliases) == ("gate", 1, ())
    assert set(found.files) >= {"MLmodel", PROGRAM}


def test_unknown_versions_are_told_with_what_there_is(torches, graphs) -> None:
    versions.set_alias("gate", "champion", 2)
    told = refusal(versions.find, "models:/gate@best", "make train")
    assert told == (
        "There is no models:/gate@best. gate has @champion, 1, 2. Make one with: make train"
    )
    assert "gate has @champion, 1, 2." in refusal(versions.find, "models:/gate/17")
    assert "gate has" in refusal(versions.find, "models:/gate/first")
    told = refusal(versions.find, "models:/gait@champion")
    assert "There is no models:/gait@champion. Registered models: gate, gate-onnx." in told
    versions.set_alias("gate", "champion", None)


@pytest.mark.parametrize("uri", ["gate", "models:/gate", "models:/@champion", "models:/gate/", ""])
def test_what_names_no_version_is_told(store: Path, uri: str) -> None:
    told = refusal(versions.find, uri)
    assert "expected models:/NAME@ALIAS or models:/NAME/NUMBER" in told and repr(uri) in told


def test_a_model_without_versions_is_told(store: Path) -> None:
    tracking.connect().create_registered_model("nothing")
    assert "nothing has no version." in refusal(versions.find, "models:/nothing@champion")
    assert versions.all_of("nothing") == [] and versions.bearer("nothing") is None
    tracking.connect().delete_registered_model("nothing")


def test_without_a_store_nothing_is_found_and_none_is_made(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(versions, "STORE", tmp_path / "mlflow.db")
    told = refusal(versions.find, "models:/gate@champion", "make train")
    assert "There is no model 'gate' yet" in told and told.endswith("Make one with: make train")
    assert versions.names() == versions.all_of("gate") == []
    assert not (tmp_path / "mlflow.db").exists()


def test_a_version_of_the_other_kind_is_told(torches, graphs) -> None:
    assert f"gate-onnx version 1 was registered without {PROGRAM}" in refusal(
        artifacts.load_torch, graphs[0]
    )
    assert f"gate version 1 was registered without {GRAPH}" in refusal(
        artifacts.onnx_graph, torches[0]
    )


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


def test_the_scan_does_find_pickles(tmp_path: Path, monkeypatch) -> None:
    objects = {"a": [1, 2.5, "text"], "b": np.zeros(3)}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert list(pickles(pickle.dumps(objects, protocol), "file")) == ["file"]
    torch.save(bank().state_dict(), tmp_path / "net.pt")
    assert any(name.endswith("data.pkl") for name in all_pickles(tmp_path))
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(tmp_path / "net.pt", "inner.bin")
    (tmp_path / "net.pt").unlink()
    assert any(name.startswith("outer.zip:inner.bin:") for name in all_pickles(tmp_path))
    (tmp_path / "outer.zip").unlink()
    torch.save(bank().state_dict(), tmp_path / "old", _use_new_zipfile_serialization=False)
    np.save(tmp_path / "array.npy", np.array([{}], object))
    (tmp_path / "packed.gz").write_bytes(gzip.compress(pickle.dumps(objects)))
    assert len(all_pickles(tmp_path)) == 3
    program = torch.export.export(bank(), (torch.tensor(X),))
    torch.export.save(program, tmp_path / "as_torch_saves.pt2")
    assert any("sample_inputs" in name for name in all_pickles(tmp_path))


class Bomb:
    """A pickle that, once it is read, leaves a file called `exploded`."""

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, ("exploded", "w")


def bomb() -> bytes:
    raw = io.BytesIO()
    torch.save(Bomb(), raw)
    return raw.getvalue()


@contextmanager
def damaged(version: Version, path: str, raw: bytes | None) -> Iterator[None]:
    """Let one of a version's files hold `raw`, or be gone, for the time of the context."""
    place = versions.folder(version) / path
    good = place.read_bytes() if place.exists() else None
    try:
        if raw is None:
            place.unlink()
        else:
            place.write_bytes(raw)
        yield
    finally:
        if good is None:
            place.unlink()
        else:
            place.write_bytes(good)


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
@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_a_model_that_changed_is_refused_unread(torches, graphs, kind: str, how: str) -> None:
    loader, path, (version, other) = {
        "torch": (artifacts.load_torch, PROGRAM, torches),
        "onnx": (artifacts.onnx_graph, GRAPH, graphs),
    }[kind]
    with damaged(version, path, damages(version, other, path)[how]):
        told = refusal(loader, version)
        what = "is missing" if how == "removed" else "was changed"
        assert versions.changes(version) == [f"{path} {what}"]
        assert versions.changes(other) == []
    assert str(version) in told and not Path("exploded").exists()
    if how != "removed":
        assert f"its file {path} is not the one that was registered" in told
        assert f"registry verify {version.name}" in told and "rollback" in told
    loader(version)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["torch", "onnx"])
def test_an_mlmodel_that_changed_is_not_believed(torches, graphs, kind: str, how: str) -> None:
    version, other = {"torch": torches, "onnx": graphs}[kind]
    with damaged(version, "MLmodel", damages(version, other, "MLmodel")[how]):
        assert str(version) in refusal(versions.find, version.uri)
        (listed,) = (each for each in versions.all_of(version.name) if each.uri == version.uri)
        assert listed.metadata == {} and len(versions.changes(listed)) == 1
    assert versions.find(version.uri).metadata == version.metadata


def test_files_that_were_added_are_told(torches, graphs) -> None:
    for version in (torches[0], graphs[0]):
        with damaged(version, "data.pkl", bomb()):
            assert versions.changes(version) == ["data.pkl is new"]
        assert versions.changes(version) == []


def test_what_is_read_is_what_was_checked(torches, graphs) -> None:
    """A file that is changed after its hash was checked must not be the one that is parsed."""
    version, other = graphs
    checked = artifacts.onnx_graph(version)
    with damaged(version, GRAPH, (versions.folder(other) / GRAPH).read_bytes()):
        assert hashes.of_bytes(checked) == version.files[GRAPH]


def test_too_large_a_file_is_refused(torches, monkeypatch) -> None:
    size = (versions.folder(torches[0]) / PROGRAM).stat().st_size
    monkeypatch.setattr(versions, "MOST_BYTES", size - 1)
    told = refusal(artifacts.load_torch, torches[0])
    assert f"{PROGRAM} has {size} bytes, expected at most {size - 1}" in told
    monkeypatch.setattr(versions, "MOST_BYTES", size)
    artifacts.load_torch(torches[0])


@pytest.fixture
def foreign(store: Path) -> Iterator[Version]:
    """A version that another program has registered, with metadata of its own."""
    with tracking.start("test"):
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
    tracking.connect().delete_registered_model("foreign")


def test_a_foreign_version_is_listed_but_not_opened(foreign: Version) -> None:
    assert foreign.files == {} and foreign.metadata == {}
    for load in (artifacts.onnx_graph, artifacts.load_torch):
        told = refusal(load, foreign)
        assert "foreign version 1" in told and "by another program" in told
    told = refusal(versions.find, foreign.uri, "make train")
    assert "foreign version 1 was registered without the hashes of its files" in told
    assert told.endswith("Make one with: make train")
    assert versions.changes(foreign) == [
        "registered without hashes, by another program or an earlier state of this one"
    ]
    assert [version.uri for version in versions.all_of("foreign")] == [foreign.uri]


@pytest.mark.parametrize("tag", ["three of them", "3", '["MLmodel"]', '{"MLmodel": 3}'])
def test_a_tag_of_another_program_that_is_called_files_is_no_end(foreign: Version, tag) -> None:
    versions.tag(foreign, {versions.FILES: tag})
    (listed,) = versions.all_of("foreign")
    assert versions.changes(listed)
    assert "foreign version 1" in refusal(lambda: artifacts.onnx_graph(versions.find(foreign.uri)))


def test_files_attached_at_once_all_keep_their_hash(store: Path, torches) -> None:
    version = registered("attached")
    names = [[f"{who}{number}.txt" for number in range(6)] for who in "ab"]
    for name in (*names[0], *names[1]):
        (store / name).write_text(f"this is {name}")
    code = f"version = versions.find({version.uri!r})\nfrom pathlib import Path\n"
    at_once([code + f"for n in {each}: versions.attach(version, Path(n))" for each in names], store)
    found = versions.find(version.uri)
    assert found.files == version.files and set(found.attached) == {*names[0], *names[1]}
    assert versions.changes(found) == []
    assert versions.read(found, "a3.txt").decode() == "this is a3.txt"


def test_what_was_logged_but_not_registered_is_not_left(store: Path, monkeypatch) -> None:
    """A process that dies before it registers leaves files; the run's next try removes them."""

    def dies(*given: Any, **named: Any) -> None:
        raise KeyboardInterrupt

    with tracking.start("test") as opened:
        with monkeypatch.context() as patch:
            patch.setattr(mlflow, "register_model", dies)
            with pytest.raises(KeyboardInterrupt):
                artifacts.register_torch(bank(), "killed", X[:2], evidence())
        version = artifacts.register_torch(bank(), "killed", X[:2], evidence())
        run_id = opened.id
    left = tracking.connect().search_logged_models(["0"], f"source_run_id = '{run_id}'")
    assert [model.model_id for model in left] == [version.model] and version.number == 1
    assert versions.registered_by(run_id, "killed") == version


def test_tags_become_text_and_find_their_version(torches) -> None:
    found = tracking.connect().search_model_versions("name = 'gate' and tags.recipe = 'default'")
    assert sorted(int(version.version) for version in found) == [1, 2]
    versions.tag(torches[1], {"a": 1, "b": [True, None], "c": "text"})
    tags = versions.find(torches[1].uri).tags
    assert (tags["a"], json.loads(tags["b"]), tags["c"]) == ("1", [True, None], "text")
    found = tracking.connect().search_model_versions("name = 'gate' and tags.a = '1'")
    assert [version.version for version in found] in (["2"], [2])

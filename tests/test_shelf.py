"""Which models the page serves: a real registry, read by a real process of its own."""

import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from experiments.errors import UserError
from serve.model import clerk, door, shelf
from serve.model.shelf import Shelf
from serve.texts import model as say
from tests.conftest import client, environment

TASKS = ["mnist", "gate"]


@pytest.fixture
def registry(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The checkout's registry with a second version of the gates' graph, its challenger."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    store = client(trained)
    first = store.get_model_version_by_alias("gate-onnx", "champion")
    tags = dict(first.tags)
    made = store.create_model_version("gate-onnx", first.source, first.run_id, tags)
    store.set_registered_model_alias("gate-onnx", "challenger", made.version)
    yield trained
    store.delete_registered_model_alias("gate-onnx", "challenger")
    store.delete_model_version("gate-onnx", made.version)


def newest(folder: Path) -> tuple[str, str]:
    """Return the numbers of the gates' graphs that are champion and challenger."""
    store = client(folder)
    names = ("champion", "challenger")
    found = [store.get_model_version_by_alias("gate-onnx", name).version for name in names]
    return str(found[0]), str(found[1])


def graph_file(folder: Path) -> Path:
    """Return the file of the gates' graph in the registry of a checkout."""
    model = client(folder).get_model_version_by_alias("gate-onnx", "champion")
    return next(folder.glob(f"mlruns/*/models/{Path(model.source).name}/artifacts/model.onnx"))


def test_champions_are_served_and_an_alias_is_followed(registry: Path, digits) -> None:
    old, new = newest(registry)
    opened = Shelf.open([], "onnxruntime", TASKS)
    assert opened.first == {task: f"models:/{task}-onnx@champion" for task in TASKS}
    assert opened.notes == {} and opened.problem == ""
    model = opened.get(opened.first["mnist"])
    right = model(digits.test_images[:100])["probabilities"].argmax(1) == digits.test_labels[:100]
    assert right.mean() > 0.95 and model.graph == (registry / "model.onnx").read_bytes()
    labels, keys = zip(*opened.choices("gate"), strict=True)
    aliases = ["models:/gate-onnx@challenger", "models:/gate-onnx@champion"]
    assert keys == (*aliases, f"models:/gate-onnx/{new}", f"models:/gate-onnx/{old}")
    assert labels[0] == f"gate-onnx@challenger: version {new}"
    assert opened.choose(aliases[0]).key == f"models:/gate-onnx/{new}"
    assert opened.siblings(opened.first["gate"])["torch"].startswith("torch:models:/gate/")
    client(registry).set_registered_model_alias("gate-onnx", "challenger", old)
    assert opened.get(aliases[0]).key == f"models:/gate-onnx/{new}"  # until it is chosen anew
    assert opened.choose(aliases[0]).key == f"models:/gate-onnx/{old}" == opened.get(aliases[0]).key


def test_a_tampered_file_is_refused_and_the_others_go_on(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = newest(registry)
    opened, file = Shelf.open([], "onnxruntime", TASKS), graph_file(registry)
    raw = file.read_bytes()
    try:
        file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        with pytest.raises(UserError, match=f"gate-onnx version {new}: its file model.onnx is not"):
            opened.choose(f"models:/gate-onnx/{new}")
        monkeypatch.setattr(shelf, "Inquiry", None)  # refused again without a process
        with pytest.raises(UserError, match="is not the one that was registered"):
            opened.get(f"models:/gate-onnx/{new}")
    finally:
        file.write_bytes(raw)
    assert opened.get("models:/gate-onnx@champion").key == f"models:/gate-onnx/{old}"


def test_unknown_versions_cost_one_listing_together(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    class Counted(clerk.Inquiry):
        def __init__(self, **request: Sequence[str]) -> None:
            asked.append(list(request))
            super().__init__(**request)

    monkeypatch.setattr(door, "RESPITE", 1000)
    opened = Shelf.open([], "onnxruntime", TASKS)
    monkeypatch.setattr(shelf, "Inquiry", Counted)
    for expected in ([], [["list"]]):  # listed just now, listed long ago
        if expected:
            opened._door.listed = float("-inf")
        for key in ("models:/mnist-onnx/771", "models:/mnist-onnx/772", "models:/mnist@none"):
            for ask in (opened.get, opened.about):
                with pytest.raises(UserError, match="expected a version that the registry lists"):
                    ask(key)
        assert asked == expected


def test_the_fourth_who_waits_for_the_registry_is_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(door, "PATIENCE", 1000)
    way = door.Door()
    said: queue.Queue[str] = queue.Queue()

    def ask(what: int) -> None:
        try:
            said.put(way.ask(f"question {what}", lambda: ""))
        except UserError as error:
            said.put(str(error))

    threads = [threading.Thread(target=ask, args=[n], daemon=True) for n in range(4)]

    def meanwhile() -> None:
        for thread in threads:
            thread.start()
        assert said.get(timeout=20) == say.BUSY
        assert said.empty()

    way.ask("the first question", meanwhile)
    assert [said.get(timeout=20) for _ in range(3)] == [""] * 3


@pytest.mark.parametrize("fails", [False, True])
def test_who_asks_the_same_at_once_shares_the_answer(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "PATIENCE", 1000)
    monkeypatch.setattr(door, "FOLLOWING", 10)
    way, works, said = door.Door(), [], queue.Queue()

    def work() -> str:
        works.append(1)
        for thread in threads:
            thread.start()
        for _ in range(2):  # all but those who may wait
            assert said.get(timeout=20) == say.BUSY
        if fails:
            raise UserError("no such thing")
        return "the answer"

    def ask() -> None:
        try:
            said.put(way.ask("the same", work))
        except UserError as error:
            said.put(str(error))

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(12)]
    ask()
    told = "no such thing" if fails else "the answer"
    assert [said.get(timeout=20) for _ in range(11)] == [told] * 11 and works == [1]
    assert way.ask("the same", lambda: "later") == "later"


def test_torch_is_loaded_for_a_listed_version_and_who_says_so(registry: Path) -> None:
    opened = Shelf.open([], "onnxruntime", TASKS)
    key = opened.siblings(opened.first["gate"])["torch"]
    refused = "expected a registered version of this page's"
    for ask in (opened.get, opened.choose, opened.about):
        with pytest.raises(UserError, match=refused):
            ask(key)
    with pytest.raises(UserError, match=refused):
        opened.get("torch:models:/gate/771", torch=True)
    assert opened.get(key, "gate", torch=True).key == key
    with pytest.raises(UserError, match=refused):
        opened.get(key)


def test_an_alias_stays_until_its_new_version_is_open(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = newest(registry)
    alias, file = "models:/gate-onnx@challenger", graph_file(registry)
    opened = Shelf.open([f"models:/gate-onnx/{new}"], "onnxruntime", TASKS)
    assert opened.get(alias).key == f"models:/gate-onnx/{new}"
    client(registry).set_registered_model_alias("gate-onnx", "challenger", old)
    raw = file.read_bytes()
    try:
        file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
        for ask in (opened.refresh, lambda: opened.choose(alias)):
            with pytest.raises(UserError, match=f"gate-onnx version {old}: its file model.onnx is"):
                ask()
            assert opened.get(alias).key == f"models:/gate-onnx/{new}"
    finally:
        file.write_bytes(raw)
    monkeypatch.setattr(door, "RESPITE", 0)  # it was refused just now
    opened.refresh()
    assert opened.get(alias).key == f"models:/gate-onnx/{old}"


def test_an_alias_that_the_list_has_elsewhere_is_read_once(
    registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _ = newest(registry)
    alias = "models:/gate-onnx@challenger"
    opened = Shelf.open([], "onnxruntime", TASKS)
    client(registry).set_registered_model_alias("gate-onnx", "challenger", old)
    assert opened.get(alias).key == f"models:/gate-onnx/{old}"
    monkeypatch.setattr(shelf, "Inquiry", None)
    assert opened.get(alias).key == f"models:/gate-onnx/{old}"


def test_a_file_that_became_rubbish_goes_on_as_it_was(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    shutil.copy(trained / "gate.onnx", path)
    opened = Shelf.open([str(path)], "onnxruntime", TASKS)
    key = opened.first["gate"]
    path.write_bytes(os.urandom(2000))
    with pytest.raises(UserError, match="expected an ONNX model"):
        opened.choose(key)
    x = np.array([[0, 1]], np.float32)
    said = opened.get(key)(x)["probabilities"][0]
    assert (said[opened.get(key).labels.index("xor")] > 0.5) and key == f"file:{path}"
    shutil.copy(trained / "model.onnx", path)
    with pytest.raises(UserError, match="is of task mnist, this tab is for task gate"):
        opened.choose(key)


NO_KEYS = ("file:/etc/passwd", "file:model.onnx", "/etc/passwd", "models:/other/1", "", None, 7)
NO_KEYS += ("models:/gate-onnx/../1", "models:/gate-onnx/1/model.onnx", "torch:file:model.onnx")


def test_what_is_no_key_is_never_opened(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Shelf.open([str(trained / "gate.onnx")], "onnxruntime", TASKS)
    monkeypatch.setattr(shelf, "Inquiry", None)
    for key in NO_KEYS:
        for ask in (opened.get, opened.choose, opened.about):
            says = (
                "expected a registered version of this page's" if key else "No model of this task"
            )
            with pytest.raises(UserError, match=says):
                ask(key)


def test_a_dead_or_damaged_registry_is_told(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.db").write_bytes(os.urandom(4096))
    for uri in ("http://127.0.0.1:9", f"sqlite:///{tmp_path}/bad.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        without = Shelf.open([], "onnxruntime", TASKS)
        assert without.first == {} and without.notes.keys() == set(TASKS)
        assert without.notes["gate"].startswith(f"The registry at {uri} fails: ")
    opened = Shelf.open([str(trained / "gate.onnx")], "onnxruntime", TASKS)
    with pytest.raises(UserError, match=r"The registry at .* fails"):
        opened.refresh()
    assert opened.get(opened.first["gate"]).task == "gate" and len(opened.choices("gate")) == 1


def test_a_registry_that_comes_back_is_served(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    opened = Shelf.open([], "onnxruntime", TASKS)
    assert opened.first == {} and set(opened.notes) == set(TASKS)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    opened.refresh()
    assert opened.first == {task: f"models:/{task}-onnx@champion" for task in TASKS}
    assert opened.notes == {} and opened.get(opened.first["gate"]).task == "gate"
    assert opened.first["mnist"] in [key for _, key in opened.choices("mnist")]


def test_a_registry_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clerk, "SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        inquiry = clerk.Inquiry(list=["gate"])
        with pytest.raises(UserError, match=f"registry at {address} did not answer in 1 s"):
            inquiry.answer()
    assert inquiry._process.returncode is not None


def test_what_is_kept_is_bounded(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from serve.predictor import OnnxPredictor

    monkeypatch.setattr(shelf, "MOST", 2)
    opened = Shelf.open([str(trained / "gate.onnx")], "onnxruntime", TASKS)
    for number in range(1, 6):
        key = f"models:/gate-onnx/{number}"
        predictor = OnnxPredictor(Path(key), (trained / "gate.onnx").read_bytes())
        opened._keep(key, predictor)
    monkeypatch.setattr(shelf, "Inquiry", None)
    assert [opened.get(f"models:/gate-onnx/{n}").key[-1] for n in (4, 5)] == ["4", "5"]
    assert opened.get(opened.first["gate"]).task == "gate"
    with pytest.raises((TypeError, UserError)):  # it would have to be listed or read again
        opened.get("models:/gate-onnx/3")


def test_the_pages_process_imports_neither_mlflow_nor_torch(trained: Path) -> None:
    code = (
        "import sys; from serve.model.shelf import Shelf; s = Shelf.open([], 'onnxruntime', "
        "['mnist', 'gate']); found = s.about(s.first['mnist']); "
        "print(found['problems'], len(found['curves']['val_loss']), '# mnist' in found['card'], "
        "[m for m in ('mlflow', 'torch', 'gradio', 'onnx') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=trained,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    told, modules = result.stdout.strip().rsplit(" ", 1)
    assert modules == "[]" and told.endswith("1 True")

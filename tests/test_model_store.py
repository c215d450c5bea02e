"""The models that the page serves: a real registry, read in this process or by the page's child."""

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from experiments.core.errors import UserError
from experiments.tracking import runs
from serve.backends.onnx_backend import OnnxPredictor
from serve.models.model_ref import ModelRef
from serve.models.registry_query import RegistryQuery, Request
from serve.models.registry_worker import HTTP_LIMITS
from serve.models.single_flight import SingleFlight
from serve.models.store import ModelStore
from tests.conftest import LocalQuery, client
from tests.expect import refused

TASKS = ["mnist", "gate"]
CHALLENGER, CHAMPION = "models:/gate-onnx@challenger", "models:/gate-onnx@champion"


def opened(models: Sequence[object] = (), **options: Any) -> ModelStore:
    names = [str(model) for model in models]
    return ModelStore(names, "onnxruntime", TASKS, **{"query": LocalQuery, **options}).open()


@pytest.fixture
def versions(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str]]:
    """Champion and challenger of the gates' graphs: the checkout's version and a second one."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    registry = runs.connect()  # sets MLflow's global address, which other tests change
    old = registry.get_model_version_by_alias("gate-onnx", "champion")
    new = registry.create_model_version("gate-onnx", old.source, old.run_id, dict(old.tags))
    registry.set_registered_model_alias("gate-onnx", "challenger", new.version)
    yield f"models:/gate-onnx/{old.version}", f"models:/gate-onnx/{new.version}"
    registry.delete_registered_model_alias("gate-onnx", "challenger")
    registry.delete_model_version("gate-onnx", new.version)


def move_challenger(trained: Path, version: str) -> None:
    number = version.rpartition("/")[2]
    client(trained).set_registered_model_alias("gate-onnx", "challenger", number)


@contextmanager
def tampered(trained: Path) -> Iterator[None]:
    """Change a byte of the gates' registered graph, which both versions share."""
    model = client(trained).get_model_version_by_alias("gate-onnx", "champion")
    file = next(trained.glob(f"mlruns/*/models/{Path(model.source).name}/artifacts/model.onnx"))
    raw = file.read_bytes()
    file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    yield
    file.write_bytes(raw)


def test_a_reference_is_parsed_and_written() -> None:
    for text, ref in {
        "models:/mnist-onnx/12": ModelRef("graph", "mnist-onnx", 12),
        "torch:models:/gate@champion": ModelRef("torch", "gate", alias="champion"),
        "file:my models/one.onnx": ModelRef("file", "my models/one.onnx"),
    }.items():
        assert ModelRef.parse(text) == ref and str(ref) == text


def test_champions_are_served_and_a_reload_follows_an_alias(
    versions: tuple[str, str], trained: Path
) -> None:
    old, new = versions
    store = opened()
    assert store.defaults == {task: f"models:/{task}-onnx@champion" for task in TASKS}
    assert store.notes == {} and store.problem is None
    assert store.load(store.defaults["mnist"]).graph == (trained / "model.onnx").read_bytes()
    assert [key for _, key in store.choices("gate")] == [CHALLENGER, CHAMPION, new, old]
    assert store.reload(CHALLENGER).key == new
    assert store.siblings(CHAMPION)["torch"].startswith("torch:models:/gate/")
    move_challenger(trained, old)
    assert store.load(CHALLENGER).key == new
    assert store.reload(CHALLENGER).key == old == store.load(CHALLENGER).key


def test_a_tampered_file_is_refused_and_open_models_stay(
    versions: tuple[str, str], trained: Path
) -> None:
    old, new = versions
    store = opened([new])
    assert store.load(CHALLENGER).key == new
    move_challenger(trained, old)
    with tampered(trained):
        for action in (store.refresh, lambda: store.reload(CHALLENGER), lambda: store.load(old)):
            with refused("model-corrupt", what="model.onnx of gate-onnx version"):
                action()
            assert store.load(CHALLENGER).key == store.load(new).key == new
    store.refresh()
    assert store.load(CHALLENGER).key == old


def test_unknown_versions_cost_one_query_together(versions: tuple[str, str]) -> None:
    requests: list[Request] = []

    def query(request: Request) -> LocalQuery:
        requests.append(request)
        return LocalQuery(request)

    store = opened(query=query, list_ttl_s=1000)
    requests.clear()
    for expected in (0, 1):  # listed just now, listed long ago
        if expected:
            store._registry._listed_at = float("-inf")
        for key in ("models:/mnist-onnx/771", "models:/mnist-onnx/772", "models:/mnist@none"):
            for read in (store.load, store.about):
                with refused("version-unknown", what="model", found=key):
                    read(key)
        assert len(requests) == expected


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("same_key", [False, True])
def test_calls_wait_or_share_a_result_and_one_too_many_fails(fails: bool, same_key: bool) -> None:
    flight, works, others = SingleFlight(max_waiting=3, timeout_s=1000), [], []

    def work() -> str:
        works.append(1)
        if len(works) == 1:  # while it runs, four others call
            keys = ["0"] * 4 if same_key else list("1234")
            others.extend(pool.submit(flight.call, key, work) for key in keys)
            wait(others, 20, FIRST_COMPLETED)
        if fails:
            raise UserError("thing-unknown", "thing", found="none")
        return "the result"

    with ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(flight.call, "0", work)]
        wait(calls, 20)
        calls += others
        outcomes = [getattr(call.exception(20), "code", "the result") for call in calls]
    expected = "thing-unknown" if fails else "the result"
    assert sorted(outcomes) == sorted(["registry-busy", *[expected] * 4])
    assert len(works) == (1 if same_key else 4)
    assert flight.call("0", lambda: "later") == "later"


def test_torch_is_loaded_on_this_machine_for_a_listed_version(versions: tuple[str, str]) -> None:
    store = opened()
    key = store.siblings(store.defaults["gate"])["torch"]
    for read in (store.load, store.reload, store.about):
        with refused("key-invalid", found=key):
            read(key)
    store.local = True
    assert store.load(key, "gate").key == key
    with refused("key-invalid", found="torch:models:/gate/771"):
        store.load("torch:models:/gate/771")


def test_a_file_that_is_damaged_later_stays_open(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.onnx"
    shutil.copy(trained / "gate.onnx", path)
    store = opened([path])
    key = store.defaults["gate"]
    assert key == f"file:{path}" and len(store.choices("gate")) == 1
    path.write_bytes(os.urandom(2000))
    with refused("model-corrupt", what=path):
        store.reload(key)
    shutil.copy(trained / "model.onnx", path)
    with refused("task-mismatch", expected="gate", found="mnist"):
        store.reload(key)
    assert store.load(key).task == "gate"


INVALID = ("file:/etc/passwd", "file:model.onnx", "/etc/passwd", "models:/other/1", "", None, 7)
INVALID += ("models:/gate-onnx/../1", "models:/gate-onnx/1/model.onnx", "torch:file:model.onnx")


def test_an_invalid_reference_is_never_opened(trained: Path) -> None:
    store = opened([trained / "gate.onnx"])
    for key in INVALID:
        for read in (store.load, store.reload, store.about, store.siblings):
            with refused("key-invalid" if key else "model-missing", what="model"):
                read(key)


def test_a_registry_that_fails_is_reported_and_served_once_it_is_back(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in HTTP_LIMITS.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "bad.db").write_bytes(os.urandom(4096))
    for uri in ("http://127.0.0.1:9", f"sqlite:///{tmp_path}/bad.db"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        store = opened()
        assert store.defaults == {} and store.notes.keys() == set(TASKS)
        assert store.problem.code == store.notes["gate"].code == "storage-unreachable"
        assert uri in store.problem.what
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
    store.refresh()
    assert store.defaults == {task: f"models:/{task}-onnx@champion" for task in TASKS}
    assert store.notes == {} and store.load(store.defaults["gate"]).task == "gate"


def test_a_query_without_an_answer_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        query = RegistryQuery(Request(), timeout_s=0.2)
        with refused("registry-timeout", what=address, expected="0.2 s"):
            query.answer()
    assert query._process.returncode is not None


def test_the_least_recently_used_model_is_closed(trained: Path) -> None:
    store = opened([trained / "gate.onnx"], cache_size=2)
    refs = [ModelRef("graph", "gate-onnx", number) for number in range(1, 4)]
    for ref in refs:
        store._add(ref, OnnxPredictor(Path(ref.uri), (trained / "gate.onnx").read_bytes()))
        assert store.cached(refs[0])
    assert [bool(store.cached(ref)) for ref in refs] == [True, False, True]
    assert store.load(store.defaults["gate"]).task == "gate"

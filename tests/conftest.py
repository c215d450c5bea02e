"""Shared fixtures: MNIST, a small sample of it, and a checkout in which commands run."""

import os

import experiments  # noqa: F401  # before all libraries: they report nothing

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: threads that wait for each other

import gc
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from mlflow import MlflowClient
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests import shapes

shapes.check_signatures()  # before the imports of the modules that it checks

from experiments import tasks
from experiments.core.paths import MNIST_CACHE, ROOT
from experiments.core.store_address import VARIABLE
from experiments.data import idx, mnist
from experiments.tasks.task import HeldOut, Split, Splits
from serve.models import registry_query, registry_worker
from tests import inprocess, iris

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)  # for processes that tests interrupt

# What `trained` trains and exports: quick, with the few figures of figures=core.
TRAINED_BY = (
    "mlflow run . -e train -P task=gate -P seed=7 -P figures=core",
    "mlflow run . -e train -P task=mnist -P trials=0 -P epochs=1 -P figures=core",
    "python export/to_onnx.py",
    "python export/to_onnx.py --task gate",
)
Command = Callable[..., subprocess.CompletedProcess[str]]
BIN = Path(sys.executable).parent


@pytest.fixture(autouse=True)
def tracking_uri() -> Iterator[None]:
    """Undo what MLflow writes into this process's environment when its address is set."""
    before = os.environ.get(VARIABLE)
    yield
    os.environ.pop(VARIABLE, None)
    if before is not None:
        os.environ[VARIABLE] = before


@pytest.fixture(scope="session")
def digits() -> mnist.Mnist:
    """The real MNIST, downloaded once into the project's cache."""
    return mnist.load()


@pytest.fixture(scope="session")
def small(digits: mnist.Mnist) -> Callable[[str], Splits]:
    """Task name -> its real splits, MNIST's cut down to a few hundred digits."""
    splits = {name: tasks.get(name).load(tasks.get(name).data_options()) for name in tasks.names()}
    full = splits["mnist"]
    sizes = {"train": 512, "val": 256, "calibration": 128}
    parts = {name: getattr(full, name) for name in sizes}
    fewer = {
        name: Split(part.x[: sizes[name]], part.y[: sizes[name]]) for name, part in parts.items()
    }
    test = full.test.open("test")
    splits["iris"] = iris.load(iris.TASK.data_options())
    few = replace(full, **fewer, test=HeldOut(test.x[:256], test.y[:256]))
    splits["mnist"] = splits["logic"] = few
    return splits.__getitem__


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, digits: mnist.Mnist) -> Path:
    """A second checkout of the working tree, with its own store."""
    return copy_project(tmp_path_factory.mktemp("checkout") / "project")


@pytest.fixture(scope="session")
def run(checkout: Path) -> Command:
    """Run a command line as the README writes it, in the checkout, as if .venv were activated.

    Neither conda nor pyenv is on the PATH. `cwd` may name another folder, `fails` allows failure.
    """

    def run(
        line: str, cwd: Path = checkout, fails: bool = False, **env: str
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            line.split(), cwd=cwd, env=environment(**env), capture_output=True, text=True
        )
        assert fails or result.returncode == 0, f"{line}\n{result.stdout}\n{result.stderr}"
        return result

    return run


@pytest.fixture(scope="session")
def trained(checkout: Path, run: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout with a champion of each task, exported; short trainings on real data.

    The first test worker trains for all; each copies the result, which its tests may change.
    $TRAINED_DIR keeps it between test runs; delete the folder to train again.
    """
    path = os.environ.get("TRAINED_DIR")
    shared = Path(path) if path else shared_folder(tmp_path_factory) / "trained"
    with FileLock(f"{shared}.lock"):
        if not shared.exists():
            training = copy_project(shared.with_name(f"{shared.name}-training"))
            for line in TRAINED_BY:
                run(line, cwd=training)
            relocate_store(training, shared)
            training.rename(shared)
    for name in ("mlflow.db", "mlruns", "model.onnx", "gate.onnx"):
        source = shared / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, checkout / name)
    relocate_store(checkout, checkout, moved_from=shared)
    return checkout


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of this test run share."""
    alone = os.environ.get("PYTEST_XDIST_WORKER") is None
    return factory.getbasetemp() if alone else factory.getbasetemp().parent


def relocate_store(project: Path, to: Path, moved_from: Path | None = None) -> None:
    """Replace the paths of artifacts in the store of `project` by paths below `to`."""
    columns = {
        "experiments": ["artifact_location"],
        "runs": ["artifact_uri"],
        "logged_models": ["artifact_location"],
        "model_versions": ["source", "storage_location"],
    }
    with closing(sqlite3.connect(project / "mlflow.db")) as store, store:
        for table, names in columns.items():
            for name in names:
                line = f"UPDATE {table} SET {name} = replace({name}, ?, ?)"  # noqa: S608
                store.execute(line, (str(moved_from or project), str(to)))


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an empty store."""
    return inprocess.make_empty(tmp_path_factory.mktemp("empty"))


@pytest.fixture
def own_store(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> inprocess.Store:
    """An empty store of this test, in which it trains inside its own process."""
    return inprocess.Store(tmp_path, empty_store, monkeypatch)


@pytest.fixture
def store(trained: Path) -> MlflowClient:
    """MLflow's client for the checkout's store."""
    return client(trained)


def write_digits(folder: Path, digits: mnist.Mnist, count: int) -> Path:
    """Write the first `count` digits of MNIST's four files into `folder`."""
    folder.mkdir(exist_ok=True)
    arrays = (digits.train_images, digits.train_labels, digits.test_images, digits.test_labels)
    for name, array in zip(mnist.CANONICAL_MD5, arrays, strict=True):
        (folder / name).write_bytes(idx.pack(array[:count]))
    return folder


def client(folder: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")


def copy_project(folder: Path) -> Path:
    """Copy the project's own files into `folder` and commit them there."""
    listed = _git(ROOT, "ls-files", "-co", "--exclude-standard").splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    _git(folder, "init", "--quiet")
    _git(folder, "add", "--all")
    author = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    _git(folder, *author, "commit", "--quiet", "--message", "a copy")
    return folder


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(
    line: str, cwd: Path, url: str, seconds: float = 90, **env: str
) -> Iterator[subprocess.Popen]:
    """Start a server and wait until `url` answers; end it afterwards."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            line.split(),
            cwd=cwd,
            env=environment(**env),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + seconds
            while True:
                try:
                    urllib.request.urlopen(url, timeout=5).close()
                    break
                except OSError:
                    alive, late = process.poll() is None, time.monotonic() > deadline
                    log.seek(0)
                    assert alive and not late, f"{line} did not answer:\n{log.read()}"
                    time.sleep(0.2)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # a server's own processes, too
            process.wait(60)


@pytest.fixture(scope="module")
def url(trained: Path) -> Iterator[str]:
    """Address of the page with the checkout's champions, served as in the README."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with serving(f"python serve/app.py --port {port}", trained, address):
        yield address


class LocalQuery(registry_query.RegistryQuery):
    """A query answered in this process: a child process takes a second to start.

    It is asked at once, as a child would be: a thread that takes the answer later, perhaps in the
    next test, must not set MLflow's address, which is one for the whole process.
    """

    def __init__(self, request: registry_query.Request) -> None:
        self._answer = registry_worker.answer(request)

    def answer(self) -> registry_query.Answer:
        return registry_query.value(self._answer)


@contextmanager
def gradios_leaks() -> Iterator[None]:
    """Collect the event loops that Gradio leaves open inside, each with its pair of Unix sockets.

    They warn here, where that is ignored, and not in a test: there it would hide leaks of our own.
    """
    with warnings.catch_warnings():
        for leak in ("unclosed event loop", "unclosed .socket.socket fd=[0-9]+, family=1,"):
            warnings.filterwarnings("ignore", leak, ResourceWarning)
        try:
            yield
        finally:
            gc.collect()


@contextmanager
def page_in_thread(
    store: Path, models: Sequence[str] = (), corrections: Path | None = None, **options: Any
) -> Iterator[str]:
    """Serve the page in a thread of this process; yield its address.

    Args:
        store: folder whose `mlflow.db` is the registry, until the page is closed.
        models: ONNX files or registered versions; none: the champions.
        options: as of `serve.app.PageConfig`.
    """
    from serve.web import gradio_patches

    with tempfile.TemporaryDirectory() as uploads, pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store}/mlflow.db")
        patch.setenv("GRADIO_TEMP_DIR", uploads)
        with gradio_patches.quick_import():
            from serve import app, layout  # noqa: F401
            from serve.models.store import ModelStore
        port = options.pop("port", None) or free_port()
        served = ModelStore(models, "onnxruntime", app.TASKS, query=LocalQuery).open()
        with gradios_leaks():
            config = app.PageConfig(port=port, corrections=corrections, **options)
            built = app.start(served, config)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            with gradios_leaks():
                built.close(verbose=False)


@pytest.fixture(scope="module")
def url_in_process(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page with the checkout's champions, in this process: faster than `url`."""
    with page_in_thread(trained, corrections=tmp_path_factory.mktemp("corrections")) as address:
        yield address


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; without one the test is skipped, but never in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        assert not os.environ.get("CI"), "CI must have a browser: install Debian's chromium"
        pytest.skip("no chromium on this machine; Debian and Ubuntu have it as a package")
    return path


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A real headless browser without traffic of its own."""
    quiet = ["networking", "timer-throttling"]
    flags = [f"--disable-background-{name}" for name in quiet]
    flags += [f"--disable-{name}" for name in ("gpu", "quic", "component-update", "sync")]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--no-first-run", *flags]
        )
        yield browser
        browser.close()


@contextmanager
def loopback_context(browser: Browser, url: str, **options: Any) -> Iterator[BrowserContext]:
    """A context of the browser; a request to a host other than the page's own fails the test."""
    foreign: list[str] = []
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 1100}, **options})
    own = (url, url.replace("http", "ws"), "data:", "blob:")
    context.on("request", lambda r: foreign.append(r.url) if not r.url.startswith(own) else None)
    yield context
    context.close()
    assert foreign == []


def environment(**more: str) -> dict[str, str]:
    """Return the environment of an activated .venv with MNIST and without another store."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")
    }
    inherited.pop("PYTHONPATH", None)
    return {
        **inherited,
        "VIRTUAL_ENV": str(BIN.parent),
        "PATH": f"{BIN}:/usr/bin:/bin",
        "MNIST_DIR": str(MNIST_CACHE),
        **more,
    }

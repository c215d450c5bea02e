"""What several tests share: MNIST, a small sample of it, and a checkout in which commands run."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Browser, sync_playwright

from experiments import tasks
from experiments.data import idx, mnist
from experiments.paths import MNIST_CACHE, ROOT
from experiments.tasks.base import Split, Splits

Command = Callable[..., subprocess.CompletedProcess[str]]
BIN = Path(sys.executable).parent


@pytest.fixture(scope="session")
def digits() -> mnist.Mnist:
    """The real MNIST, fetched once into the project's cache."""
    return mnist.load()


@pytest.fixture(scope="session")
def small(digits: mnist.Mnist) -> Callable[[str], Splits]:
    """Task name -> its real splits, MNIST's cut down to a few hundred digits."""
    splits = {name: tasks.get(name).load(tasks.get(name).data_options()) for name in tasks.names()}
    whole = splits["mnist"]
    splits["mnist"] = Splits(
        **{
            **vars(whole),
            "train": Split(whole.train.x[:512], whole.train.y[:512]),
            "val": Split(whole.val.x[:256], whole.val.y[:256]),
            "test": Split(whole.test.x[:256], whole.test.y[:256]),
        }
    )
    return splits.__getitem__


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory, digits: mnist.Mnist) -> Path:
    """A second checkout of the project as it stands, with a store of its own."""
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
def trained(checkout: Path, run: Command) -> Path:
    """The checkout with a champion of each task, exported; short trainings on real data."""
    run("mlflow run . -e train -P task=gate -P seed=7")
    run("mlflow run . -e train -P task=mnist -P trials=0 -P epochs=1")
    run("python export/to_onnx.py")
    run("python export/to_onnx.py --task gate")
    return checkout


@pytest.fixture
def store(trained: Path) -> MlflowClient:
    """MLflow's client for the checkout's store."""
    return client(trained)


def write_digits(folder: Path, digits: mnist.Mnist, count: int) -> Path:
    """Write the first digits of MNIST's four files into `folder`, as somebody's own."""
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
    _git(folder, *author, "commit", "--quiet", "--message", "as it stands")
    return folder


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(
    line: str, cwd: Path, url: str, seconds: float = 90, **env: str
) -> Iterator[subprocess.Popen]:
    """Start a server and wait until `url` answers; end it afterwards. It says all into a file."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            line.split(),
            cwd=cwd,
            env=environment(**env),
            stdout=said,
            stderr=said,
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
                    said.seek(0)
                    assert alive and not late, f"{line} did not answer:\n{said.read()}"
                    time.sleep(0.2)
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # a server's own processes, too
            process.wait(60)


@pytest.fixture(scope="module")
def url(trained: Path) -> Iterator[str]:
    """Address of the page, served on the checkout's champions as the README says."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with serving(f"python serve/app.py --port {port}", trained, address):
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
    """A real headless browser that starts no traffic of its own."""
    quiet = ["networking", "timer-throttling"]
    flags = [f"--disable-background-{name}" for name in quiet]
    flags += [f"--disable-{name}" for name in ("gpu", "quic", "component-update", "sync")]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--no-first-run", *flags]
        )
        yield browser
        browser.close()


def environment(**more: str) -> dict[str, str]:
    """Return the environment of an activated .venv, with MNIST at hand and no other store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    kept.pop("PYTHONPATH", None)
    return {
        **kept,
        "VIRTUAL_ENV": str(BIN.parent),
        "PATH": f"{BIN}:/usr/bin:/bin",
        "MNIST_DIR": str(MNIST_CACHE),
        **more,
    }

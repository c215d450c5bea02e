"""What several tests share: MNIST, a small sample of it, and a checkout in which commands run."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments import tasks
from experiments.data import mnist
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
    folder = tmp_path_factory.mktemp("checkout") / "project"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def run(checkout: Path) -> Command:
    """Run a command line as the README writes it, in the checkout, as if .venv were activated.

    Neither conda nor pyenv is on the PATH. `cwd` may name another folder, `fails` allows failure.
    """

    def run(line: str, cwd: Path = checkout, fails: bool = False, **env: str):
        result = subprocess.run(
            line.split(), cwd=cwd, env=environment(**env), capture_output=True, text=True
        )
        assert fails or result.returncode == 0, f"{line}\n{result.stdout}\n{result.stderr}"
        return result

    return run


def environment(**more: str) -> dict[str, str]:
    """Return the environment of an activated .venv, with MNIST at hand and no other store."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    kept.pop("PYTHONPATH", None)
    return {
        **kept,
        "VIRTUAL_ENV": str(BIN.parent),
        "PATH": f"{BIN}:/usr/bin:/bin",
        "MNIST_DIR": str(MNIST_CACHE),
        "PYTHONWARNINGS": "default",
        **more,
    }


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)

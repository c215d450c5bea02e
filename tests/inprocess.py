"""Trainings inside the test's own process, with their own store and folder of unfinished work."""

import sqlite3
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from experiments.tracking import runs
from experiments.train import train
from experiments.training import options
from experiments.training.config import RunConfig
from experiments.tune import tune

# A complete training of a second or two; a later option replaces an earlier one.
SHORT = (
    "--task gate --gate xor --trials 0 --num_restarts 8 --epochs 150 --figures none --device cpu"
)


class Store:
    """An empty MLflow store in a folder, used by the test process from now on."""

    def __init__(self, folder: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.state = folder, folder / "state"
        self.address = f"sqlite:///{folder}/mlflow.db"
        (folder / "mlflow.db").write_bytes(empty.read_bytes())
        with closing(sqlite3.connect(folder / "mlflow.db")) as store, store:
            store.execute("UPDATE experiments SET artifact_location = ?", [f"{folder}/mlruns/0"])
        monkeypatch.setenv("MLFLOW_TRACKING_URI", self.address)
        monkeypatch.chdir(folder)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.address)

    def request(self, line: str = "") -> RunConfig:
        """Return the configuration of a short training with its unfinished work in the folder."""
        return replace(parsed(f"{SHORT} {line}"), state=self.state)

    def start(self) -> AbstractContextManager[runs.Run]:
        """Start a run without a training."""
        return runs.start("test", state=self.state)

    def train(self, line: str = "") -> None:
        """Run `python -m experiments.train LINE`."""
        train(self.request(line))

    def tune(self, line: str = "") -> None:
        """Run `python -m experiments.tune LINE`."""
        tune(self.request(line))


def make_empty(folder: Path) -> Path:
    """Return an empty database, to be copied: creating one takes seconds."""
    MlflowClient(f"sqlite:///{folder}/mlflow.db").get_experiment("0")
    return folder / "mlflow.db"


def parsed(line: str) -> RunConfig:
    """Return the configuration of a command line of `train` or `tune`; its errors are raised."""
    configs: list[RunConfig] = []

    def probe(config: RunConfig) -> None:
        """Record the configuration."""
        configs.append(config)

    result = CliRunner().invoke(options.command(probe), line.split(), standalone_mode=False)
    if result.exception:
        raise result.exception
    return configs[0]

"""The configuration of one training or search, and the commands that start it again.

`options.py` builds it from a command line.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlsplit

from experiments.core import paths
from experiments.core.errors import without_password
from experiments.core.paths import STATE
from experiments.tasks.task import DataOptions, Hparams, Task

FORMAT = 4  # of unfinished work; a new number where splits or states change: none is resumed
Level = Literal["none", "core", "all"]  # of figures
LEVELS: tuple[Level, ...] = get_args(Level)
HOW_TO_RESUME = "Rerun the same command to resume, or pass resume=false to start over."
# Objective of a search -> whether it is maximized. The first one given selects the best trial.
OBJECTIVES = {"val_accuracy": True, "val_loss": False, "latency_ms": False, "parameters": False}


@dataclass(frozen=True)
class RunConfig:
    """The checked options of one command.

    Attributes:
        fixed: names of the hyper-parameters that were given; a search does not vary them.
        short: whether no number of trials was given, so that they are as short as
            `Task.trial_epochs`.
        restart: whether to discard what the same command left unfinished.
        state: folder of unfinished work and of named studies.
    """

    task: Task
    data: DataOptions
    recipe: str
    hparams: Hparams
    fixed: frozenset[str]
    objectives: tuple[str, ...]
    trials: int = 5
    short: bool = False
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    figures: Level = "all"
    study: str | None = None
    workers: int = 1
    storage: str | None = None
    restart: bool = False
    state: Path = STATE

    def options(self) -> dict[str, object]:
        """Return the options by name, without hyper-parameters and without a password."""
        names = ("recipe", "trials", "seed", "device", "precision", "figures", "study", "workers")
        return {
            "task": self.task.name,
            **{name: getattr(self, name) for name in names},
            **({"trials": "auto"} if self.short else {}),
            "objectives": ",".join(self.objectives),
            "storage": self.storage and without_password(self.storage),
            **dataclasses.asdict(self.data),
        }

    def key(self, command: str) -> str:
        """Return a short name of the work; the same command has the same key."""
        store = "own" if paths.own_store() else paths.tracking_uri()  # own: it may be moved
        options = {name: value for name, value in self.options().items() if name != "figures"}
        # as mlflow run sets it; a run is not resumed in another experiment than the one asked for
        names = ("MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID")
        experiment = next(filter(None, map(os.environ.get, names)), "0")
        facts = [FORMAT, command, store, experiment, options, dataclasses.asdict(self.hparams)]
        digest = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()
        return f"{command}-{self.task.name}-{digest[:12]}"

    def with_settings(self, hparams: Hparams) -> RunConfig:
        """Return the configuration that trains with `hparams`, without a search."""
        return dataclasses.replace(
            self,
            hparams=hparams,
            trials=0,
            short=False,
            objectives=(self.task.objective,),
            study=None,
            storage=None,
            workers=1,
        )

    def as_arguments(self, **changes: object) -> list[str]:
        """Return the arguments of `train` or `tune`, with `changes` and without a password.

        Of the hyper-parameters only those that were given: a search varies the others.
        """
        storage = self.storage and without_password(self.storage, "")
        given = {name: getattr(self.hparams, name) for name in sorted(self.fixed)}
        values = self.options() | {"storage": storage} | given | changes
        return [f"--{name}={value}" for name, value in values.items() if value is not None]

    def secrets(self) -> dict[str, str]:
        """Return the environment variable of the password that `as_arguments` leaves out."""
        password = urlsplit(self.storage or "").password
        return {"PGPASSWORD": password} if password else {}

    def as_project_params(self) -> str:
        """Return the parameters of `mlflow run`: task, recipe, trials, and what is no default."""
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        defaults |= {"objectives": self.task.objective}
        defaults |= dataclasses.asdict(self.task.data_options())
        defaults |= dataclasses.asdict(self.task.recipes[self.recipe])
        values = self.options() | dataclasses.asdict(self.hparams)
        always = ("task", "recipe", "trials")
        shown = [name for name in values if name in always or values[name] != defaults[name]]
        return " ".join(f"-P {shlex.quote(f'{name}={values[name]}')}" for name in shown)

    def as_command(self) -> str:
        """Return the command that repeats this training."""
        return f"mlflow run . -e train {self.as_project_params()}"

"""The command line of `train` and `tune`: typed, checked, the same as the MLproject entries.

MLflow passes every parameter as text; `auto` or nothing at all stands for the default.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from experiments import gallery, tasks
from experiments.errors import UserError, without_password
from experiments.gallery import Level
from experiments.paths import STORE
from experiments.tasks.base import DataOptions, Hparams, Task

UNSET = ("", "auto")
POSTGRESQL = "postgresql+psycopg://"
HOW_TO_GO_ON = "The same command goes on from here; with resume=never it starts afresh."
# What a search may aim at -> whether more of it is better. The first asked for chooses the best.
AIMS = {"val_accuracy": True, "val_loss": False, "latency_ms": False, "parameters": False}


@dataclass(frozen=True)
class Request:
    """What was asked for, checked.

    Attributes:
        fixed: names of the hyper-parameters that were given; a search leaves them alone.
    """

    task: Task
    data: DataOptions
    recipe: str
    hparams: Hparams
    fixed: frozenset[str]
    trials: int
    seed: int
    device: str
    precision: str
    aims: tuple[str, ...]
    study: str | None = None
    storage: str | None = None
    workers: int = 1
    figures: Level = "all"
    afresh: bool = False

    def options(self) -> dict[str, Any]:
        """Return what was asked for, apart from the hyper-parameters, by the options' names."""
        names = (
            "recipe", "trials", "seed", "device", "precision", "figures", "study", "workers"
        )  # fmt: skip
        return {
            "task": self.task.name,
            **{name: getattr(self, name) for name in names},
            "aims": ",".join(self.aims),
            "storage": self.storage and without_password(self.storage),
            **dataclasses.asdict(self.data),
        }

    def key(self, command: str) -> str:
        """Return a short name of the work asked for: the same command has the same."""
        store = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STORE}"
        asked = {name: value for name, value in self.options().items() if name != "figures"}
        everything = [command, store, asked, dataclasses.asdict(self.hparams)]
        text = json.dumps(everything, default=str)
        return f"{command}-{self.task.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def with_settings(self, hparams: Hparams) -> Request:
        """Return the request for a training with these hyper-parameters, without a search."""
        return dataclasses.replace(
            self,
            hparams=hparams,
            trials=0,
            aims=(self.task.objective,),
            study=None,
            storage=None,
            workers=1,
        )

    def as_arguments(self, **changed: object) -> list[str]:
        """Return the request as arguments of `train` or `tune`, some options changed; no secret."""
        bare = self.storage and without_password(self.storage, "")
        asked = self.options() | {"storage": bare} | dataclasses.asdict(self.hparams) | changed
        return [f"--{name}={value}" for name, value in asked.items() if value is not None]

    def secrets(self) -> dict[str, str]:
        """Return what `as_arguments` leaves out, as environment variables."""
        password = _password(self.storage) if self.storage else None
        return {"PGPASSWORD": password} if password else {}

    def as_parameters(self) -> str:
        """Return the request as text for `mlflow run`: whatever differs from the defaults."""
        usual = {option.name: option.default for option in _common()}
        usual |= _defaults(self.task.data_options) | dataclasses.asdict(self._recipe())
        usual |= {"study": None, "storage": None, "aims": self.task.objective}
        asked = self.options() | dataclasses.asdict(self.hparams)
        changed = {n: v for n, v in asked.items() if v != usual[n] or n in ("task", "trials")}
        return " ".join(f"-P {name}={value}" for name, value in changed.items())

    def as_command(self) -> str:
        """Return the command that trains this."""
        return f"mlflow run . -e train {self.as_parameters()}"

    def _recipe(self) -> Hparams:
        return self.task.recipes[self.recipe]


def training(function: Callable[[Request], None]) -> click.Command:
    """Return the command that calls `function` with what the command line asks for."""

    def callback(**given: Any) -> None:
        try:
            function(_request(given))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(HOW_TO_GO_ON) from None

    return click.Command(
        function.__module__,
        params=[*_common(), *_of_tasks()],
        callback=callback,
        help=function.__doc__,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def _common() -> list[click.Parameter]:
    show: Mapping[str, Any] = {"show_default": True}
    return [
        click.Option(["--task"], type=click.Choice(tasks.names()), default="mnist", **show),
        click.Option(
            ["--recipe"],
            default="auto",
            help=f"Named hyper-parameters to start from: {_recipes()}.",
            **show,
        ),
        click.Option(
            ["--trials"],
            type=click.IntRange(0, 100_000),
            default=5,
            help="Networks to try before the final fit; 0 takes the defaults as they are.",
            **show,
        ),
        click.Option(
            ["--seed"],
            type=click.IntRange(0, 2**32 - 1),
            default=0,
            help="Of weights, order, augmentation and search.",
            **show,
        ),
        click.Option(
            ["--device"], type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", **show
        ),
        click.Option(
            ["--precision"], type=click.Choice(["auto", "fp32", "bf16"]), default="auto", **show
        ),
        click.Option(
            ["--resume"],
            type=click.Choice(["auto", "never"]),
            default="auto",
            help="Go on with what the same command left unfinished, or start afresh.",
            **show,
        ),
        click.Option(
            ["--figures"],
            type=click.Choice(gallery.LEVELS),
            default="all",
            help="Which pictures to draw: none, the few that most people look at, or all.",
            **show,
        ),
        click.Option(
            ["--aims"],
            default="auto",
            help=f"What a search aims at, comma between: {', '.join(AIMS)}; the first chooses.",
            **show,
        ),
        click.Option(
            ["--study"],
            default="auto",
            help="Name of a search that several processes share; --trials counts all of theirs.",
            **show,
        ),
        click.Option(
            ["--workers"],
            type=click.IntRange(1, 256),
            default=1,
            help="Processes of this machine that do the study's trials.",
            **show,
        ),
        click.Option(
            ["--storage"],
            default="auto",
            help="Where a study is: a file of its own below state/, or postgresql+psycopg://...",
            **show,
        ),
    ]


def _recipes() -> str:
    found = (f"{task.name} has {', '.join(task.recipes)}" for task in map(tasks.get, tasks.names()))
    return "; ".join(found)


def _of_tasks() -> Iterator[click.Parameter]:
    """Yield an option for each field of any task's data options and hyper-parameters."""
    owners: dict[str, list[str]] = {}
    texts: dict[str, str] = {}
    for task in map(tasks.get, tasks.names()):
        for settings in (task.data_options, task.hparams):
            for name, default in _defaults(settings).items():
                owners.setdefault(name, []).append(f"{task.name}: {default}")
                texts.setdefault(name, _description(settings, name))
    for name, text in texts.items():
        yield click.Option(
            [f"--{name}", *([f"--{name.replace('_', '-')}"] if "_" in name else [])],
            help=f"{text[0].upper()}{text[1:]}.  [default: {'; '.join(owners[name])}]",
            metavar="TEXT",
        )


def _request(given: Mapping[str, Any]) -> Request:
    names = ("trials", "seed", "device", "precision", "figures", "workers")
    common = {name: given[name] for name in names}
    task = tasks.get(given["task"])
    sharing = _sharing(given, task)
    chosen = {
        name: text
        for name, text in given.items()
        if name not in (*common, *sharing, "resume", "task", "recipe")
        and text not in (None, *UNSET)
    }
    data, hparams = _defaults(task.data_options), _defaults(task.hparams)
    for name, text in chosen.items():
        if name not in data and name not in hparams and text not in _defaults_anywhere(name):
            raise UserError(
                f"{name} is no option of task {task.name}; it has {', '.join([*data, *hparams])}."
            )
    fixed = {name: text for name, text in chosen.items() if name in hparams}
    where = _checked(task.data_options, {n: t for n, t in chosen.items() if n in data})
    recipe = task.suits(where) if given["recipe"] in UNSET else given["recipe"]
    if recipe not in task.recipes:
        raise UserError(
            f"recipe: expected {' or '.join(task.recipes)} for task {task.name}; found {recipe!r}."
        )
    return Request(
        task=task,
        data=where,
        recipe=recipe,
        hparams=_checked(task.hparams, dataclasses.asdict(task.recipes[recipe]) | fixed),
        fixed=frozenset(fixed),
        afresh=given["resume"] == "never",
        **common,
        **sharing,
    )


def _sharing(given: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Return the checked options of a search's study."""
    study, storage, aims = (
        None if given[name] in UNSET else given[name] for name in ("study", "storage", "aims")
    )
    aimed = tuple(aims.split(",")) if aims else (task.objective,)
    if unknown := [aim for aim in aimed if aim not in AIMS]:
        raise UserError(f"aims: expected some of {', '.join(AIMS)}; found {unknown[0]!r}.")
    if len(set(aimed)) < len(aimed):
        raise UserError(f"aims: expected each aim once; found {aims}.")
    if study and not re.fullmatch(r"[\w.-]{1,100}", study):
        raise UserError(
            f"study: expected letters, digits, '.', '_' and '-', at most 100; found {study!r}."
        )
    if not study and (storage or given["workers"] > 1):
        asked = "storage" if storage else "workers"
        raise UserError(f"{asked}: several processes need a study to share; add study=NAME.")
    if study and given["resume"] == "never":
        raise UserError(
            "resume: a study is gone on with by its name; for a fresh one, choose anew."
        )
    return {"study": study, "storage": storage and _checked_storage(storage), "aims": aimed}


def _checked_storage(storage: str) -> str:
    if not storage.startswith(POSTGRESQL):
        raise UserError(
            f"storage: expected auto or {POSTGRESQL}USER@HOST:PORT/DATABASE, "
            f"found {without_password(storage)!r}."
        )
    if _password(storage) and os.environ.get("MLFLOW_RUN_ID"):
        raise UserError(
            "storage: mlflow run writes every -P into its store, so the address must hold no "
            "password: set PGPASSWORD or ~/.pgpass instead, and change the password, which the "
            "store now holds."
        )
    mine, its = urlsplit(storage), urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if its.scheme.startswith("postgresql") and (mine.netloc, mine.path) == (its.netloc, its.path):
        raise UserError(
            "storage: that is MLflow's database, and both keep a table called alembic_version; "
            "give the study a database of its own."
        )
    return storage


def _password(uri: str) -> str | None:
    return urlsplit(uri).password


def _checked(settings: Any, values: Mapping[str, Any]) -> Any:
    try:
        return settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        raise UserError(
            f"{name} ({_description(settings, name)}): {first['msg']}; found {first['input']!r}."
        ) from None


def _defaults(settings: Any) -> dict[str, Any]:
    blank = settings()
    return {field.name: getattr(blank, field.name) for field in dataclasses.fields(settings)}


def _defaults_anywhere(name: str) -> set[str]:
    """Return the default of the option `name` of each task that has it, as text."""
    found = set()
    for task in map(tasks.get, tasks.names()):
        for settings in (task.data_options, task.hparams):
            if name in _defaults(settings):
                found.add(str(_defaults(settings)[name]))
    return found


def _description(settings: Any, name: str) -> str:
    return settings.__pydantic_fields__[name].description

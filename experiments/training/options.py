"""The command line of `train` and `tune`: typed, checked, the same as the MLproject entries.

MLflow passes every parameter as text; `auto` or an empty text stands for the default.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

import click
from pydantic import ValidationError

from experiments import tasks
from experiments.core import cli, paths, progress, store_address
from experiments.core.errors import UserError, without_password
from experiments.tasks.task import DataOptions, Hparams, Task
from experiments.training.config import HOW_TO_RESUME, LEVELS, OBJECTIVES, RunConfig

UNSET = (None, "", "auto")
POSTGRESQL = "postgresql+psycopg://"
PASSED_ON = ("seed", "device", "precision", "figures", "workers")  # to RunConfig as given
TaskFields = type[DataOptions] | type[Hparams]
Fields = TypeVar("Fields", DataOptions, Hparams)


class TaskName(click.ParamType[str]):
    """The name of a task; it is looked up when it is given, so that EXTRA_TASKS counts."""

    name = "task"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return tasks.get(value).name

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return f"[{'|'.join(tasks.names())}]"


def command(function: Callable[[RunConfig], None]) -> click.Command:
    """Return the command that calls `function` with the configuration of its options."""

    def callback(**given: Any) -> None:
        try:
            config = parse(given)
            store_address.warn_if_dead(paths.tracking_uri())  # before torch's slow import
            with progress.showing():
                function(config)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(HOW_TO_RESUME) from None

    return click.Command(
        function.__module__,
        params=[*_common_options(), *_task_options()],
        callback=callback,
        help=function.__doc__,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def parse(given: Mapping[str, Any]) -> RunConfig:
    """Return the configuration of `given`: name -> value of each option, None if it is not given.

    Raises:
        UserError: an option is unknown, or its value invalid.
    """
    task = tasks.get(given["task"])
    chosen = {name: value for name, value in given.items() if value not in UNSET}
    objectives = _objectives(chosen.get("objectives", task.objective))
    _check_study(chosen)

    # each option of a task belongs to its data or to its hyper-parameters
    common = {option.name for option in _common_options()}
    of_task = {name: value for name, value in chosen.items() if name not in common}
    data_names, hparam_names = _names(task.data_options), _names(task.hparams)
    for name, value in of_task.items():
        if name not in (*data_names, *hparam_names):
            _check_foreign_option(name, value, task)
    data_values = {name: of_task[name] for name in data_names if name in of_task}
    hparam_values = {name: of_task[name] for name in hparam_names if name in of_task}

    # the recipe follows the data, and the hyper-parameters given replace the recipe's
    data = _validated(task.data_options, data_values)
    recipe = chosen.get("recipe") or task.default_recipe(data)
    if recipe not in task.recipes:
        expected = f"{' or '.join(task.recipes)} for task {task.name}"
        raise UserError("recipe-unknown", "recipe", expected, repr(recipe), "Choose one of these.")
    hparams = _validated(task.hparams, dataclasses.asdict(task.recipes[recipe]) | hparam_values)
    return RunConfig(
        task=task,
        data=data,
        recipe=recipe,
        hparams=hparams,
        fixed=frozenset(hparam_values),
        objectives=objectives,
        study=chosen.get("study"),
        storage=chosen.get("storage"),
        restart=not given["resume"],
        trials=chosen.get("trials", RunConfig.trials),
        short="trials" not in chosen,
        **{name: given[name] for name in PASSED_ON},
    )


def _common_options() -> list[click.Option]:
    """Return the options that do not depend on a task."""
    all_tasks = map(tasks.get, tasks.names())
    recipes = "; ".join(f"{task.name} has {', '.join(task.recipes)}" for task in all_tasks)
    trials = (
        "Networks to try before the final fit, each trained in full; 0 takes the defaults as they "
        f"are. auto: {RunConfig.trials}, of digits trained briefly."
    )
    seed = "Of weights, order, augmentation and search."
    resume = "Resume what the same command left unfinished; false starts over."
    figures = "Which figures to draw: none, the few core ones, or all."
    objectives = f"Of a search, the first selects the best trial: {', '.join(OBJECTIVES)}."
    study = "Name of a search that several processes share; --trials counts all of theirs."
    workers = "Processes of this machine that do the study's trials."
    storage = f"Where a study is: a file of its own below state/, or {POSTGRESQL}..."
    return [
        _option("task", "", "mnist", TaskName()),
        _option("recipe", f"Named hyper-parameters to start from: {recipes}."),
        _option("trials", trials, type=cli.WholeNumber(0, 100_000)),
        _option("seed", seed, RunConfig.seed, cli.WholeNumber(0, 2**32 - 1)),
        _option("device", "", RunConfig.device, click.Choice(["auto", "cpu", "cuda", "mps"])),
        _option("precision", "", RunConfig.precision, click.Choice(["auto", "fp32", "bf16"])),
        _option("resume", resume, True, click.BOOL),
        _option("figures", figures, RunConfig.figures, click.Choice(LEVELS)),
        _option("objectives", objectives),
        _option("study", study),
        _option("workers", workers, RunConfig.workers, cli.WholeNumber(1, 256)),
        _option("storage", storage),
    ]


def _option(
    name: str, help: str, default: object = "auto", type: click.ParamType[Any] | None = None
) -> click.Option:
    return click.Option([f"--{name}"], default=default, type=type, help=help, show_default=True)


def _task_options() -> Iterator[click.Option]:
    """Yield an option for each field of any task's data options and hyper-parameters."""
    defaults: dict[str, list[str]] = {}
    descriptions: dict[str, str] = {}
    for task, fields in _fields_of_tasks():
        for name in _names(fields):
            defaults.setdefault(name, []).append(f"{task.name}: {_default(fields, name)}")
            descriptions.setdefault(name, _description(fields, name))
    for name, text in descriptions.items():
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        help = f"{text[0].upper()}{text[1:]}.  [default: {'; '.join(defaults[name])}]"
        yield click.Option(list(spellings), help=help, metavar="TEXT")


def _fields_of_tasks() -> Iterator[tuple[Task, TaskFields]]:
    """Yield the data options and the hyper-parameters of every task."""
    for task in map(tasks.get, tasks.names()):
        yield task, task.data_options
        yield task, task.hparams


def _objectives(text: str) -> tuple[str, ...]:
    objectives = tuple(text.split(","))
    for name in objectives:
        if name not in OBJECTIVES:
            expected, fix = f"some of {', '.join(OBJECTIVES)}", "Choose among these."
            raise UserError("objective-unknown", "objectives", expected, repr(name), fix)
    if len(set(objectives)) < len(objectives):
        expected, fix = "each objective once", "Name each once."
        raise UserError("objective-repeated", "objectives", expected, repr(text), fix)
    return objectives


def _check_study(chosen: Mapping[str, Any]) -> None:
    """Raise UserError if the options of a shared search are invalid or do not go together."""
    study, storage = chosen.get("study"), chosen.get("storage")
    if study is None:
        if storage or chosen["workers"] > 1:
            what = "storage" if storage else "workers"
            expected = "a named study that several processes share"
            raise UserError("study-missing", what, expected, "no study", "Add study=NAME.")
        return
    if not re.fullmatch(r"[\w.-]{1,100}", study):
        expected = "letters, digits, '.', '_' and '-', at most 100"
        raise UserError("name-invalid", "study", expected, repr(study), "Choose another name.")
    if not chosen["resume"]:
        expected = "true, since a study of the same name is always resumed"
        fix = "Choose a new name for a new study."
        raise UserError("resume-unsuitable", "resume", expected, "false", fix)
    if storage:
        _check_storage(storage)


def _check_storage(storage: str) -> None:
    """Raise UserError unless `storage` is a PostgreSQL database of the study's own."""
    shown = repr(without_password(storage))
    if not storage.startswith(POSTGRESQL):
        expected = f"auto or {POSTGRESQL}USER@HOST:PORT/DATABASE"
        raise UserError("address-invalid", "storage", expected, shown, "Correct the address.")
    address = urlsplit(storage)
    if address.password and os.environ.get("MLFLOW_RUN_ID"):
        expected = "an address without a password, since mlflow run writes every -P to its store"
        fix = "Set PGPASSWORD or ~/.pgpass instead, and change the password: the store holds it."
        raise UserError("password-exposed", "storage", expected, shown, fix)
    mlflow = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    same = (address.netloc, address.path) == (mlflow.netloc, mlflow.path)
    if same and mlflow.scheme.startswith("postgresql"):
        expected = "another database than MLflow's: both have a table called alembic_version"
        fix = "Give the study a database of its own."
        raise UserError("database-shared", "storage", expected, "MLflow's database", fix)


def _check_foreign_option(name: str, value: str, task: Task) -> None:
    """Raise UserError for an option of another task, unless it has that task's default."""
    for _, fields in _fields_of_tasks():
        if name in _names(fields) and value == str(_default(fields, name)):
            return
    names = [*_names(task.data_options), *_names(task.hparams)]
    expected = f"an option of task {task.name} ({', '.join(names)})"
    fix = f"Leave out {name}, or choose another task."
    raise UserError("option-unknown", name, expected, "an option of another task", fix)


def _validated(fields: type[Fields], values: Mapping[str, Any]) -> Fields:
    """Return `fields` with `values`; pydantic reads the text and checks the rules."""
    kinds = get_type_hints(fields)
    read: dict[str, Any] = {
        name: cli.whole(value) if kinds[name] is int else value for name, value in values.items()
    }
    try:
        return fields(**read)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        # "Input should be greater than 0" -> "a value greater than 0"
        expected = first["msg"].removeprefix("Input should be ").partition(", unable")[0]
        if expected.startswith(("greater", "less")):
            expected = f"a value {expected}"
        what = f"{name} ({_description(fields, name)})"
        fix = f"Correct {name}."
        raise UserError("value-invalid", what, expected, repr(first["input"]), fix) from None


def _names(fields: TaskFields) -> list[str]:
    return [field.name for field in dataclasses.fields(fields)]


def _default(fields: TaskFields, name: str) -> object:
    return getattr(fields(), name)


def _description(fields: TaskFields, name: str) -> str:
    return str(fields.__pydantic_fields__[name].description)  # type: ignore[union-attr]

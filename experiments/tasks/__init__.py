"""The tasks: every module in this folder but `base` holds one `TASK`."""

import pkgutil
from importlib import import_module

from experiments.errors import UserError
from experiments.tasks.base import Task


def names() -> list[str]:
    """Return the names of all tasks."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def get(name: str) -> Task:
    """Return the task called `name`.

    Raises:
        UserError: there is none; the message lists those there are.
    """
    if name not in names():
        raise UserError(f"task: expected one of {', '.join(names())}; found {name!r}.")
    return import_module(f"{__name__}.{name}").TASK

"""The tasks: each module in this folder that defines a `TASK`.

The environment variable EXTRA_TASKS names modules elsewhere that define one, separated by commas
(EXTRA_TASKS=tests.iris). Every command finds these tasks, too.
"""

import os
import pkgutil
from importlib import import_module

from experiments.core.errors import UserError
from experiments.tasks.task import Task

EXTRA_TASKS = "EXTRA_TASKS"


def names() -> list[str]:
    """Return the names of all tasks."""
    return sorted(_all())


def get(name: str) -> Task:
    """Return the task called `name`.

    Raises:
        UserError: task-unknown; the message lists the known ones.
    """
    tasks = _all()
    if name not in tasks:
        expected = f"one of {', '.join(sorted(tasks))}"
        raise UserError("task-unknown", "task", expected, repr(name), "Choose one of these.")
    return tasks[name]


def _all() -> dict[str, Task]:
    """Return the tasks by name; importing them is fast, since they import torch in functions."""
    inside = [f"{__name__}.{module.name}" for module in pkgutil.iter_modules(__path__)]
    outside = [name.strip() for name in os.environ.get(EXTRA_TASKS, "").split(",") if name.strip()]
    tasks: dict[str, Task] = {}
    for module in [*inside, *outside]:
        task = _task_of(module)
        if task is None and module in outside:
            raise _missing(f"{module!r}, which defines none")
        if task is not None and tasks.setdefault(task.name, task) is not task:
            expected, found = "tasks with different names", f"a second task {task.name!r}"
            raise UserError(
                "task-repeated", f"${EXTRA_TASKS}", expected, f"{found} in {module}", "Rename it."
            )
    return tasks


def _task_of(module: str) -> Task | None:
    try:
        task = getattr(import_module(module), "TASK", None)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise  # the module exists; one that it imports does not
        raise _missing(f"{module!r}, which cannot be imported") from None
    return task if isinstance(task, Task) else None


def _missing(found: str) -> UserError:
    expected, fix = "modules that define a TASK", f"Correct {EXTRA_TASKS}."
    return UserError("module-missing", f"${EXTRA_TASKS}", expected, found, fix)

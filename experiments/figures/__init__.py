"""Numbers to figures; a task's figures are looked up by the task's name."""

from importlib import import_module
from importlib.util import find_spec

from experiments.figures.spec import Figures


def get(task: str) -> Figures:
    """Return the figures of `figures/TASK.py`, or empty ones where there is no such file."""
    if find_spec(f"{__name__}.{task}") is None:
        return Figures()
    figures: Figures = import_module(f"{__name__}.{task}").FIGURES
    return figures

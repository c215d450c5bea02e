"""From a trained net to numbers: each task's evaluation, by the task's name."""

from importlib import import_module
from importlib.util import find_spec

from experiments.evaluation.evaluation import Evaluation


def get(task: str) -> Evaluation:
    """Return the evaluation in `evaluation/TASK.py`, or one that measures nothing more."""
    if find_spec(f"{__name__}.{task}") is None:
        return Evaluation()
    evaluation: Evaluation = import_module(f"{__name__}.{task}").EVALUATION
    return evaluation

"""The search for hyper-parameters, and the one file that knows Optuna.

As a command it only searches: python -m experiments.tune --task mnist --trials 20
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from experiments import cli, options, tracking
from experiments.errors import UserError
from experiments.tasks.base import Choice, Hparams, Range, Task

if TYPE_CHECKING:
    import optuna

    from experiments.job import Job
    from experiments.options import Request
    from experiments.tracking import Recorder


STARTUP_TRIALS = 4  # that are not pruned: the others' measure, and enough to tell what matters


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        hparams: the best trial's.
        best: the best trial's number.
        values, states: objective and complete / pruned, trial by trial.
        importances: hyper-parameter -> share of the objective's variance; empty if unknown.
    """

    hparams: Hparams
    best: int
    values: list[float]
    states: list[str]
    importances: Mapping[str, float]


def search(job: Job, trials: int, fixed: frozenset[str], run: Recorder) -> Outcome:
    """Try `trials` sets of hyper-parameters, the defaults first; validation decides.

    All trials share the job's seed, so that they differ in nothing but what is searched.

    Args:
        fixed: hyper-parameters that keep the value they have in the job; so do those whose value
            lies outside the task's space, since a recipe of its own kind has set them.

    Raises:
        UserError: every trial diverged.
    """
    import optuna
    from tqdm import tqdm

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    task = job.task
    space = {
        name: dim
        for name, dim in task.space.items()
        if name not in fixed and getattr(job.hparams, name) in dim
    }
    study = optuna.create_study(
        direction="maximize" if task.objective == "val_accuracy" else "minimize",
        sampler=optuna.samplers.TPESampler(seed=job.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
    )
    study.enqueue_trial({name: getattr(job.hparams, name) for name in space})
    distributions = {name: _distribution(dim) for name, dim in space.items()}
    for number in tqdm(range(trials), desc="search", unit="trial"):
        trial = study.ask(distributions)
        with run.child(f"trial {number}") as child:
            _one(study, trial, replace(job, hparams=replace(job.hparams, **trial.params)), child)
    return _outcome(study, job)


def _one(study: optuna.Study, trial: optuna.trial.Trial, job: Job, run: Recorder) -> None:
    """Fit one trial's net, and tell study and run how it ended."""
    import optuna

    from experiments.fit import Diverged

    run.params(job.named_hparams())
    try:
        value = _value(trial, job, run)
    except (optuna.TrialPruned, Diverged) as stop:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        run.tags({"trial_state": "pruned", "reason": stop})
        run.status = "KILLED"
    else:
        study.tell(trial, value)
        run.tags({"trial_state": "complete"})


def _value(trial: optuna.trial.Trial, job: Job, run: Recorder) -> float:
    """Return the objective of the trial's best epoch."""
    import optuna

    objective, best = job.task.objective, None
    for metrics in job.fit(job.net(), f"trial {trial.number}"):
        run.metrics(metrics.named(), step=metrics.epoch)
        best = metrics if best is None or metrics.rank > best.rank else best
        trial.report(getattr(metrics, objective), metrics.epoch)
        if trial.should_prune():
            raise optuna.TrialPruned(f"behind the median of the others in epoch {metrics.epoch}")
    return float(getattr(best, objective))


def _distribution(dim: Range | Choice) -> optuna.distributions.BaseDistribution:
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if isinstance(dim, Choice):
        return CategoricalDistribution(dim.options)
    if isinstance(dim.low, int) and isinstance(dim.high, int):
        return IntDistribution(dim.low, dim.high, log=dim.log)
    return FloatDistribution(dim.low, dim.high, log=dim.log)


def _outcome(study: optuna.Study, job: Job) -> Outcome:
    complete = [t for t in study.trials if t.state.name == "COMPLETE"]
    if not complete:
        raise UserError(
            f"Each of {len(study.trials)} trials diverged; give a smaller lr, for instance "
            f"lr={job.hparams.lr / 10:g}."
        )
    return Outcome(
        hparams=replace(job.hparams, **study.best_params),
        best=study.best_trial.number,
        values=[math.nan if t.value is None else t.value for t in study.trials],
        states=[t.state.name.lower() for t in study.trials],
        importances=_importances(study, complete, job.seed),
    )


def _importances(study: optuna.Study, complete: list[Any], seed: int) -> Mapping[str, float]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if len({t.value for t in complete}) < 2:
        return {}
    return get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))


def log_outcome(outcome: Outcome, task: Task, run: Recorder) -> None:
    """Record the search's figures and its best trial."""
    from experiments.plots import search as plots

    maximise = task.objective == "val_accuracy"
    run.tags({"best_trial": outcome.best})
    run.figure(
        "search/history", plots.history(outcome.values, outcome.states, task.objective, maximise)
    )
    if outcome.importances:
        complete = outcome.states.count("complete")
        run.figure(
            "search/importances", plots.importances(outcome.importances, task.objective, complete)
        )


def tune(request: Request) -> None:
    """Search for good hyper-parameters, record each trial, and register nothing."""
    from experiments.job import Job

    if not request.trials:
        raise UserError("trials: expected at least 1 for a search; found 0.")
    with tracking.start(f"tune {request.task.name}") as run:
        job = Job.prepare(request)
        run.params(job.described())
        run.dataset(job.splits)
        outcome = search(job, request.trials, request.fixed, run)
        run.params(replace(job, hparams=outcome.hparams).named_hparams())
        log_outcome(outcome, job.task, run)
    again = replace(request, hparams=outcome.hparams, trials=0)
    print(f"Best of {request.trials} trials: number {outcome.best}. Train with it:")
    print(f"  mlflow run . -e train {again.as_parameters()}")


command = options.training(tune)

if __name__ == "__main__":
    cli.main(command)

"""The search for hyper-parameters: each trial trains one network, validation chooses the best."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.core.errors import UserError
from experiments.figures.logger import FigureLogger
from experiments.search import figures, storages, study, workers
from experiments.tasks.task import Hparams
from experiments.tracking import runs
from experiments.tracking.run_lock import RunDir
from experiments.training import config

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, Trial

    from experiments.tracking.runs import RunLogger
    from experiments.training.config import RunConfig
    from experiments.training.trainer import Trainer

OTHER_NAME = "Choose a new name for this search: study=NEWNAME."
HOW_TO_RESTART = "Pass resume=false to start over."
UNPRUNED_FRAC = 0.75  # of the epochs; no trial is pruned before: docs/experiments.md
STARTUP_TRIALS = 4  # never pruned: later ones are compared with them


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        study: deleted with its folder, unless it is named.
        trials: all of them.
        objectives: names of `config.OBJECTIVES`; the first selects the best trial.
        hparams, best, best_run: of the best trial: hyper-parameters, number, id of its run.
        pareto_front: numbers of the trials that no other beats in every objective.
    """

    study: optuna.Study
    trials: list[FrozenTrial]
    objectives: Sequence[str]
    hparams: Hparams
    best: int
    best_run: str
    pareto_front: list[int]

    @property
    def states(self) -> list[str]:
        """The state of each trial: complete, pruned, diverged or fail."""
        states = [trial.state.name.lower() for trial in self.trials]
        diverged = [trial.user_attrs.get("diverged") for trial in self.trials]
        return ["diverged" if d else state for d, state in zip(diverged, states, strict=True)]


def open_shared(
    job: Trainer, request: RunConfig, place: RunDir, startup_trials: int = STARTUP_TRIALS
) -> study.Study:
    """Open the study named in the request, or the run folder's own.

    Args:
        startup_trials: are not pruned.

    Raises:
        UserError: study-mismatch, the named study searches something else.
    """
    import optuna

    job = _of_trials(job, request)
    directions = [
        "maximize" if config.OBJECTIVES[aim] else "minimize" for aim in request.objectives
    ]
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=startup_trials,
        n_warmup_steps=math.ceil(UNPRUNED_FRAC * job.hparams.epochs),
    )
    name = request.study or f"search-{place.folder.name}"  # unique in a shared database
    folder = _study_folder(request, place)
    retries = 1 if request.study else None
    shared = study.open_study(name, request.storage, folder, directions, pruner, retries)
    with storages.wrap_errors(request.storage):
        fix = OTHER_NAME if request.study else HOW_TO_RESTART
        shared.check_identity(_identity(job, request), fix)
    return shared


def _of_trials(job: Trainer, request: RunConfig) -> Trainer:
    """Return `job` with the epochs of a trial: of a search that was not asked for, a few."""
    epochs = job.hparams.epochs
    if request.short:
        epochs = min(epochs, job.task.trial_epochs)
    return replace(job, hparams=replace(job.hparams, epochs=epochs))


def _space(job: Trainer, request: RunConfig) -> study.Space:
    """Return what the search varies: neither what was given nor what lies outside the space."""
    return {
        name: dim
        for name, dim in job.task.space.items()
        if name not in request.fixed and getattr(job.hparams, name) in dim
    }


def _identity(job: Trainer, request: RunConfig) -> dict[str, str]:
    """Return what makes two trials comparable, as text: everything but the values searched."""
    settings = {**asdict(job.hparams), **_space(job, request)}
    return {
        "task": job.task.name,
        "data": f"{job.splits.name} of digest {job.splits.digest}",
        "objectives": ",".join(request.objectives),
        "seed": str(job.seed),
        **{name: str(value) for name, value in settings.items()},
    }


def parent(shared: study.Study, name: str, request: RunConfig) -> str | None:
    """Return a named study's parent run, created if missing; None if the study has no name."""
    if not request.study:
        return None
    with shared.lock():
        if "run" not in shared.optuna.user_attrs:
            shared.optuna.set_user_attr("run", runs.create(name))
    return str(shared.optuna.user_attrs["run"])


def search(
    job: Trainer, request: RunConfig, run: RunLogger, place: RunDir, shared: study.Study
) -> SearchResult:
    """Run trials until the study has as many as requested; return the best, with all epochs.

    The first trial has the job's hyper-parameters. All trials share the job's seed, so they differ
    only in the hyper-parameters searched. Those given on the command line keep their value, and so
    do those that a recipe has set to a value outside the task's space.

    Raises:
        UserError: every trial diverged, or the storage fails.
    """
    from tqdm import tqdm

    run.has_other_workers = lambda: shared.has_other_workers(place.lease)
    space = _space(job, request)
    folder = _study_folder(request, place)  # of checkpoints, which all workers share
    whole = job
    job = _of_trials(job, request)
    job = replace(job, folder=folder / f"{request.study}.fits" if request.study else folder)
    with shared.lock():
        if not shared.optuna.get_trials(deepcopy=False):
            shared.optuna.enqueue_trial({name: getattr(job.hparams, name) for name in space})

    # Worker processes of this machine run the trials; this process runs what they leave.
    if request.workers > 1:
        workers.work(request, shared)

    left = request.trials - shared.finished()
    each = job.estimated_s()
    tqdm.write(
        f"Search: {left} trials of {job.hparams.epochs:g} epochs, about {left * each:.0f} s.",
        file=sys.stderr,
    )
    with (
        storages.wrap_errors(request.storage),
        tqdm(total=request.trials, desc="search", unit="trial", leave=False, disable=None) as bar,
    ):

        def objective(trial: Trial) -> Sequence[float]:
            bar.update(shared.finished() - bar.n)
            bar.set_description(f"search, trial {trial.number}")
            return _objective(trial, job, request, run)

        bury = partial(run.mark_trial_failed, shared.optuna.study_name)
        shared.optimize(objective, request.trials, space, place.lease, bury, job.seed)
        bar.update(shared.finished() - bar.n)
    return _result(shared.optuna, whole, request.objectives)


def finalize(result: SearchResult, request: RunConfig, run: RunLogger, shared: study.Study) -> None:
    """Log a search's result, unless another process of its study has logged it."""
    with shared.lock():
        if shared.optuna.user_attrs.get("concluded") != request.trials:
            figure_logger = FigureLogger(run, request.figures)
            log_result(result, run, figure_logger, brief=request.short)
            figure_logger.close()
            shared.optuna.set_user_attr("concluded", request.trials)


def log_result(
    result: SearchResult, run: RunLogger, figure_logger: FigureLogger, *, brief: bool
) -> None:
    """Log the search's figures, if `brief` a single one, and its best trial."""
    run.tags({"best_trial": result.best, "best_run": result.best_run})
    figure_logger.log(figures.exhibits(result.study, result.objectives, brief=brief))
    if len(result.objectives) > 1:
        run.text("search/pareto.md", pareto_table(result))


def pareto_table(result: SearchResult) -> str:
    """Return the Pareto front as a Markdown table, sorted by the first objective."""
    trials = [result.trials[number] for number in result.pareto_front]
    trials.sort(key=lambda trial: trial.values[0])
    names = sorted({name for trial in trials for name in trial.params})
    header = ["trial", *result.objectives, *names]
    rows = [header, ["---"] * len(header)]
    for trial in trials:
        values = [f"{value:.4g}" for value in trial.values]
        params = [str(trial.params.get(name, "")) for name in names]
        rows.append([str(trial.number), *values, *params])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _objective(trial: Trial, job: Trainer, request: RunConfig, run: RunLogger) -> list[float]:
    """Train one trial's network in its own run; return the objectives' values."""
    import optuna

    from experiments.training.loop import DivergedError

    job = replace(job, hparams=replace(job.hparams, **trial.params))
    marks = {"trial": trial.number, "study": trial.study.study_name}
    if "retry_of" in trial.user_attrs:
        marks["retry_of"] = trial.user_attrs["retry_of"]
    values = None
    with run.child(f"trial {trial.number}", marks) as child:
        trial.set_user_attr("run", child.id)
        child.params(job.named_hparams())
        try:
            values = _train(trial, job, child, request.objectives)
        except (optuna.TrialPruned, DivergedError) as error:
            trial.set_user_attr("diverged", isinstance(error, DivergedError))
            child.tags({"trial_state": "pruned", "reason": error})
            child.status = "KILLED"
        except BaseException as error:
            child.tags({"trial_state": "failed", "reason": study.reason_of(error)})
            raise
        else:
            named = zip(request.objectives, values, strict=True)
            child.metrics({aim: value for aim, value in named if "val" not in aim})
            child.tags({"trial_state": "complete"})
    job.delete_checkpoints()
    if values is None:
        raise optuna.TrialPruned
    return values


def _train(trial: Trial, job: Trainer, run: RunLogger, objectives: Sequence[str]) -> list[float]:
    """Return the objectives' values in the trial's best epoch."""
    import optuna

    from experiments.training.metrics import cost

    net, best = job.net(), None
    for metrics in job.fit(net, f"trial {trial.number}"):
        run.metrics(metrics.named(), step=metrics.epoch)
        if best is None or metrics.rank > best.rank:
            best = metrics
        if len(objectives) > 1:
            continue  # Optuna prunes by a single objective only
        trial.report(metrics.named()[objectives[0]], metrics.epoch)
        if metrics.epoch < job.hparams.epochs and trial.should_prune():
            raise optuna.TrialPruned(f"behind the median of the others in epoch {metrics.epoch}")
    assert best is not None
    measured = dict(best.named())
    if len(objectives) > 1:
        measured |= cost(job.task.select_model(net, job.val), job.val.x)
    return [measured[objective] for objective in objectives]


def _result(study: optuna.Study, job: Trainer, objectives: Sequence[str]) -> SearchResult:
    trials = study.trials
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    if not complete:
        raise UserError(
            "trials-diverged",
            f"search of {len(trials)} trials",
            expected="a trial whose loss stays a finite number",
            found="none",
            fix=f"Pass a smaller lr, for instance lr={job.hparams.lr / 10:g}.",
        )
    choose = max if config.OBJECTIVES[objectives[0]] else min
    best = choose(complete, key=lambda trial: trial.values[0])
    return SearchResult(
        study=study,
        trials=trials,
        objectives=objectives,
        hparams=replace(job.hparams, **best.params),
        best=best.number,
        best_run=best.user_attrs["run"],
        pareto_front=[trial.number for trial in study.best_trials],
    )


def _study_folder(request: RunConfig, place: RunDir) -> Path:
    """Return the folder of the study's journal: of named studies, or the run's own."""
    return request.state / study.FOLDER.name if request.study else place.folder

"""The search for hyper-parameters, on studies that processes may share.

As a command it only searches: python -m experiments.tune --task mnist --trials 20
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import cli, lease, options, studies, tracking, workers
from experiments.errors import UserError
from experiments.gallery import Gallery
from experiments.lease import Place
from experiments.tasks.base import Choice, Exhibit, Hparams, Range

if TYPE_CHECKING:
    import optuna

    from experiments.job import Job
    from experiments.options import Request
    from experiments.tracking import Recorder


UNPRUNED = 0.75  # the share of the epochs before which no trial is pruned: benchmarks/search.py
STARTUP_TRIALS = 4  # that are not pruned: the others' measure, and enough to tell what matters


@dataclass(frozen=True)
class Outcome:
    """What a search found.

    Attributes:
        aims: what it aimed at, names of `options.AIMS`; the first chose the best trial.
        hparams: the best trial's.
        best: the best trial's number.
        best_run: id of the best trial's run.
        values: one row a trial, the aims in order; NaN where there is none.
        states: complete, pruned, diverged or fail, trial by trial.
        settings: what was searched, trial by trial.
        curves: the first aim by epoch, trial by trial; empty where there are several aims.
        count: validation samples that judged each.
        front: numbers of the trials that no other beats in every aim.
        importances: hyper-parameter -> share of the first aim's variance; empty if unknown.
    """

    aims: Sequence[str]
    hparams: Hparams
    best: int
    best_run: str
    values: list[list[float]]
    states: list[str]
    settings: list[Mapping[str, Any]]
    curves: list[Mapping[int, float]]
    count: int
    front: list[int]
    importances: Mapping[str, float]


def search(
    job: Job, request: Request, run: Recorder, place: Place, shared: studies.Study
) -> Outcome:
    """Try sets of hyper-parameters, the job's own first, until the study has as many as asked for.

    All trials share the job's seed, so that they differ in nothing but what is searched. What is
    given on the command line keeps its value, and so does what lies outside the task's space,
    since a recipe of its own kind has set it. Validation decides.

    Raises:
        UserError: every trial diverged, or the storage fails.
    """
    from tqdm import tqdm

    run.others = lambda: shared.others_are_at_it(place.lease)
    space = {
        name: _distribution(dim)
        for name, dim in job.task.space.items()
        if name not in request.fixed and getattr(job.hparams, name) in dim
    }
    job = replace(job, folder=trial_folder(request, place))
    name = shared.optuna.study_name
    bury = partial(run.bury_trial, name)
    begin(shared, {name: getattr(job.hparams, name) for name in space})
    if request.workers > 1:
        workers.work(request, shared)
    with (
        studies.telling(request.storage),
        tqdm(total=request.trials, desc="search", unit="trial") as bar,
    ):
        while True:
            bar.update(shared.finished() - bar.n)
            trial = shared.next(request.trials, space, place.lease, bury, job.seed)
            if trial is None:
                break
            one = replace(job, hparams=replace(job.hparams, **trial.params))
            marks = {"trial": trial.number, "study": name}
            named = f"trial {trial.number}"
            with shared.alive(trial), run.child(named, marks | _retry(trial)) as child:
                trial.set_user_attr("run", child.id)
                _one(shared, trial, one, child, request.aims)
    return _outcome(shared.optuna, job, request.aims)


def open_shared(request: Request, place: Place) -> studies.Study:
    """Open the study that is asked for: one by its name, or the place's own."""
    import optuna

    directions = ["maximize" if options.AIMS[aim] else "minimize" for aim in request.aims]
    pruner = optuna.pruners.MedianPruner(
        n_startup_trials=STARTUP_TRIALS,
        n_warmup_steps=math.ceil(UNPRUNED * request.hparams.epochs),
    )
    folder = studies.FOLDER if request.study else place.folder
    name = request.study or f"search-{place.folder.name}"  # no two searches have the same
    return studies.open_study(
        name, request.storage, folder, directions, pruner, retries=1 if request.study else None
    )


def trial_folder(request: Request, place: Place) -> Path:
    """Return where the checkpoints of trials go, so that any worker of the study finds them."""
    return studies.FOLDER / f"{request.study}.fits" if request.study else place.folder


def begin(shared: studies.Study, first: Mapping[str, Any]) -> None:
    """Queue the defaults as a new study's first trial."""
    with shared.lock():
        if not shared.optuna.get_trials(deepcopy=False):
            shared.optuna.enqueue_trial(dict(first))


def parent(shared: studies.Study, name: str, request: Request) -> str | None:
    """Return the run of a named study, made if need be; None for a search of its own."""
    if not request.study:
        return None
    with shared.lock():
        if "run" not in shared.optuna.user_attrs:
            shared.optuna.set_user_attr("run", tracking.make(name))
    return str(shared.optuna.user_attrs["run"])


def _retry(trial: optuna.trial.Trial) -> dict[str, object]:
    marks = trial.user_attrs
    return {"retry_of": marks["retry_of"]} if "retry_of" in marks else {}


def _one(
    shared: studies.Study,
    trial: optuna.trial.Trial,
    job: Job,
    run: Recorder,
    aims: Sequence[str],
) -> None:
    """Fit one trial's net, and tell run and study how it ended."""
    import optuna

    from experiments.fit import Diverged

    states = optuna.trial.TrialState
    run.params(job.named_hparams())
    try:
        values = _values(trial, job, run, aims)
    except (optuna.TrialPruned, Diverged) as stop:
        trial.set_user_attr("diverged", isinstance(stop, Diverged))
        run.tags({"trial_state": "pruned", "reason": stop})
        run.status = "KILLED"
        shared.optuna.tell(trial, state=states.PRUNED, skip_if_finished=True)
    except BaseException as stop:
        interrupted = isinstance(stop, KeyboardInterrupt)
        reason = studies.INTERRUPTED if interrupted else f"{type(stop).__name__}: {stop}"
        trial.set_user_attr("reason", reason)
        shared.optuna.tell(trial, state=states.FAIL, skip_if_finished=True)
        run.tags({"trial_state": "failed", "reason": reason})
        raise
    else:
        run.metrics({aim: v for aim, v in zip(aims, values, strict=True) if "val" not in aim})
        run.tags({"trial_state": "complete"})
        shared.optuna.tell(trial, values, skip_if_finished=True)
    job.forget()


def _values(trial: optuna.trial.Trial, job: Job, run: Recorder, aims: Sequence[str]) -> list[float]:
    """Return the aims' values of the trial's best epoch."""
    import optuna

    from experiments.metrics import cost

    net, best = job.net(), None
    for metrics in job.fit(net, f"trial {trial.number}"):
        run.metrics(metrics.named(), step=metrics.epoch)
        best = metrics if best is None or metrics.rank > best.rank else best
        if len(aims) > 1:  # Optuna prunes by one aim only
            continue
        trial.report(metrics.named()[aims[0]], metrics.epoch)
        if metrics.epoch < job.hparams.epochs and trial.should_prune():
            raise optuna.TrialPruned(f"behind the median of the others in epoch {metrics.epoch}")
    assert best is not None
    measured = best.named() | (
        cost(job.task.choose(net, job.val), job.val.x) if len(aims) > 1 else {}
    )
    return [measured[aim] for aim in aims]


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


def _outcome(study: optuna.Study, job: Job, aims: Sequence[str]) -> Outcome:
    complete = [t for t in study.trials if t.state.name == "COMPLETE"]
    if not complete:
        raise UserError(
            f"Each of {len(study.trials)} trials diverged; give a smaller lr, for instance "
            f"lr={job.hparams.lr / 10:g}."
        )
    best = (max if options.AIMS[aims[0]] else min)(complete, key=lambda trial: trial.values[0])
    return Outcome(
        aims=aims,
        hparams=replace(job.hparams, **best.params),
        best=best.number,
        best_run=best.user_attrs["run"],
        values=[t.values or [math.nan] * len(aims) for t in study.trials],
        states=[
            "diverged" if t.user_attrs.get("diverged") else t.state.name.lower()
            for t in study.trials
        ],
        settings=[t.params for t in study.trials],
        curves=[t.intermediate_values for t in study.trials],
        count=job.val.y.numel(),
        front=[t.number for t in study.best_trials] if len(aims) > 1 else [best.number],
        importances=_importances(study, complete, job.seed),
    )


def _importances(study: optuna.Study, complete: list[Any], seed: int) -> Mapping[str, float]:
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    if len({t.values[0] for t in complete}) < 2:
        return {}
    evaluator = FanovaImportanceEvaluator(seed=seed)
    return get_param_importances(study, evaluator=evaluator, target=lambda t: t.values[0])


def log_outcome(outcome: Outcome, run: Recorder, gallery: Gallery) -> None:
    """Record the search's pictures and its best trial."""
    run.tags({"best_trial": outcome.best, "best_run": outcome.best_run})
    gallery.hang(exhibits(outcome))
    if len(outcome.aims) > 1:
        run.text("search/pareto.md", front_table(outcome))


def exhibits(outcome: Outcome) -> Iterator[Exhibit]:
    """Yield the pictures of a search."""
    from experiments.plots import parallel
    from experiments.plots import search as plots

    aim = outcome.aims[0]
    maximise = options.AIMS[aim]
    firsts = [row[0] for row in outcome.values]
    yield Exhibit(
        "search/history",
        lambda: plots.history(firsts, outcome.states, aim, maximise, count=outcome.count),
        "Look for how late the best value came: if among the last trials, more may find better.",
        "It cannot show how much of a difference is chance: each trial has one seed.",
        core=True,
    )
    if outcome.importances:
        complete = outcome.states.count("complete")
        yield Exhibit(
            "search/importances",
            lambda: plots.importances(outcome.importances, aim, complete),
            "Look for what is worth searching: if trials are many, what has a small share is not.",
            "It cannot show the direction, nor what lies outside the values that were tried.",
            core=True,
        )
    yield Exhibit(
        "search/parallel-coordinates",
        lambda: parallel.parallel(outcome.settings, firsts, outcome.states, aim, maximise),
        "Look for where the thick line and bright ones pass an axis close together: good values.",
        "It cannot show values that were not tried; neighbouring axes stand out by their order.",
    )
    if len(outcome.aims) == 1:
        yield Exhibit(
            "search/pruned",
            lambda: plots.pruned(
                outcome.curves, outcome.states, aim, maximise, outcome.hparams.epochs
            ),
            "Look for pruned trials that were still improving: they may have ended too soon."
            if "pruned" in outcome.states
            else "Look for curves that cross: who is behind early may win late, if not pruned.",
            "It cannot show where a pruned trial would have ended.",
        )
    else:
        yield Exhibit(
            "search/pareto",
            lambda: plots.pareto(outcome.values, outcome.aims, outcome.front),
            "Look for the bend of the front, where a little more cost stops to buy much.",
            "It cannot show how noisy each point is; latencies are of this machine.",
            core=True,
        )


def front_table(outcome: Outcome) -> str:
    """Return the trials that no other beats in every aim, as a Markdown table."""
    names = sorted({name for settings in outcome.settings for name in settings})
    head = ["trial", *outcome.aims, *names]
    rows = [
        [
            n,
            *(f"{v:.4g}" for v in outcome.values[n]),
            *(outcome.settings[n].get(name, "") for name in names),
        ]
        for n in sorted(outcome.front, key=lambda n: outcome.values[n][0])
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def conclude(outcome: Outcome, request: Request, run: Recorder, shared: studies.Study) -> None:
    """Record a search's outcome, unless another process of its study has."""
    with shared.lock():
        if shared.optuna.user_attrs.get("concluded") != request.trials:
            gallery = Gallery(run, request.figures)
            log_outcome(outcome, run, gallery)
            gallery.close()
            shared.optuna.set_user_attr("concluded", request.trials)


def tune(request: Request) -> None:
    """Search for good hyper-parameters, record each trial, and register nothing."""
    from experiments import parallel
    from experiments.job import Job

    if not request.trials:
        raise UserError("trials: expected at least 1 for a search; found 0.")
    if parallel.rank():
        Job.prepare(request).follow()
        return
    with lease.place(request.key("tune"), afresh=request.afresh) as place:
        shared = open_shared(request, place)
        name = f"tune {request.task.name}"
        with tracking.start(name, place, shared=parent(shared, name, request)) as run:
            job = Job.prepare(request)
            with shared.lock():  # MLflow stumbles over two that log a data set at once
                run.params(job.described())
                run.dataset(job.splits)
            outcome = search(job, request, run, place, shared)
            job.group.end()
            if not request.study:  # whose best may change; its run is linked
                run.params(replace(job, hparams=outcome.hparams).named_hparams())
            conclude(outcome, request, run, shared)
    print(f"Best of {outcome.states.count('complete')} complete trials: number {outcome.best}.")
    if len(outcome.aims) > 1:
        print(front_table(outcome), end="")
    print("Train with it:")
    print(f"  mlflow run . -e train {request.with_settings(outcome.hparams).as_parameters()}")


command = options.training(tune)

if __name__ == "__main__":
    cli.main(command)

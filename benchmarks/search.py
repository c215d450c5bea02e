"""What a search is worth, which sampler and pruner serve it best, and what it costs besides fits.

    python -m benchmarks.search --seeds 5

Small fits of the digit network, of the recipe `flash` with fewer digits and channels, so that a
hundred searches take minutes. All arms may train the same number of epochs, which no other
process on the machine can change, and start from the same point: the recipe as it stands, or a
poor corner of the search space. Validation chooses; since the best of many is lucky, the net it
chose is also judged on training digits that no fit has seen. The test set is never read. Then the
project's own search, recorded in a store that is thrown away, is split into what it spends its
time on besides training. Writes benchmarks/results/search.json.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, cached_property, partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from tqdm import tqdm

from benchmarks import record, split
from experiments import cli, tracking, tune
from experiments.lease import Place

if TYPE_CHECKING:
    import optuna

    from experiments.job import Job
    from experiments.tasks.base import Hparams, Split

DIGITS, UNSEEN = 3_000, 10_000  # of the training set: to fit on, and the next ones to judge by
EPOCHS = 4  # a fit, each of them evaluated, as in the recipe `default`
LATE = 3  # the first epoch in which `median, late` may prune
FIT = {"epochs": EPOCHS, "eval_every": 1, "width": 16}
STARTS: dict[str, dict[str, Any]] = {  # the first trial; what is not named is the recipe's
    "default": {},
    "poor": {"lr": 0.03, "weight_decay": 0.01, "label_smoothing": 0.05, "hidden": 96},
}
DEFAULTS = "defaults"  # the arm that searches nothing and tries one seed after the other
ARMS = {  # sampler and pruner
    "tpe": ("tpe", "none"),
    "tpe, 4 random": ("tpe, 4 random", "none"),
    "random": ("random", "none"),
    "median": ("tpe", "median"),
    "median, late": ("tpe", "median, late"),
    "halving": ("tpe", "halving"),
    "hyperband": ("tpe", "hyperband"),
}
QUESTIONS = {  # arms, and what each is compared with
    "search against more seeds": (("tpe",), DEFAULTS),
    "pruner against none": (("median", "median, late", "halving", "hyperband"), "tpe"),
    "sampler against random": (("tpe", "tpe, 4 random"), "random"),
}
FIGURES = ("val_accuracy", "unseen_accuracy")
APART = 1_000  # between the seeds of the fits of `defaults`; a search's fits share its seed
PROCESSES = 2  # at once, a thread each
SHORT = 256  # digits of the fits whose search is split into parts
TRIAL_SECONDS, ALLOWED = 3.0, 0.05  # a usual trial, and the share of it that may go elsewhere


class Fit:
    """A fit that goes no further than someone has asked: its net, its accuracies by epoch."""

    def __init__(self, job: Job) -> None:
        from experiments.fit import fit

        self.job, self.net, self.accuracies = job, job.net(), [0.0]  # before the first epoch
        self.epochs = fit(
            job.task,
            self.net,
            job.train,
            job.val,
            job.hparams,
            seed=job.seed,
            precision=job.precision,
        )

    def accuracy(self, epoch: int) -> float:
        """Return the validation accuracy after an epoch, 1 to `EPOCHS`."""
        while len(self.accuracies) <= epoch:
            self.accuracies.append(next(self.epochs).val_accuracy)
        return self.accuracies[epoch]

    @cached_property
    def best(self) -> float:
        """The best validation accuracy of all epochs."""
        self.accuracy(EPOCHS)
        return max(self.accuracies)

    @cached_property
    def unseen(self) -> float:
        """The accuracy, on digits that nobody has seen, of the best epoch's weights."""
        from experiments.metrics import evaluate

        self.accuracy(EPOCHS)
        for _ in self.epochs:  # nothing is left but its end, which brings back these weights
            pass
        return evaluate(self.job.task, self.net, unseen())[1]


class Tried(NamedTuple):
    """A fit as an arm made use of it: so many epochs, of which the last may have pruned it."""

    fit: Fit
    epochs: int
    pruned: bool


@cache
def prepared() -> Job:
    """Return the small job."""
    from experiments.job import Job
    from experiments.tasks.base import Split

    job = Job.prepare(record.request("mnist", "flash", changed=FIT))
    return replace(job, train=Split(job.train.x[:DIGITS], job.train.y[:DIGITS]))


@cache
def unseen() -> Split:
    """Return digits of the training set that no fit here has seen."""
    from experiments.device import to_device
    from experiments.tasks.base import Split

    job, those = prepared(), slice(DIGITS, DIGITS + UNSEEN)
    return to_device(Split(job.splits.train.x[those], job.splits.train.y[those]), job.device)


@cache
def fit_of(hparams: Hparams, seed: int) -> Fit:
    """Return the fit; arms that ask for the same one share it, since it would be the same."""
    return Fit(replace(prepared(), hparams=hparams, seed=seed))


def fits_of_seeds(hparams: Hparams, seed: int) -> Iterator[Tried]:
    """Yield fits of `hparams`, the first with `seed` itself."""
    for n in itertools.count():
        yield Tried(fit_of(hparams, seed + APART * n), EPOCHS, False)


def fits_of_search(hparams: Hparams, seed: int, sampler: str, pruner: str) -> Iterator[Tried]:
    """Yield the fits of a search, the first of `hparams`; all share the seed."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {name: tune._distribution(dim) for name, dim in prepared().task.space.items()}
    study = optuna.create_study(
        direction="maximize",
        sampler=_sampler(sampler, seed),
        pruner=_pruner(pruner),
        study_name=f"{pruner} {seed}",  # from which Hyperband draws its brackets
    )
    study.enqueue_trial({name: getattr(hparams, name) for name in space})
    while True:
        trial = study.ask(space)
        fit = fit_of(replace(hparams, **trial.params), seed)
        epochs, pruned = followed(fit, trial)
        state = optuna.trial.TrialState.PRUNED if pruned else None
        study.tell(trial, None if pruned else fit.best, state=state)
        yield Tried(fit, epochs, pruned)


def followed(fit: Fit, trial: optuna.trial.Trial) -> tuple[int, bool]:
    """Report a fit as the project does; return its epochs, and whether the last one pruned it."""
    for epoch in range(1, EPOCHS + 1):
        trial.report(fit.accuracy(epoch), epoch)
        if trial.should_prune():
            return epoch, True
    return EPOCHS, False


def _sampler(name: str, seed: int) -> Any:
    from optuna.samplers import RandomSampler, TPESampler

    made: dict[str, Callable[..., Any]] = {
        "tpe": TPESampler,
        "tpe, 4 random": partial(TPESampler, n_startup_trials=tune.STARTUP_TRIALS),
        "random": RandomSampler,
    }
    return made[name](seed=seed)


def _pruner(name: str) -> Any:
    from optuna import pruners

    median = partial(pruners.MedianPruner, n_startup_trials=tune.STARTUP_TRIALS)
    made: dict[str, Callable[[], Any]] = {
        "none": pruners.NopPruner,
        "median": median,
        "median, late": partial(median, n_warmup_steps=LATE),
        "halving": partial(pruners.SuccessiveHalvingPruner, 1, 2),
        "hyperband": partial(pruners.HyperbandPruner, 1, EPOCHS, 2),
    }
    return made[name]()


def courses(start: str, seed: int, fits: int) -> dict[str, Any]:
    """Return arm -> what it has found, from one start with one seed."""
    fit_of.cache_clear()
    hparams = replace(prepared().hparams, **STARTS[start])
    searches = {arm: fits_of_search(hparams, seed, *how) for arm, how in ARMS.items()}
    arms = {DEFAULTS: fits_of_seeds(hparams, seed), **searches}
    return {arm: course(tried, fits) for arm, tried in arms.items()}


def course(tried: Iterator[Tried], fits: int) -> dict[str, Any]:
    """Return the best that was found by the time each of `marks(fits)` was trained."""
    rows: list[tuple[int, Tried]] = []
    spent = 0
    while spent < fits * EPOCHS:
        one = next(tried)
        spent += one.epochs
        rows.append((spent, one))
    ended = [(at, one.fit) for at, one in rows if not one.pruned]
    best = [
        max((fit for at, fit in ended if at <= n * EPOCHS), key=lambda fit: fit.best)
        for n in marks(fits)
    ]
    return {
        "val_accuracy": [fit.best for fit in best],
        "unseen_accuracy": [fit.unseen for fit in best],
        "begun": len(rows),
        "pruned": len(rows) - len(ended),
        "epochs": [fit.accuracies[1:] for _, fit in ended],
    }


def marks(fits: int) -> list[int]:
    """Return after how many whole fits' epochs the arms are compared."""
    return sorted({max(1, fits // 4), max(1, fits // 2), fits})


def gathered(found: list[dict[str, Any]], fits: int) -> dict[str, Any]:
    """Return the spread of an arm's figures over the seeds."""
    return {
        **{
            figure: {
                str(n): record.spread([one[figure][at] for one in found])
                for at, n in enumerate(marks(fits))
            }
            for figure in FIGURES
        },
        **{name: record.spread([one[name] for one in found]) for name in ("begun", "pruned")},
    }


def foresight(fits: list[list[float]]) -> list[float]:
    """Return for each epoch how its accuracies rank the fits, beside their best ones: -1 to 1."""
    from scipy.stats import spearmanr

    best = [max(epochs) for epochs in fits]
    return [float(spearmanr(those, best).statistic) for those in zip(*fits, strict=True)]


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the mean difference of two spreads, seed by seed, and its 95 % interval (t)."""
    from scipy.stats import ttest_1samp

    apart = [a - b for a, b in zip(one["values"], other["values"], strict=True)]
    if len(set(apart)) == 1:
        return {**record.spread(apart), "low": apart[0], "high": apart[0]}
    interval = ttest_1samp(apart, 0).confidence_interval(0.95)
    return {**record.spread(apart), "low": float(interval.low), "high": float(interval.high)}


def differences(arms: Mapping[str, Any], fits: int) -> Iterator[dict[str, Any]]:
    """Yield each question's comparisons, from every start, at every mark, on both figures."""
    for question, (those, other) in QUESTIONS.items():
        for start, arm, n in itertools.product(STARTS, those, map(str, marks(fits))):
            one, against = arms[start][arm], arms[start][other]
            apart = {f: difference(one[f][n], against[f][n]) for f in FIGURES}
            where = {"start": start, "arm": arm, "against": other, "after_fits": int(n)}
            yield {"question": question, **where, **apart}


def overhead(trials: int) -> dict[str, Any]:
    """Return the milliseconds a trial of the project's search takes besides its training.

    No trial is pruned, so that each tells its store of `EPOCHS` epochs, as the longest would.
    Belongs into a process of its own: it replaces what it counts.
    """
    tune.STARTUP_TRIALS = trials
    clock = split.Clock()
    rows: list[dict[str, float]] = []
    count(clock, rows.append)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        place = Place(Path(folder, "place"), "", "search")
        place.folder.mkdir()
        asked = record.request("mnist", "flash", trials=trials, changed=FIT)
        asked = replace(asked, aims=(asked.task.objective,))
        shared = tune.open_shared(asked, place)
        with tracking.start("search", place) as run:
            tune.search(short(), asked, run, place, shared)
    return summed([{n: b[n] - a.get(n, 0) for n in b} for a, b in itertools.pairwise(rows)])


def short() -> Job:
    """Return a job whose fit takes next to no time."""
    from experiments.tasks.base import Split

    job = prepared()
    train, val = (Split(part.x[:SHORT], part.y[:SHORT]) for part in (job.train, job.val))
    return replace(job, train=train, val=val)


def count(clock: split.Clock, take: Callable[[dict[str, float]], None]) -> None:
    """Let `clock` count a search's parts, and `take` its seconds whenever a trial is asked for."""
    import mlflow
    import optuna

    from experiments import studies
    from experiments.job import Job

    parts: dict[str, list[tuple[Any, str]]] = {
        "training": [(Job, "net")],
        "tracking": [(mlflow, "start_run"), (mlflow, "end_run")]
        + [(tracking.Run, name) for name in ("__init__", "params", "tags", "metrics")],
        "study": [(studies.Study, name) for name in ("next", "finished")]
        + [(optuna.trial.Trial, name) for name in ("report", "should_prune", "set_user_attr")]
        + [(optuna.Study, "tell")],
    }
    for part, functions in parts.items():
        for owner, name in functions:
            setattr(owner, name, clock.counting(getattr(owner, name), part))
    studies.Study.next = _telling(studies.Study.next, clock, take)  # type: ignore[method-assign]
    Job.fit = _counted(Job.fit, clock)  # type: ignore[method-assign]


def _telling(
    function: Callable[..., Any], clock: split.Clock, take: Callable[[dict[str, float]], None]
) -> Callable[..., Any]:
    @wraps(function)
    def telling(*arguments: Any) -> Any:
        clock.turn()
        take(dict(clock.seconds))
        return function(*arguments)

    return telling


def _counted(fit: Callable[..., Iterator[Any]], clock: split.Clock) -> Callable[..., Iterator[Any]]:
    """Return `fit`, its own work counted as training, and that of its caller not."""

    @wraps(fit)
    def counted(*arguments: Any) -> Iterator[Any]:
        epochs = fit(*arguments)
        while True:
            with clock.part("training"):
                metrics = next(epochs, None)
            if metrics is None:
                return
            yield metrics

    return counted


def summed(rows: list[dict[str, float]]) -> dict[str, Any]:
    """Return milliseconds of the parts of a trial; the first, which imports much, stands apart."""
    beside = [
        1000 * sum(seconds for name, seconds in row.items() if name != "training") for row in rows
    ]
    usual, tenth = beside[1:], max(1, len(beside) // 10)
    names = rows[-1]
    return {
        "trials": len(rows),
        "milliseconds": record.spread(usual),
        "median": statistics.median(usual),
        "first": beside[0],
        "early": statistics.median(usual[:tenth]),
        "late": statistics.median(usual[-tenth:]),
        "parts": {n: 1000 * statistics.mean(row.get(n, 0) for row in rows[1:]) for n in names},
        "share_of_a_trial": statistics.mean(usual) / 1000 / TRIAL_SECONDS,
        "trial_seconds": TRIAL_SECONDS,
        "allowed_share": ALLOWED,
    }


def measure(seeds: int, fits: int) -> dict[str, Any]:
    """Return the overhead, all arms over all seeds, and their differences."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        cost = pool.submit(overhead, 2 * fits).result()
    work = list(itertools.product(STARTS, range(seeds)))
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        done = pool.map(courses, *zip(*work, strict=True), itertools.repeat(fits))
        found = dict(zip(work, tqdm(done, total=len(work), unit="start"), strict=True))
    by_start = {s: [found[s, seed] for seed in range(seeds)] for s in STARTS}
    seen = [foresight(one["random"]["epochs"][1:]) for one in by_start["default"]]
    arms = {
        start: {arm: gathered([one[arm] for one in each], fits) for arm in each[0]}
        for start, each in by_start.items()
    }
    return {
        "fits": fits,
        "fit": {"recipe": "flash", "digits": DIGITS, **FIT},
        "starts": STARTS,
        "arms": arms,
        "differences": list(differences(arms, fits)),
        "foresight": [record.spread(epoch) for epoch in zip(*seen, strict=True)],
        "overhead": cost,
    }


def table(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of Markdown tables: arms, differences (percentage points), overhead."""
    last = str(result["fits"])
    yield "| start | arm | validation % | unseen digits % | fits | of them pruned |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for start, arms in result["arms"].items():
        for name, arm in arms.items():
            found = " | ".join(_percent(arm[figure][last]) for figure in FIGURES)
            counts = " | ".join(f"{arm[n]['mean']:.1f}" for n in ("begun", "pruned"))
            yield f"| {start} | {name} | {found} | {counts} |"
    yield "\n| question | start | difference | after fits | validation | unseen digits |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for row in result["differences"]:
        if not any(row["val_accuracy"]["values"]):
            continue  # samplers with the same seed draw the same until one of them has learned
        what = f"{row['arm']} - {row['against']} | {row['after_fits']}"
        found = " | ".join(_points(row[figure]) for figure in FIGURES)
        yield f"| {row['question']} | {row['start']} | {what} | {found} |"
    ranks = ", ".join(f"{one['mean']:+.2f} ± {one['std']:.2f}" for one in result["foresight"])
    yield f"\nRank correlation of random settings, epoch by epoch, with their best: {ranks}."
    cost = result["overhead"]
    parts = ", ".join(f"{name} {ms:.0f}" for name, ms in cost["parts"].items())
    yield (
        f"\nA trial besides its training: {cost['milliseconds']['mean']:.0f} ms "
        f"(median {cost['median']:.0f}), {cost['share_of_a_trial']:.1%} of "
        f"{TRIAL_SECONDS:g} s, at most {ALLOWED:.0%} wanted. Parts in ms: {parts}."
    )


def _percent(spread: Mapping[str, Any]) -> str:
    return f"{100 * spread['mean']:.2f} ± {100 * spread['std']:.2f}"


def _points(apart: Mapping[str, Any]) -> str:
    mean, low, high = (100 * apart[name] for name in ("mean", "low", "high"))
    clear = " *" if low > 0 or high < 0 else ""
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f}){clear}"


@click.command("benchmarks.search")
@click.option("--seeds", type=click.IntRange(2, 100), default=5, show_default=True)
@click.option("--fits", type=click.IntRange(4, 1000), default=20, show_default=True)
def command(seeds: int, fits: int) -> None:
    """Measure what a search is worth, by sampler and pruner, and what it costs besides fits."""
    os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported, here and in the workers
    result = measure(seeds, fits)
    line = f"python -m benchmarks.search --seeds {seeds} --fits {fits}"
    record.save("search", line, result)
    click.echo("\n".join(table(result)))


if __name__ == "__main__":
    cli.main(command)

"""Workers that share a study: exact number of trials, and the same draws, if some die.

A worker here is an object that holds a lock as a process does. It "dies" by an exception that
Optuna does not catch, and by releasing that lock.
"""

import shutil
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from filelock import FileLock
from optuna.trial import FrozenTrial, Trial

from experiments import tasks
from experiments.core import cli, locks
from experiments.search import search as tune
from experiments.search import study as studies
from experiments.tasks.task import Choice, Range
from experiments.tracking import run_lock, runs
from experiments.training import config
from experiments.training.checkpoint import CheckpointPolicy
from experiments.training.trainer import Trainer
from tests.conftest import free_port
from tests.expect import refused
from tests.inprocess import Store, parsed

SEED = 5
SPACE: studies.Space = {"lr": Range(1e-3, 1.0, log=True), "kind": Choice(("a", "b", "c"))}
SECRET = "not-for-logs-7391"  # noqa: S105


class Died(BaseException):
    """An exception that Optuna does not catch: the trial stays RUNNING, as after a kill."""


def value(trial: Trial) -> list[float]:
    return [abs(trial.params["lr"] - 0.1) + "abc".index(trial.params["kind"])]


def open_study(folder: Path, retries: int | None = 1) -> studies.Study:
    pruner = optuna.pruners.NopPruner()
    study = studies.open_study("shared", None, folder, ["minimize"], pruner, retries)
    return replace(study, poll_s=0.01)


class Worker:
    """A process that works on a study, as its journal shows it."""

    def __init__(self, folder: Path, name: str, trials: int, retries: int | None = 1) -> None:
        self.study, self.trials, self.buried = open_study(folder, retries), trials, list[int]()
        self.lock = FileLock(folder / f"lease-{name}")
        self.lock.acquire()
        file = str(folder / f"lease-{name}")
        self.lease = {"lease.host": run_lock.host(), "lease.pid": name, "lease.file": file}

    def work(self, objective: studies.Objective = value) -> None:
        """Work until the study is finished; `objective` may die."""
        with suppress(Died):
            self.study.optimize(objective, self.trials, SPACE, self.lease, self.buried.append, SEED)
        self.lock.release()


def dies_in(*numbers: int) -> studies.Objective:
    def objective(trial: Trial) -> list[float]:
        if trial.number in numbers:
            raise Died
        return value(trial)

    return objective


def always_dies(trial: Trial) -> list[float]:
    raise Died


def trials(folder: Path, *states: str) -> list[FrozenTrial]:
    every = open_study(folder).optuna.get_trials(deepcopy=False)
    return [trial for trial in every if not states or trial.state.name in states]


def params(some: list[FrozenTrial]) -> list[Mapping[str, object]]:
    return [trial.params for trial in some]


def test_a_dead_workers_trial_is_failed_and_retried_once(tmp_path: Path) -> None:
    Worker(tmp_path, "one", trials=4).work(dies_in(2))
    other = Worker(tmp_path, "two", trials=4)
    other.work()
    dead, again = trials(tmp_path)[2:4]
    assert other.buried == [dead.number] == [2]
    assert again.params == dead.params and again.user_attrs["retry_of"] == dead.number
    assert other.study.finished() == 4
    assert [trial.state.name for trial in trials(tmp_path)] == [
        "COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"
    ]  # fmt: skip
    Worker(tmp_path, "late", trials=4).work(always_dies)  # there is nothing left to do
    assert len(trials(tmp_path)) == 5


def test_a_copied_study_does_not_wait_for_its_originals_worker(tmp_path: Path) -> None:
    original, copy = tmp_path / "a" / "runs", tmp_path / "b" / "runs"
    Worker(original, "one", trials=1).study.check_identity({}, "")
    alive = Worker(original, "alive", trials=1)

    def copies(trial: Trial) -> list[float]:
        shutil.copytree(original.parent, copy.parent)
        return value(trial)

    alive.work(copies)  # it was alive when the copy was made
    held = FileLock(alive.lease["lease.file"])
    with held:
        Worker(copy, "other", trials=1).work()
    assert [trial.state.name for trial in trials(copy)] == ["FAIL", "COMPLETE"]
    assert len(trials(original)) == 1


def test_how_often_a_trial_is_retried(tmp_path: Path) -> None:
    """A shared study gives up a trial that kills its processes; an unshared one never does."""
    for retries, same in ((1, 2), (None, 5)):
        folder = tmp_path / str(retries)
        for n in range(5):
            Worker(folder, str(n), trials=2, retries=retries).work(always_dies)
        tried = params(trials(folder))
        assert len(tried) == 5 and tried.count(tried[0]) == same
        Worker(folder, "last", trials=2, retries=retries).work()
        assert len(trials(folder, "COMPLETE")) == 2 and not trials(folder, "RUNNING", "WAITING")


@pytest.mark.parametrize(("error", "again"), [(KeyboardInterrupt(), 1), (ValueError("no"), 0)])
def test_interrupted_trials_are_retried_and_failed_ones_are_not(
    tmp_path: Path, error: BaseException, again: int
) -> None:
    def raises(trial: Trial) -> list[float]:
        raise error

    worker = Worker(tmp_path, "one", trials=2)
    with pytest.raises(type(error)):
        worker.work(raises)
    worker.work()
    retried = [t.user_attrs.get("retry_of") for t in trials(tmp_path, "COMPLETE")]
    assert retried.count(0) == again and len(retried) == 2
    assert worker.buried == [0] * again  # its run may have ended as complete


def test_an_interruption_while_optuna_ends_a_trial(tmp_path: Path, monkeypatch) -> None:
    """Optuna replaces it by an UnboundLocalError."""
    monkeypatch.setattr(cli, "_interrupted", threading.Event())
    worker = Worker(tmp_path, "one", trials=1)

    def objective(trial: Trial) -> list[float]:
        result = value(trial)
        storage = worker.study.optuna._storage
        monkeypatch.setattr(storage, "get_trial", lambda _: cli._interrupt(signal.SIGTERM, None))
        return result

    with pytest.raises(KeyboardInterrupt):
        worker.work(objective)
    monkeypatch.undo()
    worker.lock.release()
    Worker(tmp_path, "two", trials=1).work()
    assert [trial.state.name for trial in trials(tmp_path)] == ["FAIL", "COMPLETE"]


def test_pruned_trials_count_and_a_study_can_be_extended(tmp_path: Path) -> None:
    def prunes_first(trial: Trial) -> list[float]:
        if not trial.number:
            raise optuna.TrialPruned
        return value(trial)

    for count in (2, 3):
        worker = Worker(tmp_path, str(count), count)
        worker.work(prunes_first)
        assert worker.study.finished() == count == len(trials(tmp_path))
    assert trials(tmp_path)[0].state.name == "PRUNED"


def test_other_workers_are_detected_while_they_live(tmp_path: Path) -> None:
    one, two = Worker(tmp_path, "one", trials=1), Worker(tmp_path, "two", trials=1)

    def objective(trial: Trial) -> list[float]:
        assert not one.study.has_other_workers(one.lease)
        assert two.study.has_other_workers(two.lease)
        raise Died

    one.work(objective)
    assert not two.study.has_other_workers(two.lease)


def test_a_trial_that_was_failed_while_it_ran_counts_once(tmp_path: Path) -> None:
    """As after a pause of the whole machine: another process has failed and repeated the trial."""
    one, two = Worker(tmp_path, "one", trials=1), Worker(tmp_path, "two", trials=1)

    def objective(trial: Trial) -> list[float]:
        one.lock.release()
        two.work()
        return value(trial)

    one.work(objective)
    assert [trial.state.name for trial in trials(tmp_path)] == ["FAIL", "COMPLETE"]
    assert one.buried == [0]  # after its own run had ended as complete


def test_the_nth_trial_draws_the_same_whichever_died_before(tmp_path: Path) -> None:
    """Past Optuna's ten random trials, so that the sampler has learned from earlier ones."""
    count = 13
    Worker(tmp_path / "undisturbed", "one", count).work()
    for number, dies in enumerate((0, 4, 5, 12, -1)):
        Worker(tmp_path / "disturbed", str(number), count, retries=None).work(dies_in(dies))
    done = trials(tmp_path / "disturbed", "COMPLETE")
    assert params(done) == params(trials(tmp_path / "undisturbed"))
    assert len({str(drawn) for drawn in params(done)}) == count
    assert len(trials(tmp_path / "disturbed", "FAIL")) == 4


def test_threads_share_a_journal_and_one_dies(tmp_path: Path) -> None:
    count = 8
    Worker(tmp_path / "undisturbed", "alone", count).work()
    folder = tmp_path / "shared"
    open_study(folder)
    together = threading.Barrier(3, timeout=60)

    def work(name: str) -> None:
        worker = Worker(folder, name, count)
        together.wait()
        worker.work(dies_in(2))  # one of them draws that trial

    with ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(work, str(number)) for number in range(3)]:
            future.result()
    done, failed = trials(folder, "COMPLETE"), trials(folder, "FAIL")
    assert len(done) == count and len(trials(folder)) == count + len(failed)
    assert [t.user_attrs["retry_of"] for t in done if "retry_of" in t.user_attrs] == [2]
    drawn = sorted(map(str, params(done)))
    assert drawn == sorted(map(str, params(trials(tmp_path / "undisturbed"))))


def test_a_partial_line_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    Worker(tmp_path, "one", trials=1).work()
    with (tmp_path / "shared.journal").open("ab") as journal:
        journal.write(b'{"op_code": 5, "half')
    Worker(tmp_path, "two", trials=2).work()
    assert [trial.state.name for trial in trials(tmp_path)] == ["COMPLETE", "COMPLETE"]


def test_no_heartbeat_from_another_machine(tmp_path: Path) -> None:
    """The lease of another machine cannot be checked; a database has its heartbeats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are experimental
        storage = optuna.storages.RDBStorage(
            f"sqlite:///{tmp_path}/study.db", heartbeat_interval=1, grace_period=1
        )
    study = optuna.create_study(storage=storage, study_name="far")
    shared = studies.Study(study, locks.of_file(tmp_path / "far"), retries=1, poll_s=0.05)
    far = {"lease.host": "elsewhere", "lease.pid": "1", "lease.file": str(tmp_path / "none")}
    buried: list[int] = []
    with suppress(Died):
        shared.optimize(always_dies, 1, SPACE, far, buried.append, SEED)
    assert shared.has_other_workers({}) and not buried
    shared.optimize(value, 1, SPACE, far, buried.append, SEED)  # waits for the grace period
    dead, again = study.trials
    assert buried == [dead.number] and again.params == dead.params
    storage.engine.dispose()


XOR = "--trials 1 --study shared"


@pytest.mark.parametrize(
    ("line", "expected", "found"),
    [
        ("--gate and", "data=truth table of xor", "data=truth table of and"),
        ("--task mnist --gate auto --num_restarts auto", "task=gate", "task=mnist"),
        ("--epochs 20", "epochs=150", "epochs=20"),
        ("--num_restarts 4", "num_restarts=8", "num_restarts=4"),
        ("--objectives val_accuracy", "objectives=val_loss", "objectives=val_accuracy"),
        ("--objectives val_loss,parameters", "objectives=val_loss", "val_loss,parameters"),
        ("--seed 1", "seed=0", "seed=1"),
        ("--lr 0.1", "lr=0.005 to 0.3", "lr=0.1"),
        ("--recipe large", "hidden_dim=2 to 8", "hidden_dim=64"),
    ],
)
def test_a_study_that_searches_something_else(
    own_store: Store, line: str, expected: str, found: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tune, "search", stop)
        with pytest.raises(Died):
            own_store.tune(XOR)
        with refused(
            "study-mismatch", what="shared", expected=expected, found=found, fix="study=NEW"
        ):
            own_store.tune(f"{XOR} {line}")


def stop(*_: object) -> None:
    raise Died


def test_the_same_search_extends_its_study_whatever_its_size_and_figures(own_store: Store) -> None:
    own_store.tune(XOR)
    own_store.tune(f"{XOR} --trials 2 --figures core")
    journal = own_store.state / "studies"
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(f"{journal}/shared.journal")
    )
    assert len(optuna.load_study(study_name="shared", storage=storage).trials) == 2


def test_workers_search_what_their_parent_searches() -> None:
    asked = parsed(f"--task gate --gate xor --epochs 20 --recipe large {XOR} --workers 2")
    worker = parsed(" ".join(asked.as_arguments(workers=1)))
    assert worker == replace(asked, workers=1) and worker.fixed == {"epochs"}


def test_a_study_of_an_earlier_release_does_not_state_what_it_searches(own_store: Store) -> None:
    Worker(own_store.state / "studies", "one", trials=1).work()
    with refused("study-mismatch", what="shared", found="earlier release", fix="study=NEW"):
        own_store.tune(XOR)


def test_a_damaged_journal(tmp_path: Path) -> None:
    (tmp_path / "shared.journal").write_text("no journal\n")
    with refused("study-damaged", what="shared", found="no journal"):
        open_study(tmp_path)


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    port = free_port()
    storage = f"postgresql+psycopg://them:{SECRET}@127.0.0.1:{port}/optuna"
    shown = f"postgresql+psycopg://them:***@127.0.0.1:{port}/optuna"
    with refused("storage-unreachable", what=shown) as caught:
        studies.open_study("a", storage, tmp_path, ["minimize"], None, None)
    assert SECRET not in str(caught.value) + repr(caught.value)


class Interrupting(runs.NullLogger):
    """A run whose trials are interrupted at some of the metrics they log."""

    def __init__(self, at: Iterator[bool]) -> None:
        super().__init__()
        self.at = at

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        if next(self.at, False):
            raise KeyboardInterrupt

    def child(self, name: str, tags: Mapping[str, object]) -> "Interrupting":
        return self

    def __enter__(self) -> "Interrupting":
        return self

    def __exit__(self, *_: object) -> None: ...


def search(root: Path, interrupt: Callable[[], Iterator[bool]]) -> tuple[tune.SearchResult, int]:
    """Search as the command does, resumed after each interruption; count these."""
    task = tasks.get("gate")
    asked = config.RunConfig(
        task=task,
        data=task.data_options(gate="xor"),
        recipe="default",
        hparams=task.hparams(epochs=20, eval_every=5, num_restarts=4),
        fixed=frozenset({"epochs", "eval_every", "num_restarts"}),
        trials=4,
        seed=SEED,
        device="cpu",
        precision="auto",
        objectives=("val_loss",),
    )
    every_step = CheckpointPolicy(min_interval_s=0, max_overhead=1e9)
    run, interruptions = Interrupting(interrupt()), 0
    while True:
        try:
            with run_lock.acquire_run_dir("search", root=root) as place:
                job = replace(Trainer.prepare(asked, place.folder), policy=every_step)
                shared = tune.open_shared(job, asked, place)
                return tune.search(job, asked, run, place, shared), interruptions
        except KeyboardInterrupt:
            interruptions += 1


def test_an_interrupted_search_resumes_and_finds_the_same(tmp_path: Path) -> None:
    undisturbed, never = search(tmp_path / "one", lambda: iter(()))
    # four evaluations a trial: in the first, twice in the second, at the end of the third
    at = {1, 6, 8, 14}
    result, often = search(tmp_path / "two", lambda: (n in at for n in range(100)))
    assert (never, often) == (0, 4)
    assert result.states.count("fail") == 4
    done = [trial for trial in result.trials if trial.state.name != "FAIL"]
    for resumed, trial in zip(done, undisturbed.trials, strict=True):
        assert resumed.state == trial.state and resumed.values == trial.values
        assert resumed.params == trial.params
        assert resumed.intermediate_values == trial.intermediate_values
    assert result.hparams == undisturbed.hparams and done[undisturbed.best].number == result.best
    assert not list((tmp_path / "two").iterdir())

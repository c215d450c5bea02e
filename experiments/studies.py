"""A search's memory: Optuna's storages, and the rule by which processes share a study's trials.

Whoever wants a trial takes the study's lock, gives up the trials of dead processes, and takes the
next one if fewer than asked for have been started. A process that dies lets go of the lock, so the
count is kept whatever happens and whoever comes later finds a study in order.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from experiments import locks
from experiments.errors import UserError, without_password
from experiments.lease import host, is_held
from experiments.locks import Lock as StudyLock
from experiments.paths import STATE

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, Trial

FOLDER = STATE / "studies"
HEARTBEAT, GRACE = 10, 30  # seconds between signs of life to a database, and of patience
POLL = 0.5  # seconds between two looks at trials that others are at
TABLES = "tables"  # the lock under which a database's tables are made


@dataclass(frozen=True)
class Study:
    """A study that processes may share.

    Attributes:
        lock: opens the study's lock, which a dead process does not hold.
        retries: how often a trial whose process died is tried again; None for as often as needed.
    """

    optuna: optuna.Study
    lock: StudyLock
    retries: int | None

    def next(
        self,
        trials: int,
        space: dict[str, BaseDistribution],
        lease: Mapping[str, str],
        bury: Callable[[int], None],
        seed: int,
    ) -> Trial | None:
        """Return the next trial; None once `trials` are finished, those of others too.

        Args:
            lease: of this process (`lease.Place.lease`).
            bury: called with the number of each trial whose process is found dead.
            seed: of the sampler; the n-th trial draws the same, whoever died before.
        """
        while True:
            with self.lock():
                self._give_up_dead(bury)
                running, finished = len(self._in(*RUN)), self.finished()
                if running + finished < trials:
                    return self._ask(space, lease, seed, running + finished)
            if not running:
                return None
            time.sleep(POLL)

    def finished(self) -> int:
        """Return how many trials are complete or pruned."""
        return len(self._in(*DONE))

    def others_are_at_it(self, lease: Mapping[str, str]) -> bool:
        """Return whether a trial is under way in another living process, as far as can be told."""
        from optuna.exceptions import StorageInternalError

        with suppress(StorageInternalError):
            leases = [trial.user_attrs.get("lease") for trial in self._in(*RUN)]
            return any(held != lease and not _is_dead(held) for held in leases)
        return False

    @contextmanager
    def alive(self, trial: Trial) -> Iterator[None]:
        """Give signs of life of `trial` while open, where the storage takes them."""
        from optuna.storages._heartbeat import get_heartbeat_thread

        with get_heartbeat_thread(trial._trial_id, self.optuna._storage):
            yield

    def _ask(
        self, space: dict[str, BaseDistribution], lease: Mapping[str, str], seed: int, rank: int
    ) -> Trial:
        from numpy.random import SeedSequence
        from optuna.samplers import TPESampler

        drawn = int(SeedSequence([seed, rank]).generate_state(1)[0])
        self.optuna.sampler = TPESampler(seed=drawn)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Heartbeat of storage")  # `alive` does it
            trial = self.optuna.ask(space)
        trial.set_user_attr("lease", dict(lease))
        if _beats(storage := self.optuna._storage):
            storage.record_heartbeat(trial._trial_id)
        return trial

    def _in(self, *states: str) -> list[FrozenTrial]:
        trials = self.optuna.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state.name in states]

    def _give_up_dead(self, bury: Callable[[int], None]) -> None:
        """Fail the trials of dead processes, and queue those that are to be tried again."""
        from optuna.trial import TrialState

        stale = self._stale()
        for trial in self._in(*RUN):
            if trial.number in stale or _is_dead(trial.user_attrs.get("lease")):
                bury(trial.number)
                self.optuna.tell(trial.number, state=TrialState.FAIL)
        again = {trial.user_attrs.get("retry_of") for trial in self._in(*WAIT, *RUN, *DONE, *FAIL)}
        for trial in self._in(*FAIL):
            died = "reason" not in trial.user_attrs
            tries = trial.user_attrs.get("tries", 0) + died
            wanted = died or trial.user_attrs["reason"] == INTERRUPTED
            if wanted and trial.number not in again and tries <= (self.retries or tries):
                marks = {"retry_of": trial.number, "tries": tries}
                self.optuna.enqueue_trial(trial.params, user_attrs=marks)

    def _stale(self) -> set[int]:
        """Return the trials whose process on another machine gives no sign of life."""
        storage: Any = self.optuna._storage
        if not _beats(storage):
            return set()
        ids = storage._get_stale_trial_ids(self.optuna._study_id)
        return {storage.get_trial(trial_id).number for trial_id in ids}


WAIT, RUN, DONE, FAIL = ("WAITING",), ("RUNNING",), ("COMPLETE", "PRUNED"), ("FAIL",)
INTERRUPTED = "interrupted"


def _beats(storage: Any) -> bool:
    """Return whether a storage takes signs of life."""
    from optuna.storages._heartbeat import is_heartbeat_enabled

    return bool(is_heartbeat_enabled(storage))


def _is_dead(lease: Mapping[str, str] | None) -> bool:
    """Return whether the process with this lease is known to be dead.

    A trial is marked with its lease under the study's lock, so one without has lost its process.
    """
    if lease is None:
        return True
    return lease["lease.host"] == host() and not is_held(Path(lease["lease.file"]))


def open_study(
    name: str,
    storage: str | None,
    folder: Path,
    directions: Sequence[str],
    pruner: Any,
    retries: int | None,
) -> Study:
    """Open the study `name`, or make it.

    Args:
        storage: address of a PostgreSQL database; None for a journal file in `folder`.

    Raises:
        UserError: the storage cannot be reached, or the study has other aims.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    lock = locks.of_file(folder / name) if storage is None else locks.of_database(storage, name)
    with telling(storage), lock():
        store = _journal(folder, name) if storage is None else _database(storage)
        study = optuna.create_study(
            study_name=name,
            storage=store,
            directions=list(directions),
            pruner=pruner,
            load_if_exists=True,
        )
    if [direction.name.lower() for direction in study.directions] != list(directions):
        raise UserError(f"study: {name!r} has other aims than those asked for; choose a new name.")
    return Study(study, lock, retries)


def _journal(folder: Path, name: str) -> optuna.storages.BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = folder / f"{name}.journal"

    class Lock:
        """A lock that dies with its process; with it, the half line that a killed one left."""

        def __init__(self) -> None:
            self.lock = FileLock(path.with_suffix(".journal.lock"))

        def acquire(self) -> bool:
            self.lock.acquire()
            raw = path.read_bytes() if path.exists() else b""
            whole = raw.rfind(b"\n") + 1
            if whole < len(raw):
                os.truncate(path, whole)
            return True

        def release(self) -> None:
            self.lock.release()

    return JournalStorage(JournalFileBackend(str(path), lock_obj=Lock()))


def _database(storage: str) -> optuna.storages.BaseStorage:
    from optuna.storages import RDBStorage

    with warnings.catch_warnings(), locks.of_database(storage, TABLES)():
        warnings.simplefilter("ignore")  # heartbeats are called experimental
        return RDBStorage(
            storage,
            engine_kwargs={"pool_pre_ping": True},
            heartbeat_interval=HEARTBEAT,
            grace_period=GRACE,
        )


@contextmanager
def telling(storage: str | None) -> Iterator[None]:
    """Turn a database's refusal into a sentence without the password."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        if storage is None:
            raise
        first = error.__cause__ or error
        cause = str(getattr(first, "orig", None) or first).strip().splitlines()[0]
        raise UserError(
            f"storage: {without_password(storage)} cannot be used: {without_password(cause)}. "
            "Once it is well, the same command goes on."
        ) from None

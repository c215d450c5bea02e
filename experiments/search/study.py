"""Studies that processes share: which process runs which trial.

To start a trial, a process takes the study's lock, fails the trials of dead processes, queues them
again, and starts the next trial if there are too few. The lock of a dead process is free, so the
number of trials is exact in any case. The lock is not held while a trial trains.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.core import cli, locks
from experiments.core.errors import UserError
from experiments.core.paths import STATE
from experiments.search import storages
from experiments.tasks.task import Choice, Range
from experiments.tracking.run_lock import host, is_held

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, Trial

Objective = Callable[["Trial"], Sequence[float]]  # its values; raises TrialPruned
Space = Mapping[str, Range | Choice]

FOLDER = STATE / "studies"
WAITING, RUNNING, FINISHED, FAILED = ("WAITING",), ("RUNNING",), ("COMPLETE", "PRUNED"), ("FAIL",)
INTERRUPTED = "interrupted"
IDENTITY = "identity"  # the user attribute with what a study searches
MAX_NAMED = 4  # differences that an error names


@dataclass(frozen=True)
class Study:
    """A study that processes may share.

    A trial's user attributes: `lease` names its process; `reason` says why it failed, and is
    missing if its process died; `retry_of` is the number of the trial that it repeats, and `tries`
    counts the processes that died in that one.

    Attributes:
        lock: opens the study's lock, which is free once its process is dead.
        retries: how often a trial whose process died is repeated; None for no limit.
        local: its journal lies with its processes' leases, and may have been moved with them.
        poll_s: seconds between two checks of other processes' trials.
        buried: numbers of the failed trials whose runs this process has ended.
    """

    optuna: optuna.Study
    lock: locks.Lock
    retries: int | None
    local: bool = False
    poll_s: float = 0.5
    buried: set[int] = field(default_factory=set)

    def optimize(
        self,
        objective: Objective,
        trials: int,
        space: Space,
        lease: Mapping[str, str],
        bury: Callable[[int], None],
        seed: int,
    ) -> None:
        """Run trials until `trials` of the study are finished, those of other processes too.

        Args:
            objective: called with each trial, its parameters drawn.
            lease: of this process (`run_lock.RunDir.lease`).
            bury: called with the number of each trial whose process is dead or was interrupted, and
                of those failed for lack of heartbeats; ends their runs as failed.
            seed: of the sampler; the n-th trial draws the same whether or not processes died.
        """
        from optuna.samplers import TPESampler

        while True:
            with ExitStack() as locked:
                locked.enter_context(self.lock())
                self.retry_dead(bury, lease)
                running, finished = len(self._trials(*RUNNING)), self.finished()
                if running + finished < trials:
                    rank = running + finished + len(self._given_up())
                    state = np.random.SeedSequence([seed, rank]).generate_state(1)
                    self.optuna.sampler = TPESampler(seed=int(state[0]))
                    self._run(objective, space, lease, bury, unlock=locked.close)
                    continue
            if not running:
                return
            time.sleep(self.poll_s)  # a running trial of another process may yet fail

    def check_identity(self, identity: Mapping[str, str], fix: str) -> None:
        """Store what a new study searches, as name -> text.

        Raises:
            UserError: study-mismatch, an existing one searches something else; ends with `fix`.
        """
        with self.lock():
            stored = self.optuna.user_attrs.get(IDENTITY)
            if stored is None and not self._trials():
                self.optuna.set_user_attr(IDENTITY, dict(identity))
            elif stored != identity:
                expected, found = _difference(stored or {}, identity)
                what = f"study {self.optuna.study_name!r}"
                raise UserError("study-mismatch", what, expected, found, fix)

    def finished(self) -> int:
        """Return how many trials are complete or pruned."""
        return len(self._trials(*FINISHED))

    def has_other_workers(self, lease: Mapping[str, str]) -> bool:
        """Return whether another process runs a trial; False if the storage does not answer."""
        from optuna.exceptions import StorageInternalError

        with suppress(StorageInternalError):
            leases = [trial.user_attrs.get("lease") for trial in self._trials(*RUNNING)]
            return any(other != lease and not self._is_dead(other, lease) for other in leases)
        return False

    def retry_dead(self, bury: Callable[[int], None], lease: Mapping[str, str]) -> None:
        """Fail the trials of dead processes, and queue those to be repeated; `lease` is ours."""
        import optuna

        # 1. Fail the trials of dead processes: by their heartbeat, or by their lease.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self.optuna)
        for trial in self._trials(*RUNNING):
            if self._is_dead(trial.user_attrs.get("lease"), lease):
                self.optuna.tell(trial.number, state=optuna.trial.TrialState.FAIL)

        # 2. End the runs of dead processes, and queue each trial not yet repeated.
        repeated = {trial.user_attrs.get("retry_of") for trial in self._trials()}
        given_up = {trial.number for trial in self._given_up()}
        for trial in self._trials(*FAILED):
            number, reason = trial.number, trial.user_attrs.get("reason")
            if number in repeated:
                continue
            if reason in (None, INTERRUPTED) and number not in self.buried:
                bury(number)  # an interrupted run may have ended before its trial did
                self.buried.add(number)
            if reason in (None, INTERRUPTED) and number not in given_up:
                marks = {"retry_of": number, "tries": _deaths(trial)}
                self.optuna.enqueue_trial(trial.params, user_attrs=marks)

    def _run(
        self,
        objective: Objective,
        space: Space,
        lease: Mapping[str, str],
        bury: Callable[[int], None],
        unlock: Callable[[], None],
    ) -> None:
        """Run one trial; unlock as soon as it has parameters and a lease."""
        import optuna

        number = -1

        def run(trial: Trial) -> Sequence[float]:
            nonlocal number
            number = trial.number
            suggest(trial, space)
            trial.set_user_attr("lease", dict(lease))
            unlock()
            try:
                return objective(trial)
            except optuna.TrialPruned:
                raise
            except (Exception, KeyboardInterrupt) as error:
                trial.set_user_attr("reason", reason_of(error))
                raise

        try:
            self.optuna.optimize(run, n_trials=1)
        except Exception:
            cli.stop_if_interrupted()  # Optuna hides an interruption in its own code by an error
            # Optuna cannot end a trial that another process has failed for lack of heartbeats:
            # that trial is repeated, and its result here is dropped.
            failed = {trial.number: trial for trial in self._trials(*FAILED)}
            if number not in failed or "reason" in failed[number].user_attrs:
                raise
            bury(number)

    def _is_dead(self, lease: Mapping[str, str] | None, own: Mapping[str, str]) -> bool:
        """Return whether the process with this lease is known to be dead.

        A trial gets its lease under the study's lock, so one without has lost its process. A
        journal's leases are looked for next to our `own`: a copy does not wait for its original.
        """
        if lease is None:
            return True
        file = Path(lease["lease.file"])
        if self.local:
            return not is_held(Path(own["lease.file"]).parents[1].joinpath(*file.parts[-2:]))
        return lease["lease.host"] == host() and not is_held(file)

    def _trials(self, *states: str) -> list[FrozenTrial]:
        """Return the trials in these states; all without any."""
        trials = self.optuna.get_trials(deepcopy=False)
        return [trial for trial in trials if not states or trial.state.name in states]

    def _given_up(self) -> list[FrozenTrial]:
        """Return the trials in which too many processes died; they are not repeated."""
        limit = math.inf if self.retries is None else self.retries
        return [trial for trial in self._trials(*FAILED) if _deaths(trial) > limit]


def suggest(trial: Trial, space: Space) -> None:
    """Draw a trial's parameters."""
    for name, dim in space.items():
        if isinstance(dim, Choice):
            trial.suggest_categorical(name, dim.options)
        elif isinstance(dim.low, int) and isinstance(dim.high, int):
            trial.suggest_int(name, dim.low, dim.high, log=dim.log)
        else:
            trial.suggest_float(name, dim.low, dim.high, log=dim.log)


def reason_of(error: BaseException) -> str:
    """Return why a trial failed."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return f"{type(error).__name__}: {error}"


def _deaths(trial: FrozenTrial) -> int:
    """Return how many processes died in this failed trial and those that it repeats."""
    return int(trial.user_attrs.get("tries", 0)) + ("reason" not in trial.user_attrs)


def open_study(
    name: str,
    storage: str | None,
    folder: Path,
    directions: Sequence[str],
    pruner: optuna.pruners.BasePruner | None,
    retries: int | None,
) -> Study:
    """Open the study `name`, or create it.

    Args:
        storage: address of a PostgreSQL database; None for a journal file in `folder`.

    Raises:
        UserError: the storage cannot be reached.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # a failed trial is reported by its run
    lock = locks.of_file(folder / name) if storage is None else locks.of_database(storage, name)
    with storages.wrap_errors(storage, f"study {name!r}"), lock():
        store = storages.journal(folder, name) if storage is None else storages.database(storage)
        study = optuna.create_study(
            study_name=name,
            storage=store,
            directions=list(directions),
            pruner=pruner,
            load_if_exists=True,
        )
    return Study(study, lock, retries, local=storage is None)


def _difference(stored: Mapping[str, str], identity: Mapping[str, str]) -> tuple[str, str]:
    """Return the entries that differ, of the study and of this command: of other tasks the task."""
    if not stored:
        return "a study that states what it searches", "one of an earlier release or other program"
    names = [n for n in {**stored, **identity} if stored.get(n) != identity.get(n)]
    if "task" in names:
        names = ["task"]
    texts = [
        ", ".join(f"{name}={side.get(name, 'none')}" for name in names[:MAX_NAMED])
        for side in (stored, identity)
    ]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"its own search, {texts[0]}{more}", f"{texts[1]}{more}"

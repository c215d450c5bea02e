"""MLflow's runs: parameters, metrics, figures, data sets; registry/versions.py has the registry.

mlflow is imported inside functions: it takes two seconds.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from experiments.core import provenance
from experiments.core.errors import UserError, without_password
from experiments.core.paths import STATE
from experiments.tracking import run_lock
from experiments.tracking.run_lock import RunDir
from experiments.tracking.store import address, connect, unreachable

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun


MAX_SEEDS = 9  # other seeds whose curves are drawn with those of a training
Status = Literal["FINISHED", "FAILED", "KILLED"]


class RunLogger:
    """What a run records; this base class records nothing.

    Attributes:
        status: how the run ends, unless an exception decides.
        has_other_workers: whether other processes continue the run if this one ends early.
    """

    id = ""
    status: Status = "FINISHED"

    def __init__(self) -> None:
        self.has_other_workers: Callable[[], bool] = lambda: False

    def params(self, values: Mapping[str, object]) -> None: ...
    def tags(self, values: Mapping[str, object]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...
    def file(self, path: str, raw: bytes) -> None: ...
    def text(self, name: str, text: str) -> None: ...
    def dataset(self, data: Dataset) -> None: ...
    def mark_trial_failed(self, study: str, number: int) -> None: ...
    @contextmanager
    def child(self, name: str, tags: Mapping[str, object]) -> Iterator[RunLogger]:
        yield NullLogger()


class NullLogger(RunLogger):
    """A run that records nothing."""


class Run(RunLogger):
    """An open MLflow run.

    Args:
        run_id: of a run that was just opened, maybe not for the first time.
        claim: tags of its children that name their process.
    """

    def __init__(self, run_id: str, claim: Mapping[str, str]) -> None:
        import mlflow

        super().__init__()
        self.id, self.claim = run_id, claim
        run = mlflow.get_run(run_id)
        self.known, self.experiment = run.data, run.info.experiment_id
        self.last_step = -1
        if "val_loss" in self.known.metrics:
            history = mlflow.MlflowClient().get_metric_history(run_id, "val_loss")
            self.last_step = max(point.step for point in history)

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters; those that `mlflow run` has logged as text stay as they are."""
        import mlflow

        known = mlflow.get_run(self.id).data.params
        mlflow.log_params({name: v for name, v in values.items() if name not in known})

    def tags(self, values: Mapping[str, object]) -> None:
        """Set tags; values become text."""
        import mlflow

        mlflow.set_tags({name: str(value) for name, value in values.items()})

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics, at a step or once; a resumed run keeps what it has."""
        import mlflow

        if step is None:
            mlflow.log_metrics({n: v for n, v in values.items() if n not in self.known.metrics})
        elif step > self.last_step:
            mlflow.log_metrics(dict(values), step=step)

    def file(self, path: str, raw: bytes) -> None:
        """Log `raw` as the file PATH."""
        import mlflow

        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory() as temporary:
            (Path(temporary) / name).write_bytes(raw)
            mlflow.log_artifact(f"{temporary}/{name}", folder or None)

    def text(self, name: str, text: str) -> None:
        """Log `text` as the file NAME."""
        import mlflow

        mlflow.log_text(text, name)

    def dataset(self, data: Dataset) -> None:
        """Log the name, digest and origin of the data."""
        import mlflow
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset

        source = CodeDatasetSource({"origin": data.source})
        logged = MetaDataset(source, name=data.name, digest=data.digest)
        mlflow.log_input(logged, context="training")
        if data.unfit:
            self.tags({"data_unfit": "; ".join(data.unfit)})

    def mark_trial_failed(self, study: str, number: int) -> None:
        """End the runs of a trial that has failed, unless they ended as failed themselves."""
        client = connect()
        for run in _search(client, f"tags.study = '{study}' and tags.trial = '{number}'"):
            if run.data.tags.get("trial_state") != "failed" or run.info.status == "RUNNING":
                end_dead_run(client, run)

    @contextmanager
    def child(self, name: str, tags: Mapping[str, object]) -> Iterator[Run]:
        """Open a nested run for the time of the context."""
        texts = {name: str(value) for name, value in tags.items()}
        tags = {**texts, **self.claim}
        child = {"run_name": name, "experiment_id": self.experiment, "parent_run_id": self.id}
        with _opened(self.claim, tags=tags, nested=True, **child) as run:
            yield run


@contextmanager
def start(
    name: str, place: RunDir | None = None, shared: str | None = None, state: Path = STATE
) -> Iterator[Run]:
    """Open a run, or resume one, or that of `mlflow run`; end it with its true status.

    The status is FINISHED, or FAILED after an exception, or KILLED after an interruption. (Ctrl-C
    under `mlflow run` ends as FAILED: mlflow itself is interrupted, too, and sets the status last.)

    Args:
        place: the folder of its work, whose run is resumed; None for a run that cannot be resumed.
        shared: id of a run that other processes share.
        state: parent of the folder of a run without one.

    Raises:
        UserError: storage-unreachable.
    """
    if place is None:
        key, root = name.replace(" ", "-"), state / run_lock.RUN_DIRS.name
        with (
            run_lock.acquire_run_dir(key, restart=True, root=root) as own_place,
            start(name, own_place) as run,
        ):
            yield run
        return
    with wrap_store_errors():
        client = connect()
        end_dead_runs(client)
        run_id = _existing(client, shared or place.run_id)
        # The run that `mlflow run` has made is not used when another one is resumed
        given = _given_name(client)
        unused = os.environ.get("MLFLOW_RUN_ID")
        if run_id and unused and unused != run_id:
            if not given:
                client.set_tag(unused, "mlflow.runName", f"{name} continues in {run_id[:8]}")
            client.set_tag(unused, "continued_in", run_id)
            client.set_terminated(unused, "FINISHED")
            del os.environ["MLFLOW_RUN_ID"]  # or MLflow takes it for the next run, that of a trial
        if given and not shared:
            name = given
        elif run_id:
            name = client.get_run(run_id).info.run_name
        with _opened(place.lease, run_id=run_id or None, run_name=name) as run:
            place.belongs_to(run.id)
            if "reason" in run.known.tags:  # why it was ended before
                client.delete_tag(run.id, "reason")
            if shared is None:
                run.tags(place.lease)
            libraries = provenance.library_versions()
            run.tags({"machine": libraries.pop("machine")})
            run.tags({f"version.{library}": v for library, v in libraries.items()})
            yield run


def create(name: str) -> str:
    """Return the id of a new run that processes share, or of that of `mlflow run`."""
    client = connect()
    import mlflow

    with wrap_store_errors():
        run_id = mlflow.start_run(run_name=_given_name(client) or name).info.run_id
        mlflow.end_run("RUNNING")
    return str(run_id)


def _given_name(client: MlflowClient) -> str:
    """Return the name that `mlflow run --run-name` gave, "" for one that MLflow made up."""
    from mlflow.utils.name_utils import _GENERATOR_NOUNS, _GENERATOR_PREDICATES

    run_id = _existing(client, os.environ.get("MLFLOW_RUN_ID", ""))
    name = str(client.get_run(run_id).info.run_name) if run_id else ""
    predicate, _, rest = name.partition("-")
    noun, _, number = rest.rpartition("-")
    made_up = predicate in _GENERATOR_PREDICATES and noun in _GENERATOR_NOUNS
    return "" if made_up and number.isdigit() else name


@contextmanager
def wrap_store_errors() -> Iterator[None]:
    """Turn errors of MLflow and its database into a UserError, storage-unreachable."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise unreachable(address(), first_line(error)) from error


@contextmanager
def _opened(claim: Mapping[str, str], **options: Any) -> Iterator[Run]:
    import mlflow

    run = Run(mlflow.start_run(**options).info.run_id, claim)
    status: Status = "FAILED"
    try:
        yield run
        status = run.status
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        continues = status != run.status and run.has_other_workers()
        mlflow.end_run("RUNNING" if continues else status)


def _existing(client: MlflowClient, run_id: str) -> str:
    """Return `run_id` if there is such a run that was not deleted, else ""."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return ""
    try:
        return run_id if client.get_run(run_id).info.lifecycle_stage == "active" else ""
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""


def end_dead_runs(client: MlflowClient) -> None:
    """End the runs whose process on this machine has died, as KILLED."""
    ours = f"attributes.status = 'RUNNING' and tags.`lease.host` = '{run_lock.host()}'"
    for run in _search(client, ours):
        if not run_lock.is_held(Path(run.data.tags["lease.file"])):
            end_dead_run(client, run)


def _search(client: MlflowClient, condition: str) -> list[MlflowRun]:
    """Return the runs of all experiments that meet a condition, the newest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, condition, max_results=1000))


def end_dead_run(client: MlflowClient, run: MlflowRun) -> None:
    """End a run whose process is dead."""
    tags, run_id = run.data.tags, run.info.run_id
    why = f"its process ({tags.get('lease.pid')} on {tags.get('lease.host')}) died"
    client.set_tag(run_id, "reason", why)
    if "trial" in tags:
        client.set_tag(run_id, "trial_state", "failed")
    client.set_terminated(run_id, "KILLED")


def first_line(error: Exception) -> str:
    """Return the one line that matters of an error of MLflow or its database."""
    cause = getattr(error.__cause__, "orig", None) or getattr(error, "orig", None) or error
    line = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
    if system := re.search(r"\[Errno -?\d+\] ([^\"')]+)", line):  # inside a long HTTP error
        line = system[1]
    return without_password(line).rstrip(".") + "."


class Dataset(Protocol):
    """What a run records of its data; `unfit` says what keeps a network from being champion."""

    @property
    def name(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def unfit(self) -> tuple[str, ...]: ...


class Registered(Protocol):
    """A registered version, as far as its run is concerned; its text names it."""

    @property
    def run_id(self) -> str: ...


@dataclass(frozen=True)
class Record:
    """A finished run's parameters, last metrics and tags, as MLflow keeps them."""

    id: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def record(version: Registered) -> Record:
    """Return the record of the run that registered `version`.

    Raises:
        UserError: run-unreadable.
    """
    from mlflow.exceptions import MlflowException

    try:
        run = connect().get_run(version.run_id)
    except MlflowException as error:
        raise UserError(
            "run-unreadable",
            f"run {version.run_id} of {version}",
            expected="the run that registered it",
            found=first_line(error),
            fix="Restore the run, or train again.",
        ) from error
    return Record(run.info.run_id, run.data.params, run.data.metrics, run.data.tags)


def artifact(version: Registered, path: str, into: Path) -> Path:
    """Copy a file or folder of the run that registered `version`; return the copy's path.

    Raises:
        UserError: artifact-missing.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    into.mkdir(exist_ok=True)
    try:
        copy = mlflow.artifacts.download_artifacts(
            run_id=version.run_id, artifact_path=path, dst_path=str(into)
        )
    except (MlflowException, OSError) as error:
        raise UserError(
            "artifact-missing",
            f"run {version.run_id} of {version}",
            expected=f"the artifact {path}",
            found=first_line(error),
            fix="Restore it, or train again.",
        ) from error
    return Path(copy)


History = tuple[list[int], dict[str, list[float]]]  # steps, and the values of each metric


def histories(settings: str, names: Sequence[str], but: str) -> list[History]:
    """Return the metrics of finished runs of the same `settings`, one run for each other seed.

    Args:
        settings: the runs' tag of that name.
        names: metrics that were logged together.
        but: id of the run whose seed is left out.
    """
    client = connect()
    condition = f"tags.settings = '{settings}' and attributes.status = 'FINISHED'"
    seeds: dict[float, str] = {}
    for run in _search(client, condition):
        seeds.setdefault(float(run.data.params["seed"]), run.info.run_id)
    seeds.pop(float(client.get_run(but).data.params["seed"]), None)
    result = []
    for run_id in list(seeds.values())[:MAX_SEEDS]:
        values = {name: client.get_metric_history(run_id, name) for name in names}
        steps = [point.step for point in next(iter(values.values()))]
        result.append((steps, {name: [p.value for p in points] for name, points in values.items()}))
    return result

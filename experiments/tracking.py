"""The door to MLflow's runs: parameters, metrics, figures, data sets; versions.py has the registry.

`Run` records; `NullRun` has the same methods and does nothing, so no caller ever asks whether
anything is recorded. mlflow is imported inside the functions: it takes two seconds.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from filelock import FileLock

from experiments import lease, provenance
from experiments.errors import UserError, without_password
from experiments.lease import Place
from experiments.paths import ROOT, STATE, STORE

if TYPE_CHECKING:
    import numpy as np
    from mlflow import MlflowClient

    from experiments.tasks.base import Splits
    from experiments.versions import Version

MOST_SEEDS = 9  # other seeds that a training is shown beside
Status = Literal["FINISHED", "FAILED", "KILLED"]


def connect() -> MlflowClient:
    """Point MLflow at $MLFLOW_TRACKING_URI, else at the project's own store; return its client."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("mlflow.store").setLevel(logging.CRITICAL)  # it is told as one sentence
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        _make_store()
        mlflow.set_tracking_uri(f"sqlite:///{STORE}")
    return mlflow.MlflowClient()


def _make_store() -> None:
    """Make the project's own store, unless it is there: whole or not at all, and only once."""
    if STORE.exists():
        return
    import mlflow

    partial = STORE.with_suffix(".db.partial")
    STATE.mkdir(exist_ok=True)
    with FileLock(STATE / "store.lock"), contextlib.chdir(ROOT):  # artifacts go below the folder
        if STORE.exists():
            return
        partial.unlink(missing_ok=True)
        try:
            mlflow.MlflowClient(f"sqlite:///{partial}").get_experiment("0")
            partial.rename(STORE)
        finally:
            partial.unlink(missing_ok=True)


class Recorder(Protocol):
    """What a run takes in.

    Attributes:
        status: how it ends, unless an exception decides.
        others: whether other processes go on with it if this one ends early.
    """

    id: str
    status: Status
    others: Callable[[], bool]

    def params(self, values: Mapping[str, object]) -> None: ...
    def tags(self, values: Mapping[str, object]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...
    def file(self, path: str, raw: bytes) -> None: ...
    def image(self, name: str, picture: np.ndarray, step: int) -> None: ...
    def text(self, name: str, text: str) -> None: ...
    def dataset(self, splits: Splits) -> None: ...
    def bury_trial(self, study: str, number: int) -> None: ...
    def child(
        self, name: str, tags: Mapping[str, object]
    ) -> contextlib.AbstractContextManager[Recorder]: ...


class NullRun:
    """A run that keeps nothing."""

    id = ""
    status: Status = "FINISHED"

    def __init__(self) -> None:
        self.others: Callable[[], bool] = lambda: False

    def params(self, values: Mapping[str, object]) -> None: ...
    def tags(self, values: Mapping[str, object]) -> None: ...
    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None: ...
    def file(self, path: str, raw: bytes) -> None: ...
    def image(self, name: str, picture: np.ndarray, step: int) -> None: ...
    def text(self, name: str, text: str) -> None: ...
    def dataset(self, splits: Splits) -> None: ...
    def bury_trial(self, study: str, number: int) -> None: ...

    @contextmanager
    def child(self, name: str, tags: Mapping[str, object]) -> Iterator[NullRun]:
        yield NullRun()


class Run:
    """An MLflow run that is open.

    Args:
        run_id: of a run that was just opened, maybe not for the first time: what it already holds
            is not logged again.
        claim: what its children say of the process that is at them.
    """

    status: Status = "FINISHED"

    def __init__(self, run_id: str, claim: Mapping[str, str]) -> None:
        import mlflow

        self.id, self.claim = run_id, claim
        self.others: Callable[[], bool] = lambda: False
        self.known = mlflow.get_run(run_id).data
        self.pictures: set[str] | None = None  # on sliders already; unknown until one is logged
        self.last_step = -1
        if "val_loss" in self.known.metrics:
            history = mlflow.MlflowClient().get_metric_history(run_id, "val_loss")
            self.last_step = max(point.step for point in history)

    def params(self, values: Mapping[str, object]) -> None:
        """Log parameters; those that `mlflow run` has logged as text already stay as they are."""
        import mlflow

        known = mlflow.get_run(self.id).data.params
        mlflow.log_params({name: v for name, v in values.items() if name not in known})

    def tags(self, values: Mapping[str, object]) -> None:
        """Set tags; values become text."""
        import mlflow

        mlflow.set_tags({name: str(value) for name, value in values.items()})

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics, at a step or once; what the run held when it was opened stays as it is."""
        import mlflow

        new = {n: v for n, v in values.items() if step is not None or n not in self.known.metrics}
        if new and (step is None or step > self.last_step):
            mlflow.log_metrics(new, step=step)

    def file(self, path: str, raw: bytes) -> None:
        """Log `raw` as the file PATH."""
        import mlflow

        folder, _, name = path.rpartition("/")
        with tempfile.TemporaryDirectory() as beside:
            (Path(beside) / name).write_bytes(raw)
            mlflow.log_artifact(f"{beside}/{name}", folder or None)

    def image(self, name: str, picture: np.ndarray, step: int) -> None:
        """Log `picture`, uint8 [H, W, 3], as the one of `step` under the slider NAME, once."""
        import mlflow

        if self.pictures is None:
            listed = mlflow.MlflowClient().list_artifacts(self.id, "images")
            self.pictures = {file.path.partition("+timestamp")[0] for file in listed}
        if f"images/{name.replace('/', '~')}+step+{step}" not in self.pictures:
            mlflow.log_image(picture, key=name, step=step, synchronous=True)

    def text(self, name: str, text: str) -> None:
        """Log `text` as the file NAME."""
        import mlflow

        mlflow.log_text(text, name)

    def dataset(self, splits: Splits) -> None:
        """Log the name, digest and origin of the data."""
        import mlflow
        from mlflow.data.code_dataset_source import CodeDatasetSource
        from mlflow.data.meta_dataset import MetaDataset

        source = CodeDatasetSource({"origin": splits.source})
        data = MetaDataset(source, name=splits.name, digest=splits.digest)
        mlflow.log_input(data, context="training")

    def bury_trial(self, study: str, number: int) -> None:
        """End the runs of a trial whose process is known to be dead."""
        client = connect()
        for run in _search(client, f"tags.study = '{study}' and tags.trial = '{number}'"):
            end_dead_run(client, run)

    @contextmanager
    def child(self, name: str, tags: Mapping[str, object]) -> Iterator[Run]:
        """Open a nested run for the time of the context."""
        texts = {name: str(value) for name, value in tags.items()}
        named = {"run_name": name, "nested": True, "parent_run_id": self.id}
        with _opened(self.claim, tags={**texts, **self.claim}, **named) as run:
            yield run


@contextmanager
def start(name: str, place: Place | None = None, shared: str | None = None) -> Iterator[Run]:
    """Open a run, or go on with the one that `mlflow run` has made; it ends with a true status.

    The status is FINISHED, or FAILED after an exception, or KILLED after an interruption. (Ctrl-C
    under `mlflow run` ends as FAILED: mlflow itself is interrupted, too, and has the last word.)

    Args:
        place: of the work; if a dead process has left it, its run is gone on with. Without one,
            nobody can.
        shared: a run to go on with that other processes may be at, too.

    Raises:
        UserError: MLflow's store cannot be read or written.
    """
    if place is None:
        key = name.replace(" ", "-")
        with lease.place(key, afresh=True) as own_place, start(name, own_place) as run:
            yield run
        return
    with _telling_of_the_store():
        client = connect()
        end_dead_runs(client)
        run_id = _still_there(client, shared or place.run_id)
        made, own = os.environ.get("MLFLOW_RUN_ID"), place.lease if shared is None else {}
        if run_id and made and made != run_id:
            client.set_tag(made, "mlflow.runName", f"{name} goes on in {run_id[:8]}")
            client.set_tag(made, "continued_in", run_id)
            client.set_terminated(made, "FINISHED")
        with _opened(place.lease, run_id=run_id or None, run_name=name) as run:
            place.belongs_to(run.id)
            if "reason" in run.known.tags:  # it had died, and goes on
                client.delete_tag(run.id, "reason")
            libraries = provenance.environment()
            machine = {"machine": libraries.pop("machine")}
            run.tags({**own, **machine, **{f"version.{lib}": v for lib, v in libraries.items()}})
            yield run


def make(name: str) -> str:
    """Return the id of a new run that processes are to share, or of that of `mlflow run`."""
    connect()
    import mlflow

    with _telling_of_the_store():
        run_id = mlflow.start_run(run_name=name).info.run_id
        mlflow.end_run("RUNNING")
    return str(run_id)


@contextmanager
def _telling_of_the_store() -> Iterator[None]:
    """Turn the failures of MLflow and its database into a sentence without passwords."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise UserError(
            f"MLflow's store at {address()} fails: {first_line(error)} "
            "Once it is well, the same command goes on from here."
        ) from error


@contextmanager
def _opened(claim: Mapping[str, str], **how: Any) -> Iterator[Run]:
    import mlflow

    run = Run(mlflow.start_run(**how).info.run_id, claim)
    status: Status = "FAILED"
    try:
        yield run
        status = run.status
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        mlflow.end_run(status if status == run.status or not run.others() else "RUNNING")


def _still_there(client: MlflowClient, run_id: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        found = run_id and client.get_run(run_id).info.lifecycle_stage == "active"
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        found = False
    return run_id if found else ""


def end_dead_runs(client: MlflowClient) -> None:
    """End the runs whose process on this machine has died, as KILLED, which they were."""
    ours = f"attributes.status = 'RUNNING' and tags.`lease.host` = '{lease.host()}'"
    for run in _search(client, ours):
        if not lease.is_held(Path(run.data.tags["lease.file"])):
            end_dead_run(client, run)


def _search(client: MlflowClient, condition: str) -> list[Any]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, condition, max_results=1000))


def end_dead_run(client: MlflowClient, run: Any) -> None:
    """End a run whose process is known to be dead."""
    tags = run.data.tags
    client.set_tag(
        run.info.run_id,
        "reason",
        f"its process ({tags.get('lease.pid')} on {tags.get('lease.host')}) died",
    )
    if "trial" in tags:
        client.set_tag(run.info.run_id, "trial_state", "failed")
    client.set_terminated(run.info.run_id, "KILLED")


def address() -> str:
    """Return where MLflow's store is, without any password."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or str(STORE)
    return without_password(uri)


def first_line(error: Exception) -> str:
    """Return the sentence in the midst of what MLflow and its database say."""
    cause = getattr(error.__cause__, "orig", None) or getattr(error, "orig", None) or error
    line = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
    if system := re.search(r"\[Errno -?\d+\] ([^\"')]+)", line):  # the core of a long HTTP story
        line = system[1]
    return without_password(line).rstrip(".") + "."


@dataclass(frozen=True)
class Record:
    """What a run that has been holds: parameters, last metrics, tags, as MLflow keeps them."""

    id: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


def record(version: Version) -> Record:
    """Return the record of the run that registered `version`.

    Raises:
        UserError: the run is not there.
    """
    from mlflow.exceptions import MlflowException

    try:
        run = connect().get_run(version.run_id)
    except MlflowException as error:
        why = first_line(error)
        raise UserError(f"{version} was registered by a run that cannot be read: {why}") from error
    return Record(run.info.run_id, run.data.params, run.data.metrics, run.data.tags)


def artifact(version: Version, path: str, into: Path) -> Path:
    """Copy a file or folder of the run that registered `version` into a folder; return where.

    Raises:
        UserError: the run has no such file.
    """
    import mlflow
    from mlflow.exceptions import MlflowException

    into.mkdir(exist_ok=True)
    where = {"run_id": version.run_id, "artifact_path": path, "dst_path": str(into)}
    try:
        return Path(mlflow.artifacts.download_artifacts(**where))
    except (MlflowException, OSError) as error:
        raise UserError(f"The run of {version} holds no {path}: {error}") from error


History = tuple[list[int], dict[str, list[float]]]  # steps, and the values of each metric


def histories(settings: str, names: Sequence[str], but: str) -> list[History]:
    """Return the course of finished runs of the same `settings`, which differ in their seed.

    Args:
        settings: as the tag of that name says.
        names: metrics that were logged together.
        but: id of the run to leave out.
    """
    client = connect()
    condition = f"tags.settings = '{settings}' and attributes.status = 'FINISHED'"
    seeds: dict[float, str] = {}
    for run in _search(client, condition):  # the newest first
        seeds.setdefault(float(run.data.params["seed"]), run.info.run_id)
    seeds.pop(float(client.get_run(but).data.params["seed"]), None)
    found = []
    for run_id in list(seeds.values())[:MOST_SEEDS]:
        values = {name: client.get_metric_history(run_id, name) for name in names}
        steps = [point.step for point in next(iter(values.values()))]
        found.append((steps, {name: [p.value for p in points] for name, points in values.items()}))
    return found

"""What runs record, and the trials of a search."""

from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from optuna import TrialPruned

from experiments import tasks
from experiments import tune as command
from experiments.registry import versions
from experiments.search import search as tune
from experiments.tracking import run_lock, runs
from experiments.training.config import RunConfig
from experiments.training.loop import DivergedError
from experiments.training.trainer import Trainer
from tests.expect import refused
from tests.inprocess import Store

Asked = Callable[..., RunConfig]


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_runs_end_with_a_true_status(own_store: Store, error, status: str) -> None:
    with pytest.raises(error) if error else nullcontext(), own_store.start() as run:
        if error:
            raise error
    assert runs.connect().get_run(run.id).info.status == status


def test_an_interruption_ends_a_run_and_its_child_as_killed(own_store: Store) -> None:
    ids = []
    with pytest.raises(KeyboardInterrupt), own_store.start() as run, run.child("one", {}) as child:
        ids += [run.id, child.id]
        raise KeyboardInterrupt
    assert [own_store.client.get_run(id).info.status for id in ids] == ["KILLED", "KILLED"]


class Recorder(runs.NullLogger):
    """A logger that remembers its children and tags."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Recorder] = []
        self.values: dict[str, object] = {}

    def tags(self, values) -> None:
        self.values |= values

    @contextmanager
    def child(self, name: str, tags):
        self.children.append(Recorder())
        self.children[-1].tags(tags)
        yield self.children[-1]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """Makes requests for short searches on xor, whose unfinished work is in the test's folder."""

    def request(trials: int, fixed: set[str] | None = None, **hparams) -> RunConfig:
        task = tasks.get("gate")
        given = {"num_restarts": 2, "epochs": 40} | hparams
        return RunConfig(
            task=task,
            data=task.data_options(gate="xor"),
            recipe="default",
            hparams=task.hparams(**given),
            fixed=frozenset(given if fixed is None else fixed),
            trials=trials,
            seed=0,
            device="cpu",
            precision="auto",
            objectives=("val_loss",),
            state=tmp_path,
        )

    return request


def search(
    asked: RunConfig, run: Recorder, job: Trainer | None = None, **how: int
) -> tune.SearchResult:
    with run_lock.acquire_run_dir("test", root=asked.state / "runs") as place:
        job = job or Trainer.prepare(asked)
        shared = tune.open_shared(job, asked, place, **how)
        return tune.search(job, asked, run, place, shared)


def test_pruned_trials_are_marked(asked: Asked) -> None:
    run = Recorder()
    result = search(asked(6), run, startup_trials=0)
    states = [child.values["trial_state"] for child in run.children]
    assert states == result.states and {"pruned", "complete"} == set(states)
    for child in run.children:
        pruned = child.values["trial_state"] == "pruned"
        assert child.status == ("KILLED" if pruned else "FINISHED")
        assert isinstance(child.values.get("reason"), TrialPruned) is pruned


def test_defaults_are_tried_first_and_fixed_ones_kept(asked: Asked) -> None:
    one = asked(1, hidden_dim=3)
    result = search(one, Recorder())
    assert result.hparams == one.hparams and result.best == 0


@pytest.mark.parametrize(("short", "last"), [(True, 10), (False, 40)])
def test_trials_that_nobody_asked_for_are_short(asked: Asked, short: bool, last: int) -> None:
    two = asked(2)
    task = replace(two.task, trial_epochs=10)
    result = search(replace(two, task=task, short=short), Recorder())
    assert {max(trial.intermediate_values) for trial in result.trials} == {last}
    assert result.hparams.epochs == 40


def test_a_search_leaves_alone_what_a_recipe_has_put_outside_the_space(asked: Asked) -> None:
    result = search(asked(3, fixed=set(), hidden_dim=64, epochs=5), Recorder())
    assert result.hparams.hidden_dim == 64 and len({trial.value for trial in result.trials}) > 1


def test_a_search_that_only_diverges_is_an_error(asked: Asked) -> None:
    two, run = asked(2), Recorder()
    job = Trainer.prepare(two)
    job.train.x[0, 0] = float("nan")
    with refused("trials-diverged", what="2 trials", fix=f"lr={two.hparams.lr / 10:g}"):
        search(two, run, job)
    assert [child.status for child in run.children] == ["KILLED", "KILLED"]
    reason = run.children[0].values["reason"]
    assert isinstance(reason, DivergedError) and "epoch 10" in reason.what


def test_a_search_without_trials_is_a_mistake(asked: Asked) -> None:
    with refused("value-invalid", what="trials", found=0):
        command.tune(asked(0))


def test_same_seed_same_search(asked: Asked) -> None:
    first, second = (search(asked(4, fixed={"num_restarts"}), Recorder()) for _ in range(2))
    assert first.hparams == second.hparams and first.states == second.states


def test_several_objectives_give_a_pareto_front(asked: Asked) -> None:
    objectives = ("val_loss", "parameters")
    result = search(replace(asked(6, fixed={"num_restarts"}), objectives=objectives), Recorder())
    rows = {trial.number: trial.values for trial in result.trials}
    for n, mine in rows.items():
        beaten = any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine
            for other in rows.values()
        )
        assert (n in result.pareto_front) is not beaten
    assert result.best == min(rows, key=lambda n: rows[n][0])
    table = tune.pareto_table(result).splitlines()
    cells = [cell.strip() for cell in table[0].strip("|").split("|")]
    assert cells == ["trial", *objectives, *sorted(result.trials[0].params)]
    assert len(table) == 2 + len(result.pareto_front)


class BreaksOnce(Recorder):
    """A logger whose first child fails to log its first epoch."""

    @contextmanager
    def child(self, name: str, tags):
        with super().child(name, tags) as child:
            if len(self.children) == 1:
                child.metrics = self.fail
            yield child

    def fail(self, values, step=None) -> None:
        raise RuntimeError("out of memory")


def test_a_failed_trial_has_its_reason_and_is_not_counted(asked: Asked) -> None:
    two, run = asked(2), BreaksOnce()
    with run_lock.acquire_run_dir("test", root=two.state / "runs") as place:
        shared = tune.open_shared(Trainer.prepare(two), two, place)
        with pytest.raises(RuntimeError):
            tune.search(Trainer.prepare(two), two, run, place, shared)
        assert run.children[0].values["trial_state"] == "failed"
        assert run.children[0].values["reason"] == "RuntimeError: out of memory"
        result = tune.search(Trainer.prepare(two), two, run, place, shared)
    assert result.states == ["fail", "complete", "complete"]


def of_mlflow_run(store: Store, patch: pytest.MonkeyPatch, name: str | None) -> str:
    """Create a run as `mlflow run` does, in an experiment of its own; return its id."""
    known = store.client.get_experiment_by_name("mine")
    experiment = known.experiment_id if known else store.client.create_experiment("mine")
    run_id = store.client.create_run(experiment, run_name=name).info.run_id
    patch.setenv("MLFLOW_RUN_ID", run_id)
    patch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    return run_id


@pytest.mark.parametrize(("given", "name"), [("my run", "my run"), (None, "train gate")])
def test_a_run_keeps_the_name_that_mlflow_run_was_given(
    own_store: Store, monkeypatch: pytest.MonkeyPatch, given: str | None, name: str
) -> None:
    """Without --run-name MLflow makes one up, which says nothing."""
    run_id = of_mlflow_run(own_store, monkeypatch, given)
    own_store.train()
    (run,) = own_store.client.search_runs([own_store.client.get_run(run_id).info.experiment_id])
    assert (run.info.run_id, run.info.run_name, run.info.status) == (run_id, name, "FINISHED")
    assert own_store.client.search_runs(["0"]) == []


def test_a_study_keeps_its_name_and_experiment_when_others_join(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = of_mlflow_run(own_store, monkeypatch, "my study")
    own_store.tune("--study shared --trials 1")
    joined = of_mlflow_run(own_store, monkeypatch, "joined")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    own_store.tune("--study shared --trials 2")
    client = own_store.client
    runs = {run_id: client.get_run(run_id) for run_id in (study, joined)}
    assert [run.info.run_name for run in runs.values()] == ["my study", "joined"]
    assert runs[joined].data.tags["continued_in"] == study
    assert "trial" not in runs[joined].data.tags
    parent = f"tags.mlflow.parentRunId = '{study}'"
    assert len(client.search_runs([runs[study].info.experiment_id], parent)) == 2


def test_a_resumed_run_takes_a_name_that_is_given_later(
    own_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = []
    for given in ("first", "second", None):
        of_mlflow_run(own_store, monkeypatch, given)
        with (
            pytest.raises(ValueError),
            run_lock.acquire_run_dir("work", root=own_store.state / "runs") as place,
            runs.start("train gate", place) as run,
        ):
            (place.folder / "checkpoint").touch()
            raise ValueError
        names.append(own_store.client.get_run(run.id).info.run_name)
    assert names == ["first", "second", "second"]


def test_other_seeds_of_the_same_settings_are_found(own_store: Store) -> None:
    for seed, settings in ((0, "a"), (1, "a"), (1, "a"), (2, "b")):
        with own_store.start() as run:
            run.params({"seed": seed})
            run.tags({"settings": settings})
            for epoch in (1, 2):
                run.metrics({"val_loss": seed + epoch / 10, "lr": 0.5}, step=epoch)
    with own_store.start() as run:
        run.params({"seed": 0})
        found = runs.histories("a", ["val_loss", "lr"], run.id)
    assert found == [([1, 2], {"val_loss": [1.1, 1.2], "lr": [0.5, 0.5]})]
    assert runs.histories("c", ["val_loss"], run.id) == []


def test_files_of_a_run_lie_where_they_are_named(own_store: Store) -> None:
    with own_store.start() as run:
        run.file("figures/a/b.gif", b"GIF89a")
    path = own_store.client.download_artifacts(run.id, "figures/a/b.gif")
    assert Path(path).read_bytes() == b"GIF89a"


VERSION = versions.Version("gate", 1, "0" * 32, {}, {})


def test_a_run_that_is_gone(own_store: Store) -> None:
    with refused("run-unreadable", what=VERSION):
        runs.record(VERSION)


def test_a_file_that_a_run_does_not_hold(own_store: Store) -> None:
    with own_store.start() as run:
        version = replace(VERSION, run_id=run.id)
    with refused("artifact-missing", what=version, expected="figures/a.png"):
        runs.artifact(version, "figures/a.png", own_store.folder)


def test_a_store_that_is_damaged(own_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_store.folder / "damaged.db").write_bytes(b"no database" * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{own_store.folder}/damaged.db")
    with refused("storage-unreachable", what="damaged.db"), own_store.start():
        pass


def test_a_run_that_ended_before_its_trial_failed_is_marked_failed(own_store: Store) -> None:
    """A process was killed between the end of its run and that of its trial."""
    with own_store.start() as run:
        with run.child("trial 0", {"trial": 0, "study": "s"}) as child:
            child.tags({"trial_state": "complete"})
        run.mark_trial_failed("s", 0)
    logged = runs.connect().get_run(child.id)
    assert (logged.info.status, logged.data.tags["trial_state"]) == ("KILLED", "failed")

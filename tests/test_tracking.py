"""What runs record, and what a search does."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import artifacts, lease, tasks, tracking, tune, versions
from experiments.errors import UserError
from experiments.job import Job
from experiments.options import Request
from models.cnn import DigitCNN


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty store of its own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_runs_end_with_a_true_status(store: Path, error, status: str) -> None:
    with pytest.raises(error) if error else contextmanager(lambda: (yield))():  # noqa: SIM117
        with tracking.start("test") as run:
            if error:
                raise error
    assert tracking.connect().get_run(run.id).info.status == status


class Kept(tracking.NullRun):
    """A recorder that remembers its children."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Kept] = []
        self.named: dict[str, object] = {}

    def tags(self, values) -> None:
        self.named |= values

    @contextmanager
    def child(self, name: str, tags):
        self.children.append(Kept())
        self.children[-1].tags(tags)
        yield self.children[-1]


def request(trials: int, fixed: set[str] | None = None, **hparams) -> Request:
    task = tasks.get("gate")
    given = {"restarts": 2, "epochs": 40} | hparams
    return Request(
        task=task,
        data=task.data_options(gate="xor"),
        recipe="default",
        hparams=task.hparams(**given),
        fixed=frozenset(given if fixed is None else fixed),
        trials=trials,
        seed=0,
        device="cpu",
        precision="auto",
        aims=("val_loss",),
    )


def search(asked: Request, run: Kept, job: Job | None = None) -> tune.Outcome:
    with lease.place("test") as place:
        shared = tune.open_shared(asked, place)
        return tune.search(job or Job.prepare(asked), asked, run, place, shared)


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "PLACES", tmp_path / "runs")


def test_pruned_trials_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "STARTUP_TRIALS", 0)
    run = Kept()
    outcome = search(request(6), run)
    states = [child.named["trial_state"] for child in run.children]
    assert states == outcome.states and {"pruned", "complete"} == set(states)
    for child in run.children:
        assert child.status == ("KILLED" if child.named["trial_state"] == "pruned" else "FINISHED")
        assert ("behind the median" in str(child.named.get("reason"))) == (child.status == "KILLED")


def test_defaults_are_tried_first_and_fixed_ones_kept() -> None:
    asked = request(1, hidden=3)
    outcome = search(asked, Kept())
    assert outcome.hparams == asked.hparams and outcome.best == 0


def test_a_search_leaves_alone_what_a_recipe_has_put_outside_the_space() -> None:
    outcome = search(request(3, fixed=set(), hidden=64, epochs=5), Kept())
    assert outcome.hparams.hidden == 64 and len({row[0] for row in outcome.values}) > 1


def test_a_search_that_only_diverges_is_told() -> None:
    asked, run = request(2), Kept()
    job = Job.prepare(asked)
    job.train.x[0, 0] = float("nan")
    with pytest.raises(UserError, match=r"Each of 2 trials diverged; give a smaller lr"):
        search(asked, run, job)
    assert [child.status for child in run.children] == ["KILLED", "KILLED"]
    assert "training diverged in epoch 10" in str(run.children[0].named["reason"])


def test_same_seed_same_search() -> None:
    first, second = (search(request(4, fixed={"restarts"}), Kept()) for _ in range(2))
    assert first.hparams == second.hparams and first.states == second.states


def test_several_aims_give_a_front() -> None:
    asked = replace(request(6, fixed={"restarts"}), aims=("val_loss", "parameters"))
    outcome = search(asked, Kept())
    rows = {n: outcome.values[n] for n in range(6)}
    for n, mine in rows.items():
        beaten = any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine
            for other in rows.values()
        )
        assert (n in outcome.front) is not beaten
    assert outcome.best == min(rows, key=lambda n: rows[n][0])
    table = tune.front_table(outcome).splitlines()
    assert table[0].startswith("| trial | val_loss | parameters | activation | hidden | lr |")
    assert len(table) == 2 + len(outcome.front)


def test_a_failed_trial_says_why_and_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, run, whole = request(2), Kept(), tune._values

    def breaks_once(*given):
        if len(run.children) == 1:
            raise RuntimeError("out of memory")
        return whole(*given)

    monkeypatch.setattr(tune, "_values", breaks_once)
    with lease.place("test") as place:
        shared = tune.open_shared(asked, place)
        with pytest.raises(RuntimeError):
            tune.search(Job.prepare(asked), asked, run, place, shared)
        assert run.children[0].named["trial_state"] == "failed"
        assert run.children[0].named["reason"] == "RuntimeError: out of memory"
        outcome = tune.search(Job.prepare(asked), asked, run, place, shared)
    assert outcome.states == ["fail", "complete", "complete"]


def test_an_earlier_network_is_told_not_dumped() -> None:
    version = versions.Version("mnist", 3, "", {}, {})
    with pytest.raises(UserError, match="mnist version 3 was trained with an earlier network"):
        artifacts.restore(DigitCNN(width=8), DigitCNN(width=4), version)
    net, other = DigitCNN(width=4), DigitCNN(width=4)
    artifacts.restore(net, other, version)
    assert torch.equal(net.output.weight, other.output.weight)


def test_other_seeds_of_the_same_settings_are_found(store: Path) -> None:
    for seed, settings in ((0, "a"), (1, "a"), (1, "a"), (2, "b")):
        with tracking.start("test") as run:
            run.params({"seed": seed})
            run.tags({"settings": settings})
            for epoch in (1, 2):
                run.metrics({"val_loss": seed + epoch / 10, "lr": 0.5}, step=epoch)
    with tracking.start("test") as run:
        run.params({"seed": 0})
        found = tracking.histories("a", ["val_loss", "lr"], run.id)
    assert found == [([1, 2], {"val_loss": [1.1, 1.2], "lr": [0.5, 0.5]})]
    assert tracking.histories("c", ["val_loss"], run.id) == []


def test_files_and_pictures_of_a_run_lie_where_they_are_named(store: Path) -> None:
    with tracking.start("test") as run:
        run.file("figures/a/b.gif", b"GIF89a")
        run.image("learning/replay", np.zeros((4, 4, 3), np.uint8), 7)
    client = tracking.connect()
    assert Path(client.download_artifacts(run.id, "figures/a/b.gif")).read_bytes() == b"GIF89a"
    pictures = [file.path for file in client.list_artifacts(run.id, "images")]
    assert pictures and all("replay" in path and "step+7" in path for path in pictures)

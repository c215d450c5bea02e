"""How many threads train: the fastest number, kept by a resumed run, or the user's own."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.core.paths import THREADS
from experiments.tracking import run_lock
from experiments.training import threads
from tests.test_resume import Small, prepared


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "AVAILABLE", 4)
    yield
    torch.set_num_threads(before)


class Machine:
    """A clock, and a step that takes as long as `seconds` says for the number of threads."""

    def __init__(self, **seconds: float) -> None:
        self.seconds = {int(name[1:]): value for name, value in seconds.items()}
        self.now, self.steps = 0.0, 0

    def step(self) -> None:
        self.now += self.seconds[torch.get_num_threads()]
        self.steps += 1


@pytest.mark.parametrize(
    ("available", "numbers"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_powers_of_two_are_tried(available: int, numbers: list[int]) -> None:
    assert threads.candidates(available) == numbers


@pytest.mark.parametrize(
    ("seconds", "best"),
    [
        ({"t1": 5, "t2": 3, "t4": 2}, 4),
        ({"t1": 5, "t2": 8, "t4": 30}, 1),  # beside a busy process
        ({"t1": 5, "t2": 3, "t4": 2.9}, 2),  # too little is gained
    ],
)
def test_the_fastest_number_trains(seconds: dict[str, float], best: int) -> None:
    machine = Machine(**seconds)
    assert threads.fastest(machine.step, [1, 2, 4], lambda: machine.now) == best


def test_a_resumed_run_keeps_the_number_of_its_start(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(threads, "fastest", lambda *_: 2)
    assert threads.choose(lambda: None, tmp_path) == torch.get_num_threads() == 2
    monkeypatch.setattr(threads, "fastest", lambda *_: 4)
    torch.set_num_threads(1)
    assert threads.choose(lambda: None, tmp_path) == torch.get_num_threads() == 2
    assert threads.choose(lambda: None, None) == 4


def test_the_users_number_is_not_measured(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    before, machine = torch.get_num_threads(), Machine()
    assert threads.choose(machine.step, tmp_path) == before
    assert not machine.steps and not any(tmp_path.iterdir())


def test_a_number_of_threads_is_no_unfinished_work(tmp_path: Path) -> None:
    for name, kept in ((THREADS, False), ("checkpoint", True)):
        with pytest.raises(RuntimeError), run_lock.acquire_run_dir(name, root=tmp_path) as place:
            (place.folder / name).write_text("2")
            raise RuntimeError
        assert place.folder.exists() is kept


@pytest.mark.parametrize("name", ["gate", "mnist"])
def test_measuring_changes_no_training(small: Small, name: str, tmp_path: Path) -> None:
    trainer = replace(prepared(small, name).trainer(tmp_path), folder=None)
    state, before = torch.get_rng_state(), trainer.net().state_dict()
    step = trainer.first_step()
    for _ in range(2):
        step()
    assert torch.equal(torch.get_rng_state(), state)
    after = trainer.net().state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)

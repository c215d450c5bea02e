"""Moments of a training: which, kept whole, and still there after an interruption."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import tasks
from experiments.album import MOMENTS, Album, moments
from experiments.device import to_device
from experiments.errors import DataError
from experiments.fit import fit, initialise
from experiments.tasks.base import Moment, Trained


@pytest.mark.parametrize("steps", [1, 2, 30, 200, 1075, 100_000])
def test_moments_begin_and_end_with_the_training(steps: int) -> None:
    chosen = sorted(moments(steps))
    assert chosen[0] == 0 and chosen[-1] == steps and len(chosen) <= MOMENTS
    gaps = np.diff(chosen)
    assert gaps[0] == gaps.min() and gaps[-1] == gaps.max()
    assert len(chosen) >= min(steps, 15)


def test_an_album_goes_on_where_another_ended(tmp_path: Path) -> None:
    first, second, whole = Album(tmp_path / "a"), Album(tmp_path / "a"), Album()
    for done in range(11):
        look = {"weight": torch.full((2,), float(done))}
        for album in (whole, first if done < 6 else second):
            album.take(done, 10, lambda look=look: look)
    kept = second.moments(5.0)
    assert [m.step for m in kept] == [m.step for m in whole.moments(5.0)] == sorted(moments(10))
    assert kept[0].epoch == 0 and kept[-1].epoch == 5
    assert all((m.seen["weight"] == m.step).all() for m in kept)
    assert not list(tmp_path.rglob("*.partial"))


def test_the_last_moment_is_of_the_weights_that_were_kept() -> None:
    album = Album()
    for done in range(11):
        album.take(done, 10, lambda done=done: {"weight": torch.tensor([float(done)])})
    album.end(2.5, lambda: {"weight": torch.tensor([99.0])})
    found = album.moments(5.0)
    assert [m.epoch for m in found][-1] == 2.5 and found[-1].seen["weight"] == 99
    assert [m.step for m in found[:-1]] == [step for step in sorted(moments(10)) if step < 5]


def test_damaged_or_unwritable_moments_are_done_without(tmp_path: Path) -> None:
    for done in (0, 1):
        Album(tmp_path / "a").take(done, 1, lambda: {"weight": torch.ones(50)})
    damaged = tmp_path / "a" / "00000001.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    assert [m.step for m in Album(tmp_path / "a").moments(1)] == [0]
    (tmp_path / "file").write_text("in the way")
    album = Album(tmp_path / "file")
    album.take(0, 1, lambda: {"weight": torch.ones(1)})
    assert 0 in album.taken and (tmp_path / "file").is_file()


def test_pictures_of_an_unwatched_training_say_so(small) -> None:
    splits = small("gate")
    for found in ([], [Moment(3, 1.0, {"weight1": np.zeros(1)})], [Moment(0, 0.0, {})]):
        with pytest.raises(DataError, match="expected moments of it from its first step on"):
            Trained(None, splits, None, found).watched()


def test_what_is_kept_does_not_change_later() -> None:
    album, weight = Album(), torch.zeros(1)
    album.take(0, 1, lambda: {"weight": weight})
    weight += 1
    assert album.moments(1)[0].seen["weight"] == 0


@pytest.mark.parametrize("name", tasks.names())
def test_watching_changes_nothing(name: str, small) -> None:
    task = tasks.get(name)
    splits = small(task.name)
    fastest = task.recipes.get("flash", task.hparams())
    hparams = dataclasses.replace(fastest, epochs=2, batch_size=64)
    train, val = (to_device(s, torch.device("cpu")) for s in (splits.train, splits.val))
    ends = []
    for album in (None, Album()):
        net = initialise(task, splits, hparams, 0)

        def watch(done: int, steps: int, album=album, net=net) -> None:
            if album:
                album.take(done, steps, lambda: task.watch(net, val))

        history = list(fit(task, net, train, val, hparams, watch=watch))
        ends.append((history, [p.detach() for p in net.parameters()]))
    assert ends[0][0] == ends[1][0]
    assert all(torch.equal(a, b) for a, b in zip(ends[0][1], ends[1][1], strict=True))
    assert album.moments(2)[0].seen

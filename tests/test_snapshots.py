"""Snapshots of a training: at which steps, and what survives an interruption."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from experiments import figures, tasks
from experiments.core.errors import DataError
from experiments.figures.spec import Trained
from experiments.tasks.task import Splits
from experiments.training.device import to_device
from experiments.training.loop import fit, initialise
from experiments.training.snapshots import MAX_SNAPSHOTS, Snapshot, SnapshotRecorder, snapshot_steps


def weight_of(value: float) -> Callable[[], dict[str, torch.Tensor]]:
    return lambda: {"weight": torch.full((50,), float(value))}


@pytest.mark.parametrize("steps", [1, 2, 30, 200, 1075, 100_000])
def test_snapshots_cover_the_training(steps: int) -> None:
    chosen = sorted(snapshot_steps(steps))
    assert chosen[0] == 0 and chosen[-1] == steps and len(chosen) <= MAX_SNAPSHOTS
    gaps = np.diff(chosen)
    assert gaps[0] == gaps.min() and gaps[-1] == gaps.max()
    assert len(chosen) >= min(steps, 15)


def test_a_recorder_continues_from_another(tmp_path: Path) -> None:
    first, second = SnapshotRecorder(tmp_path / "a"), SnapshotRecorder(tmp_path / "a")
    for done in range(11):
        (first if done < 6 else second).record(done, 10, weight_of(done))
    snapshots = second.snapshots(5.0)
    assert [snapshot.step for snapshot in snapshots] == sorted(snapshot_steps(10))
    assert snapshots[0].epoch == 0 and snapshots[-1].epoch == 5
    assert all((snapshot.arrays["weight"] == snapshot.step).all() for snapshot in snapshots)


def test_the_last_snapshot_has_the_best_weights() -> None:
    recorder = SnapshotRecorder()
    for done in range(11):
        recorder.record(done, 10, weight_of(done))
    recorder.finish(2.5, weight_of(99))
    *others, best = recorder.snapshots(5.0)
    assert best.epoch == 2.5 and (best.arrays["weight"] == 99).all()
    assert [other.step for other in others] == [s for s in sorted(snapshot_steps(10)) if s < 5]


def test_damaged_or_unwritable_snapshots_are_skipped(tmp_path: Path) -> None:
    for done in (0, 1):
        SnapshotRecorder(tmp_path / "a").record(done, 1, weight_of(1))
    damaged = tmp_path / "a" / "00000001.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-7])
    assert [s.step for s in SnapshotRecorder(tmp_path / "a").snapshots(1)] == [0]
    (tmp_path / "file").write_text("in the way")
    recorder = SnapshotRecorder(tmp_path / "file")
    recorder.record(0, 1, weight_of(1))
    assert [s.step for s in recorder.snapshots(1)] == [0] and (tmp_path / "file").is_file()


def test_a_snapshot_is_a_copy() -> None:
    recorder, weight = SnapshotRecorder(), torch.zeros(1)
    recorder.record(0, 1, lambda: {"weight": weight})
    weight += 1
    assert recorder.snapshots(1)[0].arrays["weight"] == 0


def test_animations_need_snapshots_from_the_first_step_on(small: Callable[[str], Splits]) -> None:
    late, empty = Snapshot(3, 1.0, {"weight1": np.zeros(1)}), Snapshot(0, 0.0, {})
    for snapshots in ([], [late], [empty]):
        with pytest.raises(DataError) as caught:
            Trained(None, small("gate"), None, None, snapshots).watched()
        assert str(len(snapshots)) in str(caught.value)


@pytest.mark.parametrize("name", tasks.names())
def test_snapshots_do_not_change_the_training(name: str, small: Callable[[str], Splits]) -> None:
    task, splits = tasks.get(name), small(name)
    hparams = replace(task.recipes.get("fast", task.hparams()), epochs=2, batch_size=64)
    train, val = (to_device(s, torch.device("cpu")) for s in (splits.train, splits.val))
    recorder, results = SnapshotRecorder(), []
    for recorded in (False, True):
        net = initialise(task, splits, hparams, 0)

        def watch(done: int, steps: int, net=net, recorded=recorded) -> None:
            if recorded:
                recorder.record(done, steps, lambda: figures.get(name).snapshot(net, val))

        history = list(fit(task, net, train, val, hparams, watch=watch))
        results.append((history, [p.detach() for p in net.parameters()]))
    assert results[0][0] == results[1][0]
    assert all(map(torch.equal, results[0][1], results[1][1]))
    assert recorder.snapshots(2)[0].arrays

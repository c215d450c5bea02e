"""Checkpoints on disk: written atomically; the newest undamaged one is read."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from experiments.training import checkpoint
from experiments.training.checkpoint import CheckpointManager, CheckpointPolicy
from experiments.training.loop import State


def state(done: int) -> State:
    tensors = {"weight": torch.full((3, 2), float(done)), "steps": torch.tensor(done)}
    return State(tensors, {"done": done, "history": [{"epoch": 1, "val_loss": 0.1}]})


def newest_first(folder: Path) -> list[str]:
    return sorted((path.name for path in folder.iterdir()), reverse=True)


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def rename_as_newer(path: Path) -> None:
    path.rename(path.with_name(f"00000009-{'0' * 64}.safetensors"))


def test_a_state_survives_serialization_bit_by_bit() -> None:
    tensors = {
        "float": torch.randn(4, 3).T,  # not contiguous
        "nan": torch.tensor([float("nan"), float("inf"), -0.0]),
        "int": torch.tensor(2**40),
        "bytes": torch.Generator().get_state(),
        "none": torch.zeros(0, 3),
    }
    facts = {"done": 7, "history": [{"loss": 1e-17, "lr": 0.1 + 0.2}], "word": "é"}
    again = checkpoint.deserialize(checkpoint.serialize(State(tensors, facts)))
    assert again.facts == facts and again.tensors.keys() == tensors.keys()
    for name, value in tensors.items():
        assert (again.tensors[name].dtype, again.tensors[name].shape) == (value.dtype, value.shape)
        assert again.tensors[name].numpy().tobytes() == value.contiguous().numpy().tobytes()


def test_the_newest_two_are_kept_and_the_newest_is_read(tmp_path: Path) -> None:
    assert checkpoint.load(tmp_path / "fit") is None
    for done in (9, 10, 100):
        checkpoint.save(tmp_path / "fit", state(done))
    assert [name[:9] for name in newest_first(tmp_path / "fit")] == ["00000100-", "00000010-"]
    for path in (tmp_path / "fit").iterdir():
        assert path.stem.partition("-")[2] == hashlib.sha256(path.read_bytes()).hexdigest()
    loaded = checkpoint.load(tmp_path / "fit")
    assert loaded.facts == state(100).facts
    assert torch.equal(loaded.tensors["weight"], state(100).tensors["weight"])


@pytest.mark.parametrize(
    "damages",
    [[halve], [flip], [empty], [rename_as_newer], [halve, flip], [flip, flip, flip]],
)
def test_damaged_checkpoints_are_reported_and_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damages: list[Callable[[Path], None]]
) -> None:
    for done in (1, 2, 3):
        checkpoint.save(tmp_path, state(done), keep_last=3)
    for name, damage in zip(newest_first(tmp_path), damages, strict=False):
        damage(tmp_path / name)
    loaded = checkpoint.load(tmp_path)
    assert (loaded.facts["done"] if loaded else 0) == 3 - len(damages)
    printed = capsys.readouterr().out.splitlines()
    damaged = newest_first(tmp_path)[: len(damages)]
    assert [line[:16] for line in printed] == [name[:16] for name in damaged]


@pytest.mark.parametrize("fails", ["os.fsync", "pathlib.Path.replace"])
def test_a_failed_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """A full disk: the system's own calls are replaced, since only a small disk fails by itself."""
    for done in (1, 2):
        checkpoint.save(tmp_path, state(done))
    before = newest_first(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(fails, full)
        with pytest.raises(OSError, match=r"\[Errno 28\]"):
            checkpoint.save(tmp_path, state(3))
    assert newest_first(tmp_path) == before


def test_training_continues_without_a_disk(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    manager = CheckpointManager(tmp_path / "file" / "fit", CheckpointPolicy(min_interval_s=0))
    manager.after_step(lambda: state(1))
    assert "[Errno 20]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("policy", "saves"),
    [
        (CheckpointPolicy(min_interval_s=3600), 0),
        (CheckpointPolicy(keep_last=9, min_interval_s=0, max_overhead=1e9), 5),
        (CheckpointPolicy(keep_last=9, min_interval_s=0, max_overhead=1e-9), 1),
    ],
)
def test_checkpoints_are_saved_at_intervals(
    tmp_path: Path, policy: CheckpointPolicy, saves: int
) -> None:
    manager = CheckpointManager(tmp_path, policy)
    for step in range(1, 6):
        manager.after_step(lambda step=step: state(step))
    assert len(newest_first(tmp_path)) == saves


def test_an_interruption_saves_the_state(tmp_path: Path) -> None:
    interrupted = iter([False, True, True])
    policy = CheckpointPolicy(min_interval_s=3600)
    manager = CheckpointManager(tmp_path, policy, interrupted=lambda: next(interrupted))
    manager.after_step(lambda: state(1))
    assert not newest_first(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        manager.after_step(lambda: state(2))
    assert checkpoint.load(tmp_path).facts["done"] == 2
    with pytest.raises(KeyboardInterrupt):
        CheckpointManager(None, policy, lambda: True).after_step(lambda: pytest.fail("no folder"))

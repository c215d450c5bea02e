"""Paths of the project: its root, MLflow's store, the data cache."""

import os
import shlex
from pathlib import Path

from experiments.core import store_address

ROOT = Path(__file__).resolve().parents[2]
MNIST_CACHE = ROOT / "data" / "mnist"
STORE = ROOT / "mlflow.db"  # MLflow's, unless MLFLOW_TRACKING_URI names another
STATE = ROOT / "state"  # unfinished work, and the journals of named studies
CORRECTIONS = ROOT / "data" / "corrections"  # drawings with their correct labels
DRAWINGS = ROOT / "tests" / "data"  # digits and letters in strokes, drawn for this project
SNAPSHOTS = "snapshots"  # folder of a fit's snapshots, which no fit resumes from
THREADS = "threads"  # file in a run's folder: how many train, which is chosen at its start


def tracking_uri() -> str:
    """Return $MLFLOW_TRACKING_URI, else the address of the project's own store."""
    uri = os.environ.get(store_address.VARIABLE) or store_address.store_uri(STORE)
    return store_address.store_uri(STORE) if store_address.store_file(uri) == STORE else uri


def own_store() -> bool:
    """Return whether MLflow's store is the project's own."""
    return store_address.store_file(tracking_uri()) == STORE


def command(program: str, arguments: str, file: str = "") -> str:
    """Return a command line that finds the present store, from any folder if that is not its own.

    Args:
        program: "python", or "mlflow run".
        file: of the project, named first; for mlflow the project's folder.
    """
    if _found_by_default():
        return " ".join(filter(None, (program, file or ".", arguments)))
    variable = f"{store_address.VARIABLE}={shlex.quote(tracking_uri())}"
    return f"{variable} {program} {shlex.quote(str(ROOT / file))} {arguments}".rstrip()


def command_ui() -> str:
    """Return the command that shows the present store."""
    if _found_by_default():
        return "mlflow ui"
    return f"mlflow ui --backend-store-uri {shlex.quote(tracking_uri())}"


def _found_by_default() -> bool:
    """Return whether a command finds the present store without its address.

    The address of a server is in the user's own environment.
    """
    return store_address.store_file(tracking_uri()) in (None, STORE)

"""Check this machine and this checkout: python -m experiments.doctor

One line per check. ok: fine. warn: the commands work nevertheless. FAIL: some do not, and the exit
code is 1. Nothing is changed, downloaded or created.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import shutil
import socket
import sys
import tomllib
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote

try:
    import click
except ModuleNotFoundError:
    sys.exit(f"{sys.executable} lacks the project's packages; run: make setup, or activate .venv")

from experiments.core import cli, provenance
from experiments.core.errors import without_password
from experiments.core.paths import MNIST_CACHE, ROOT, STATE

INSTALL = "python -m pip install -r requirements.txt"
FIX_STORE = "end what locks it (fuser -v FILE), correct it, or unset MLFLOW_TRACKING_URI"
FIX_SCHEMA = "back it up, then: mlflow db upgrade URI; if a newer MLflow wrote it, install that one"
PORTS = {5000: "mlflow ui --port 5001", 7860: "python serve/app.py --port 7861"}


class CheckFailed(Exception):
    """What is wrong, how to fix it, and whether that is a FAIL or a warn."""

    def __init__(self, what: str, fix: str, status: str = "FAIL") -> None:
        super().__init__(what)
        self.fix, self.status = fix, status


def python_version(root: Path = ROOT) -> str:
    """Check the running Python against `requires-python` of pyproject.toml."""
    from packaging.specifiers import SpecifierSet

    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["requires-python"]
    version = platform.python_version()
    if version not in SpecifierSet(wanted):
        fix = "rm -r .venv && make setup PYTHON=python3.11"
        raise CheckFailed(f"{version}, but {wanted} is required", fix)
    return f"{version} ({sys.executable})"


def packages(root: Path = ROOT) -> str:
    """Check that the packages of requirements.txt are installed, in these versions."""
    from packaging.requirements import Requirement

    lines = (root / "requirements.txt").read_text().splitlines()
    names = [line.partition("#")[0] for line in lines if not line.startswith("#")]
    for requirement in map(Requirement, names):
        version = metadata.version(requirement.name)  # an ImportError if it is not installed
        if not requirement.specifier.contains(version, prereleases=True):
            raise CheckFailed(f"{requirement} is required, but {version} installed", INSTALL)
    return f"all {len(names)} of requirements.txt"


def mlflow_environment() -> str:
    """Check that plain `mlflow run` finds the link to this project's environment."""
    from experiments.core import mlflow_env

    if os.environ.get("CONDA_PREFIX"):
        return "conda; use mlflow run with --env-manager local"
    python_env = mlflow_env._PythonEnv.from_yaml(str(ROOT / "python_env.yaml"))
    name = mlflow_env._get_virtualenv_name(python_env, ROOT)
    script = Path(mlflow_env._get_mlflow_virtualenv_root()) / name / "bin" / "activate"
    if not script.is_file():
        raise CheckFailed(f"{script} is missing", "make setup")
    return str(script)


def device() -> str:
    """Find the device that trains."""
    from experiments.training.device import choose_device

    return choose_device("auto").type


def git_commit() -> str:
    """Check that runs can record the commit of their code."""
    state = provenance.commit()
    if state["commit"] is None:
        raise CheckFailed("none, so runs do not record their code", "use a git clone", "warn")
    return f"{state['commit'][:10]}, {'clean' if state['clean'] else 'with uncommitted changes'}"


def disk(folder: Path = ROOT, min_free_gb: float = 1.0) -> str:
    """Check that the folder of the project is writable and has room."""
    text = f"{folder}: {shutil.disk_usage(folder).free / 1e9:.1f} GB free"
    if shutil.disk_usage(folder).free < min_free_gb * 1e9:
        raise CheckFailed(
            f"{text}, {min_free_gb:g} required",
            f"du -xh {shlex.quote(str(folder))} | sort -h | tail",
        )
    if not os.access(folder, os.W_OK):
        raise CheckFailed(f"{folder} is not writable", f"chmod u+w {shlex.quote(str(folder))}")
    return f"{text}, writable"


def ports(commands: Mapping[int, str] = PORTS) -> str:
    """Check that no server runs on the ports of MLflow's pages and the project's page."""
    for port, fix in commands.items():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise CheckFailed(f"{port} is in use", fix, "warn")
    return f"{' and '.join(map(str, commands))} are free"


def mnist_files(cache: Path = MNIST_CACHE) -> str:
    """Check MNIST's four files, in $MNIST_DIR or else in the cache, and their checksums."""
    from experiments.data import mnist

    folder = os.environ.get("MNIST_DIR") and cli.user_path(os.environ["MNIST_DIR"], "MNIST_DIR")
    if not folder and not all((cache / name).is_file() for name in mnist.CANONICAL_MD5):
        return f"not complete in {cache}; the next training downloads the files"
    if mnist.load(cache=cache).foreign:  # it raises UserError for a damaged file
        raise CheckFailed(f"{folder} is not MNIST", "unset MNIST_DIR, unless you mean it", "warn")
    return f"{folder or cache}: checksums match"


def mlruns_folder(root: Path = ROOT) -> str:
    """Check that no file store of an older MLflow makes `mlflow ui` ignore mlflow.db."""
    leftovers = [path for path in root.glob("mlruns/*/meta.yaml") if path.parent.name.isdecimal()]
    if leftovers and not os.environ.get("MLFLOW_TRACKING_URI"):
        fix = shlex.join(["rm", *map(str, leftovers)])
        raise CheckFailed("meta.yaml of an older MLflow: mlflow ui ignores mlflow.db", fix)
    return "no older MLflow's files"


def unfinished_work(folder: Path = STATE / "runs") -> str:
    """Check for interrupted trainings and searches."""
    from experiments.tracking import run_lock

    left = [str(path) for path in folder.glob("*/") if not run_lock.is_held(path / run_lock.LOCK)]
    if left:
        fix = f"rerun the same command to resume, or: {shlex.join(['rm', '-r', *left])}"
        raise CheckFailed(f"{len(left)} interrupted", fix, "warn")
    return "none"


def store() -> str:
    """Check MLflow's store: reachable, undamaged, in place, of the installed MLflow's schema."""
    from experiments.tracking.runs import first_line
    from experiments.tracking.store import address, connect, misplaced_or_deleted

    try:
        if not has_tables():
            return f"{address()}: no tables yet, the first run creates them"
        if wrong := misplaced_or_deleted():
            raise CheckFailed(*wrong)
        return f"{address()}: {len(connect().search_experiments())} experiments"
    except Exception as error:
        fix = getattr(error, "fix", FIX_STORE)
        raise CheckFailed(f"{address()}: {first_line(error)}", fix) from None


def has_tables() -> bool:
    """Return whether the store has MLflow's tables; MLflow itself would create or migrate them."""
    from experiments.tracking.store import schema

    found, expected = schema()
    if found not in (None, expected):
        raise CheckFailed(f"schema {found}, but MLflow here expects {expected}", FIX_SCHEMA)
    return found is not None


def running_runs() -> str:
    """Check that the runs with status RUNNING have a living process."""
    from experiments.tracking import run_lock
    from experiments.tracking.store import connect

    client = connect()
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    running = client.search_runs(ids, "attributes.status = 'RUNNING'", max_results=1000)
    here = [run for run in running if run.data.tags.get("lease.host") == run_lock.host()]
    dead = [run for run in here if not run_lock.is_held(Path(run.data.tags["lease.file"]))]
    if dead:
        raise CheckFailed(f"{len(dead)} without a process", "the next train ends them", "warn")
    return f"{len(here)} on this machine, {len(running) - len(here)} elsewhere"


def champions() -> str:
    """Check that the files of each champion are those that were registered."""
    from experiments.registry import versions

    for name in versions.names():
        version = versions.find_if_any(f"models:/{name}@champion")
        damages = versions.modified_files(version) if version and version.files else []
        if damages:
            fix = f"python -m experiments.registry rollback {name}"
            raise CheckFailed(f"{version}: {', '.join(map(str, damages))}", fix)
    return "all files as they were registered"


CHECKS: list[Callable[[], str]] = [python_version, packages, mlflow_environment, device]
CHECKS += [git_commit, disk, ports, mnist_files, mlruns_folder, unfinished_work, store]


def redact(text: str) -> str:
    """Return `text` without passwords; MLFLOW_TRACKING_URI's may be quoted in parts."""
    match = re.search(r"^(?:[^:]*://)?[^:/@]*:(.*)@", os.environ.get("MLFLOW_TRACKING_URI", ""))
    if match and not match[1].isalnum():
        parts = [match[1], unquote(match[1]), *re.split("[/@:?#]", match[1])]
        for part in filter(None, parts):
            text = text.replace(part, "***")
    return without_password(text)


def report(check: Callable[[], str]) -> str:
    """Run a check, print its line, and return its status: ok, warn or FAIL."""
    status = "ok"
    try:
        text = check()
    except Exception as error:
        status = getattr(error, "status", "FAIL")
        fix = getattr(error, "fix", INSTALL if isinstance(error, ImportError) else "as it says")
        text = f"{str(error).removesuffix(fix) or repr(error)}  FIX: {fix}"
    click.echo(redact(f"{status:<4}  {check.__name__.replace('_', ' ')}: {' '.join(text.split())}"))
    return status


@click.command("experiments.doctor", context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Check this machine and this checkout; print what is wrong, and how to fix it."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # a dead server costs minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    os.environ.setdefault("PGCONNECT_TIMEOUT", "5")
    statuses = [report(check) for check in CHECKS]
    if statuses[-1] == "ok" and has_tables():
        statuses += [report(running_runs), report(champions)]
    sys.exit("FAIL" in statuses)


if __name__ == "__main__":
    cli.main(command)

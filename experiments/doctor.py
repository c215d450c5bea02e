"""Whether this machine and this checkout are well; if not, which command mends it.

python -m experiments.doctor          one line a check: ✓ fine, ! works nevertheless, ✗ wrong
python -m experiments.doctor --json   the same as a list of name, status, found, mend

It ends with 0 if nothing is wrong, else with 1, and changes nothing.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import platform
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import date, timedelta
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import click
except ModuleNotFoundError:
    sys.exit(f"{sys.executable} lacks the project's packages; run: make setup, or activate .venv")

from experiments import checks, cli
from experiments.checks import INSTALL, Finding, Status
from experiments.paths import ROOT

if TYPE_CHECKING:
    from packaging.requirements import Requirement

MARKS: dict[Status, str] = {"ok": "✓", "warning": "!", "wrong": "✗"}
FLOORS = {  # below these versions are known holes
    "torch": "2.10",
    "onnx": "1.21",
    "gradio": "6.20",
    "mlflow": "3.5",
    "onnxscript": "0.6.2",
}
NETRON_LASTS = timedelta(days=180)  # its own page compares so, and then asks for an update
PORTS = {5000: "mlflow ui --port {}", 7860: "python serve/app.py --port {}"}
DISK_SCARCE, DISK_FULL = 2e9, 200e6  # bytes
POSTGRES = Path("/usr/lib/postgresql")  # Debian's place for server programs


def python() -> Iterator[Finding]:
    """Check the version of the running Python."""
    import yaml

    wanted = yaml.safe_load((ROOT / "python_env.yaml").read_text())["python"]
    found = platform.python_version()
    text = f"{found} ({sys.executable})"
    if found.startswith(f"{wanted}."):
        yield Finding("python", "ok", text)
    else:
        mend = f"rm -r .venv && make setup PYTHON=python{wanted}"
        yield Finding("python", "wrong", f"{text}; {wanted} is wanted", mend)


def packages() -> Iterator[Finding]:
    """Check that requirements.txt is installed as it stands, and nothing with a known hole."""
    from packaging.requirements import Requirement

    lines = [line.partition("#")[0] for line in (ROOT / "requirements.txt").read_text().split("\n")]
    asked = [Requirement(line) for line in lines if line.strip()]
    ill = [finding for one in asked for finding in _package(one)]
    yield from ill
    if not ill:
        yield Finding("packages", "ok", f"all {len(asked)} as requirements.txt has them")


def _package(asked: Requirement) -> Iterator[Finding]:
    """Yield what is wrong with one package, or with what its extras bring."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    name = f"package {asked.name}"
    try:
        found = metadata.version(asked.name)
    except metadata.PackageNotFoundError:
        yield Finding(name, "wrong", f"not installed; wanted: {asked}", INSTALL)
        return
    as_asked = asked.specifier.contains(found, prereleases=True)
    floor = FLOORS.get(asked.name, "0")
    if Version(found) < Version(floor):
        first = f"ask for {asked.name} {floor} or later in requirements.txt, then: "
        mend = f"{first if as_asked else ''}{INSTALL}"
        yield Finding(name, "wrong", f"{found}; below {floor} it has known holes", mend)
    elif not as_asked:
        yield Finding(name, "warning", f"{found} is not the version tried: {asked}", INSTALL)
    for extra in asked.extras:
        for more in map(Requirement, metadata.requires(asked.name) or []):
            if more.marker and not more.marker.evaluate({"extra": ""}):
                yield from _package(more) if more.marker.evaluate({"extra": extra}) else ()


def netron() -> Iterator[Finding]:
    """Check the date that Netron's page bears: it refuses to work half a year later."""
    try:
        page = Path(str(metadata.distribution("netron").locate_file("netron/index.html")))
    except metadata.PackageNotFoundError:
        return
    match = re.search(r'name="date" content="(\d{4}-\d\d-\d\d)', page.read_text())
    if match is None:
        return
    end = date.fromisoformat(match[1]) + NETRON_LASTS
    if date.today() <= end:
        yield Finding("netron", "ok", f"of {match[1]}; works until {end}")
    else:
        mend = "python -m pip install --upgrade netron"
        yield Finding("netron", "warning", f"of {match[1]}; worked until {end}", mend)


def mlflow_run() -> Iterator[Finding]:
    """Check that plain `mlflow run` finds its environment, and in it the running Python."""
    from experiments import environment

    wanted = environment._PythonEnv.from_yaml(str(ROOT / "python_env.yaml"))
    name = environment._get_virtualenv_name(wanted, ROOT)
    script = Path(environment._get_mlflow_virtualenv_root()) / name / "bin" / "activate"
    ill: Status = "warning" if os.environ.get("CONDA_PREFIX") else "wrong"  # --env-manager local
    if not script.is_file():
        yield Finding("mlflow run", ill, f"{script} is missing", "make setup")
        return
    line = ["bash", "-c", 'source "$0" && command -v python', str(script)]
    result = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=10)
    found = result.stdout.strip()
    if found and Path(found).parent == Path(sys.executable).parent:
        yield Finding("mlflow run", "ok", f"uses {found}")
    else:
        activate = Path(sys.prefix) / "bin" / "activate"
        mend = f"source {shlex.quote(str(activate))}" if activate.is_file() else "make setup"
        text = f"would use {found or 'no python'} instead of {sys.executable}"
        yield Finding("mlflow run", ill, text, mend)


def ports() -> Iterator[Finding]:
    """Check the ports of MLflow's pages and of the project's."""
    for port, command in PORTS.items():
        if _is_free(port):
            yield Finding(f"port {port}", "ok", "free")
        else:
            other = next(filter(_is_free, range(port + 1, port + 100)), port + 1)
            yield Finding(f"port {port}", "warning", "taken", command.format(other))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def disk_space() -> Iterator[Finding]:
    """Check the room for the project and for temporary files."""
    for name, folder in (("project", ROOT), ("temporary", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        text = f"{folder}: {free / 1e9:.1f} GB free"
        status: Status = "wrong" if free < DISK_FULL else "warning"
        mend = f"make room: du -xh {shlex.quote(str(folder))} | sort -h | tail"
        if free >= DISK_SCARCE:
            yield Finding(f"{name} disk", "ok", text)
        else:
            yield Finding(f"{name} disk", status, text, mend)


def threads() -> Iterator[Finding]:
    """Check that OMP_NUM_THREADS asks for no more threads than there are processors."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    first = asked.partition(",")[0].strip()
    text = f"{cpus} processors" + (f", OMP_NUM_THREADS={asked}" if asked else "")
    if not asked or (first.isdecimal() and 1 <= int(first) <= cpus):
        yield Finding("threads", "ok", text)
    else:
        yield Finding("threads", "warning", text, "unset OMP_NUM_THREADS")


def project_folder() -> Iterator[Finding]:
    """Check that the project's folder can be written to."""
    try:
        checks.write_a_little(ROOT)
    except OSError as error:
        mend = f"chmod u+w {shlex.quote(str(ROOT))}"
        yield Finding("project folder", "wrong", f"{ROOT}: {error.strerror or error}", mend)
    else:
        yield Finding("project folder", "ok", f"{ROOT} can be written to")


def programs() -> Iterator[Finding]:
    """Check for git, and for what only tests start: a browser and PostgreSQL's server."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    initdb = shutil.which("initdb") or next(map(str, POSTGRES.glob("*/bin/initdb")), None)
    wanted: list[tuple[str, str | None, Status, str]] = [
        ("git", shutil.which("git"), "wrong", "git"),
        ("browser for tests", browser, "warning", "chromium"),
        ("PostgreSQL for tests", initdb, "warning", "postgresql"),
    ]
    for name, found, ill, package in wanted:
        if found:
            yield Finding(name, "ok", found)
        else:
            yield Finding(name, ill, "not found", f"sudo apt-get install {package}")


CHECKS = (
    python,
    packages,
    netron,
    mlflow_run,
    checks.mnist_folder,
    checks.mnist_cache,
    checks.tracking_store,
    checks.unfinished_work,
    ports,
    disk_space,
    threads,
    project_folder,
    programs,
)


def examine() -> Iterator[Finding]:
    """Yield the findings of all checks, as they come; what libraries print goes to stderr."""
    for check in CHECKS:
        with contextlib.redirect_stdout(sys.stderr):
            found = list(checks.guarded(check))
        yield from found


def line(finding: Finding) -> str:
    """Return a finding as one line of text."""
    mend = f"; mend: {finding.mend}" if finding.mend else ""
    return f"{MARKS[finding.status]} {finding.name}: {finding.found}{mend}"


@click.command("experiments.doctor", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--json", "as_json", is_flag=True, help="Print a list of name, status, found, mend.")
def command(as_json: bool) -> None:
    """Check this machine and this checkout; say what is wrong, and what mends it."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            click.echo(line(finding))
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    if any(finding.status == "wrong" for finding in findings):
        sys.exit(1)


if __name__ == "__main__":
    cli.main(command)

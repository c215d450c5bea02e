"""Make .venv, unless it is usable: the first step of `make setup`, run by the Python found first.

python experiments/core/setup_venv.py

A .venv is made again if it was moved or copied here, or if its Python is gone or too old; a link
to a .venv elsewhere is kept. Standard library only, and nothing that Python 3.6 cannot read.
"""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv"
HOW = "Install it, and name it if make does not find it: make setup PYTHON=python{}"
HOW_VENV = "Install the package {}, then: make setup"
MAX_PATH_BYTES = 450  # of the project's folder: SQLite allows 512 for a file
VERSION = "import sys; print(*sys.version_info[:2], sep='.')"


def main() -> None:
    """Make .venv, or end with a sentence: what was expected, what was found, what to do."""
    check_folder()
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.findall(r'^requires-python = ">=([\d.]+)"', text, re.MULTILINE)[0]
    reason = "" if FOLDER.is_symlink() else unusable(needed)
    if not reason:
        return
    if numbers(platform.python_version()) < numbers(needed):
        found = f"Python {platform.python_version()} ({sys.executable})"
        fail("PYTHON", f"Python {needed} or newer", found, HOW.format(needed), "python-old")
    try:
        import ensurepip  # noqa: F401
        import venv
    except ImportError:
        package = "python{}.{}-venv".format(*sys.version_info[:2])
        found, fix = f"none in {sys.executable}", HOW_VENV.format(package)
        fail("PYTHON", "the modules venv and ensurepip", found, fix, "venv-missing")
    if FOLDER.exists():
        print(f".venv {reason}: it is made again", flush=True)
        (shutil.rmtree if FOLDER.is_dir() else os.remove)(str(FOLDER))
    try:
        venv.create(str(FOLDER), with_pip=True, symlinks=True)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(str(FOLDER), ignore_errors=True)
        fail(".venv", "a folder that can be made", error, "Correct that, then: make setup", "venv")


def check_folder() -> None:
    """End with a sentence if programs cannot work in the project's folder."""
    expected = ""
    if os.pathsep in str(ROOT):
        expected = f"a path without {os.pathsep!r}, which separates the folders in PATH"
    elif len(os.fsencode(str(ROOT))) > MAX_PATH_BYTES:
        expected = f"a path of at most {MAX_PATH_BYTES} bytes, for SQLite"
    if expected:
        fail("folder of the project", expected, ROOT, "Rename or move it.", "folder-unsuitable")


def unusable(needed: str) -> str:
    """Return why .venv has to be made, in words; empty if it is usable."""
    if not FOLDER.is_dir():
        return "is no folder"
    command = [str(FOLDER / "bin" / "python"), "-c", VERSION]
    try:
        version = subprocess.check_output(command, stderr=subprocess.DEVNULL).decode().strip()
        activate = (FOLDER / "bin" / "activate").read_text(encoding="utf-8")
        (FOLDER / "bin" / "pip").stat()
    except (OSError, subprocess.CalledProcessError):
        return "is incomplete, or its Python is gone"
    if numbers(version) < numbers(needed):
        return f"has Python {version}, and {needed} is needed"
    # Its programs begin with the path of its Python. Pythons differ in how they quote it here.
    spellings = (f'"{FOLDER}"', f"'{FOLDER}'", f"={shlex.quote(str(FOLDER))}")
    return "" if any(each in activate for each in spellings) else "was moved or copied here"


def numbers(version: str) -> "list[int]":
    """Return the first two numbers of a version, to be compared."""
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


def fail(what: str, expected: str, found: object, fix: str, code: str) -> None:
    """End with one sentence, as every command does."""
    sys.exit(f"Error: {what}: expected {expected}; found {found}. {fix} [{code}]")


if __name__ == "__main__":
    main()

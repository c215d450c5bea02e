"""`make setup`: the Python that is needed, and a .venv that does not stay in the way."""

import builtins
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.core import setup_venv
from experiments.core.paths import ROOT
from tests.expect import ending

FILES = ("Makefile", "pyproject.toml", "experiments/__init__.py", "experiments/core")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in whose folder the step runs."""
    folder = tmp_path / "it's a%20b"
    folder.mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    monkeypatch.setattr(setup_venv, "ROOT", folder)
    monkeypatch.setattr(setup_venv, "FOLDER", folder / ".venv")
    return folder


def make_venv(folder: Path, home: Path | None = None) -> None:
    """Make what the step looks at, as venv makes it in `home`."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    (folder / "bin" / "pip").touch()
    (folder / "bin" / "activate").write_text(f'VIRTUAL_ENV="{home or folder}"\n')


def refusal() -> str:
    with pytest.raises(SystemExit) as caught:
        setup_venv.main()
    return str(caught.value.code)


def test_an_older_python_is_named_before_anything_is_made(project: Path, monkeypatch) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.13")
    sentence, code = ending(refusal())
    assert code == "python-old" and "3.11" in sentence and "3.10.13" in sentence
    assert sys.executable in sentence and not (project / ".venv").exists()


def test_a_python_without_venv_is_named(project: Path, monkeypatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments, **keywords):
        if name == "ensurepip":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    sentence, code = ending(refusal())
    assert code == "venv-missing" and f"python3.{sys.version_info.minor}-venv" in sentence
    assert not (project / ".venv").exists()


def test_a_usable_venv_and_a_link_are_kept(project: Path, monkeypatch) -> None:
    make_venv(project / ".venv")
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.13")  # is not needed
    setup_venv.main()
    (project / ".venv").rename(project / "other")
    (project / ".venv").symlink_to("other")
    setup_venv.main()
    assert (project / ".venv").is_symlink()


@pytest.mark.parametrize("what", ["moved", "below", "old", "python gone", "no programs", "a file"])
def test_an_unusable_venv_is_found(what: str, project: Path, monkeypatch) -> None:
    venv = project / ".venv"
    make_venv(venv, {"moved": Path("/x/.venv"), "below": Path(f"/x{venv}")}.get(what))
    assert bool(setup_venv.unusable("3.11")) == (what in ("moved", "below"))
    if what == "python gone":
        (venv / "bin" / "python").unlink()
    elif what == "no programs":
        (venv / "bin" / "pip").unlink()
    elif what == "a file":
        shutil.rmtree(venv)
        venv.touch()
    assert setup_venv.unusable("3.99" if what == "old" else "3.11")


def test_a_folder_that_path_cannot_name(project: Path, monkeypatch) -> None:
    for folder, code in ((project / "a:b", "':'"), (project / ("long" * 99), "450")):
        monkeypatch.setattr(setup_venv, "ROOT", folder)
        assert code in ending(refusal()).sentence


@pytest.mark.parametrize("python", ["python-no-such", "", "./Makefile"])
def test_make_names_a_missing_python(python: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    line = ["make", "-C", str(tmp_path), "setup", f"PYTHON={python}"]
    result = subprocess.run(line, capture_output=True, text=True)
    assert result.returncode == 2 and f"'{python}'" in ending(result.stderr).sentence
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_make_passes_over_a_python_that_does_not_run(tmp_path: Path) -> None:
    """As a shim of pyenv for a version that is not chosen."""
    for name, script in (("python3.11", "exit 127"), ("python3.12", "exit 0")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    line = ["make", "-s", f"--makefile={ROOT}/Makefile", "--eval=show: ; @echo $(PYTHON)", "show"]
    env = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    env["PATH"] = f"{tmp_path}:/usr/bin:/bin"
    result = subprocess.run(line, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.strip() == str(tmp_path / "python3.12"), result.stderr


@pytest.mark.slow
def test_a_moved_venv_is_made_again(tmp_path: Path) -> None:
    old, new = tmp_path / "with space", tmp_path / "a%20b"
    for name in FILES:
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, old / name)
    for name in ("requirements.txt", "python_env.yaml"):
        (old / name).touch()  # no packages, so no network
    (old / "experiments" / "core" / "mlflow_env.py").write_text("print(__file__)\n")
    (old / "experiments" / "tracking").mkdir()
    (old / "experiments" / "tracking" / "store.py").touch()
    for folder in (old, new):
        line = ["make", "-j4", "-C", str(folder), "setup", f"PYTHON={sys.executable}"]
        result = subprocess.run(line, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert ("moved or copied" in result.stdout) == (folder == new)
        pip = subprocess.run(
            [folder / ".venv/bin/pip", "--version"], capture_output=True, text=True
        )
        assert str(folder) in pip.stdout
        if folder == old:
            old.rename(new)

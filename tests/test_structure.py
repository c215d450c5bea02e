"""The architecture: who imports whom, one list of packages, one set of options."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments import tasks, train, tune
from experiments.core import process_env
from experiments.core.paths import ROOT
from tests.conftest import copy_project

PACKAGES = ("models", "experiments", "export", "serve")


def test_no_branch_on_the_task() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            assert not re.search(r"""task(\.name)?\s*==\s*["']""", path.read_text()), path


SKIPPED = ("torch_backend", "__init__")


def in_fresh_process(code: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.strip()


@pytest.mark.slow
def test_page_imports_no_torch() -> None:
    paths = [path.relative_to(ROOT).with_suffix("") for path in (ROOT / "serve").rglob("*.py")]
    skipped = {path for path in paths if path.name in SKIPPED or path.parent.name == "worker"}
    names = {".".join(path.parts) for path in paths if path not in skipped}
    product = [*sorted(names), "experiments.registry.artifacts"]
    code = f"import sys, {', '.join(product)}; print('torch' in sys.modules)"
    assert in_fresh_process(code) == "False"


COMMANDS = (
    "experiments.train",
    "experiments.tune",
    "experiments.init_study",
    "experiments.report",
    "experiments.registry",
    "experiments.feedback",
    "export.to_onnx",
    "export.space",
    "serve.app",
)


def test_help_needs_no_heavy_import() -> None:
    heavy = {"torch", "mlflow", "optuna", "matplotlib", "onnxruntime", "gradio"}
    code = f"""
import importlib, sys
for name in {COMMANDS}:
    importlib.import_module(name)
    if found := {heavy} & sys.modules.keys():
        sys.exit(print(name, found))
"""
    assert in_fresh_process(code) == ""


def test_one_list_of_packages() -> None:
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    pip = next(item["pip"] for item in conda["dependencies"] if isinstance(item, dict))
    assert pip == python_env["dependencies"] == ["-r requirements.txt"]
    assert f"python={python_env['python']}" in conda["dependencies"]
    assert python_env["python"] == "3.11"
    assert conda["variables"] == process_env.REPORTS_NOTHING
    listed = re.findall(r"^([\w-]+)(==|>=)", (ROOT / "requirements.txt").read_text(), re.M)
    asked = {"torch", "torchvision", "mlflow", "onnx", "onnxruntime", "netron", "matplotlib"}
    assert asked | {"gradio", "optuna"} <= {name for name, _ in listed}
    assert {name for name, sign in listed if sign != "=="} == {"netron"}


def entry_points() -> dict:
    return yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def test_entry_points_pass_what_they_declare() -> None:
    names = {"main", "train", "tune", "init_study", "report", "export", "serve"}
    assert entry_points().keys() == names
    assert entry_points()["main"] == entry_points()["train"]
    for point in entry_points().values():
        passed = dict(re.findall(r"--(\w+) \{(\w+)\}", point["command"]))
        assert {name: name for name in point["parameters"]} == passed
        module = re.match(r"python -m (\S+)", point["command"])[1]
        command = __import__(module, fromlist=["command"]).command
        known = {option.lstrip("-") for p in command.params for option in p.opts}
        assert set(passed) <= known


def test_declared_defaults_are_the_commands() -> None:
    for entry in ("train", "tune"):
        for name, declared in entry_points()[entry]["parameters"].items():
            option = next(p for p in train.command.params if p.name == name)
            assert declared["default"] == str(option.default), name


@pytest.mark.parametrize("ready", [False, True])
def test_make_sets_up_once(tmp_path: Path, ready: bool) -> None:
    if shutil.which("make") is None:
        assert not os.environ.get("CI"), "CI must have make"
        pytest.skip("no make on this machine")
    project = copy_project(tmp_path / "project")
    if ready:
        (project / ".venv").mkdir()
        (project / ".venv" / "ready").write_text("/etc/hostname\n")
    dry = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "train"],
        cwd=project,
        env={name: value for name, value in os.environ.items() if "MAKE" not in name},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert ("pip install" in dry) is not ready and "setup_venv.py" in dry
    assert dry.strip().endswith("mlflow run . -e train -P task=mnist")


def test_train_and_tune_take_the_same_options() -> None:
    assert [p.name for p in train.command.params] == [p.name for p in tune.command.params]
    for task in map(tasks.get, tasks.names()):
        assert set(task.hparams.__dataclass_fields__) <= {p.name for p in train.command.params}


def test_no_machine_specific_text_in_the_tree() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split():
        raw = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        assert b"index" + b"-url" not in raw, name
        assert str(ROOT).encode() + b"/" not in raw, name

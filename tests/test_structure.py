"""The architecture: who imports whom, one list of packages, one set of options."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from experiments import tasks, train, tune
from experiments.paths import ROOT
from tests.conftest import copy_project

ROOMS = ("models", "experiments", "export", "serve")
# Room (a module or a package) -> what it may import of the project and of the heavy libraries.
# The longest name that fits a module is its rule; a third task falls under experiments.tasks.
MAY_IMPORT = {
    "models": {"torch"},
    "experiments.paths": set(),
    "experiments.errors": set(),
    "experiments.cli": {"experiments.errors"},
    "experiments.data": {
        "experiments.data",
        "experiments.errors",
        "experiments.paths",
        "torchvision",
    },
    "experiments.tasks": {
        "models",
        "experiments.data",
        "experiments.tasks",
        "experiments.errors",
        "experiments.augment",
        "experiments.degrade",
        "experiments.strangers",
        "experiments.calibration",
        "experiments.robustness",
        "experiments.metrics",
        "experiments.exhibits",
        "experiments.interpret",
        "torch",
        "matplotlib",
    },
    "experiments.exhibits": {
        "experiments.exhibits",
        "experiments.errors",
        "experiments.interpret",
        "experiments.layers",
        "experiments.plots",
        "experiments.tasks",
        "torch",
    },
    "experiments.interpret": {
        "models",
        "experiments.interpret",
        "experiments.device",
        "experiments.errors",
        "experiments.metrics",
        "torch",
        "captum",
        "sklearn",
    },
    "experiments.album": {"torch", "experiments.tasks"},
    "experiments.gallery": {
        "matplotlib",
        "experiments.errors",
        "experiments.plots",
        "experiments.tasks",
        "experiments.tracking",
    },
    "experiments.rebuilt": {
        "experiments.artifacts",
        "experiments.errors",
        "experiments.metrics",
        "experiments.tasks",
        "experiments.versions",
    },
    "experiments.comparison": {
        "torch",
        "experiments.chance",
        "experiments.errors",
        "experiments.metrics",
        "experiments.rebuilt",
        "experiments.tasks",
        "experiments.versions",
    },
    "experiments.outfile": {"experiments.errors"},
    "experiments.report_page": {
        "experiments.cli",
        "experiments.comparison",
        "experiments.errors",
        "experiments.gallery",
        "experiments.plots",
        "experiments.tracking",
        "experiments.versions",
    },
    "experiments.report": {"experiments"},
    "experiments.plots": {"experiments.plots", "matplotlib"},
    "experiments.layers": {"torch"},
    "experiments.augment": {"torch"},
    "experiments.degrade": {"torch"},
    "experiments.corruptions": {"torch"},
    "experiments.strangers": {"torch", "matplotlib", "experiments.degrade", "models"},
    "experiments.nondigits": {
        "torch",
        "experiments.data",
        "experiments.errors",
        "experiments.paths",
        "models",
    },
    "experiments.calibration": set(),
    "experiments.robustness": {
        "torch",
        "matplotlib",
        "experiments.calibration",
        "experiments.corruptions",
        "experiments.data",
        "experiments.metrics",
        "experiments.nondigits",
        "experiments.paths",
        "experiments.plots",
        "experiments.tasks",
    },
    "experiments.optim": {"torch", "experiments.tasks"},
    "experiments.metrics": {"torch", "experiments.tasks"},
    "experiments.device": {"torch", "experiments.tasks", "experiments.errors"},
    "experiments.lease": {"experiments.errors", "experiments.paths"},
    "experiments.parallel": {
        "torch",
        "experiments.cli",
        "experiments.errors",
        "experiments.metrics",
    },
    "experiments.checkpoint": {"torch", "experiments.cli", "experiments.fit"},
    "experiments.studies": {
        "optuna",
        "experiments.errors",
        "experiments.lease",
        "experiments.locks",
        "experiments.paths",
    },
    "experiments.workers": {
        "experiments.errors",
        "experiments.paths",
        "experiments.options",
        "experiments.studies",
    },
    "experiments.doctor": {"experiments"},
    "experiments.checks": {"experiments"},
    "experiments.fit": {
        "torch",
        "experiments.parallel",
        "experiments.optim",
        "experiments.metrics",
        "experiments.device",
        "experiments.tasks",
        "experiments.errors",
    },
    "experiments.luck": {"torch", "experiments", "models"},
    "experiments.promotion": {"experiments.chance"},
    "experiments.chance": set(),
    "experiments.hashes": set(),
    "experiments.locks": {"experiments.paths"},
    "experiments.provenance": {"experiments.paths"},
    "experiments.versions": {
        "mlflow",
        "experiments.errors",
        "experiments.hashes",
        "experiments.locks",
        "experiments.paths",
        "experiments.tracking",
    },
    "experiments.artifacts": {
        "mlflow",
        "torch",
        "experiments.errors",
        "experiments.tracking",
        "experiments.versions",
    },
    "experiments.moves": {"experiments.errors", "experiments.promotion", "experiments.versions"},
    "experiments.evidence": {
        "torch",
        "experiments.job",
        "experiments.metrics",
        "experiments.provenance",
        "experiments.tasks",
    },
    "experiments.card": {
        "experiments.chance",
        "experiments.paths",
        "experiments.tasks",
        "experiments.versions",
    },
    "experiments.registry": {"experiments"},
    "experiments.corrected": {"experiments.errors", "experiments.paths"},
    "experiments.corrections": {"experiments", "models", "torch", "onnxruntime"},
    "experiments.environment": {"mlflow", "experiments.paths"},
    "experiments.tracking": {
        "mlflow",
        "experiments.errors",
        "experiments.lease",
        "experiments.paths",
        "experiments.provenance",
        "experiments.tasks",
        "experiments.versions",  # the name of a type
    },
    "experiments.options": {
        "experiments.tasks",
        "experiments.errors",
        "experiments.gallery",
        "experiments.paths",
    },
    "experiments.job": {"torch", "experiments"},
    "experiments.tune": {"optuna", "experiments"},
    "experiments.train": {"torch", "experiments", "export.proof"},
    "export": {"models", "experiments", "export", "torch", "onnx", "onnxruntime", "netron"},
    "serve": {
        "serve",
        "experiments.calibration",
        "experiments.cli",
        "experiments.corrected",
        "experiments.data",
        "experiments.errors",
        "experiments.hashes",
        "experiments.outfile",
        "experiments.paths",
        "export.netron_view",
        "onnxruntime",
        "gradio",
    },
    "serve.model.clerk": {  # in a process of its own
        "serve.model.listing",
        "serve.texts",
        "experiments.artifacts",
        "experiments.card",
        "experiments.cli",
        "experiments.errors",
        "experiments.paths",
        "experiments.tracking",
        "experiments.versions",
    },
    "serve.model.shelf": {"serve", "experiments.cli", "experiments.errors", "experiments.versions"},
    "serve.digit.inside": {"serve", "experiments.errors", "onnx", "onnxruntime"},
    "serve.gate.bank": {"serve", "experiments.errors", "onnx"},
    "serve.predictor": {"serve.texts", "experiments.errors", "onnxruntime"},
    "serve.torch_backend": {
        "experiments.rebuilt",
        "experiments.tasks",
        "experiments.versions",
        "torch",
    },
}
WATCHED = {*ROOMS, "torch", "torchvision", "mlflow", "optuna", "onnx", "onnxruntime", "gradio"}
WATCHED |= {"matplotlib", "netron", "captum", "sklearn"}


def modules() -> list[tuple[str, Path]]:
    found = []
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found.append((name.removesuffix(".__init__"), path))
    return found


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.split(".")[0] in WATCHED}


def within(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize(("name", "path"), modules(), ids=lambda value: str(value))
def test_imports_point_one_way(name: str, path: Path) -> None:
    rules = [room for room in MAY_IMPORT if within(name, {room})]
    if name == "experiments":
        return
    allowed = MAY_IMPORT[max(rules, key=len)]
    assert {found for found in imported(path) if not within(found, allowed)} == set()


def test_each_library_has_one_door() -> None:
    doors = {"mlflow": {f"experiments.{name}" for name in ("tracking", "versions", "artifacts")}}
    doors["mlflow"].add("experiments.environment")
    doors["optuna"] = {"experiments.tune", "experiments.studies"}
    for library, allowed in doors.items():
        users = {
            name for name, path in modules() if any(within(i, {library}) for i in imported(path))
        }
        assert users == allowed


def test_no_branch_on_the_task() -> None:
    for name, path in modules():
        assert not re.search(r"""task(\.name)?\s*==\s*["']""", path.read_text()), name


def in_fresh_process(code: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout.strip()


def test_page_imports_no_torch() -> None:
    names = [n for n, _ in modules() if n.startswith("serve.") and n != "serve.torch_backend"]
    code = f"import sys, {', '.join(names)}, experiments.artifacts; print('torch' in sys.modules)"
    assert in_fresh_process(code) == "False"


@pytest.mark.parametrize(
    "module",
    [
        "experiments.train",
        "experiments.tune",
        "experiments.luck",
        "experiments.report",
        "experiments.registry",
        "experiments.corrections",
        "export.to_onnx",
        "export.space",
        "serve.app",
    ],
)
def test_help_needs_no_heavy_import(module: str) -> None:
    heavy = ("torch", "mlflow", "optuna", "matplotlib", "onnxruntime", "gradio")
    code = f"import sys, {module}; print([h for h in {heavy} if h in sys.modules])"
    assert in_fresh_process(code) == "[]"


def test_one_list_of_packages() -> None:
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    python_env = yaml.safe_load((ROOT / "python_env.yaml").read_text())
    pip = next(item["pip"] for item in conda["dependencies"] if isinstance(item, dict))
    assert pip == python_env["dependencies"] == ["-r requirements.txt"]
    assert f"python={python_env['python']}" in conda["dependencies"]
    assert python_env["python"] == "3.11"
    listed = re.findall(r"^([\w-]+)(==|>=)", (ROOT / "requirements.txt").read_text(), re.M)
    asked = {"torch", "torchvision", "mlflow", "onnx", "onnxruntime", "netron", "matplotlib"}
    assert asked | {"gradio", "optuna"} <= {name for name, _ in listed}
    assert {name for name, sign in listed if sign != "=="} == {"netron"}


def entry_points() -> dict:
    return yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def test_main_is_train() -> None:
    assert {"main", "train", "tune", "luck", "report", "export", "serve"} == set(entry_points())
    assert entry_points()["main"] == entry_points()["train"]


@pytest.mark.parametrize("entry", ["train", "tune", "luck", "report", "export", "serve"])
def test_entry_points_pass_what_they_declare(entry: str) -> None:
    point = entry_points()[entry]
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
            usual = option.default
            if name == "gate":
                usual = tasks.get("gate").data_options().gate
            assert declared["default"] == (usual if isinstance(usual, str | int) else "auto"), name


@pytest.mark.parametrize("ready", [False, True])
def test_make_does_no_set_up_twice(tmp_path: Path, ready: bool) -> None:
    if shutil.which("make") is None:
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
    assert ("pip install" in dry) is ("-m venv .venv" in dry) is not ready
    assert dry.strip().endswith("mlflow run . -e train -P task=mnist")


def test_train_and_tune_take_the_same_options() -> None:
    assert [p.name for p in train.command.params] == [p.name for p in tune.command.params]
    for task in map(tasks.get, tasks.names()):
        assert set(task.hparams.__dataclass_fields__) <= {p.name for p in train.command.params}


def test_nothing_of_a_machine_is_in_the_tree() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    for name in listed.stdout.split():
        raw = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        assert b"index" + b"-url" not in raw, name
        assert str(ROOT).encode() + b"/" not in raw, name

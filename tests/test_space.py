"""The folder for a Hugging Face Space: what is in it, and that it runs without torch and mlflow."""

import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from experiments.data import mnist
from experiments.errors import UserError
from experiments.paths import ROOT
from export import imports, space
from tests.conftest import Command, free_port, serving, write_digits

HOST = "somebody-gates.hf.space"
MISSING = ("torch", "torchvision", "mlflow", "optuna", "matplotlib", "netron", "sqlalchemy")
# As if they were not installed: nobody finds them, and nobody is told why.
ABSENT = f"""
import sys
from importlib.machinery import PathFinder

class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        missing = name.partition(".")[0] in {MISSING!r}
        return None if missing else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Without
"""


@pytest.fixture(scope="module")
def folder(trained: Path, run: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Space, written by the command."""
    out = tmp_path_factory.mktemp("space") / "space"
    assert f"{out}: " in run(f"python -m export.space --out {out}").stdout
    return out


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder that, on PYTHONPATH, makes Python miss what a Space has not."""
    path = tmp_path_factory.mktemp("without")
    (path / "sitecustomize.py").write_text(ABSENT)
    return str(path)


@pytest.fixture(scope="module")
def url(folder: Path, without: str) -> Iterator[str]:
    """The Space's own program at work, on this machine alone, from another folder."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    env = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    env |= {"SPACE_HOST": HOST, "PYTHONPATH": without, "MNIST_DIR": ""}
    line = f"{sys.executable} -W ignore {folder / 'app.py'}"
    with serving(line, folder.parent, f"{address}/healthz", **env):
        yield address


def test_the_front_matter_says_how_it_runs(folder: Path) -> None:
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(head)
    pinned = dict(re.findall(r"^([\w-]+)==(.*)$", (ROOT / "requirements.txt").read_text(), re.M))
    assert about["sdk"] == "gradio"
    assert about["sdk_version"] == pinned["gradio"]
    assert about["app_file"] == "app.py"
    assert (folder / about["app_file"]).is_file()
    assert about["python_version"] == "3.11"
    assert len(about["short_description"]) <= 60  # as the platform allows
    for name in ("model.onnx", "gate.onnx"):
        sha = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        assert f"| {name} |" in body
        assert sha[:16] in body


def test_the_packages_are_the_projects_own_pins(folder: Path) -> None:
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert set(lines) <= set((ROOT / "requirements.txt").read_text().splitlines())
    names = {line.partition("==")[0] for line in lines}
    assert {"gradio", "onnxruntime", "numpy", "scipy", "pillow"} <= names
    assert not names & {*MISSING}


def test_the_graphs_are_registered_ones_and_every_file_is_listed(
    folder: Path, trained: Path
) -> None:
    registered = {path.read_bytes() for path in (trained / "mlruns").rglob("model.onnx")}
    assert {(folder / name).read_bytes() for name in ("model.onnx", "gate.onnx")} <= registered
    told = subprocess.run(["sha256sum", "--check", "--strict", "--quiet", space.SUMS], cwd=folder)
    assert told.returncode == 0
    listed = {line.split("  ")[1] for line in (folder / space.SUMS).read_text().splitlines()}
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {name for name in there if not name.endswith(".pyc")} - {space.SUMS} >= listed
    assert "serve/digit/canvas.onnx" in listed
    assert not any(name.endswith(("torch_backend.py", ".db", "ubyte", ".gz")) for name in listed)


def test_every_module_of_it_can_be_imported_without_the_rest(folder: Path, without: str) -> None:
    files = [path.relative_to(folder) for path in folder.rglob("*.py")]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in files]
    code = f"import importlib; [importlib.import_module(name) for name in {sorted(names)}]"
    command = [sys.executable, "-W", "ignore", "-c", code]
    env = {**os.environ, "PYTHONPATH": without, "GRADIO_ANALYTICS_ENABLED": "False"}
    told = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    command[-1] = "import torch"  # the trial is one
    assert subprocess.run(command, cwd=folder, env=env, capture_output=True).returncode == 1


def _ask(url: str, data: list | None = None, **headers: str) -> dict:
    body = None if data is None else json.dumps({"data": data}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_it_answers_without_torch_and_mlflow(url: str, digits: mnist.Mnist, tmp_path: Path) -> None:
    assert _ask(f"{url}/healthz")["models"].keys() == {"mnist", "gate"}
    told = _ask(f"{url}/gradio_api/run/evaluate_gate", ["xor", [1, 0]])
    assert told["data"][0]["output"] == 1
    from gradio_client import Client, handle_file
    from PIL import Image

    Image.fromarray(digits.test_images[0]).resize((280, 280)).save(tmp_path / "seven.png")
    client = Client(url, verbose=False)
    told = client.predict(handle_file(tmp_path / "seven.png"), api_name="/classify_digit")
    assert told["digit"] == "7"


def test_the_page_tells_nothing_of_the_machine(url: str, folder: Path) -> None:
    with urllib.request.urlopen(f"{url}/config", timeout=30) as answer:
        told = answer.read().decode()
    assert "model.onnx" in told
    assert str(folder.parent) not in told


def test_only_the_spaces_own_name_is_answered(url: str) -> None:
    assert _ask(f"{url}/healthz", Host=HOST)["status"] == "ok"
    with pytest.raises(urllib.error.HTTPError, match="400"):
        _ask(f"{url}/healthz", Host="elsewhere.example")


def test_a_space_is_written_anew_over_what_running_left(
    folder: Path, run: Command, url: str
) -> None:
    _ask(f"{url}/healthz")  # it has run
    (folder / "model.onnx").write_bytes(b"rubbish")
    run(f"python -m export.space --out {folder}")
    assert (folder / "model.onnx").stat().st_size > 10_000
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("kind", ["foreign", "one file more", "file", "nowhere"])
def test_a_strangers_folder_is_refused(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "space"
    if kind in ("foreign", "one file more"):
        out.mkdir()
        (out / "thesis.tex").write_text("years of work")
    if kind == "one file more":
        (out / "app.py").touch()
        (out / space.SUMS).write_text("0  app.py\n")
    if kind == "file":
        out.touch()
    if kind == "nowhere":
        out = tmp_path / "no" / "space"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"^out: expected a"):
        space.check(out)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_digits_come_only_if_asked_for(
    run: Command, trained: Path, digits: mnist.Mnist, tmp_path: Path
) -> None:
    few = write_digits(tmp_path / "few", digits, 30)
    run(f"python -m export.space --with-digits --out {tmp_path / 'space'}", MNIST_DIR=str(few))
    found = mnist.load(tmp_path / "space" / "data" / "mnist")
    assert found.digest == mnist.load(few).digest
    assert "CC BY-SA 3.0" in (tmp_path / "space" / "README.md").read_text()


def test_what_needs_torch_or_the_registry_at_once_stays_here() -> None:
    modules = space.needed()
    assert {"serve.app", "serve.predictor", "experiments.data.mnist"} <= modules.keys()
    assert not {"serve.torch_backend", "experiments.versions", "export"} & modules.keys()
    for name in ("serve.torch_backend", "experiments.artifacts", "export.netron_view"):
        with pytest.raises(UserError, match="a Space has none of them"):
            space.needed(name)


def test_imports_are_told_apart_by_when_they_happen(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "import os.path, numpy as np\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import torch\nelse:\n    import first\n"
        "from serve.digit import ink\n"
        "class C:\n    import inner\n"
        "def f():\n    import late\n    return lambda: __import__\n"
        "COMMAND = ['-m', 'serve.model.clerk', 'serve.no_such', 'mlflow.x']\n"
    )
    found = imports.of_file(tmp_path / "module.py")
    head = {
        "os.path",
        "numpy",
        "typing",
        "typing.TYPE_CHECKING",
        "first",
        "serve.digit",
        "serve.digit.ink",
    }
    assert found.head == head | {"inner"}
    assert found.late == {"late", "serve.model.clerk"}
    assert imports.foreign(found.ever) == {"numpy", "first", "inner", "late"}


def test_a_package_that_is_not_pinned_is_told() -> None:
    assert imports.pins({"PIL", "onnxruntime"}).keys() == {"pillow", "onnxruntime"}
    assert imports.pins({"gradio", "httpx"}).keys() == {"gradio"}  # which brings the other
    for name in ("pytest", "no_such_package"):
        with pytest.raises(UserError, match=f"a line for {name.replace('_', '-')}"):
            imports.pins({name})

"""The folder for a Hugging Face Space: its contents, and that it runs without torch and MLflow."""

import ast
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from experiments import tasks
from experiments.core import files
from experiments.core.paths import ROOT
from experiments.data import mnist
from export import space
from tests.conftest import free_port, serving, write_digits
from tests.expect import refused

HOST = "somebody-gates.hf.space"
MISSING = (
    "torch", "torchvision", "mlflow", "alembic", "optuna", "matplotlib", "netron", "sqlalchemy"
)  # fmt: skip
# As if they were not installed.
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


def write(out: Path, trained: Path, *options: str) -> None:
    """Run the command in this process, on the checkout's registry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{trained}/mlflow.db")
        line = ["--out", str(out), *options]
        result = CliRunner().invoke(space.command, line, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    assert str(out) in result.output


@pytest.fixture(scope="module")
def folder(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Space, written by the command."""
    out = tmp_path_factory.mktemp("space") / "space"
    write(out, trained)
    return out


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder that, on PYTHONPATH, hides from Python what no Space has."""
    path = tmp_path_factory.mktemp("without")
    (path / "sitecustomize.py").write_text(ABSENT)
    return str(path)


@pytest.fixture(scope="module")
def url(folder: Path, without: str) -> Iterator[str]:
    """The Space's own program, started in another folder, on this machine only."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    env = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    env |= {"SPACE_HOST": HOST, "PYTHONPATH": without, "MNIST_DIR": ""}
    env |= {"PYTHONDONTWRITEBYTECODE": ""}  # it may leave its bytecode
    line = f"{sys.executable} -W ignore {folder / 'app.py'}"
    with serving(line, folder.parent, f"{address}/healthz", **env):
        yield address


def test_the_front_matter_states_how_it_runs(folder: Path) -> None:
    _, head, body = (folder / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(head)
    assert about["sdk"] == "gradio" and about["python_version"] == "3.11"
    assert f"gradio=={about['sdk_version']}\n" in (ROOT / "requirements.txt").read_text()
    assert (folder / about["app_file"]).is_file()
    assert len(about["short_description"]) <= 60  # the platform's limit
    for name in ("model.onnx", "gate.onnx"):
        assert f"| {name} |" in body
        assert files.sha256_file(folder / name)[:16] in body


# anyio comes with starlette, markupsafe with jinja2, uvicorn with gradio; PIL is pillow.
OTHER_NAMES = {"PIL", "anyio", "markupsafe", "uvicorn"}


def test_packages_are_pinned_and_cover_the_imports(folder: Path) -> None:
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert set(lines) <= set((ROOT / "requirements.txt").read_text().splitlines())
    listed = {line.partition("==")[0].replace("-", "_") for line in lines}
    assert not listed & {*MISSING}
    names: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
    foreign = names - sys.stdlib_module_names - {"serve", "experiments", "export", *MISSING}
    assert foreign - OTHER_NAMES <= listed


def test_every_file_is_listed_and_no_other_is_there(folder: Path, trained: Path) -> None:
    registered = {path.read_bytes() for path in (trained / "mlruns").rglob("model.onnx")}
    assert {(folder / name).read_bytes() for name in ("model.onnx", "gate.onnx")} <= registered
    check = ["sha256sum", "--check", "--strict", "--quiet", files.SUMS]
    assert subprocess.run(check, cwd=folder).returncode == 0
    listed = files.listed(folder)
    assert "serve/tabs/digit/canvas.onnx" in listed
    assert not any(
        name.endswith(("torch_backend.py", ".db", "ubyte", "ubyte.gz")) for name in listed
    )


@pytest.mark.slow
def test_every_module_of_it_can_be_imported_without_the_rest(folder: Path, without: str) -> None:
    paths = [path.relative_to(folder) for path in folder.rglob("*.py")]
    names = [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths]
    code = f"import importlib; [importlib.import_module(name) for name in {sorted(names)}]"
    command = [sys.executable, "-W", "ignore", "-c", code]
    env = {**os.environ, "PYTHONPATH": without, "GRADIO_ANALYTICS_ENABLED": "False"}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    command[-1] = "import torch"  # torch is hidden indeed
    assert subprocess.run(command, cwd=folder, env=env, capture_output=True).returncode == 1


def _ask(url: str, data: list | None = None, **headers: str) -> dict:
    body = None if data is None else json.dumps({"data": data}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.slow
def test_it_answers_without_torch_and_mlflow(url: str, digits: mnist.Mnist, tmp_path: Path) -> None:
    assert _ask(f"{url}/healthz")["models"].keys() == {"mnist", "gate"}
    answer = _ask(f"{url}/gradio_api/run/evaluate_gate", ["xor", [1, 0]])
    assert answer["data"][0]["output"] == 1
    from gradio_client import Client, handle_file
    from PIL import Image

    Image.fromarray(digits.test_images[0]).resize((280, 280)).save(tmp_path / "seven.png")
    client = Client(url, verbose=False)
    answer = client.predict(handle_file(tmp_path / "seven.png"), api_name="/classify_digit")
    assert answer["digit"] == "7"


@pytest.mark.slow
def test_it_hides_the_machine_and_answers_to_its_own_name(url: str, folder: Path) -> None:
    config = json.dumps(_ask(f"{url}/config"))
    assert "model.onnx" in config and str(folder.parent) not in config
    assert _ask(f"{url}/healthz", Host=HOST)["status"] == "ok"
    with pytest.raises(urllib.error.HTTPError) as caught:
        _ask(f"{url}/healthz", Host="elsewhere.example")
    with caught.value as answer:
        assert answer.code == 400
    listed = (folder / files.SUMS).read_text()
    left = {p.relative_to(folder).as_posix() for p in folder.rglob("*.pyc")}
    assert left and not any(name in listed for name in left)
    space.check(folder)  # what running it has left belongs to it


def test_a_space_is_replaced_with_what_running_leaves(
    folder: Path, trained: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(folder, tmp_path / "space")
    for left in ("state/corrections.db", "serve/__pycache__/app.cpython-311.pyc"):
        (out / left).parent.mkdir(exist_ok=True)
        (out / left).touch()
    (out / "model.onnx").write_bytes(b"rubbish")
    write(out, trained)
    assert (out / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    assert not (out / "state").exists()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("kind", ["foreign", "one file more"])
def test_another_folder_is_not_replaced(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "space"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    if kind == "one file more":
        (out / "app.py").touch()
        (out / files.SUMS).write_text("0  app.py\n")
    with refused("folder-occupied", what=out):
        space.check(out)


def test_the_digits_come_only_if_asked_for(
    folder: Path, trained: Path, digits: mnist.Mnist, tmp_path: Path, monkeypatch
) -> None:
    out, few = tmp_path / "space", write_digits(tmp_path / "few", digits, 30)
    monkeypatch.setenv("MNIST_DIR", str(few))
    write(out, trained, "--with-digits")
    assert mnist.load(out / space.DIGITS).digest == mnist.load(few).digest
    licence = tasks.get("mnist").licence
    assert licence in (out / "README.md").read_text()
    assert licence not in (folder / "README.md").read_text()
    assert not (folder / space.DIGITS).exists()

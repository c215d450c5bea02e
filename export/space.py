"""The page and its graphs as a folder that runs as a Hugging Face Space, without torch.

python -m export.space --out space

Imports inside functions keep MLflow out of --help.
"""

from __future__ import annotations

import gzip
import re
import shlex
from pathlib import Path

import click
from jinja2 import Environment, StrictUndefined

from experiments import tasks
from experiments.core import cli, exports, files, provenance
from experiments.core.paths import ROOT
from experiments.data import idx, mnist

# The page's files, as globs; EXCLUDED are those that need torch or MLflow.
PAGE = (
    "serve/**/*",
    "experiments/__init__.py",
    "experiments/core/*.py",
    "experiments/data/*.py",
    "experiments/evaluation/__init__.py",
    "experiments/evaluation/calibration.py",
    "experiments/evaluation/evaluation.py",
    "experiments/tasks/__init__.py",
    "experiments/tasks/task.py",
)
EXCLUDED = (
    "experiments/core/mlflow_env.py",
    "experiments/core/progress.py",
    "experiments/data/augment.py",
    "experiments/data/fitness.py",
    "experiments/data/hands.py",
    "experiments/data/outlier_exposure.py",
    "experiments/data/pen_shapes.py",
    "experiments/data/strokes.py",
    "serve/backends/torch_backend.py",
    "serve/models/registry_worker.py",
    "serve/tabs/learn/record.py",
    "serve/tabs/learn/worker/__init__.py",
    "serve/tabs/learn/worker/__main__.py",
    "serve/tabs/learn/worker/deliver.py",
    "serve/tabs/learn/worker/fits.py",
    "serve/tabs/learn/worker/frames.py",
)
PACKAGES = """
    click fastapi filelock gradio jinja2 numpy onnx onnxruntime pandas pillow pillow-heif
    prometheus-client pydantic scipy starlette
"""  # that they import
DIGITS = "data/mnist"
ATTRIBUTES = "".join(f"*.{end} filter=lfs diff=lfs merge=lfs -text\n" for end in ("onnx", "png"))
TASKS = ("mnist", "gate")


@click.command("export.space", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=cli.UserPath(), default=Path("space"), show_default=True)
@click.option("--with-digits", is_flag=True, help="Put MNIST into it, 12 MB.")
def command(out: Path, with_digits: bool) -> None:
    """Write a folder that runs as a Hugging Face Space."""
    check(out)
    space = contents(with_digits)
    files.write_folder(out, "out", space)
    size = sum(map(len, space.values())) / 1e6
    click.echo(f"{out}: {len(space)} files, {size:.1f} MB.")
    click.echo(f"Publish it with: hf upload --repo-type space USER/NAME {shlex.quote(str(out))}")


def check(folder: Path) -> None:
    """Raise UserError if a Space cannot be written to `folder`, before any work is done for it."""
    listed = files.listed(folder)
    paths = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}
    # Running a Space leaves bytecode and its state.
    left = {path for path in paths if "__pycache__" in path.parts or path.parts[0] == "state"}
    ours = "app.py" in listed and {path.as_posix() for path in paths - left} <= listed
    files.check_folder(folder, "out", "an older Space", ours=ours)


def contents(with_digits: bool) -> dict[str, bytes]:
    """Return path in the Space -> content.

    Raises:
        UserError: a task's champion is not exported.
    """
    graphs, rows = _graphs()
    packages = _packages()
    pins = "".join(f"{name}=={pin}\n" for name, pin in packages.items())
    result = {
        ".gitattributes": ATTRIBUTES.encode(),
        "README.md": _readme(rows, packages["gradio"], with_digits).encode(),
        "app.py": _render("space_app.py.jinja", graphs=list(graphs)).encode(),
        "requirements.txt": pins.encode(),
        **graphs,
    }
    for path in _page_files():
        result[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    if with_digits:
        result |= _digits()
    return result


def _graphs() -> tuple[dict[str, bytes], list[dict[str, object]]]:
    """Return file name -> graph of each task's champion, and their rows in the README's table."""
    from experiments.registry import artifacts, versions

    graphs, rows = {}, []
    for task in TASKS:
        uri = f"models:/{exports.graph_name(task)}@{versions.CHAMPION}"
        version = versions.find(uri, cli.HOW_TO_EXPORT.format(task=task))
        name = exports.file_name(task)
        graphs[name] = artifacts.onnx_graph(version)
        row = {
            "file": name,
            "version": f"{version.name}/{version.number}",
            "origin": version.tags["torch_model"].removeprefix("models:/"),
            "accuracy": version.metadata["test_accuracy"],
            "sha256": files.sha256_bytes(graphs[name]),
        }
        rows.append(row)
    return graphs, rows


def _page_files() -> list[Path]:
    """Return the page's files: modules, scripts, styles, pictures, its preprocessing graph."""
    paths = {path for pattern in PAGE for path in ROOT.glob(pattern) if path.is_file()}
    paths -= {ROOT / name for name in EXCLUDED}
    return sorted(p for p in paths if p.suffix != ".pyc" and not p.name.startswith("."))


def _digits() -> dict[str, bytes]:
    """Return path -> MNIST's four files, packed."""
    data = mnist.load()
    arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    return {
        f"{DIGITS}/{name}.gz": gzip.compress(idx.pack(array), mtime=0)
        for name, array in zip(mnist.CANONICAL_MD5, arrays, strict=True)
    }


def _readme(rows: list[dict[str, object]], gradio: str, with_digits: bool) -> str:
    from experiments.registry import model_card

    pinned = re.findall(r'^python: "(.*)"$', (ROOT / "python_env.yaml").read_text(), re.MULTILINE)
    return _render(
        "space_readme.md.jinja",
        graphs=rows,
        python=pinned[0],
        gradio=gradio,
        licence=model_card.licence(),
        digits_licence=tasks.get("mnist").licence if with_digits else "",
        **provenance.commit(),
    )


def _render(template: str, **facts: object) -> str:
    environment = Environment(undefined=StrictUndefined, trim_blocks=True)  # noqa: S701 - Markdown
    text = Path(__file__).with_name(template).read_text()
    return environment.from_string(text).render(**facts) + "\n"


def _packages() -> dict[str, str]:
    """Return package -> version, as requirements.txt pins it, of what the page imports."""
    text = (ROOT / "requirements.txt").read_text()
    pins = dict(re.findall(r"^([\w-]+)==(\S+)$", text, re.MULTILINE))
    return {name: pins[name] for name in PACKAGES.split()}


if __name__ == "__main__":
    cli.main(command)

"""The page and its graphs as a folder that runs as a Hugging Face Space, without torch.

python -m export.space --out space
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import click

from experiments import cli, hashes
from experiments.errors import UserError
from experiments.paths import ROOT
from export import imports, outfolder
from export.convert import file_name

START = "serve.app"
LARGE = {"torch", "torchvision"}  # no Space has them: what imports them at once stays here,
ELSEWHERE = {"mlflow", "netron"}  # and what ever imports one of these
SUMS = outfolder.SUMS
DIGITS = "data/mnist"
ATTRIBUTES = "".join(f"*.{end} filter=lfs diff=lfs merge=lfs -text\n" for end in ("onnx", "png"))
FILES = {task: file_name(task) for task in ("mnist", "gate")}


@click.command("export.space", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", type=Path, default=Path("space"), show_default=True)
@click.option("--with-digits", is_flag=True, help="Put MNIST into it, 12 MB.")
def command(out: Path, with_digits: bool) -> None:
    """Write a folder that runs as a Hugging Face Space."""
    check(out)
    files = contents(with_digits)
    outfolder.write(out, "out", files)
    size = sum(map(len, files.values())) / 1e6
    click.echo(f"{out}: {len(files)} files, {size:.1f} MB.")
    click.echo(f"Publish it with: hf upload --repo-type space USER/NAME {out}")


def check(folder: Path) -> None:
    """Raise UserError if no Space can be called `folder`, before any work is done for it."""
    expected = (
        f"a Space that was written before; {folder} is neither, or holds files that no Space has"
    )
    outfolder.check(folder, "out", expected, ours=_is_space(folder))


def _is_space(folder: Path) -> bool:
    """Return whether `folder` holds what its SHA256SUMS lists, and else only what running left."""
    listed = outfolder.listed(folder)
    there = {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()}
    left = {path for path in there if "__pycache__" in path.parts or path.parts[0] == "state"}
    return "app.py" in listed and {path.as_posix() for path in there - left} <= listed


def contents(with_digits: bool) -> dict[str, bytes]:
    """Return path in the Space -> content; the last one has the hashes of the others.

    Raises:
        UserError: a task's champion is not exported, or the page cannot do without what a Space
            has not.
    """
    graphs = dict(_graphs())
    modules = needed()
    pins = requirements(modules)
    facts = {"digits": with_digits, "graphs": [about for about, _ in graphs.values()]}
    texts = {
        ".gitattributes": ATTRIBUTES,
        "README.md": _written("space_readme.md.jinja", **facts, **_surroundings(pins)),
        "app.py": _written("space_app.py.jinja", graphs=list(graphs)),
        "requirements.txt": "".join(f"{name}=={pin}\n" for name, pin in pins.items()),
    }
    files = {path: text.encode() for path, text in texts.items()}
    files |= {path: raw for path, (_, raw) in graphs.items()}
    paths = [*modules.values(), *_page_files()]
    files |= {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}
    files |= dict(_digits()) if with_digits else {}
    sums = "".join(f"{hashes.of_bytes(files[path])}  {path}\n" for path in sorted(files))
    return {**files, SUMS: sums.encode()}


def _graphs() -> Iterator[tuple[str, tuple[dict[str, Any], bytes]]]:
    """Yield the name of each champion's graph, what is to be said of it, and its bytes."""
    from experiments import artifacts, versions

    for task, name in FILES.items():
        uri = f"models:/{task}-onnx@{versions.CHAMPION}"
        version = versions.find(uri, cli.HOW_TO_EXPORT.format(task=task))
        raw = artifacts.onnx_graph(version)
        about = {
            "file": name,
            "version": f"{version.name}/{version.number}",
            "origin": version.tags["torch_model"].removeprefix("models:/"),
            "accuracy": version.metadata["test_accuracy"],
            "sha256": hashes.of_bytes(raw),
        }
        yield name, (about, raw)


def _page_files() -> list[Path]:
    """Return what the page has besides modules: scripts, styles, pictures, its drawing graph."""
    found = sorted(path for path in (ROOT / "serve").rglob("*") if path.is_file())
    return [p for p in found if p.suffix not in (".py", ".pyc") and not p.name.startswith(".")]


def _digits() -> Iterator[tuple[str, bytes]]:
    """Yield path -> MNIST's four files, packed."""
    from experiments.data import idx, mnist

    data = mnist.load()
    arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    for name, array in zip(mnist.CANONICAL_MD5, arrays, strict=True):
        yield f"{DIGITS}/{name}.gz", gzip.compress(idx.pack(array), mtime=0)


def _surroundings(pins: Mapping[str, str]) -> dict[str, Any]:
    """Return what the README says besides the graphs."""
    from experiments import card, provenance

    python = re.search(r'^python: "(.*)"$', (ROOT / "python_env.yaml").read_text(), re.MULTILINE)
    if python is None:
        raise UserError('python_env.yaml: expected a line such as python: "3.11", found none.')
    about = {"python": python[1], "gradio": pins["gradio"], "licence": card.licence()}
    return about | provenance.commit()


def _written(template: str, **facts: Any) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True)  # noqa: S701 - Markdown
    text = Path(__file__).with_name(template).read_text()
    return environment.from_string(text).render(**facts) + "\n"


def needed(start: str = START) -> dict[str, Path]:
    """Return module -> file of all that `start` imports, ever, and that a Space can run.

    Raises:
        UserError: `start` itself cannot run without what a Space has not.
    """
    if _stays(start):
        raise UserError(
            f"{start} imports one of {', '.join(sorted(LARGE | ELSEWHERE))} at once, by itself or "
            "by what it imports; a Space has none of them. Import it inside a function."
        )
    found = imports.closure(start, lambda each: each.ever, but=_stays)
    packages = {name.rpartition(".")[0] for name in found}  # others are empty here
    return {n: path for n, path in found.items() if n in packages or path.stem != "__init__"}


@cache
def _stays(name: str) -> bool:
    """Return whether a module cannot run in a Space, by itself or by what it imports at once."""
    at_once = map(imports.of_file, imports.closure(name, lambda each: each.head).values())
    return any(
        imports.foreign(each.head) & LARGE or imports.foreign(each.ever) & ELSEWHERE
        for each in at_once
    )


def requirements(modules: Mapping[str, Path]) -> dict[str, str]:
    """Return package -> version of all that `modules` import and that a Space has."""
    names = {name for path in modules.values() for name in imports.of_file(path).ever}
    return imports.pins(imports.foreign(names) - LARGE - ELSEWHERE)


if __name__ == "__main__":
    cli.main(command)

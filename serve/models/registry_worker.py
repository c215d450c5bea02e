"""The child process that reads the registry for the page: python -m serve.models.registry_worker.

Its argument is a `Request` as JSON, its output an `Answer` or a UserError as JSON.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from experiments.core import cli
from experiments.core.errors import UserError
from experiments.core.exports import PRECISIONS, graph_name, graph_tag
from experiments.registry import artifacts, model_card, versions
from experiments.registry.versions import Version
from experiments.tracking import runs
from serve.models.catalog import CatalogEntry, champion
from serve.models.model_ref import ModelRef
from serve.models.registry_query import About, Answer, Curves, Graph, Request, adapter

# MLflow would retry a server that is down for minutes.
HTTP_LIMITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
MAX_POINTS = 500  # of a curve
PICTURES = {"light": "architecture.svg", "dark": "architecture-dark.svg"}
MAX_PICTURE_BYTES = 2_000_000  # ours have 130,000
LISTED_TAGS = {"precision", "opset", "test_accuracy", "torch_model", *map(graph_tag, PRECISIONS)}
T = TypeVar("T")


def answer(request: Request) -> Answer | UserError:
    """Return the answer; the error of one address is part of it, another error is all of it."""
    try:
        return Answer(
            _entries(),  # first: if the registry cannot be reached, nothing else is tried
            {uri: _or_error(_graph, uri) for uri in request.graphs},
            {uri: _or_error(_about, uri) for uri in request.about},
        )
    except UserError as error:
        return error


def _or_error(read: Callable[[str], T], uri: str) -> T | UserError:
    try:
        return read(uri)
    except UserError as error:
        return error


def _entries() -> list[CatalogEntry]:
    """Return all versions whose files have hashes to check; no file is read."""
    entries = []
    for name in versions.names():
        with versions.registry() as client:
            aliases = client.get_registered_model(name).aliases
            rows = client.search_model_versions(f"name = '{name}'", max_results=versions.MAX_FILES)
        for row in rows:
            if versions.FILES in row.tags:
                number = int(row.version)
                own = sorted(alias for alias, which in aliases.items() if int(which) == number)
                tags = {tag: row.tags[tag] for tag in LISTED_TAGS if tag in row.tags}
                entries.append(CatalogEntry(name, number, row.run_id or "", own, tags))
    return entries


def _graph(uri: str) -> Graph:
    version = versions.find(uri, _how_to_make(ModelRef.parse(uri)))
    return Graph(version.uri, artifacts.onnx_graph(version))


def _how_to_make(ref: ModelRef) -> str:
    """Return the commands that make a champion's graph; of another version none."""
    task = ref.name.removesuffix(graph_name(""))
    if ref != champion(task, "onnxruntime"):
        return ""
    train, export = (h.format(task=task) for h in (cli.HOW_TO_TRAIN, cli.HOW_TO_EXPORT))
    trained = task in versions.names() and versions.CHAMPION in versions.aliases(task)
    return export if trained else f"{train} && {export}"


def _about(uri: str) -> About:
    version = versions.find(uri)
    # The run is that of the version a graph was exported from; so is the card if it has none.
    linked = version.tags.get("torch_model")
    trained = versions.find(linked) if linked else version
    with_card = version if model_card.NAME in version.attached else trained
    problems: list[UserError] = []

    def part(read: Callable[[], T]) -> T | None:
        try:
            return read()
        except UserError as error:
            problems.append(error)
            return None

    return About(
        card=part(lambda: versions.read(with_card, model_card.NAME).decode()),
        curves=part(lambda: _curves(trained.run_id)),
        pictures=part(lambda: _pictures(trained)),
        problems=problems,
    )


def _curves(run_id: str) -> Curves:
    """Return metric -> (epoch, value), thinned out where there are very many."""
    curves: Curves = {}
    with versions.registry() as client:
        for name in CURVES:
            points = [(p.step, p.value) for p in client.get_metric_history(run_id, name)]
            curves[name] = sorted(points)[:: max(len(points) // MAX_POINTS, 1)]
    return curves


def _pictures(version: Version) -> dict[str, bytes]:
    """Return light, dark -> the SVG of the network on that background."""
    pictures = {}
    with tempfile.TemporaryDirectory() as folder:
        for background, name in PICTURES.items():
            path = runs.artifact(version, f"figures/network/{name}", Path(folder))
            if path.stat().st_size <= MAX_PICTURE_BYTES:
                pictures[background] = path.read_bytes()
    return pictures


def main(request: str) -> int:
    """Print the answer to `request`; return the exit code."""
    for name, limit in HTTP_LIMITS.items():
        os.environ.setdefault(name, limit)
    gc.disable()  # collecting among MLflow's many objects takes longer than the answer
    with contextlib.redirect_stdout(sys.stderr):
        result = answer(Request(*json.loads(request)))
    sys.stdout.buffer.write(adapter().dump_json(result))
    sys.stdout.flush()
    gc.freeze()  # no collection at exit either
    return cli.USER_ERROR if isinstance(result, UserError) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Reads the registry in a short-lived process of its own: the page's own never imports mlflow.

python -m serve.model.clerk REQUEST, where REQUEST is a JSON object with any of

list       names of registered models; answered by all their versions
champions  tasks; answered by the graph of each one's champion
find       addresses models:/NAME/NUMBER or models:/NAME@ALIAS; answered by their graphs
about      an address; answered by the version's card, its run's curves, the pictures of its network

The answer is a JSON object with the same keys, or {"error": sentence} and exit code 2.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments import cli
from experiments.errors import UserError, without_password
from experiments.paths import ROOT, STORE
from serve.model.listing import LINKS
from serve.texts import model as say

SECONDS = 20  # until an answer must be there
# MLflow would ask a server that is down for minutes.
HASTE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
CURVES = ("train_loss", "val_loss", "train_accuracy", "val_accuracy")
MOST_POINTS = 500  # of a curve
PICTURES = {"light": "architecture.svg", "dark": "architecture-dark.svg"}
PICTURE_BYTES = 2_000_000  # of one, at most; ours have 130,000
KEPT_TAGS = {"precision", "opset", "test_accuracy", "torch_model", *LINKS.values()}


class Inquiry:
    """A question to the registry, under way from the moment it is made.

    Args:
        request: as in the head of this file.
    """

    def __init__(self, **request: Sequence[str]) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._until = time.monotonic() + SECONDS
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-m", "serve.model.clerk", json.dumps(request)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        weakref.finalize(self, _end, self._process)  # at the latest when the page ends

    def answer(self) -> dict[str, Any]:
        """Wait for the answer and return it.

        Raises:
            UserError: the registry fails, or has not answered in SECONDS.
        """
        try:
            out, err = self._process.communicate(timeout=max(self._until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise UserError(say.NO_ANSWER.format(address=_address(), seconds=SECONDS)) from None
        try:
            answer: dict[str, Any] = json.loads(out)
        except ValueError:
            why = next(reversed(err.strip().splitlines()), f"exit code {self._process.returncode}")
            raise UserError(say.NO_CLERK.format(address=_address(), why=why)) from None
        if "error" in answer:
            raise UserError(answer["error"])
        return answer


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()


def _address() -> str:
    return without_password(os.environ.get("MLFLOW_TRACKING_URI") or str(STORE))


def respond(request: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the answer to `request`, as in the head of this file.

    Raises:
        UserError: the registry cannot be read. What one address alone lacks stands in its answer.
    """
    return {what: ANSWERS[what](asked) for what, asked in request.items()}


def _listed(names: Sequence[str]) -> list[dict[str, Any]]:
    from experiments import versions

    there = set(versions.names())
    return [row for name in names if name in there for row in _rows(name)]


def _rows(name: str) -> Iterator[dict[str, Any]]:
    """Yield a model's versions that may be opened; none of their files is read for it."""
    from experiments import versions

    with versions.registry() as client:
        bearers = client.get_registered_model(name).aliases
        found = client.search_model_versions(f"name = '{name}'", max_results=versions.MOST)
    for version in found:
        if versions.FILES in version.tags:  # others have no hashes
            yield {
                "name": name,
                "number": int(version.version),
                "created": version.creation_timestamp / 1000,
                "run_id": version.run_id or "",
                "aliases": sorted(a for a, n in bearers.items() if str(n) == str(version.version)),
                "tags": {tag: version.tags[tag] for tag in KEPT_TAGS if tag in version.tags},
            }


def _each(
    asked: Sequence[str], answer: Callable[[str], dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return question -> its answer, or {"error": sentence}."""
    answers = {}
    for question in asked:
        try:
            answers[question] = answer(question)
        except UserError as error:
            answers[question] = {"error": str(error)}
    return answers


def _champion(task: str) -> dict[str, Any]:
    from experiments import versions

    train, export = (h.format(task=task) for h in (cli.HOW_TO_TRAIN, cli.HOW_TO_EXPORT))
    versions.find(f"models:/{task}@{versions.CHAMPION}", f"{train} && {export}")
    return _graph(f"models:/{task}-onnx@{versions.CHAMPION}", export)


def _graph(uri: str, how_to_make: str = "") -> dict[str, Any]:
    """Return the version that `uri` names now and its ONNX file, whose hash was checked."""
    from experiments import artifacts, versions

    version = versions.find(uri, how_to_make)
    return {"uri": version.uri, "graph": _text(artifacts.onnx_graph(version))}


def _about(uri: str) -> dict[str, Any]:
    from experiments import card, versions

    version = versions.find(uri)
    linked = version.tags.get("torch_model")
    origin = versions.find(linked) if linked else version
    carded = version if card.NAME in version.attached else origin
    parts: dict[str, Callable[[], Any]] = {
        "card": lambda: versions.read(carded, card.NAME).decode(),
        "curves": lambda: _curves(origin.run_id),
        "pictures": lambda: _pictures(origin),
    }
    found: dict[str, Any] = {"problems": []}
    for name, part in parts.items():
        try:
            found[name] = part()
        except UserError as error:
            found["problems"].append(str(error))
    return found


def _curves(run_id: str) -> dict[str, list[tuple[int, float]]]:
    """Return metric -> (epoch, value), thinned out where there are very many."""
    from experiments import versions

    curves = {}
    with versions.registry() as client:
        for name in CURVES:
            points = [(p.step, p.value) for p in client.get_metric_history(run_id, name)]
            curves[name] = sorted(points)[:: max(len(points) // MOST_POINTS, 1)]
    return curves


def _pictures(version: Any) -> dict[str, str]:
    """Return ground -> the SVG of the network for it."""
    from experiments import tracking

    pictures = {}
    with tempfile.TemporaryDirectory() as folder:
        for ground, name in PICTURES.items():
            path = tracking.artifact(version, f"figures/network/{name}", Path(folder))
            if path.stat().st_size <= PICTURE_BYTES:
                pictures[ground] = _text(path.read_bytes())
    return pictures


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


ANSWERS: Mapping[str, Callable[[Sequence[str]], Any]] = {
    "list": _listed,
    "champions": lambda tasks: _each(tasks, _champion),
    "find": lambda uris: _each(uris, _graph),
    "about": lambda uris: _each(uris, _about),
}


def main(request: str) -> int:
    """Print the answer to `request`, JSON; return the exit code."""
    for name, value in HASTE.items():
        os.environ.setdefault(name, value)
    gc.disable()  # looking through all that mlflow brings takes longer than the answer
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = respond(json.loads(request))
    except (UserError, ImportError) as error:
        missing = isinstance(error, ImportError)
        answer = {"error": say.NO_MLFLOW.format(why=error) if missing else str(error)}
    print(json.dumps(answer), flush=True)
    gc.freeze()  # or the interpreter looks through it at the end
    return cli.USER_ERROR if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

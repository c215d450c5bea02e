"""Questions to the registry, which a short-lived child process answers (registry_worker.py).

So the page's own process never imports MLflow. A question is JSON on the child's command line, the
answer JSON on its output, with a UserError's facts in place of what cannot be read.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, NamedTuple, TypeVar

from pydantic import ConfigDict, PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from experiments.core.errors import UserError, without_password
from experiments.core.paths import ROOT, STORE
from serve.models.catalog import CatalogEntry
from serve.refusals import refusal

QUERY_TIMEOUT_S = 20.0
Curves = dict[str, list[tuple[int, float]]]  # metric -> (epoch, value)
T = TypeVar("T")


def _error(given: UserError | dict[str, str]) -> UserError:
    if isinstance(given, UserError):
        return given
    if "code" not in given:
        raise ValueError("not the facts of an error")
    return UserError(**given)


Failure = Annotated[UserError, PlainValidator(_error), PlainSerializer(UserError.facts)]


class Request(NamedTuple):
    """What to read besides the list of versions; models:/NAME/NUMBER or models:/NAME@ALIAS each."""

    graphs: Sequence[str] = ()
    about: Sequence[str] = ()


@dataclass(frozen=True)
class Graph:
    """The ONNX file of the version that an address names now; its hash has been checked."""

    uri: str
    raw: bytes


@dataclass(frozen=True)
class About:
    """What is stored with a version; what is missing has its error in `problems`."""

    card: str | None = None
    curves: Curves | None = None
    pictures: Mapping[str, bytes] | None = None  # light, dark -> SVG of the network
    problems: Sequence[Failure] = ()


@dataclass(frozen=True)
class Answer:
    """The answer to a request, by its addresses."""

    entries: Sequence[CatalogEntry] = ()
    graphs: Mapping[str, Graph | Failure] = field(default_factory=dict)
    about: Mapping[str, About | Failure] = field(default_factory=dict)


@cache
def adapter() -> TypeAdapter[Answer | UserError]:
    """Return what turns an answer, or an error of all of it, into JSON and back."""
    return TypeAdapter(
        Answer | Failure, config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    )


def value(result: T | UserError) -> T:
    """Return a result that may be an error, or raise it."""
    if isinstance(result, UserError):
        raise copy.copy(result)  # an error that is raised twice would collect both tracebacks
    return result


class RegistryQuery:
    """A question to the registry; a child process starts to answer it at once.

    Args:
        request: what to read.
        timeout_s: seconds until the answer must be complete.
    """

    def __init__(self, request: Request, timeout_s: float = QUERY_TIMEOUT_S) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-P", "-W", "ignore", "-m", "serve.models.registry_worker"]
        self._timeout_s, self._deadline = timeout_s, time.monotonic() + timeout_s
        self._process = subprocess.Popen(
            [*command, json.dumps(request)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        weakref.finalize(self, self._process.kill)  # at the latest when the page ends

    def answer(self) -> Answer:
        """Wait for the answer and return it.

        Raises:
            UserError: the registry fails, or does not answer in time.
        """
        registry = without_password(os.environ.get("MLFLOW_TRACKING_URI") or str(STORE))
        what = {"registry": f"registry at {registry}"}
        try:
            out, err = self._process.communicate(timeout=max(self._deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise refusal("registry-timeout", "none", seconds=self._timeout_s, **what) from None
        try:
            answer = adapter().validate_json(out)
        except ValidationError:  # it has crashed
            lines = err.decode(errors="replace").strip().splitlines()
            found = lines[-1] if lines else f"exit code {self._process.returncode}"
            raise refusal("registry-unreadable", found, **what) from None
        return value(answer)

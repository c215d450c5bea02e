"""Expected errors: by class, code and facts, never by their sentence."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from experiments.core.errors import UserError


@contextmanager
def refused(
    code: str, kind: type[UserError] = UserError, **facts: object
) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """Expect an error of that class and code; each of `facts` is part of its attribute.

    with refused("task-unknown", what="task", found="mnst"):
        tasks.get("mnst")
    """
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert error.code == code, error
    for name, value in facts.items():
        assert str(value) in getattr(error, name), (name, error.facts())


class Ending(NamedTuple):
    """The last line of a command that failed: `Error: SENTENCE [CODE]`."""

    sentence: str
    code: str


def ending(stderr: str) -> Ending:
    """Return the last line of a command with a user's error; a traceback fails the test."""
    assert "Traceback" not in stderr, stderr
    (match,) = re.findall(r"^Error: (.+) \[([a-z0-9-]+)\]$", stderr, re.MULTILINE)
    return Ending(*match)

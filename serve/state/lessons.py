"""The lessons of serve/lessons.json: read, checked, and chosen for the models that are served."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError, field_validator

from serve.refusals import refusal
from serve.state.form import Form, State, unpack
from serve.state.parts import PARTS

LESSONS = Path(__file__).resolve().parents[1] / "lessons.json"
Text = Annotated[str, Field(min_length=1, max_length=600)]


class Step(Form):
    """One step of a lesson.

    Attributes:
        state: of the page, as in a link; a link itself may stand here, too.
        look_at: the part of the page to outline, a name of `PARTS`.
    """

    state: State
    text: Text
    question: Text
    answer: Text
    look_at: str | None = None

    @field_validator("state", mode="before")
    @classmethod
    def _unpack(cls, state: object) -> object:
        if not isinstance(state, str):
            return state
        try:
            return json.loads(unpack(state))
        except json.JSONDecodeError as error:
            raise ValueError("a link that carries a state") from error

    @field_validator("look_at")
    @classmethod
    def _check_part(cls, name: str | None) -> str | None:
        if name is not None and name not in PARTS:
            raise ValueError(f"one of {', '.join(PARTS)}")
        return name


class Lesson(Form):
    """A guided tour of the page.

    Attributes:
        name: short and unique, for programs.
        about: one line for the list.
        needs: the task whose model must be served; None: any page has what it needs.
    """

    name: Annotated[str, Field(pattern="^[a-z][a-z-]{1,30}$")]
    title: Annotated[str, Field(min_length=1, max_length=60)]
    about: Annotated[str, Field(min_length=1, max_length=120)]
    needs: str | None = None
    steps: Annotated[list[Step], Field(min_length=3, max_length=6)]


def load(path: Path = LESSONS) -> list[Lesson]:
    """Return the lessons of a file.

    Raises:
        UserError: lessons-invalid; names the lesson, the step and the field that is wrong.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
        lessons = TypeAdapter(list[Lesson]).validate_python(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = _where(content, first["loc"])
        raise _invalid(path, where, _expected(first), first["input"]) from error
    except (OSError, ValueError) as error:
        raise _invalid(path, "the file", "a list of lessons in JSON", error) from error
    names = [lesson.name for lesson in lessons]
    for name in names:
        if names.count(name) > 1:
            raise _invalid(path, f"lesson {name}", "a name that no other lesson has", name)
    return lessons


def offered(lessons: Sequence[Lesson], served: Collection[str]) -> list[Mapping[str, object]]:
    """Return the lessons, as JSON, whose model is among the tasks `served`."""
    return [
        lesson.model_dump(exclude_unset=True)
        for lesson in lessons
        if lesson.needs is None or lesson.needs in served
    ]


def _where(content: object, loc: Sequence[int | str]) -> str:
    """Return the place of an error in words: lesson xor, step 2, field state.gate.bits."""
    place = []
    if loc and isinstance(content, list) and isinstance(loc[0], int):
        lesson = content[loc[0]]
        name = lesson.get("name") if isinstance(lesson, dict) else None
        place.append(f"lesson {name or loc[0] + 1}")
        loc = loc[1:]
    if len(loc) > 1 and loc[0] == "steps" and isinstance(loc[1], int):
        place.append(f"step {loc[1] + 1}")
        loc = loc[2:]
    if loc:
        place.append(f"field {'.'.join(map(str, loc))}")
    return ", ".join(place) or "the file"


def _expected(error: Mapping[str, Any]) -> str:
    """Return what was expected, in words, of one of pydantic's errors."""
    if error["type"] == "extra_forbidden":
        return "a field of this form"
    if error["type"] == "missing":
        return "this field"
    if error["type"] == "string_pattern_mismatch":
        names = re.fullmatch(r"\^\((.*)\)\$", error["ctx"]["pattern"])
        return f"one of {names[1].replace('|', ', ')}" if names else error["msg"].lower()
    text = re.sub(
        "^(Value error, |Input should be |String should have |List should have )", "", error["msg"]
    )
    return text.replace(" after validation", "")


def _invalid(path: Path, where: str, expected: str, found: object) -> Exception:
    text = str(found) if isinstance(found, Exception) else repr(found)
    short = text if len(text) <= 60 else f"{text[:57]}..."
    return refusal("lessons-invalid", short, file=path.name, where=where, expected=expected)

"""The tabs' HTML: files of Jinja macros, which escape every value."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from experiments.core.errors import UserError


def macros(path: Path, texts: ModuleType) -> Callable[..., str]:
    """Return a function of a macro's name and its arguments, which returns its HTML.

    Args:
        path: of a file of macros.
        texts: the module of serve/strings that they know as `texts`.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    module = environment.from_string(path.read_text("utf-8"), {"texts": texts}).module

    def html(name: str, *values: object, **options: object) -> str:
        return str(getattr(module, name)(*values, **options))

    return html


def fill(text: str, /, **values: object) -> Markup:
    """Return a text of serve/strings, which may have tags, with escaped values in its braces."""
    return Markup(text).format(**values)  # noqa: S704


def paragraph(text: str, code: str = "") -> str:
    """Return a paragraph that screen readers speak, with an error's code; empty without a text."""
    if not text:
        return ""
    return str(fill('<p role="status" data-code="{code}">{text}</p>', code=code, text=text))


def error_message(error: UserError) -> str:
    """Return an error as a paragraph that screen readers speak."""
    return paragraph(str(error), error.code)

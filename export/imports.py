"""What a module needs, of this project and of other packages, found in its text alone."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from experiments.errors import UserError
from experiments.paths import ROOT

ROOMS = ("serve", "experiments", "export", "models")
PACKAGES = ROOT / "requirements.txt"


@dataclass(frozen=True)
class Imports:
    """What a module imports, by full names: at once, and only when some function is called.

    A name may be a module's or that of something in it.
    """

    head: frozenset[str]
    late: frozenset[str]

    @property
    def ever(self) -> frozenset[str]:
        """Return both."""
        return self.head | self.late


def module_file(name: str) -> Path | None:
    """Return the file of one of this project's modules; None if it is none."""
    if name.partition(".")[0] not in ROOMS:
        return None
    stem = ROOT.joinpath(*name.split("."))
    paths = (stem.with_suffix(".py"), stem / "__init__.py")
    return next((path for path in paths if path.is_file()), None)


@cache
def of_file(path: Path) -> Imports:
    """Return what the file of a module imports; what only type checkers import does not count.

    A module that is only named in a text, as for `python -m NAME`, counts as imported late.
    """
    found = list(_imported(ast.parse(path.read_text("utf-8")).body, late=False))
    return Imports(
        frozenset(name for name, late in found if not late),
        frozenset(name for name, late in found if late),
    )


def _imported(nodes: Iterable[ast.AST], late: bool) -> Iterator[tuple[str, bool]]:
    """Yield each imported name, and whether it is imported but when a function is called."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, late) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, late
            yield from ((f"{node.module}.{alias.name}", late) for alias in node.names)
        elif isinstance(node, ast.Constant):
            text = node.value if isinstance(node.value, str) else ""
            if re.fullmatch(r"\w+(\.\w+)+", text) and module_file(text):
                yield text, True
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from _imported(node.orelse, late)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from _imported(ast.iter_child_nodes(node), late or function)


def closure(
    start: str,
    follow: Callable[[Imports], Iterable[str]],
    but: Callable[[str], bool] = lambda _: False,
) -> dict[str, Path]:
    """Return module -> file of all that `start` leads to, with their packages, sorted.

    Args:
        follow: which of a module's imports lead on.
        but: which modules do not belong to it.
    """
    found: dict[str, Path] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        path = module_file(name)
        if path is not None and name not in found and not but(name):
            found[name] = path
            waiting += [name.rpartition(".")[0], *follow(of_file(path))]
    return dict(sorted(found.items()))


def foreign(names: Iterable[str]) -> set[str]:
    """Return the top names of what is neither of this project nor of Python itself."""
    tops = {name.partition(".")[0] for name in names}
    return tops - {*ROOMS} - sys.stdlib_module_names


def pins(tops: Iterable[str]) -> dict[str, str]:
    """Return package -> version, as this project pins it, of what is imported by the names `tops`.

    Raises:
        UserError: a package is neither pinned nor brought along by one that is.
    """
    from importlib.metadata import requires

    line = re.compile(r"^([\w.-]+)(?:\[.*\])?==([\w.]+)", re.MULTILINE)
    used = {_plain(owner) for name in tops for owner in _owners().get(name, [name])}
    listed = {n: pin for n, pin in line.findall(PACKAGES.read_text()) if _plain(n) in used}
    needs = (need for name in listed for need in requires(name) or ())
    brought = {_plain(re.split(r"[^\w.-]", need, maxsplit=1)[0]) for need in needs}
    unknown = used - {_plain(name) for name in listed} - brought
    if unknown:
        raise UserError(
            f"{PACKAGES.name}: expected a line for {', '.join(sorted(unknown))}, which is "
            "imported; found none. Add it, with its version."
        )
    return listed


@cache
def _owners() -> Mapping[str, list[str]]:
    """Return name that is imported -> the installed packages that have it; it takes a second."""
    from importlib.metadata import packages_distributions

    return packages_distributions()


def _plain(name: str) -> str:
    """Return a package's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()

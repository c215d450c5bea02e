"""The registry's versions as they were last listed: where aliases lead, what belongs together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from serve.texts import model as say

FORMS = {"fp32": "-onnx", "fp16": "-onnx-fp16", "int8": "-onnx-int8", "torch": ""}
LINKS = {"fp32": "onnx_model", "fp16": "onnx_model.fp16", "int8": "onnx_model.int8"}
REGISTERED, TORCH = "models:/", "torch:"
CHAMPION = "champion"


def names(task: str, forms: Iterable[str] = FORMS) -> list[str]:
    """Return the names that a task's models are registered by, in the order of `forms`."""
    return [f"{task}{FORMS[form]}" for form in forms]


@dataclass(frozen=True)
class Row:
    """A registered version as the registry lists it; `created` in seconds since 1970."""

    name: str
    number: int
    created: float
    run_id: str
    aliases: Sequence[str]
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """Return models:/NAME/NUMBER."""
        return f"{REGISTERED}{self.name}/{self.number}"

    def __str__(self) -> str:
        return say.VERSION.format(name=self.name, number=self.number)


class Listing:
    """All versions of the page's tasks at one moment; it never changes."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        ordered = sorted(rows, key=lambda row: (row.name, -row.number))  # the newest first
        self.rows = {row.uri: row for row in ordered}
        self._bearers = {
            f"{REGISTERED}{row.name}@{alias}": row for row in ordered for alias in row.aliases
        }

    def find(self, key: str) -> Row | None:
        """Return the version that a key names, with torch: or without."""
        uri = key.removeprefix(TORCH)
        return self._bearers.get(uri) or self.rows.get(uri)

    def choices(self, task: str, forms: Iterable[str]) -> list[tuple[str, str]]:
        """Return (label, key) of a task's aliases, then of its versions."""
        rows = [row for name in names(task, forms) for row in self.of(name)]
        prefix = {row.uri: TORCH if row.name == task else "" for row in rows}
        aliases = [
            (
                say.ALIAS.format(name=row.name, alias=alias, number=row.number),
                f"{prefix[row.uri]}{REGISTERED}{row.name}@{alias}",
            )
            for row in rows
            for alias in sorted(row.aliases)
        ]
        return aliases + [(_label(row), f"{prefix[row.uri]}{row.uri}") for row in rows]

    def of(self, name: str) -> list[Row]:
        """Return the versions of a model, the newest first."""
        return [row for row in self.rows.values() if row.name == name]

    def origin(self, key: str) -> Row | None:
        """Return the trained version that a key's graph was exported from, or that it is."""
        row = self.find(key)
        linked = row and row.tags.get("torch_model")
        return self.rows.get(linked) if linked else row

    def forms(self, origin: Row) -> dict[str, str]:
        """Return fp32, fp16, int8, torch -> key of a trained version in each form it has."""
        found = {form: origin.tags.get(tag, "") for form, tag in LINKS.items()}
        found = {form: uri for form, uri in found.items() if uri in self.rows}
        return found | {"torch": f"{TORCH}{origin.uri}"}

    def unexported(self, task: str) -> Row | None:
        """Return the task's champion if the graph's champion is of another version."""
        program, graph = (
            self.find(f"{REGISTERED}{name}@{CHAMPION}") for name in names(task, ("torch", "fp32"))
        )
        if program is None or graph is None or graph.tags.get("torch_model") == program.uri:
            return None
        return program


def _label(row: Row) -> str:
    told = [str(row), row.tags.get("precision", "")]
    if "test_accuracy" in row.tags:
        told.append(say.RIGHT.format(share=float(row.tags["test_accuracy"])))
    return ", ".join(filter(None, told))

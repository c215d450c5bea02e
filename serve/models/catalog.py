"""The registry's versions as last listed: where aliases point, which versions belong together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from experiments.core.exports import PRECISIONS, graph_name, graph_tag
from serve.models.model_ref import GRAPH, REGISTRY, TORCH, ModelRef
from serve.strings import model as say

GRAPHS = PRECISIONS
FORMS = (*GRAPHS, "torch")
CHAMPION = "champion"
# A tab's task -> all tasks whose models it can use: same input, same labels.
INTERCHANGEABLE = {"mnist": ("mnist", "logic")}


def names(task: str, forms: Iterable[str] = FORMS) -> list[str]:
    """Return the names of a task's registered models, in the order of `forms`."""
    return [task if form == "torch" else graph_name(task, form) for form in forms]


def interchangeable(task: str) -> Sequence[str]:
    """Return the tasks whose models the tab of `task` can use, itself first."""
    return INTERCHANGEABLE.get(task, (task,))


def champion(task: str, backend: str) -> ModelRef:
    """Return the reference to the version that a page on `backend` serves of a task."""
    if backend == "torch":
        return ModelRef(TORCH, task, alias=CHAMPION)
    return ModelRef(GRAPH, graph_name(task), alias=CHAMPION)


@dataclass(frozen=True)
class CatalogEntry:
    """A registered version as the registry lists it."""

    name: str
    number: int
    run_id: str
    aliases: Sequence[str]
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """Return models:/NAME/NUMBER."""
        return f"{REGISTRY}{self.name}/{self.number}"

    def __str__(self) -> str:
        return say.VERSION.format(name=self.name, number=self.number)


class Catalog:
    """All versions of the page's tasks at one moment; it never changes."""

    def __init__(self, entries: Iterable[CatalogEntry] = ()) -> None:
        # Newest first: the order of the page's choices.
        self._entries = sorted(entries, key=lambda entry: (entry.name, -entry.number))
        self._by_uri = {entry.uri: entry for entry in self._entries}
        for entry in self._entries:
            for alias in entry.aliases:
                self._by_uri[f"{REGISTRY}{entry.name}@{alias}"] = entry

    def find(self, uri: str) -> CatalogEntry | None:
        """Return the version that models:/NAME/NUMBER or models:/NAME@ALIAS names."""
        return self._by_uri.get(uri)

    def tasks(self) -> list[str]:
        """Return the tasks, which are their models' names, that have an exported champion."""
        known = {entry.name for entry in self._entries}
        return sorted(name for name in known if self.find(champion(name, "onnxruntime").uri))

    def versions(self, name: str) -> list[CatalogEntry]:
        """Return the versions of a registered model, the newest first."""
        return [entry for entry in self._entries if entry.name == name]

    def choices(self, task: str, forms: Iterable[str]) -> list[tuple[str, ModelRef]]:
        """Return (label, reference) of a task's aliases, then of its versions."""
        aliases, versions = [], []
        for name in names(task, forms):
            kind = TORCH if name == task else GRAPH
            for entry in self.versions(name):
                for alias in sorted(entry.aliases):
                    label = say.ALIAS.format(name=entry.name, alias=alias, number=entry.number)
                    aliases.append((label, ModelRef(kind, entry.name, alias=alias)))
                versions.append((_label(entry), ModelRef(kind, entry.name, entry.number)))
        return aliases + versions

    def forms(self, trained: CatalogEntry) -> dict[str, ModelRef]:
        """Return fp32, fp16, int8, torch -> reference of a trained version in each form it has."""
        forms = {}
        for precision in GRAPHS:
            exported = self.find(trained.tags.get(graph_tag(precision), ""))
            if exported is not None:
                forms[precision] = ModelRef(GRAPH, exported.name, exported.number)
        return forms | {"torch": ModelRef(TORCH, trained.name, trained.number)}

    def unexported(self, task: str) -> CatalogEntry | None:
        """Return the task's champion if the graphs' champion was exported from another version."""
        trained = self.find(champion(task, "torch").uri)
        graph = self.find(champion(task, "onnxruntime").uri)
        if trained is None or graph is None or graph.tags.get("torch_model") == trained.uri:
            return None
        return trained


def _label(entry: CatalogEntry) -> str:
    parts = [str(entry), entry.tags.get("precision", "")]
    if "test_accuracy" in entry.tags:
        parts.append(say.TEST_ACCURACY.format(accuracy=float(entry.tags["test_accuracy"])))
    return ", ".join(filter(None, parts))

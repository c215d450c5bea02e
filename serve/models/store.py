"""The models that the page serves: opened once and cached by their references.

Only registered versions of this project's tasks and what was named at start are opened, whatever
text a request sends. The torch backend is imported with the first torch program: the page itself
needs neither torch nor MLflow.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from experiments.core import cli
from experiments.core.errors import UserError
from serve.backends.onnx_backend import OnnxPredictor, Predictor
from serve.models.catalog import FORMS, GRAPHS, CatalogEntry, champion, interchangeable, names
from serve.models.model_ref import FILE, GRAPH, PREFIXES, TORCH, ModelRef
from serve.models.registry import LIST_TTL_S, Graphs, Registry
from serve.models.registry_query import About, RegistryQuery, Request, value
from serve.models.single_flight import SingleFlight
from serve.refusals import refusal
from serve.strings import model as say

CACHE_SIZE = 12  # open models and aliases besides the defaults
MAX_ADDED = 4  # files that are added while the page runs; a new one replaces the oldest


class ModelStore:
    """The models of the page's tasks; all methods may be called from any thread.

    Models are named by the text of a `ModelRef`, as the page's components hold it.

    Args:
        models: ONNX files or registered versions to serve by default; none: the champions.
        backend: onnxruntime or torch.
        tasks: that the page has tabs for.
        query: asks the registry.
        cache_size: models and aliases to keep open besides the defaults.
        list_ttl_s: seconds until the registry is listed again for a version that it lacks.

    Attributes:
        tasks: these, and others that are served or had a graph in the registry at the start.
        notes: task -> what is wrong where a default is missing or not the newest.
        local: whether only this machine reaches the page; set by the server.
    """

    def __init__(
        self,
        models: Sequence[str],
        backend: str,
        tasks: Sequence[str],
        query: Callable[[Request], RegistryQuery] = RegistryQuery,
        cache_size: int = CACHE_SIZE,
        list_ttl_s: float = LIST_TTL_S,
    ) -> None:
        self.tasks = list(tasks)
        self.notes: dict[str, UserError] = {}
        self.local = False
        self._backend, self._cache_size = backend, cache_size
        self._named = [ModelRef.from_option(model, backend) for model in models]
        self._defaults: dict[str, ModelRef] = {}
        self._added: list[ModelRef] = []
        # A version, and each alias that was asked for -> its model; least recently used first.
        self._cache: OrderedDict[ModelRef, Predictor] = OrderedDict()
        self._lock = threading.RLock()  # never held while the registry is read
        self._reading = SingleFlight()
        first = self._named or self._champions().values()
        self._registry = Registry(first, query, list_ttl_s)

    @property
    def problem(self) -> UserError | None:
        """Return why the registry could not be read the last time; None if it could."""
        return self._registry.problem

    @property
    def tabs(self) -> list[str]:
        """Return the tasks that have models of their own to choose from, not another task's."""
        shared = {other for task in self.tasks for other in interchangeable(task) if other != task}
        return [task for task in self.tasks if task not in shared]

    @property
    def defaults(self) -> dict[str, str]:
        """Return task -> text of what is served by default; tasks without a model are missing."""
        return {task: str(ref) for task, ref in self._defaults.copy().items()}

    def _champions(self) -> dict[str, ModelRef]:
        """Return task -> its champion, which is served by default unless models were named."""
        return {} if self._named else {task: champion(task, self._backend) for task in self.tasks}

    # ---- At the start

    def open(self) -> ModelStore:
        """Open the defaults with the registry's answer; return the store.

        Raises:
            UserError: a model that was named at start cannot be served.
        """
        graphs: Graphs = {}
        if self._named and all(ref.kind == FILE for ref in self._named):
            self._registry.first_later()
        else:
            graphs = self._registry.first()
        for ref in self._named:
            self._open_named(ref, graphs)
        if not self._named:
            self._open_champions(graphs)
        for task in self.tabs:  # a tab without a model of its own task uses another's
            others = [each for each in interchangeable(task) if each in self._defaults]
            if others and task not in self._defaults:
                self._defaults[task] = self._defaults[others[0]]
                self.notes.pop(task, None)
        return self

    def _open_named(self, ref: ModelRef, graphs: Graphs) -> None:
        """Open a model that was named at start as its task's default."""
        predictor = self._open(ref, graphs)
        task = predictor.task
        if task in self._defaults:
            raise refusal("model-repeated", f"{ref} and {self._defaults[task]}", task=task)
        if task not in self.tasks:
            self.tasks.append(task)
        self._defaults[task] = ref
        self._add(ref, predictor)

    def _open_champions(self, graphs: Graphs) -> None:
        """Open the champions of the page's tasks, and of others that the registry lists."""
        self.tasks += [task for task in self._registry.catalog.tasks() if task not in self.tasks]
        for task, ref in self._champions().items():
            self._note_unexported(task)
            try:
                if ref.kind == GRAPH and ref.uri not in graphs:
                    self._registry.check_readable()
                    graphs = {**graphs, **self._registry.read([ref])}
                self._add(ref, self._open(ref, graphs))
                self._defaults[task] = ref
            except UserError as error:
                self.notes[task] = error

    def _note_unexported(self, task: str) -> None:
        """Note a champion that is newer than the served graph."""
        newer = self._registry.catalog.unexported(task)
        if newer is not None and self._backend == "onnxruntime":
            command = cli.HOW_TO_EXPORT.format(task=task)
            fields = {"task": task, "champion": newer, "command": command}
            self.notes[task] = refusal("champion-unexported", "the one exported before", **fields)

    # ---- Opening models

    def _update(self, refs: Sequence[ModelRef]) -> None:
        """List the versions and read `refs` in one query; what cannot be read stays as it is."""
        graphs = self._registry.read(refs)
        for task, ref in self._champions().items():  # one may be newer than the page
            if self._registry.catalog.find(ref.uri):
                self._defaults.setdefault(task, ref)
                self.notes.pop(task, None)
            self._note_unexported(task)
        errors = []
        for ref in refs:
            try:
                if ref not in self._named:
                    self._registry.check_listed(ref)
                if not self._is_current(ref):
                    self._add(ref, self._open(ref, graphs))
            except UserError as error:  # of one version; the others are read
                errors.append(error)
        if errors:
            raise errors[0]

    def _is_current(self, ref: ModelRef) -> bool:
        """Return whether the version that `ref` names now is the one that is open."""
        predictor, entry = self._cache.get(ref), self._registry.catalog.find(ref.uri)
        if predictor is None or entry is None:
            return False
        return predictor.key == str(ref.at(entry.number))

    def _open(self, ref: ModelRef, graphs: Graphs) -> Predictor:
        """Return a new predictor of a file, a torch program, or one of the registry's graphs."""
        if ref.kind == FILE:
            return OnnxPredictor(Path(ref.name))
        if ref.kind == TORCH:
            from serve.backends import torch_backend

            return torch_backend.load(ref)
        if ref.uri not in graphs:
            self._registry.check_readable()
        graph = value(graphs[ref.uri])
        return OnnxPredictor(Path(graph.uri), graph.raw)

    def refresh(self) -> None:
        """List the versions again, and read where the aliases of open models point now.

        Raises:
            UserError: the registry, or a version that an alias points to, cannot be read; what
                is open stays open.
        """
        with self._lock:
            aliases = [ref for ref in self._cache if ref.alias]
        self._reading.call("refresh", lambda: self._update(aliases))

    # ---- From a text to a model

    def load(self, key: str, task: str | None = None) -> Predictor:
        """Return a model: at once if it is open, else read from the registry.

        Args:
            task: that it must be of, or interchangeable with; None: any.

        Raises:
            UserError: the page may not open it, there is no such version, or its hash differs.
        """
        ref = self._parse(key)
        predictor = self.cached(ref) or self._reading.call(str(ref), lambda: self._read(ref))
        return _of_task(predictor, task)

    def reload(self, key: str, task: str | None = None) -> Predictor:
        """Return a model as it is now: an alias is resolved, a file is read, once more.

        Raises:
            UserError: as `load`; what is open stays open.
        """
        ref = self._parse(key)
        if ref.kind == FILE:
            self._add(ref, _of_task(OnnxPredictor(Path(ref.name)), self._cache[ref].task))
        elif ref.alias:
            self._reading.call(f"reload {ref}", lambda: self._update([ref]))
        return self.load(key, task)

    def add_file(self, path: Path) -> str:
        """Open an ONNX file that was made while the page runs; return the text of its reference.

        Only the newest `MAX_ADDED` such files stay open.
        """
        ref = ModelRef(FILE, str(path))
        predictor = OnnxPredictor(path)
        with self._lock:
            self._added = [*(each for each in self._added if each != ref), ref]
            for oldest in self._added[:-MAX_ADDED]:
                self._cache.pop(oldest, None)
            self._added = self._added[-MAX_ADDED:]
            self._add(ref, predictor)
        return str(ref)

    def _parse(self, text: str) -> ModelRef:
        """Return the reference that the text of a request names.

        Raises:
            UserError: model-missing or key-invalid, the page may not open it.
        """
        if not text:
            raise refusal("model-missing", "none")
        ref = ModelRef.parse(str(text))
        # Files and models of other names: only what was named at start.
        tasks = [each for task in self.tasks for each in interchangeable(task)]
        known = [name for task in tasks for name in names(task)]
        is_named = ref in (*self._named, *self._added)
        is_allowed = is_named or (ref.kind != FILE and ref.name in known)
        # Torch programs: on a torch page, or a listed version on this machine alone.
        if ref.kind == TORCH and self._backend != "torch":
            is_allowed = self.local and self._registry.catalog.find(ref.uri) is not None
        if not is_allowed:
            raise refusal("key-invalid", repr(text))
        return ref

    def cached(self, ref: ModelRef) -> Predictor | None:
        """Return a model if it is open."""
        with self._lock:
            if ref in self._cache:
                self._cache.move_to_end(ref)
            return self._cache.get(ref)

    def _read(self, ref: ModelRef) -> Predictor:
        """Return a model when it is this request's turn to read the registry."""
        # Another request may have opened it meanwhile.
        if predictor := self.cached(ref):
            return predictor
        self._registry.check_if_fresh(ref)
        self._update([ref])
        return self._cache[ref]

    def _add(self, ref: ModelRef, predictor: Predictor) -> None:
        """Cache a model by its reference and, if that is an alias, by its version."""
        version = ref
        if ref.kind != FILE:
            version = replace(ModelRef.parse(predictor.key), kind=ref.kind)
        predictor.key = str(version)
        with self._lock:
            for each in (version, ref):
                self._cache[each] = predictor
                self._cache.move_to_end(each)
            # Close the least recently used models, but never a default.
            pinned = [*self._defaults.values(), *self._added]
            unpinned = [each for each in self._cache if each not in pinned]
            for each in unpinned[: -self._cache_size]:
                del self._cache[each]

    # ---- What belongs to a model

    def choices(self, task: str) -> list[tuple[str, str]]:
        """Return (label, text) of what can be chosen for a task: file, aliases, then versions."""
        choices = [choice for each in interchangeable(task) for choice in self._choices(each)]
        return [(label, text) for text, label in {text: label for label, text in choices}.items()]

    def _choices(self, task: str) -> list[tuple[str, str]]:
        forms = FORMS if self._backend == "torch" else GRAPHS
        choices = [(label, str(ref)) for label, ref in self._registry.catalog.choices(task, forms)]
        default = self._defaults.get(task)
        if default and str(default) not in dict(choices).values():
            label = say.FILE.format(path=default.name) if default.kind == FILE else str(default)
            choices.insert(0, (label, str(default)))
        added = [ref for ref in self._added if self._cache[ref].task == task]
        return [*((say.TRAINED.format(name=Path(r.name).stem), str(r)) for r in added), *choices]

    def siblings(self, key: str) -> dict[str, str]:
        """Return fp32, fp16, int8, torch -> text of the same trained version in that form."""
        predictor = self.load(key)
        trained = self._trained(predictor)
        forms = self._registry.catalog.forms(trained) if trained else {}
        siblings = {form: str(ref) for form, ref in forms.items()}
        if self._parse(key).kind == FILE:
            siblings[predictor.metadata.get("precision", GRAPHS[0])] = key
        if not find_spec("torch"):
            siblings.pop("torch", None)
        return siblings

    def _trained(self, predictor: Predictor) -> CatalogEntry | None:
        """Return the trained version behind a model, if this registry has it."""
        uri = predictor.key.removeprefix(PREFIXES[TORCH])
        metadata = predictor.metadata
        entry = self._registry.catalog.find(metadata.get("torch_model", uri))
        # Another registry's version may have the same name and number, but not the same run.
        if entry is None or entry.run_id != metadata.get("run_id", entry.run_id):
            return None
        return entry

    def about(self, key: str) -> About:
        """Return the card, curves and pictures of a model's version, as the registry has them.

        Raises:
            UserError: it is not registered here, or the registry cannot be read.
        """
        uri = self._registered(self.load(key))
        return self._reading.call(f"about {uri}", lambda: self._registry.about(uri))

    def _registered(self, predictor: Predictor) -> str:
        """Return the address of a model's registered version; of a file, of its trained one."""
        ref = ModelRef.parse(predictor.key)
        if ref.kind != FILE:
            return ref.uri
        trained = self._trained(predictor)
        if trained is None:
            self._registry.check_readable()
            raise refusal("model-unregistered", "none", model=predictor.title)
        return trained.uri


def _of_task(predictor: Predictor, task: str | None) -> Predictor:
    if task and predictor.task not in interchangeable(task):
        raise refusal("task-mismatch", f"{predictor.key} of task {predictor.task}", task=task)
    return predictor

"""Which models the page serves: opened once, kept, and found again by their keys.

A key is file:PATH (as named at start), models:/NAME/NUMBER, models:/NAME@ALIAS, or either of
these with torch: before it. Nothing else is ever opened, whoever asks.
"""

from __future__ import annotations

import base64
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from experiments import cli
from experiments.errors import UserError
from serve.model.clerk import Inquiry
from serve.model.door import RESPITE, Door
from serve.model.listing import CHAMPION, REGISTERED, TORCH, Listing, Row, names
from serve.predictor import OnnxPredictor, Predictor, read
from serve.texts import model as say

FILE = "file:"
WHICH = r"(/[1-9]\d{0,8}|@[\w.-]{1,64})"  # number or alias
GRAPHS = ("fp32", "fp16", "int8")
MOST = 8  # opened models that are kept, besides those of the start


class Shelf:
    """The models of the page's tasks; all methods may be called from any thread.

    Attributes:
        first: task -> key of what is served at first; tasks without a model are missing.
        notes: task -> a sentence where a model is missing or not the newest.
        problem: why the registry could not be read the last time; empty if it could.
        local: whether the page is reached on this machine only; set by whoever serves it.
    """

    def __init__(
        self, models: Sequence[str], backend: str, tasks: Sequence[str], inquiry: Inquiry
    ) -> None:
        self.first: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self.problem, self.local = "", False
        self._models, self._torch, self._tasks = list(models), backend == "torch", list(tasks)
        self._inquiry, self._listing = inquiry, Listing()
        self._opened: OrderedDict[str, Predictor] = OrderedDict()
        self._told: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._led: dict[str, str] = {}  # alias -> key of the open version that it leads to
        self._lock = threading.RLock()  # of the dictionaries: held for moments
        self._door = Door()

    @classmethod
    def open(cls, models: Sequence[str], backend: str, tasks: Sequence[str]) -> Shelf:
        """Return the shelf with its first models on it: `begin`, then `finish`."""
        return cls.begin(models, backend, tasks).finish()

    @classmethod
    def begin(cls, models: Sequence[str], backend: str, tasks: Sequence[str]) -> Shelf:
        """Start to read the registry in another process; `finish` must be called.

        Args:
            models: ONNX files or registered versions; none: the champions.
            backend: onnxruntime or torch.
            tasks: that the page has tabs for.

        Raises:
            UserError: the torch backend is to open a file.
        """
        registered = [model for model in models if model.startswith(REGISTERED)]
        request: dict[str, Sequence[str]] = {"list": [n for task in tasks for n in names(task)]}
        if backend == "torch":
            for model in models:
                if model not in registered:
                    raise UserError(say.TORCH_FILE.format(model=model))
        else:
            request |= {"find": registered, "champions": () if models else list(tasks)}
        return cls(models, backend, tasks, Inquiry(**request))

    def finish(self) -> Shelf:
        """Open what is served first.

        Raises:
            UserError: a model that was asked for by name cannot be served.
        """
        if self._models and not any(model.startswith(REGISTERED) for model in self._models):
            self._put_named({})  # files alone do not wait for the registry
            threading.Thread(target=self._learn, args=(self._inquiry,), daemon=True).start()
            return self
        answer = self._learn(self._inquiry)
        self._put_named(answer)
        for task in () if self._models else self._tasks:
            try:
                self._put_champion(task, answer)
            except UserError as error:
                self.notes[task] = str(error)
        return self

    def _put_named(self, answer: Mapping[str, Any]) -> None:
        for model in self._models:
            if not model.startswith(REGISTERED):
                self._put_first(f"{FILE}{model}", OnnxPredictor(Path(model)), model)
            elif self._torch:
                self._put_first(f"{TORCH}{model}", _program(model), model)
            elif self.problem:
                raise UserError(self.problem)
            else:
                self._put_first(model, _graph(answer["find"][model]), model)

    def _put_champion(self, task: str, answer: Mapping[str, Any]) -> None:
        key = self._champion(task)
        uri = key.removeprefix(TORCH)
        if self._torch:
            self._put_first(key, _program(uri, cli.HOW_TO_TRAIN.format(task=task)), uri)
        elif self.problem:
            raise UserError(self.problem)
        else:
            self._put_first(key, _graph(answer["champions"][task]), uri)

    def _put_first(self, key: str, predictor: Predictor, model: str) -> None:
        task = predictor.task
        if task not in self._tasks or task in self.first:
            why = say.NAMED_TWICE if task in self._tasks else say.HAS_NO_TAB
            raise UserError(say.NO_TAB.format(model=model, task=task, why=why))
        self.first[task] = key
        self._keep(key, predictor)

    def _learn(self, inquiry: Inquiry) -> dict[str, Any]:
        """Take in the list of versions; return the whole answer, empty if there is none."""
        try:
            answer = inquiry.answer()
        except UserError as error:
            self.problem, self._door.listed = str(error), time.monotonic()
            return {}
        listing = Listing(Row(**row) for row in answer["list"])
        with self._lock:
            self._listing, self.problem, self._door.listed = listing, "", time.monotonic()
            for task in () if self._models or self._torch else self._tasks:
                row, how = listing.unexported(task), cli.HOW_TO_EXPORT.format(task=task)
                if row is not None:
                    self.notes[task] = say.NOT_EXPORTED.format(champion=row, how=how)
                elif task in self.first:
                    self.notes.pop(task, None)
        return answer

    def _relist(self) -> None:
        self._learn(Inquiry(list=[name for task in self._tasks for name in names(task)]))
        if self.problem:
            raise UserError(self.problem)
        with self._lock:
            for task in self._tasks if not self._models else ():
                champion = self._champion(task)
                if task not in self.first and self._listing.find(champion):
                    self.first[task] = champion  # it has come since the start
                    self.notes.pop(task, None)

    def _champion(self, task: str) -> str:
        """Return the key of what is served of a task unless something else is named."""
        name, prefix = (task, TORCH) if self._torch else (names(task)[0], "")
        return f"{prefix}{REGISTERED}{name}@{CHAMPION}"

    def refresh(self) -> None:
        """List the versions anew; aliases that were moved lead to where they point now.

        Raises:
            UserError: the registry, or a version that an open alias was moved to, cannot be
                read; what is open goes on.
        """

        def relisted() -> dict[str, str]:
            self._relist()
            return self._follow()

        if failed := self._door.ask("the list", relisted):
            raise UserError(" ".join(dict.fromkeys(failed.values())))

    def _follow(self) -> dict[str, str]:
        """Lead the moved aliases to versions that could be opened; return alias -> why not."""
        failed = {}
        with self._lock:
            led = list(self._led.items())
        for alias, own in led:
            row = self._listing.find(alias)
            new = f"{TORCH if alias.startswith(TORCH) else ''}{row.uri}" if row else own
            try:
                if new != own:
                    self._open(new)
                    with self._lock:
                        self._led[alias] = new
            except UserError as error:
                failed[alias] = str(error)
        return failed

    def get(self, key: str, task: str | None = None, torch: bool = False) -> Predictor:
        """Return the model of a key: at once if it is open, else read from the registry.

        Args:
            task: that it must be of; None: any of the page's.
            torch: also a listed torch program where the page itself is not on torch.

        Raises:
            UserError: it is no key, or there is no such version, or its hash does not fit.
        """
        if str(key).startswith(TORCH):
            self._check(key, torch)  # even if it is open: for others it was opened
        return self._of_task(self._at_hand(key) or self._bring(key, torch), key, task)

    def choose(self, key: str, task: str | None = None) -> Predictor:
        """Return the model of a key as it is now: an alias is resolved, a file read, anew.

        Raises:
            UserError: as `get`; what is open goes on.
        """
        self._check(key)
        if key.startswith(FILE):
            return self._of_task(self._reread(key), key, task)
        if "@" in key:
            self._door.ask(f"{key} anew", lambda: self._lead(key))
        return self.get(key, task)

    def _lead(self, alias: str) -> None:
        """Let an alias lead to where it points now."""
        self._relist()
        if why := self._follow().get(alias):
            raise UserError(why)
        if self._listing.find(alias) is None:
            self._refuse(alias)
            self._fetch(alias)  # of a name that is not the tasks' own

    def _of_task(self, predictor: Predictor, key: str, task: str | None) -> Predictor:
        if predictor.task not in ([task] if task else self._tasks):
            wanted = task or ", ".join(self._tasks)
            raise UserError(say.OTHER_TASK.format(key=key, task=predictor.task, wanted=wanted))
        return predictor

    def _check(self, key: str, torch: bool = False) -> None:
        """Raise UserError if `key` may not be asked for at all, by whatever came from outside."""
        if not key:
            raise UserError(say.NONE_SERVED)
        key = str(key)
        uri = key.removeprefix(TORCH)
        own = "|".join(re.escape(name) for task in self._tasks for name in names(task))
        file = key.startswith(FILE) and key in self._opened
        known = self._named(key) or file or re.fullmatch(f"{REGISTERED}({own}){WHICH}", uri)
        loadable = self._torch or (torch and self._listing.find(key))
        if not known or (key.startswith(TORCH) and not loadable):
            examples = " or ".join(f"{REGISTERED}{names(task)[0]}/1" for task in self._tasks)
            raise UserError(say.NO_KEY.format(key=key[:200], examples=examples))

    def _named(self, key: str) -> bool:
        """Return whether a key is of a registered version that was named at start."""
        uri = key.removeprefix(TORCH)
        return uri in self._models and uri.startswith(REGISTERED)

    def _resolved(self, key: str) -> str:
        """Return the key of the version that an alias leads to; any other key as it is."""
        row = None if key.startswith(FILE) else self._listing.find(key)
        listed = f"{TORCH if key.startswith(TORCH) else ''}{row.uri}" if row else key
        return self._led.get(key, listed)

    def _at_hand(self, key: str) -> Predictor | None:
        key = str(key)
        with self._lock:
            own = self._resolved(key)
            if own in self._opened:
                self._opened.move_to_end(own)
                if own != key:
                    self._led[key] = own
            return self._opened.get(own)

    def _keep(self, key: str, predictor: Predictor) -> Predictor:
        """Put a model on the shelf; the one that was not used for longest may go for it."""
        with self._lock:
            own = key if key.startswith(FILE) else predictor.key
            if key.startswith(TORCH):
                own = f"{TORCH}{own}"
            if own != key:
                self._led[key] = own
            predictor.key = own
            self._opened[own] = predictor
            self._opened.move_to_end(own)
            pinned = {self._resolved(first) for first in self.first.values()}
            for old in [known for known in self._opened if known not in pinned][:-MOST]:
                del self._opened[old]
            self._led = {alias: led for alias, led in self._led.items() if led in self._opened}
        return predictor

    def _bring(self, key: str, torch: bool) -> Predictor:
        """Open a version that is not open, unless somebody else has meanwhile."""
        self._check(key, torch)
        self._refuse(key)
        return self._door.ask(key, lambda: self._open(key))

    def _open(self, key: str) -> Predictor:
        """Return the model of a key, at one's turn to read the registry."""
        found = self._at_hand(key)
        if found is not None:
            return found
        self._admit(key)
        try:
            return self._fetch(key)
        except UserError as error:
            self._door.refuse(key, str(error))
            raise

    def _lacks(self, key: str) -> bool:
        return not self._named(key) and self._listing.find(key) is None

    def _admit(self, key: str) -> None:
        """Raise UserError if the registry has no such version, which an old list cannot tell."""
        if self._lacks(key) and not self._door.fresh:
            self._relist()
        self._refuse(key)

    def _refuse(self, key: str) -> None:
        """Raise UserError if the registry has just refused a key, or just did not list it."""
        self._door.check(key)
        with self._lock:
            if self._lacks(key) and self._door.fresh:
                raise UserError(self.problem or say.NO_VERSION.format(key=key, seconds=RESPITE))

    def _fetch(self, key: str) -> Predictor:
        """Open a version and, as one process reads them all, its other precisions with it."""
        if key.startswith(TORCH):
            return self._keep(key, _program(key.removeprefix(TORCH)))
        own = self._resolved(key)
        beside = [uri for form, uri in self._forms(key).items() if form in GRAPHS and uri != own]
        asked = [uri for uri in beside if self._at_hand(uri) is None]
        found = Inquiry(find=[*asked, key]).answer()["find"]
        for uri in asked:
            if "error" not in found[uri]:
                self._keep(uri, _graph(found[uri]))
        return self._keep(key, _graph(found[key]))

    def _reread(self, key: str) -> Predictor:
        """Return the model of a file that was named at start, opened anew if it has changed."""
        path = Path(key.removeprefix(FILE))
        raw, former = read(path), self._opened[key]
        if raw == former.graph:
            return former
        return self._keep(key, self._of_task(OnnxPredictor(path, raw), key, former.task))

    def choices(self, task: str) -> list[tuple[str, str]]:
        """Return (label, key) of what can be chosen for a task: files, aliases, then versions."""
        with self._lock:
            files = [k for k, p in self._opened.items() if k.startswith(FILE) and p.task == task]
            listed = self._listing.choices(task, (*GRAPHS, *(["torch"] if self._torch else [])))
        found = [(say.FILE.format(path=key.removeprefix(FILE)), key) for key in files] + listed
        first = self.first.get(task)
        known = first is None or first in [key for _, key in found]
        return found if known else [(str(first), str(first)), *found]

    def versions(self, task: str) -> list[Row]:
        """Return the versions of a task's graphs, as they were last listed."""
        return [row for name in names(task, GRAPHS) for row in self._listing.of(name)]

    def siblings(self, key: str) -> dict[str, str]:
        """Return fp32, fp16, int8 or torch -> key of the same trained version in that form."""
        forms = self._forms(key)
        if not find_spec("torch"):
            forms.pop("torch", None)
        return forms

    def _forms(self, key: str) -> dict[str, str]:
        with self._lock:
            origin, listing = self._origin(key), self._listing
        forms = {} if origin is None else listing.forms(origin)
        if key.startswith(FILE) and self._at_hand(key):
            forms[self.metadata(key).get("precision", GRAPHS[0])] = key
        return forms

    def _origin(self, key: str) -> Row | None:
        """Return the trained version behind a key, if this registry has it."""
        if not key.startswith(FILE):
            return self._listing.origin(self._resolved(key))
        told = self.metadata(key)
        row = self._listing.find(told.get("torch_model", ""))
        return row if row and row.run_id == told.get("run_id") else None  # not one of elsewhere

    def metadata(self, key: str) -> Mapping[str, str]:
        """Return what the graph of an open key says of itself; of a torch program nothing."""
        predictor = self._at_hand(key)
        return {} if predictor is None else predictor.metadata

    def about(self, key: str) -> Mapping[str, Any]:
        """Return the card, curves and pictures of a key's version, as `model.clerk` reads them.

        Raises:
            UserError: it is not registered here, or the registry cannot be read.
        """
        self._check(key)
        origin = self._origin(key)
        if origin is None and key.startswith(FILE):
            raise UserError(self.problem or say.NOT_LISTED.format(title=self.get(key).title))
        uri = origin.uri if origin and key.startswith(FILE) else self._resolved(key)
        told = self._told.get(uri)
        if told is None:
            told = self._door.ask(f"about {uri}", lambda: self._read_about(uri))
        if "error" in told:
            raise UserError(told["error"])
        return told

    def _read_about(self, uri: str) -> Mapping[str, Any]:
        """Return the registry's answer about a version; it is kept if nothing was amiss."""
        if (known := self._told.get(uri)) is not None:  # since it was asked for
            return known
        if uri not in self._opened:
            self._admit(uri)
        found = Inquiry(about=[uri.removeprefix(TORCH)]).answer()["about"]
        told: Mapping[str, Any] = next(iter(found.values()))
        if "error" not in told and not told["problems"]:
            with self._lock:
                self._told[uri] = told
                while len(self._told) > MOST:
                    self._told.popitem(last=False)
        return told


def _graph(found: Mapping[str, str]) -> OnnxPredictor:
    """Return the predictor of a graph that the registry's process has read and checked."""
    if "error" in found:
        raise UserError(found["error"])
    return OnnxPredictor(Path(found["uri"]), base64.b64decode(found["graph"]))


def _program(uri: str, how_to_make: str = "") -> Predictor:
    """Return a predictor on torch, which is imported for it, as is mlflow."""
    from experiments import versions
    from serve.torch_backend import TorchPredictor

    version = versions.find(uri, how_to_make)
    if "task" not in version.metadata:
        raise UserError(say.FOREIGN.format(version=version))
    return TorchPredictor(version)

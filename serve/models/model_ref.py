"""References to models: a registered ONNX graph, a registered torch program, or a file."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from experiments.core.cli import user_path
from serve.refusals import refusal

REGISTRY = "models:/"
GRAPH, TORCH, FILE = "graph", "torch", "file"  # kinds
PREFIXES = {GRAPH: "", TORCH: "torch:", FILE: "file:"}
REGISTERED = re.compile(rf"(torch:)?{REGISTRY}([^/@]+)(?:/([1-9]\d{{0,8}})|@([\w.-]{{1,64}}))")


@dataclass(frozen=True)
class ModelRef:
    """Which model to open; its text is what the page and its API exchange.

    Attributes:
        kind: GRAPH, a registered ONNX graph; TORCH, a registered torch program; or FILE.
        name: the registered model's name; of a file its path.
        version: the registered version's number; None if `alias` names it.
        alias: the registered version's alias, such as champion.
    """

    kind: str
    name: str
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelRef:
        """Return the reference that `str` writes as this text.

        Raises:
            UserError: key-invalid, it is neither a registered version nor a file.
        """
        if text.startswith(PREFIXES[FILE]):
            return cls(FILE, text.removeprefix(PREFIXES[FILE]))
        match = REGISTERED.fullmatch(text)
        if match is None:
            raise refusal("key-invalid", repr(text[:200]))
        torch, name, version, alias = match.groups()
        return cls(TORCH if torch else GRAPH, name, int(version) if version else None, alias)

    @classmethod
    def from_option(cls, model: str, backend: str) -> ModelRef:
        """Return the reference that the option --model of a page on `backend` names.

        Raises:
            UserError: backend-mismatch, the torch backend opens no file; or as `parse`.
        """
        if not model.startswith(REGISTRY):
            if backend == "torch":
                raise refusal("backend-mismatch", repr(model))
            return cls(FILE, str(user_path(model, "model")))
        return replace(cls.parse(model), kind=TORCH if backend == "torch" else GRAPH)

    @property
    def uri(self) -> str:
        """Return MLflow's address of a registered version, models:/NAME/NUMBER or @ALIAS."""
        which = f"@{self.alias}" if self.alias else f"/{self.version}"
        return f"{REGISTRY}{self.name}{which}"

    def __str__(self) -> str:
        return PREFIXES[self.kind] + (self.name if self.kind == FILE else self.uri)

    def at(self, version: int) -> ModelRef:
        """Return the reference to a numbered version of the same model."""
        return replace(self, version=version, alias=None)

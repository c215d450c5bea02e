"""What the page knows of the registry: the versions as last listed, graphs, cards, problems."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping

from experiments.core.errors import UserError
from serve.models.catalog import Catalog
from serve.models.model_ref import GRAPH, ModelRef
from serve.models.registry_query import About, Graph, RegistryQuery, Request, value
from serve.refusals import refusal

LIST_TTL_S = 10.0  # seconds until the registry is listed again for a version that it lacks
MAX_ABOUT = 12  # versions whose card, curves and pictures are kept; each takes 0.4 MB
Graphs = Mapping[str, Graph | UserError]


class Registry:
    """The registry behind a page; the first query starts at once, in a process of its own.

    Args:
        first: versions to read with the first list.
        query: asks the registry.
        list_ttl_s: seconds until the registry is listed again for a version that it lacks.

    Attributes:
        catalog: the versions as last listed.
        problem: why the registry could not be read the last time; None if it could.
    """

    def __init__(
        self,
        first: Iterable[ModelRef],
        query: Callable[[Request], RegistryQuery] = RegistryQuery,
        list_ttl_s: float = LIST_TTL_S,
    ) -> None:
        self.catalog = Catalog()
        self.problem: UserError | None = None
        self._list_ttl_s, self._listed_at = list_ttl_s, float("-inf")
        self._about: dict[str, About] = {}
        self._query = query
        self._first = self._ask(first)

    def _ask(self, refs: Iterable[ModelRef]) -> RegistryQuery:
        return self._query(Request(graphs=[ref.uri for ref in refs if ref.kind == GRAPH]))

    def first(self) -> Graphs:
        """Return the graphs that the first query has read; none if the registry has a problem."""
        return self._receive(self._first)

    def first_later(self) -> None:
        """Take the list of versions when it arrives, without waiting for it."""
        threading.Thread(target=self.first, daemon=True).start()

    def read(self, refs: Iterable[ModelRef]) -> Graphs:
        """List the versions and return the graphs among `refs`, from one query.

        Raises:
            UserError: the registry cannot be read. The error of one graph is its value.
        """
        graphs = self._receive(self._ask(refs))
        self.check_readable()
        return graphs

    def _receive(self, query: RegistryQuery) -> Graphs:
        graphs: Graphs = {}
        try:
            answer = query.answer()
            self.catalog, graphs, self.problem = Catalog(answer.entries), answer.graphs, None
        except UserError as error:
            self.problem = error
        self._listed_at = time.monotonic()
        return graphs

    def check_readable(self) -> None:
        """Raise UserError if the registry could not be read the last time."""
        value(self.problem)

    def check_listed(self, ref: ModelRef) -> None:
        """Raise UserError if the registry, as last listed, has no such version."""
        if self.catalog.find(ref.uri) is None:
            self.check_readable()
            raise refusal("version-unknown", ref, seconds=self._list_ttl_s)

    def check_if_fresh(self, ref: ModelRef) -> None:
        """Do the same if the list is recent: the registry is not asked for what it just lacked."""
        if time.monotonic() - self._listed_at < self._list_ttl_s:
            self.check_listed(ref)

    def about(self, uri: str) -> About:
        """Return the card, curves and pictures of a version.

        Raises:
            UserError: the registry cannot be read, or has no such version.
        """
        if uri in self._about:
            return self._about[uri]
        about = value(self._query(Request(about=[uri])).answer().about[uri])
        if not about.problems:  # else the next call reads what is missing
            self._about[uri] = about
            for oldest in [*self._about][:-MAX_ABOUT]:
                del self._about[oldest]
        return about

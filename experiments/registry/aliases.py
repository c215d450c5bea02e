"""The aliases champion and challenger: changed under a lock, by a test, each change logged.

The log is append-only: one tag a change, kept with the registered model.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime

from experiments.core import exports
from experiments.core.errors import UserError
from experiments.registry import metadata, promotion, versions
from experiments.registry.promotion import PromotionResult
from experiments.registry.versions import CHALLENGER, CHAMPION, Version

PREFIX = "move."  # of the tag of each change, as earlier releases have written it; a number follows
MAX_REASON = 2000  # characters
TimeRatio = Callable[[Version], float]  # of a version's time for a sample to another version's
ONNX = exports.GRAPH_TAG


@dataclass(frozen=True)
class AliasChange:
    """One change of an alias.

    Attributes:
        kind: promote, rollback, follow (a graph follows its torch version), or found (the alias
            was changed by other means).
        origin, target: version numbers; None for no version.
    """

    number: int
    when: str
    who: str
    kind: str
    alias: str
    origin: int | None
    target: int | None
    why: str

    @classmethod
    def parse(cls, text: str) -> AliasChange:
        """Return the change in a tag; what earlier releases have stored beyond is ignored."""
        stored = json.loads(text)
        return cls(**{field.name: stored[field.name] for field in fields(cls)})

    def __str__(self) -> str:
        origin, target = (number or "none" for number in (self.origin, self.target))
        return (
            f"{self.when} {self.who}: {self.alias} {origin} -> {target} ({self.kind}: {self.why})"
        )


@dataclass(frozen=True)
class Mismatch:
    """An alias that does not point to the version in the last logged change."""

    alias: str
    actual: int | None = None
    logged: int | None = None

    def __str__(self) -> str:
        return f"{self.alias} is version {self.actual}, but the log ends with {self.logged}"


def history(name: str) -> list[AliasChange]:
    """Return all logged changes of a registered model's aliases, the oldest first."""
    with versions.registry() as client:
        tags = client.get_registered_model(name).tags
    return [AliasChange.parse(tags[key]) for key in sorted(tags) if key.startswith(PREFIX)]


def check_log(name: str) -> list[Mismatch]:
    """Return the aliases that differ from the log."""
    with versions.lock()():
        return _mismatches(name)


def _mismatches(name: str) -> list[Mismatch]:
    logged = {change.alias: change.target for change in history(name)}
    actual = versions.aliases(name)
    return [
        Mismatch(alias, actual.get(alias), logged.get(alias))
        for alias in (CHAMPION, CHALLENGER)
        if actual.get(alias) != logged.get(alias)
    ]


def sync_external_changes(name: str) -> None:
    """Log aliases that were changed by other means, or by a process that died midway."""
    for each in _mismatches(name):
        _log(name, each.alias, each.logged, each.actual, "found", "changed by other means")


def promote(version: Version, time_ratio: TimeRatio, force_reason: str = "") -> tuple[bool, str]:
    """Test `version` and make it champion or challenger; return whether champion, and why.

    Args:
        time_ratio: measures the version's time for a sample as a fraction of another version's.
        force_reason: why to make it champion even if it fails.

    Raises:
        UserError: version-outdated.
    """
    with versions.lock()():
        version = versions.find(version.uri)  # with the graphs exported in the meantime
        champion = versions.get_by_alias(version.name)
        if champion is not None and champion.number == version.number:
            sync_external_changes(version.name)
            _on_promoted(version)
            return True, champion.tags.get("promotion_reason", "it was the champion already")
        result = evaluate(version, champion, time_ratio)
        passed, reason = result.passed, result.reason
        if force_reason and not passed:
            passed, reason = True, f"{force_reason} (forced, although {reason})"
        versions.tag(version, {"promotion_reason": reason})
        alias = CHAMPION if passed else CHALLENGER
        _change(version.name, alias, version.number, "promote", reason)
        if passed:
            _on_promoted(version)
    return passed, reason


def evaluate(version: Version, champion: Version | None, time_ratio: TimeRatio) -> PromotionResult:
    """Return the result of a version's test against the champion; no alias changes.

    Raises:
        UserError: version-outdated, an earlier release registered `version`.
    """
    metadata.check_current(version)
    if champion is None:
        return promotion.evaluate_candidate(version.metadata, None, lambda: 1.0)
    return promotion.evaluate_candidate(
        version.metadata, champion.metadata, lambda: time_ratio(champion)
    )


def rollback(name: str, why: str) -> Version:
    """Make the champion before the present one champion again; return it.

    Raises:
        UserError: champion-missing, there was none; or model-corrupt, its files were changed.
    """
    with versions.lock()():
        sync_external_changes(name)
        current = versions.aliases(name).get(CHAMPION)
        for number in reversed(champions(history(name))):
            if number == current:
                continue
            version = versions.find_if_any(f"models:/{name}/{number}")
            if version is None:  # deleted in the meantime
                continue
            versions.check_unmodified(version)
            _change(name, CHAMPION, version.number, "rollback", why)
            _on_promoted(version)
            return version
    raise UserError(
        "champion-missing",
        f"model {name}",
        expected="an earlier champion to go back to",
        found="none",
        fix=f"See python -m experiments.registry history {name}, or promote another version.",
    )


def champions(changes: Sequence[AliasChange]) -> list[int]:
    """Return the champions up to the present one, without those that were rolled back."""
    line: list[int] = []
    for change in changes:
        if change.alias != CHAMPION or change.target is None:
            continue
        if change.kind in ("rollback", "found") and change.target in line:
            # back to an earlier champion: drop those that came after it
            while line[-1] != change.target:
                line.pop()
        elif line[-1:] != [change.target]:
            line.append(change.target)
    return line


def follow_champion(name: str) -> None:
    """Make the graphs of the present champion, if there is one, the champions among graphs."""
    with versions.lock()():
        champion = versions.get_by_alias(name)
        if champion is not None:
            _follow(champion)


def _follow(version: Version) -> None:
    """Make the unmodified graphs of a champion the champions among graphs."""
    for key, uri in sorted(version.tags.items()):
        if not key.startswith(ONNX):
            continue
        with suppress(UserError):  # an unreadable graph; `registry verify` reports it
            graph = versions.find(uri)
            if CHAMPION not in graph.aliases and not versions.modified_files(graph):
                why = f"it is the graph of {version}"
                _change(graph.name, CHAMPION, graph.number, "follow", why)


def _on_promoted(version: Version) -> None:
    """Complete a promotion: a champion is no challenger, and its graphs follow it."""
    if versions.aliases(version.name).get(CHALLENGER) == version.number:
        _change(version.name, CHALLENGER, None, "promote", f"{version} is champion")
    _follow(version)


def _change(name: str, alias: str, target: int | None, kind: str, why: str) -> None:
    """Log a change, then make it; `sync_external_changes` corrects the log of a process that died.

    Args:
        target: the number of the version; None deletes the alias.
    """
    sync_external_changes(name)
    origin = versions.aliases(name).get(alias)
    if origin != target:
        _log(name, alias, origin, target, kind, why)
        versions.set_alias(name, alias, target)


def _log(
    name: str, alias: str, origin: int | None, target: int | None, kind: str, why: str
) -> None:
    """Append a change; its number is the largest so far plus one, so none is overwritten."""
    number = max((change.number for change in history(name)), default=0) + 1
    when = datetime.now(UTC).isoformat(timespec="seconds")
    change = AliasChange(number, when, _who(), kind, alias, origin, target, why[:MAX_REASON])
    text = json.dumps(asdict(change), ensure_ascii=False)
    with versions.registry() as client:
        client.set_registered_model_tag(name, f"{PREFIX}{number:06}", text)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a user number without a name, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"

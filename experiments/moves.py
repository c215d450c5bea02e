"""Who bears which alias: moved under a lock, by a test, each move recorded for good.

The record stands with the registered model, one tag a move: who, when, from, to, why, and the
hash of the move before, so that a move that was changed or taken away is noticed.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from experiments import promotion, versions
from experiments.errors import UserError
from experiments.promotion import Verdict
from experiments.versions import CHALLENGER, CHAMPION, Version

PREFIX = "move."
LONGEST = 2000  # characters of a reason
TimeRatio = Callable[[Version], float]  # of a version's time for a sample to another version's
ONNX = "onnx_model"  # how the tags of a version begin that name its graphs


@dataclass(frozen=True)
class Move:
    """One move of an alias.

    Attributes:
        kind: promote, rollback, follow (a graph follows its torch version), or found (it had been
            moved by other means).
        origin, target: version numbers; None for no version.
        before: SHA-256 of the move before it, as it is kept; empty for the first.
    """

    number: int
    when: str
    who: str
    kind: str
    alias: str
    origin: int | None
    target: int | None
    why: str
    before: str

    @property
    def key(self) -> str:
        """Return the name of the tag that holds it."""
        return f"{PREFIX}{self.number:06}"

    @property
    def text(self) -> str:
        """Return it as it is kept."""
        return json.dumps(asdict(self))

    def __str__(self) -> str:
        origin, target = (n or "none" for n in (self.origin, self.target))
        return (
            f"{self.when} {self.who}: {self.alias} {origin} -> {target} ({self.kind}: {self.why})"
        )


def recorded(name: str) -> list[Move]:
    """Return all moves of a registered model's aliases, the oldest first."""
    kept = versions.notes(name)
    return [Move(**json.loads(kept[key])) for key in sorted(kept) if key.startswith(PREFIX)]


def breaks(name: str) -> list[str]:
    """Return, in a sentence each, where the record is not whole, or not what the aliases say."""
    moves, found = recorded(name), []
    for number, move in enumerate(moves, 1):
        before = _hash(moves[number - 2]) if number > 1 else ""
        if move.number != number or move.before != before:
            found.append(f"the record is broken at move {move.number}: {move}")
            break
    for alias in (CHAMPION, CHALLENGER):
        bearer = _number(name, alias)
        if bearer != _last(moves, alias):
            found.append(
                f"{alias} is version {bearer}, but the record ends with {_last(moves, alias)}"
            )
    return found


def promote(version: Version, time_ratio: TimeRatio, insist: str = "") -> tuple[bool, str]:
    """Put `version` to the test, and let it be champion or challenger; return which, and why.

    Args:
        time_ratio: measures the version's time for a sample as a share of another version's.
        insist: a reason to make it champion though it fails.
    """
    with versions.lock()():
        champion = versions.bearer(version.name)
        if champion is not None and champion.number == version.number:
            return True, champion.tags.get("promotion_reason", "it was the champion already")
        verdict = test(version, champion, time_ratio)
        passed = verdict.passed or bool(insist)
        reason = f"{insist} (insisted on, though {verdict.reason})" if insist else verdict.reason
        versions.tag(version, {"promotion_reason": reason})
        _move(version.name, CHAMPION if passed else CHALLENGER, version.number, "promote", reason)
        if passed:
            _leave(version)
            follow(version)
    return passed, reason


def test(version: Version, champion: Version | None, time_ratio: TimeRatio) -> Verdict:
    """Return how a version does against the champion, which changes nothing.

    Raises:
        UserError: the version has no evidence.
    """
    if "proof" not in version.metadata:
        raise UserError(
            f"{version} was registered without evidence, by another program or an earlier state of "
            f"this one; train a new one: mlflow run . -e train -P task={version.name}"
        )
    known = champion if champion and "proof" in champion.metadata else None
    return promotion.judge(
        version.metadata,
        known.metadata if known else None,
        lambda: time_ratio(known) if known else 1.0,
    )


def rollback(name: str, why: str) -> Version:
    """Make the champion before the present one champion again; return it.

    Raises:
        UserError: there was none, or its files are not what was registered.
    """
    with versions.lock()():
        notice(name)
        line = champions(recorded(name))
        while len(line) > 1:
            line.pop()
            version = versions.find_if_any(f"models:/{name}/{line[-1]}")
            if version is None:  # deleted since
                continue
            if changed := versions.changes(version):
                raise UserError(f"{version} cannot be champion again: {'; '.join(changed)}.")
            _move(name, CHAMPION, version.number, "rollback", why)
            _leave(version)
            follow(version)
            return version
    raise UserError(f"{name} has no earlier champion to go back to.")


def champions(moves: Sequence[Move]) -> list[int]:
    """Return the champions up to the present one, without those that were rolled back."""
    line: list[int] = []
    for move in moves:
        if move.alias != CHAMPION or move.target is None:
            continue
        if move.kind == "rollback" and move.target in line:
            del line[line.index(move.target) + 1 :]
        elif line[-1:] != [move.target]:
            line.append(move.target)
    return line


def follow(version: Version) -> None:
    """Make the graphs of a champion the champions among graphs."""
    for key, uri in sorted(version.tags.items()):
        graph = versions.find_if_any(uri) if key.startswith(ONNX) else None
        if graph is not None and CHAMPION not in graph.aliases:
            _move(graph.name, CHAMPION, graph.number, "follow", f"it is the graph of {version}")


def follow_champion(name: str) -> None:
    """Make the graphs of the present champion, if there is one, the champions among graphs."""
    with versions.lock()():
        champion = versions.bearer(name)
        if champion is not None:
            follow(champion)


def notice(name: str) -> None:
    """Record where aliases are that were moved by other means, or by a process that died then."""
    moves = recorded(name)
    for alias in (CHAMPION, CHALLENGER):
        bearer, last = _number(name, alias), _last(moves, alias)
        if bearer != last:
            _record(name, alias, last, bearer, "found", "moved by other means")


def _leave(version: Version) -> None:
    """A champion is no challenger."""
    if _number(version.name, CHALLENGER) == version.number:
        _move(version.name, CHALLENGER, None, "promote", f"{version} is champion")


def _move(name: str, alias: str, target: int | None, kind: str, why: str) -> None:
    """Record a move, then make it; a process that dies between leaves what `notice` records."""
    notice(name)
    origin = _number(name, alias)
    if origin != target:
        _record(name, alias, origin, target, kind, why)
        versions.set_alias(name, alias, target)


def _record(
    name: str, alias: str, origin: int | None, target: int | None, kind: str, why: str
) -> None:
    moves = recorded(name)
    move = Move(
        number=len(moves) + 1,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=f"{getpass.getuser()}@{socket.gethostname()}",
        kind=kind,
        alias=alias,
        origin=origin,
        target=target,
        why=why[:LONGEST],
        before=_hash(moves[-1]) if moves else "",
    )
    versions.note(name, move.key, move.text)


def _hash(move: Move) -> str:
    return hashlib.sha256(move.text.encode()).hexdigest()


def _number(name: str, alias: str) -> int | None:
    return versions.aliases(name).get(alias)


def _last(moves: Sequence[Move], alias: str) -> int | None:
    last: Iterator[int | None] = (m.target for m in reversed(moves) if m.alias == alias)
    return next(last, None)

"""Who bears which alias: moved under a lock, by a test, each move recorded for good.

The record stands with the registered model, one tag a move: who, when, from, to, why, and the
hash of the move before; the hash of the last has a tag of its own. So a move that was changed or
taken away is noticed.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

from experiments import promotion, versions
from experiments.errors import UserError
from experiments.promotion import Verdict
from experiments.versions import CHALLENGER, CHAMPION, Version

PREFIX, LAST = "move.", "last_move"  # tags: of each move, and of the last one's hash
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
        kept: the text that holds it.
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
    kept: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Return the name of the tag that holds it."""
        return f"{PREFIX}{self.number:06}"

    @property
    def text(self) -> str:
        """Return it as it is kept."""
        stored = {name: value for name, value in asdict(self).items() if name != "kept"}
        return self.kept or json.dumps(stored, ensure_ascii=False)

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def read(cls, key: str, text: str) -> Move:
        """Return the move that a tag holds; of one that cannot be read, no more than that."""
        try:
            return cls(**json.loads(text), kept=text)
        except (TypeError, ValueError):
            number = int(key.removeprefix(PREFIX))
            return cls(number, "?", "?", "unreadable", "?", None, None, text[:80], "?", text)

    def __str__(self) -> str:
        origin, target = (n or "none" for n in (self.origin, self.target))
        return (
            f"{self.when} {self.who}: {self.alias} {origin} -> {target} ({self.kind}: {self.why})"
        )


def recorded(name: str) -> list[Move]:
    """Return all moves of a registered model's aliases, the oldest first."""
    kept = versions.notes(name)
    return [Move.read(key, kept[key]) for key in sorted(kept) if re.fullmatch(r"move\.\d+", key)]


def breaks(name: str) -> list[str]:
    """Return, in a sentence each, where the record is not whole, or not what the aliases say."""
    with versions.lock()():
        moves, before, found = recorded(name), "", []
        for number, move in enumerate(moves, 1):
            if move.number != number or move.before != before:
                found.append(f"the record is broken at move {number}: {move}")
                break
            before = move.hash
        else:
            if versions.notes(name).get(LAST, "") != before:
                found.append(
                    f"the record is broken at move {len(moves)}, its last: it is not as it was"
                )
        for alias in (CHAMPION, CHALLENGER):
            bearer, told = _number(name, alias), _last(moves, alias)
            if bearer != told:
                found.append(f"{alias} is version {bearer}, but the record ends with {told}")
    return found


def promote(version: Version, time_ratio: TimeRatio, insist: str = "") -> tuple[bool, str]:
    """Put `version` to the test, and let it be champion or challenger; return which, and why.

    Args:
        time_ratio: measures the version's time for a sample as a share of another version's.
        insist: a reason to make it champion though it fails.
    """
    with versions.lock()():
        version = versions.find(version.uri)  # with the graphs that it has by now
        champion = versions.bearer(version.name)
        if champion is not None and champion.number == version.number:
            notice(version.name)
            _crowned(version)
            return True, champion.tags.get("promotion_reason", "it was the champion already")
        verdict = test(version, champion, time_ratio)
        passed, reason = verdict.passed or bool(insist), verdict.reason
        if passed and not verdict.passed:
            reason = f"{insist} (insisted on, though {reason})"
        versions.tag(version, {"promotion_reason": reason})
        _move(version.name, CHAMPION if passed else CHALLENGER, version.number, "promote", reason)
        if passed:
            _crowned(version)
    return passed, reason


def test(version: Version, champion: Version | None, time_ratio: TimeRatio) -> Verdict:
    """Return how a version does against the champion, which changes nothing.

    Raises:
        UserError: the version has no evidence.
    """
    with_evidence(version)
    known = champion if champion and "proof" in champion.metadata else None
    return promotion.judge(
        version.metadata,
        known.metadata if known else None,
        lambda: time_ratio(known) if known else 1.0,
    )


def with_evidence(version: Version) -> Version:
    """Return the version.

    Raises:
        UserError: it has no evidence.
    """
    if "proof" not in version.metadata:
        raise UserError(
            f"{version} was registered without evidence, by another program or an earlier state of "
            "this one, so there is nothing to test it by."
        )
    return version


def rollback(name: str, why: str) -> Version:
    """Make the champion before the present one champion again; return it.

    Raises:
        UserError: there was none, or its files are not what was registered.
    """
    with versions.lock()():
        notice(name)
        present, line = _number(name, CHAMPION), champions(recorded(name))
        for number in reversed(line[:-1] if line[-1:] == [present] else line):
            version = versions.find_if_any(f"models:/{name}/{number}")
            if version is None or number == present:  # deleted since
                continue
            if damages := versions.damages(version):
                raise UserError(f"{version} cannot be champion again: {'; '.join(damages)}.")
            _move(name, CHAMPION, version.number, "rollback", why)
            _crowned(version)
            return version
    raise UserError(f"{name} has no earlier champion to go back to.")


def champions(moves: Sequence[Move]) -> list[int]:
    """Return the champions up to the present one, without those that were rolled back."""
    line: list[int] = []
    for move in moves:
        if move.alias != CHAMPION or move.target is None:
            continue
        earlier = [place for place, number in enumerate(line[:-1]) if number == move.target]
        if move.kind in ("rollback", "found") and earlier:
            del line[earlier[-1] + 1 :]
        elif line[-1:] != [move.target]:
            line.append(move.target)
    return line


def follow(version: Version) -> None:
    """Make the graphs of a champion, those that are whole, the champions among graphs."""
    for key, uri in sorted(version.tags.items()):
        if not key.startswith(ONNX):
            continue
        with suppress(UserError):  # a graph that cannot be read; `registry verify` tells of it
            graph = versions.find(uri)
            if CHAMPION not in graph.aliases and not versions.damages(graph):
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


def _crowned(version: Version) -> None:
    """Do what comes with being champion: it is no challenger, and its graphs follow it."""
    if _number(version.name, CHALLENGER) == version.number:
        _move(version.name, CHALLENGER, None, "promote", f"{version} is champion")
    follow(version)


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
        number=max((each.number for each in moves), default=0) + 1,
        when=datetime.now(UTC).isoformat(timespec="seconds"),
        who=_who(),
        kind=kind,
        alias=alias,
        origin=origin,
        target=target,
        why=why[:LONGEST],
        before=moves[-1].hash if moves else "",
    )
    versions.note(name, move.key, move.text)
    versions.note(name, LAST, move.hash)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a number without a name, as in containers
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _number(name: str, alias: str) -> int | None:
    return versions.aliases(name).get(alias)


def _last(moves: Sequence[Move], alias: str) -> int | None:
    last: Iterator[int | None] = (m.target for m in reversed(moves) if m.alias == alias)
    return next(last, None)

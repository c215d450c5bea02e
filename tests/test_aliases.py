"""Alias changes and their log, which is true in any order and after any crash."""

import dataclasses
import getpass
import itertools
import json
import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event

import pytest

from experiments.registry import aliases, versions
from experiments.registry.aliases import AliasChange, Mismatch
from experiments.registry.versions import CHALLENGER, CHAMPION, FileChange, Version
from experiments.tracking import runs
from tests.expect import refused
from tests.stores import (
    at_once,
    damaged,
    in_threads,
    numbers,
    registered_graph,
    store_in,
)
from tests.stores import registered_again as registered

COUNT = itertools.count()
MOST_CHARACTERS = 5000  # of a registered model's tag, in MLflow's own tables


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with store_in(tmp_path_factory.mktemp("moves")) as folder:
        yield folder


@pytest.fixture
def name() -> str:
    """A registered model that no other test has."""
    return f"gate{next(COUNT)}"


def model_tags(name: str) -> dict[str, str]:
    return runs.connect().get_registered_model(name).tags


def never(other: Version) -> float:
    raise AssertionError("the time does not decide here")


def as_slow(other: Version) -> float:
    return 1.0


def current(name: str) -> tuple[int | None, int | None]:
    """Return the numbers of champion and challenger."""
    numbers = versions.aliases(name)
    return numbers.get(CHAMPION), numbers.get(CHALLENGER)


def changes(name: str) -> list[tuple[str, str, int | None, int | None]]:
    return [(m.kind, m.alias, m.origin, m.target) for m in aliases.history(name)]


def line(name: str, *wrong: int) -> list[Version]:
    """Register versions with so many wrong answers, each promoted, and return them."""
    made = []
    for number in wrong:
        made.append(registered(name, number))
        assert aliases.promote(made[-1], never)[0]
    return made


def test_a_better_version_becomes_champion(name: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    first, second = line(name, 30, 10)
    assert current(name) == (2, None) and aliases.check_log(name) == []
    a, b = aliases.history(name)
    assert (a.number, a.kind, a.alias, a.origin, a.target) == (1, "promote", CHAMPION, None, 1)
    assert (b.number, b.kind, b.alias, b.origin, b.target) == (2, "promote", CHAMPION, 1, 2)
    assert a.why == aliases.evaluate(first, None, never).reason
    assert b.why == aliases.evaluate(second, first, never).reason
    assert numbers(b.why)[:3] == ["10", "64", "30"]
    assert a.who == b.who == f"{getpass.getuser()}@{socket.gethostname()}"
    assert before <= datetime.fromisoformat(a.when) <= datetime.now(UTC)
    assert versions.find(second.uri).tags["promotion_reason"] == b.why
    for change in (a, b):
        assert {change.who, change.when, change.alias, str(change.target)} <= set(
            re.split(r":? ", str(change))
        )
        assert change.why in str(change)


def test_a_worse_version_is_challenger_with_the_reason(name: str) -> None:
    line(name, 10)
    worse = registered(name, 30)
    passed, reason = aliases.promote(worse, never)
    assert not passed and numbers(reason)[:3] == ["30", "64", "10"]
    assert current(name) == (1, 2) and versions.find(worse.uri).tags["promotion_reason"] == reason
    assert aliases.history(name)[-1].why == reason
    assert changes(name)[-1] == ("promote", CHALLENGER, None, 2) and aliases.check_log(name) == []


def test_a_champion_is_no_challenger(name: str) -> None:
    line(name, 10)
    version = registered(name, 10)
    assert not aliases.promote(version, as_slow)[0] and current(name) == (1, 2)
    assert aliases.promote(version, lambda other: 0.5)[0]
    assert current(name) == (2, None) and aliases.check_log(name) == []
    assert changes(name)[-2:] == [("promote", CHAMPION, 1, 2), ("promote", CHALLENGER, 2, None)]


def test_promoting_the_champion_changes_nothing(name: str) -> None:
    (version,) = line(name, 10)
    passed, reason = aliases.promote(version, never)
    assert passed and reason == aliases.history(name)[0].why and len(changes(name)) == 1


def test_a_forced_promotion_logs_both_reasons(name: str) -> None:
    champion, version = line(name, 20)[0], registered(name, 30)
    passed, reason = aliases.promote(version, never, force_reason="the other one is leaking")
    assert passed and reason.startswith("the other one is leaking")
    assert aliases.evaluate(version, champion, never).reason in reason
    assert current(name) == (2, None) and aliases.history(name)[-1].why == reason
    better = registered(name, 10)
    passed, reason = aliases.promote(better, never, force_reason="not needed")
    assert passed and reason == aliases.evaluate(better, version, never).reason


def check_decisions(name: str) -> None:
    """Check that the log is a chain of decisions, each right against the champion of its time."""
    recorded = aliases.history(name)
    assert aliases.check_log(name) == []
    assert [change.number for change in recorded] == list(range(1, len(recorded) + 1))
    state: dict[str, int | None] = {CHAMPION: None, CHALLENGER: None}
    for change in recorded:
        assert change.origin == state[change.alias], "it begins where the one before it has ended"
        assert change.kind == "promote"
        if change.target is not None:
            version = versions.find(f"models:/{name}/{change.target}")
            met = state[CHAMPION] and versions.find(f"models:/{name}/{state[CHAMPION]}")
            verdict = aliases.evaluate(version, met or None, as_slow)
            assert verdict.passed is (change.alias == CHAMPION)
            assert change.why == verdict.reason == version.tags["promotion_reason"]
        state[change.alias] = change.target
    assert (state[CHAMPION], state[CHALLENGER]) == current(name)


@pytest.mark.parametrize("wrong", [(10, 20), (20, 10), (20, 20)], ids=str)
@pytest.mark.parametrize("champions", [(), (40,)], ids=str)
def test_two_candidates_at_once(name: str, champions: tuple[int, ...], wrong: tuple) -> None:
    """In either order: both decisions are recorded, and the better one is champion in the end."""
    line(name, *champions)
    made = [registered(name, number) for number in wrong]
    found = in_threads(*(partial(aliases.promote, version, as_slow) for version in made))
    check_decisions(name)
    recorded = aliases.history(name)
    for version, (passed, reason) in zip(made, found, strict=True):
        (decision,) = (change for change in recorded if change.target == version.number)
        assert (decision.alias == CHAMPION, decision.why) == (passed, reason)
    champion = next(version for version in made if version.number == current(name)[0])
    assert len(champion.metadata["val_wrong"]) == min(wrong)
    assert sum(passed for passed, _ in found) >= 1


def test_one_decision_at_a_time(name: str) -> None:
    """A second candidate that comes while the first is measured waits, and meets the first."""
    champion, first, second = line(name, 10)[0], registered(name, 10), registered(name, 10)
    begun, done, met = Event(), Event(), []

    def measured(other: Version) -> float:
        met.append((first.number, other.number))
        begun.set()
        assert not done.wait(0.5), "the second decided in the midst of the first's decision"
        return 0.5

    def promote_second() -> tuple[bool, str]:
        begun.wait(60)
        try:
            return aliases.promote(second, lambda other: met.append((3, other.number)) or 0.5)
        finally:
            done.set()

    found = in_threads(partial(aliases.promote, first, measured), promote_second)
    assert [passed for passed, _ in found] == [True, True]
    assert (champion.number, met) == (1, [(2, 1), (3, 2)]) and aliases.check_log(name) == []
    assert changes(name)[1:] == [("promote", CHAMPION, 1, 2), ("promote", CHAMPION, 2, 3)]


@pytest.mark.slow
def test_processes_at_once_lose_no_promotion(store: Path, name: str) -> None:
    """Whatever the order, the one with the fewest wrong answers is champion in the end."""
    made = [registered(name, number) for number in (40, 10, 20)]
    code = "version = versions.find({!r})\nprint(aliases.promote(version, lambda other: 1.0)[0])"
    said = at_once([code.format(version.uri) for version in made], store)
    check_decisions(name)
    recorded = aliases.history(name)
    assert {m.target for m in recorded if m.target} == {1, 2, 3} and current(name)[0] == 2
    for version, words in zip(made, said, strict=True):
        was_champion = any((m.alias, m.target) == (CHAMPION, version.number) for m in recorded)
        assert words.strip() == str(was_champion)


def test_rollbacks_and_promotions_at_once_leave_a_true_log(name: str) -> None:
    line(name, 60, 50, 40, 30)
    made = [registered(name, 20), registered(name, 10)]
    back = partial(aliases.rollback, name, "a test")
    in_threads(*(partial(aliases.promote, version, as_slow) for version in made), back, back)
    assert aliases.check_log(name) == []
    counted = [kind for kind, alias, _, _ in changes(name) if alias == CHAMPION]
    assert counted.count("rollback") == 2 and "found" not in counted


def test_a_process_that_dies_between_log_and_alias(name: str) -> None:
    line(name, 30)
    second = registered(name, 10)
    aliases._log(name, CHAMPION, 1, 2, "promote", "it died then")
    assert current(name)[0] == 1
    assert aliases.check_log(name) == [Mismatch(alias=CHAMPION, actual=1, logged=2)]
    assert aliases.promote(second, never)[0]
    assert changes(name)[1:] == [
        ("promote", CHAMPION, 1, 2),
        ("found", CHAMPION, 2, 1),
        ("promote", CHAMPION, 1, 2),
    ]
    assert current(name) == (2, None) and aliases.check_log(name) == []


def test_a_champion_that_never_was_is_none_to_go_back_to(name: str) -> None:
    """A process died before it had set the alias, so version 2 has never been champion."""
    line(name, 30)
    registered(name, 20)
    aliases._log(name, CHAMPION, 1, 2, "promote", "it died then")
    aliases.sync_external_changes(name)
    assert aliases.promote(registered(name, 10), never)[0] and current(name)[0] == 3
    assert aliases.rollback(name, "a test").number == 1
    with refused("champion-missing", what=name):
        aliases.rollback(name, "a test")


def test_a_process_that_dies_before_the_challenger_is_removed(name: str) -> None:
    first = line(name, 30)[0]
    graph = registered_graph(first)
    aliases._log(name, CHALLENGER, None, 1, "promote", "before")
    versions.set_alias(name, CHALLENGER, 1)
    aliases.promote(versions.find(first.uri), never)
    assert current(name) == (1, None), "it is champion, and challenger still"
    assert versions.aliases(graph.name) == {CHAMPION: 1}, "its graph is no champion"


def test_an_alias_changed_by_other_means_is_logged(name: str) -> None:
    line(name, 30, 10)
    versions.set_alias(name, CHAMPION, 1)
    assert aliases.check_log(name) == [Mismatch(alias=CHAMPION, actual=1, logged=2)]
    aliases.sync_external_changes(name)
    assert changes(name)[-1] == ("found", CHAMPION, 2, 1) and aliases.check_log(name) == []
    versions.set_alias(name, CHAMPION, None)
    aliases.sync_external_changes(name)
    aliases.sync_external_changes(name)
    assert changes(name)[-1] == ("found", CHAMPION, 1, None) and len(changes(name)) == 4


def test_a_log_with_unknown_fields_is_read(name: str) -> None:
    """Earlier releases stored a hash with each change."""
    line(name, 40, 30)
    before = aliases.history(name)
    for key, text in model_tags(name).items():
        text = json.dumps(json.loads(text) | {"before": "0" * 64})
        runs.connect().set_registered_model_tag(name, key, text)
    assert aliases.history(name) == before and aliases.check_log(name) == []
    assert aliases.promote(registered(name, 20), never)[0] and len(changes(name)) == 3


def test_no_change_is_overwritten(name: str) -> None:
    line(name, 40, 30, 20)
    last = model_tags(name)["move.000003"]
    runs.connect().delete_registered_model_tag(name, "move.000002")
    assert aliases.promote(registered(name, 5), never)[0]
    assert model_tags(name)["move.000003"] == last


@pytest.mark.parametrize("why", ["a" * 10_000, "ü" * 10_000, '"\n' * 5_000])
def test_a_long_reason_fits_every_database(name: str, why: str) -> None:
    line(name, 30, 10)
    aliases.rollback(name, why)
    assert max(map(len, model_tags(name).values())) <= MOST_CHARACTERS
    assert aliases.history(name)[-1].why.startswith(why[:100]) and aliases.check_log(name) == []


def test_rollback_goes_back_further_each_time(name: str) -> None:
    *_, third = line(name, 40, 30, 20)
    assert aliases.rollback(name, "it leaks").number == 2 == current(name)[0]
    assert aliases.history(name)[-1].why == "it leaks"
    assert aliases.rollback(name, "this one, too").number == 1 == current(name)[0]
    with refused("champion-missing", what=name):
        aliases.rollback(name, "once more")
    assert current(name)[0] == 1 and aliases.check_log(name) == []
    assert changes(name)[-2:] == [("rollback", CHAMPION, 3, 2), ("rollback", CHAMPION, 2, 1)]
    assert aliases.promote(versions.find(third.uri), never)[0] and current(name)[0] == 3
    assert aliases.rollback(name, "a test").number == 1


def test_rollback_skips_what_was_deleted(name: str) -> None:
    line(name, 40, 30, 20)
    runs.connect().delete_model_version(name, "2")
    assert aliases.rollback(name, "a test").number == 1 == current(name)[0]


def test_rollback_refuses_files_that_changed(name: str) -> None:
    first, _ = line(name, 40, 30)
    for path in ("data/model.pt2", "requirements.txt"):
        with damaged(first, path, b"something else"):
            with refused("model-corrupt", what=first, found=FileChange("changed", path)):
                aliases.rollback(name, "a test")
            assert current(name)[0] == 2
    with damaged(first, "MLmodel", b""), refused("model-corrupt", what=first):
        aliases.rollback(name, "a test")
    assert current(name)[0] == 2 and aliases.check_log(name) == []
    assert aliases.rollback(name, "now it is whole").number == 1


def test_a_champion_whose_files_changed_can_be_rolled_back(name: str) -> None:
    _, second = line(name, 40, 30)
    with damaged(second, "MLmodel", None):
        assert aliases.rollback(name, "its files are gone").number == 1 == current(name)[0]


def test_graphs_follow_their_champion_both_ways(name: str) -> None:
    first, second = registered(name, 40), registered(name, 30)
    one, two = registered_graph(first), registered_graph(second)
    assert (one.number, two.number) == (1, 2) and one.name == two.name
    for version, graph in ((first, one), (second, two)):
        assert aliases.promote(versions.find(version.uri), never)[0]
        assert versions.aliases(graph.name) == {CHAMPION: graph.number}
    aliases.rollback(name, "a test")
    assert versions.aliases(one.name) == {CHAMPION: 1} and aliases.check_log(one.name) == []
    assert [kind for kind, *_ in changes(one.name)] == ["follow"] * 3


def test_a_graph_made_while_its_version_was_looked_at_follows(name: str) -> None:
    version = registered(name, 40)
    graph = registered_graph(version)
    assert "onnx_model" not in version.tags, "it was looked at before it was exported"
    assert aliases.promote(version, never)[0]
    assert versions.aliases(graph.name) == {CHAMPION: graph.number}


def test_an_export_lets_the_graph_of_the_champion_follow(name: str) -> None:
    version = line(name, 40)[0]
    graph = registered_graph(version)
    assert versions.aliases(graph.name) == {}
    aliases.follow_champion(name)
    assert versions.aliases(graph.name) == {CHAMPION: 1} and current(name) == (1, None)


def chain(*given: tuple[str, int | None]) -> list[AliasChange]:
    start = AliasChange(0, "", "", "", CHAMPION, None, None, "")
    return [dataclasses.replace(start, kind=kind, target=target) for kind, target in given]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], []),
        ([("promote", 1)], [1]),
        ([("promote", 1), ("promote", 2), ("rollback", 1)], [1]),
        ([("promote", 1), ("promote", 2), ("promote", 3), ("rollback", 1)], [1]),
        ([("promote", 1), ("promote", 2), ("rollback", 1), ("promote", 2)], [1, 2]),
        ([("promote", 1), ("promote", 2), ("promote", 1)], [1, 2, 1]),
        (
            [("promote", 1), ("promote", 2), ("promote", 1), ("promote", 3), ("rollback", 1)],
            [1, 2, 1],
        ),
        ([("promote", 1), ("promote", 2), ("found", 1)], [1]),
        ([("promote", 1), ("found", None), ("found", 1)], [1]),
    ],
)
def test_champions_are_those_that_were_not_rolled_back(given, expected: list[int]) -> None:
    assert aliases.champions(chain(*given)) == expected

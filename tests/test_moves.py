"""The record of moves: whole, true to the aliases, in whatever order and however often one dies."""

import dataclasses
import getpass
import itertools
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from experiments import artifacts, moves, tracking, versions
from experiments.errors import UserError
from experiments.moves import Move
from experiments.versions import CHALLENGER, CHAMPION, Version
from tests.test_versions import (
    X,
    at_once,
    bank,
    damaged,
    empty_store,
    registered,
    registered_graph,
)

COUNT = itertools.count()
MOST_CHARACTERS = 5000  # of a registered model's tag, in MLflow's own tables


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with empty_store(tmp_path_factory.mktemp("moves")) as folder:
        yield folder


@pytest.fixture
def name() -> str:
    """A registered model that no other test has."""
    return f"gate{next(COUNT)}"


def never(other: Version) -> float:
    raise AssertionError("the time does not decide here")


def as_slow(other: Version) -> float:
    return 1.0


def bearers(name: str) -> tuple[int | None, int | None]:
    found = versions.aliases(name)
    return found.get(CHAMPION), found.get(CHALLENGER)


def told(name: str) -> list[tuple[str, str, int | None, int | None]]:
    return [(m.kind, m.alias, m.origin, m.target) for m in moves.recorded(name)]


def line(name: str, *wrong: int) -> list[Version]:
    """Register versions with so many wrong answers, each promoted, and return them."""
    made = []
    for number in wrong:
        made.append(registered(name, number))
        assert moves.promote(made[-1], never)[0]
    return made


def test_a_better_version_takes_the_place(name: str) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    first, second = line(name, 30, 10)
    assert bearers(name) == (2, None) and moves.breaks(name) == []
    a, b = moves.recorded(name)
    assert (a.number, a.kind, a.alias, a.origin, a.target) == (1, "promote", CHAMPION, None, 1)
    assert (b.number, b.kind, b.alias, b.origin, b.target) == (2, "promote", CHAMPION, 1, 2)
    assert "there was none" in a.why and "10 of 64 wrong against the champion's 30" in b.why
    assert a.who == b.who == f"{getpass.getuser()}@{socket.gethostname()}"
    assert before <= datetime.fromisoformat(a.when) <= datetime.now(UTC)
    assert versions.find(second.uri).tags["promotion_reason"] == b.why
    assert f"{b.who}: champion 1 -> 2 (promote: {b.why})" in str(b)
    assert "champion none -> 1" in str(a) and first.uri != second.uri


def test_a_worse_version_is_challenger_with_the_reason(name: str) -> None:
    line(name, 10)
    worse = registered(name, 30)
    passed, reason = moves.promote(worse, never)
    assert not passed and "worse, 30 of 64 wrong against the champion's 10" in reason
    assert bearers(name) == (1, 2) and versions.find(worse.uri).tags["promotion_reason"] == reason
    assert moves.recorded(name)[-1].why == reason
    assert told(name)[-1] == ("promote", CHALLENGER, None, 2) and moves.breaks(name) == []


def test_a_champion_is_no_challenger(name: str) -> None:
    line(name, 10)
    version = registered(name, 10)
    assert not moves.promote(version, as_slow)[0] and bearers(name) == (1, 2)
    assert moves.promote(version, lambda other: 0.5)[0]
    assert bearers(name) == (2, None) and moves.breaks(name) == []
    assert told(name)[-2:] == [("promote", CHAMPION, 1, 2), ("promote", CHALLENGER, 2, None)]


def test_the_champion_itself_moves_nothing(name: str) -> None:
    (version,) = line(name, 10)
    passed, reason = moves.promote(version, never)
    assert passed and "there was none" in reason and len(told(name)) == 1


def test_to_insist_is_recorded(name: str) -> None:
    line(name, 10)
    version = registered(name, 30)
    passed, reason = moves.promote(version, never, insist="the other one is leaking")
    assert passed and reason.startswith("the other one is leaking (insisted on, though ")
    assert "worse, 30 of 64 wrong" in reason
    assert bearers(name) == (2, None) and moves.recorded(name)[-1].why == reason


def test_to_insist_on_what_passes_is_not_told_as_a_failure(name: str) -> None:
    line(name, 30)
    passed, reason = moves.promote(registered(name, 10), never, insist="to be sure")
    assert passed and "though" not in reason


def test_a_test_alone_moves_nothing(name: str) -> None:
    first, second = line(name, 30)[0], registered(name, 10)
    assert moves.test(second, first, never).passed and not moves.test(first, second, never).passed
    assert bearers(name) == (1, None) and len(told(name)) == 1


def bare(name: str) -> Version:
    """Return a version without evidence, as earlier states of this project have made them."""
    with tracking.start("test"):
        return artifacts.register_torch(bank(), name, X[:2], {"task": "gate"})


def test_a_version_without_evidence_is_not_tested(name: str) -> None:
    with pytest.raises(UserError, match="version 1 was registered without evidence"):
        moves.promote(bare(name), never, insist="I know it")
    assert bearers(name) == (None, None) and told(name) == []


def test_a_champion_without_evidence_gives_way(name: str) -> None:
    versions.set_alias(name, CHAMPION, bare(name).number)
    passed, reason = moves.promote(registered(name, 60), never)
    assert passed and "none with evidence" in reason
    assert told(name) == [("found", CHAMPION, None, 1), ("promote", CHAMPION, 1, 2)]


def test_promotions_at_once_lose_none(store: Path, name: str) -> None:
    """Whatever the order, the one with the fewest wrong answers is champion in the end."""
    wrong = (40, 10, 30, 20)
    made = [registered(name, number) for number in wrong]
    code = "version = versions.find({!r})\nprint(moves.promote(version, lambda other: 1.0))"
    said = at_once([code.format(version.uri) for version in made], store)
    assert [words.split(",")[0] in ("(True", "(False") for words in said] == [True] * 4
    assert moves.breaks(name) == [] and bearers(name)[0] == 2
    recorded = moves.recorded(name)
    assert [move.number for move in recorded] == list(range(1, len(recorded) + 1))
    assert {m.target for m in recorded if m.target} == {1, 2, 3, 4}
    place: dict[str, int | None] = {CHAMPION: None, CHALLENGER: None}
    for move in recorded:  # each begins where the one before it has ended
        assert move.origin == place[move.alias] and move.kind == "promote"
        place[move.alias] = move.target
    assert (place[CHAMPION], place[CHALLENGER]) == bearers(name)
    for version, words in zip(made, said, strict=True):
        was_champion = any((m.alias, m.target) == (CHAMPION, version.number) for m in recorded)
        assert words.startswith("(True") is was_champion


def test_rollbacks_and_promotions_at_once_leave_a_true_record(store: Path, name: str) -> None:
    line(name, 60, 50, 40, 30)
    made = [registered(name, 20), registered(name, 10)]
    code = "moves.promote(versions.find({!r}), lambda other: 1.0)"
    back = f"moves.rollback({name!r}, 'a test')"
    at_once([*(code.format(version.uri) for version in made), back, back], store)
    assert moves.breaks(name) == []
    counted = [kind for kind, alias, _, _ in told(name) if alias == CHAMPION]
    assert counted.count("rollback") == 2 and "found" not in counted


def test_who_dies_between_record_and_alias_is_noticed(name: str) -> None:
    line(name, 30)
    second = registered(name, 10)
    moves._record(name, CHAMPION, 1, 2, "promote", "it died then")
    assert bearers(name)[0] == 1
    assert moves.breaks(name) == ["champion is version 1, but the record ends with 2"]
    assert moves.promote(second, never)[0]
    assert told(name)[1:] == [
        ("promote", CHAMPION, 1, 2),
        ("found", CHAMPION, 2, 1),
        ("promote", CHAMPION, 1, 2),
    ]
    assert bearers(name) == (2, None) and moves.breaks(name) == []


def test_a_champion_that_never_was_is_none_to_go_back_to(name: str) -> None:
    """A process died before it had set the alias, so version 2 has never been champion."""
    line(name, 30)
    registered(name, 20)
    moves._record(name, CHAMPION, 1, 2, "promote", "it died then")
    moves.notice(name)
    assert moves.promote(registered(name, 10), never)[0] and bearers(name)[0] == 3
    assert moves.rollback(name, "a test").number == 1
    with pytest.raises(UserError, match="no earlier champion"):
        moves.rollback(name, "a test")


def test_who_dies_before_the_challenger_gave_way_is_mended(name: str) -> None:
    first = line(name, 30)[0]
    graph = registered_graph(first)
    moves._record(name, CHALLENGER, None, 1, "promote", "before")
    versions.set_alias(name, CHALLENGER, 1)
    moves.promote(versions.find(first.uri), never)
    assert bearers(name) == (1, None), "it is champion, and challenger still"
    assert versions.aliases(graph.name) == {CHAMPION: 1}, "its graph is no champion"


def test_an_alias_moved_by_other_means_is_noticed(name: str) -> None:
    line(name, 30, 10)
    versions.set_alias(name, CHAMPION, 1)
    assert moves.breaks(name) == ["champion is version 1, but the record ends with 2"]
    moves.notice(name)
    assert told(name)[-1] == ("found", CHAMPION, 2, 1) and moves.breaks(name) == []
    versions.set_alias(name, CHAMPION, None)
    moves.notice(name)
    moves.notice(name)
    assert told(name)[-1] == ("found", CHAMPION, 1, None) and len(told(name)) == 4


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_move_that_was_changed_is_noticed(name: str, number: int) -> None:
    line(name, 40, 30, 20)
    kept = json.loads(versions.notes(name)[f"move.{number:06}"])
    versions.note(name, f"move.{number:06}", json.dumps(kept | {"why": "another reason"}))
    (broken,) = moves.breaks(name)
    assert broken.startswith("the record is broken at move ")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_move_that_was_taken_away_is_noticed(name: str, number: int) -> None:
    line(name, 40, 30, 20)
    tracking.connect().delete_registered_model_tag(name, f"move.{number:06}")
    assert moves.breaks(name)


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"number": 2}', '{"more": 1}'])
def test_a_move_that_cannot_be_read_is_told(name: str, text: str) -> None:
    line(name, 40, 30, 20)
    versions.note(name, "move.000002", text)
    assert any("record is broken at move 2" in each for each in moves.breaks(name))


def test_no_move_is_ever_written_over(name: str) -> None:
    line(name, 40, 30, 20)
    last = versions.notes(name)["move.000003"]
    tracking.connect().delete_registered_model_tag(name, "move.000002")
    assert moves.promote(registered(name, 5), never)[0]
    assert versions.notes(name)["move.000003"] == last


@pytest.mark.parametrize("why", ["a" * 10_000, "ü" * 10_000, '"\n' * 5_000])
def test_a_long_reason_fits_every_database(name: str, why: str) -> None:
    line(name, 30, 10)
    moves.rollback(name, why)
    assert max(map(len, versions.notes(name).values())) <= MOST_CHARACTERS
    assert moves.recorded(name)[-1].why.startswith(why[:100]) and moves.breaks(name) == []


def test_rollback_goes_back_further_each_time(name: str) -> None:
    line(name, 40, 30, 20)
    assert moves.rollback(name, "it leaks").number == 2 == bearers(name)[0]
    assert moves.recorded(name)[-1].why == "it leaks"
    assert moves.rollback(name, "this one, too").number == 1 == bearers(name)[0]
    with pytest.raises(UserError, match=f"{name} has no earlier champion to go back to"):
        moves.rollback(name, "once more")
    assert bearers(name)[0] == 1 and moves.breaks(name) == []
    assert told(name)[-2:] == [("rollback", CHAMPION, 3, 2), ("rollback", CHAMPION, 2, 1)]


def test_after_a_rollback_the_way_is_open_again(name: str) -> None:
    line(name, 40, 30)
    moves.rollback(name, "a test")
    assert moves.promote(registered(name, 20), never)[0] and bearers(name)[0] == 3
    assert moves.rollback(name, "a test").number == 1


def test_a_rolled_back_version_can_be_promoted_again(name: str) -> None:
    _, second = line(name, 40, 30)
    moves.rollback(name, "a test")
    assert moves.promote(versions.find(second.uri), never)[0] and bearers(name)[0] == 2
    assert moves.rollback(name, "a test").number == 1


def test_rollback_skips_what_was_deleted(name: str) -> None:
    line(name, 40, 30, 20)
    tracking.connect().delete_model_version(name, "2")
    assert moves.rollback(name, "a test").number == 1 == bearers(name)[0]


def test_rollback_refuses_files_that_changed(name: str) -> None:
    first, _ = line(name, 40, 30)
    for path in ("data/model.pt2", "requirements.txt"):
        with damaged(first, path, b"something else"):
            with pytest.raises(UserError, match=f"cannot be champion again: {path} was changed"):
                moves.rollback(name, "a test")
            assert bearers(name)[0] == 2
    with damaged(first, "MLmodel", b""), pytest.raises(UserError, match="MLmodel"):
        moves.rollback(name, "a test")
    assert bearers(name)[0] == 2 and moves.breaks(name) == []
    assert moves.rollback(name, "now it is whole").number == 1


def test_a_champion_whose_files_changed_can_be_rolled_back(name: str) -> None:
    _, second = line(name, 40, 30)
    with damaged(second, "MLmodel", None):
        assert moves.rollback(name, "its files are gone").number == 1 == bearers(name)[0]


def test_graphs_follow_their_champion_both_ways(name: str) -> None:
    first, second = registered(name, 40), registered(name, 30)
    one, two = registered_graph(first), registered_graph(second)
    assert (one.number, two.number) == (1, 2) and one.name == two.name
    for version, graph in ((first, one), (second, two)):
        assert moves.promote(versions.find(version.uri), never)[0]
        assert versions.aliases(graph.name) == {CHAMPION: graph.number}
    moves.rollback(name, "a test")
    assert versions.aliases(one.name) == {CHAMPION: 1} and moves.breaks(one.name) == []
    assert [kind for kind, *_ in told(one.name)] == ["follow"] * 3


def test_a_graph_made_while_its_version_was_looked_at_follows(name: str) -> None:
    version = registered(name, 40)
    graph = registered_graph(version)
    assert "onnx_model" not in version.tags, "it was looked at before it was exported"
    assert moves.promote(version, never)[0]
    assert versions.aliases(graph.name) == {CHAMPION: graph.number}


def test_an_export_lets_the_graph_of_the_champion_follow(name: str) -> None:
    version = line(name, 40)[0]
    graph = registered_graph(version)
    assert versions.aliases(graph.name) == {}
    moves.follow_champion(name)
    assert versions.aliases(graph.name) == {CHAMPION: 1} and bearers(name) == (1, None)


def chain(*given: tuple[str, int | None]) -> list[Move]:
    start = Move(0, "", "", "", CHAMPION, None, None, "", "")
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
    ],
)
def test_champions_are_those_that_were_not_rolled_back(given, expected: list[int]) -> None:
    assert moves.champions(chain(*given)) == expected

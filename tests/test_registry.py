"""The command that shows, moves and checks the registry, and what it says to mistakes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from experiments import artifacts, card, moves, registry, tracking, versions
from experiments.errors import UserError
from experiments.paths import ROOT
from experiments.versions import Version
from tests.test_versions import X, bank, damaged, empty_store, registered, registered_graph


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of two champions, one after the other, and a challenger; nobody changes it."""
    with empty_store(tmp_path_factory.mktemp("shared")) as folder:
        for wrong in (30, 10, 10):
            version = registered(wrong=wrong, seed=wrong)
            moves.promote(version, lambda other: 1.0)
            card.publish(versions.find(version.uri))
        graph = registered_graph(versions.find("models:/gate/2"), 10)
        card.publish(graph, versions.find("models:/gate/2"))
        moves.follow_champion("gate")
        yield folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """A store of its own, empty."""
    with empty_store(tmp_path) as folder:
        yield folder


def said(*words: str) -> str:
    """Return what the command says to these words."""
    result = CliRunner().invoke(registry.command, words)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def refused(*words: str) -> str:
    """Return the sentence with which the command refuses these words."""
    result = CliRunner().invoke(registry.command, words)
    assert isinstance(result.exception, UserError), (result.output, result.exc_info)
    told = str(result.exception)
    assert "\n" not in told
    return told


def test_list_shows_every_version(shared: Path) -> None:
    lines = said("list").splitlines()
    assert lines[0] == "gate:" and lines[1].split() == list(registry.COLUMNS)
    assert lines[2].split()[0] == "1" and " default " in lines[2] and "53.12%" in lines[2]
    assert lines[3].split()[:2] == ["2", "@champion"] and "84.38%" in lines[3]
    assert lines[4].split()[:2] == ["3", "@challenger"]
    assert lines[5] == "gate-onnx:"
    assert lines[7].split()[:2] == ["1", "@champion"] and "models:/gate/2" in lines[7]
    assert all(len(line) < 160 for line in lines)
    assert said("list", "gate-onnx").splitlines() == lines[5:]


def test_show_prints_the_card_and_the_tags(shared: Path) -> None:
    told = said("show", "models:/gate@champion")
    assert told.startswith("# gate version 2\n") and "## How to load it" in told
    assert "\nrecipe: default\n" in told and "\nonnx_model: models:/gate-onnx/1\n" in told
    assert "\nfiles:" not in told
    assert "This is its graph in ONNX" in said("show", "models:/gate-onnx/1")


def test_compare_tells_every_gate_and_moves_nothing(shared: Path) -> None:
    before = said("history", "gate")
    told = said("compare", "models:/gate/2", "models:/gate/1")
    assert told.splitlines()[0].startswith("passed  validation: better beyond chance, 10 of 64")
    assert "gate version 2 would take the place of gate version 1." in told
    told = said("compare", "models:/gate/1", "models:/gate/2")
    assert told.splitlines()[0].startswith("FAILED  validation: worse, 30 of 64")
    assert "gate version 1 would not take the place of gate version 2." in told
    alone = next(line for line in told.splitlines() if line.startswith("wrong on validation"))
    assert alone.split()[4:6] == ["20", "0"]
    assert said("history", "gate") == before


def test_compare_takes_the_time_where_it_decides(shared: Path) -> None:
    told = said("compare", "models:/gate/3", "models:/gate/2")
    assert "no better beyond chance" in told and "of its time" in told


def test_history_tells_every_move(shared: Path) -> None:
    lines = said("history", "gate").splitlines()
    assert len(lines) == 3 and "champion none -> 1 (promote: there was none" in lines[0]
    assert "champion 1 -> 2 (promote: " in lines[1] and "challenger none -> 3" in lines[2]
    assert "follow: it is the graph of gate version 2" in said("history", "gate-onnx")


def test_verify_finds_a_whole_registry_whole(shared: Path) -> None:
    assert said("verify").startswith("4 versions, each file as it was registered")
    assert said("verify", "gate").startswith("3 versions")


MISTAKES = [
    (["show", "models:/gate@best"], "gate has @challenger, @champion, 1, 2, 3."),
    (["show", "models:/gate/9"], "gate has @challenger, @champion, 1, 2, 3."),
    (["show", "models:/gait/1"], "Registered models: gate, gate-onnx."),
    (["show", "gate"], "expected models:/NAME@ALIAS or models:/NAME/NUMBER, found 'gate'"),
    (["compare", "models:/gate/1", "models:/gate/9"], "There is no models:/gate/9."),
    (
        ["compare", "models:/gate/1", "models:/gate-onnx/1"],
        "found gate-onnx version 1: graphs follow the version that they were made of",
    ),
    (
        ["compare", "models:/gate-onnx/1", "models:/gate-onnx/1"],
        "expected a version that was trained, of gate or mnist; found gate-onnx version 1",
    ),
    (["promote", "models:/gate@nobody"], "gate has @challenger, @champion, 1, 2, 3."),
    (
        ["promote", "models:/gate-onnx/1"],
        "expected a version that was trained, of gate or mnist; found gate-onnx version 1",
    ),
    (["rollback", "gait"], "There is no model 'gait'; registered are gate, gate-onnx."),
    (["rollback", "gate-onnx"], "graphs follow the version that they were made of"),
    (["history", "gait"], "There is no model 'gait'"),
    (["list", "gait"], "There is no model 'gait'"),
    (["verify", "gait"], "There is no model 'gait'"),
]


@pytest.mark.parametrize(("words", "sentence"), MISTAKES, ids=lambda value: str(value)[:50])
def test_mistakes_are_told_in_a_sentence(shared: Path, words: list[str], sentence: str) -> None:
    assert sentence in refused(*words)


EVERY = [
    ["list"],
    ["show", "models:/gate@champion"],
    ["compare", "models:/gate/1", "models:/gate/2"],
    ["promote", "models:/gate/1"],
    ["rollback", "gate"],
    ["history", "gate"],
    ["verify"],
]


@pytest.mark.parametrize("words", EVERY, ids=lambda words: words[0])
def test_without_a_registry_it_is_said_how_to_begin(
    store: Path, monkeypatch, words: list[str]
) -> None:
    assert "mlflow run . -e train -P task=" in refused(*words), "the store is empty"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    monkeypatch.setattr(versions, "STORE", store / "none.db")
    assert "mlflow run . -e train -P task=" in refused(*words), "there is no store"
    assert not (store / "none.db").exists()


@pytest.mark.parametrize("words", EVERY, ids=lambda words: words[0])
@pytest.mark.parametrize("where", ["sqlite:///broken.db", "http://127.0.0.1:9"])
def test_a_registry_that_fails_is_told_with_its_address(
    store: Path, monkeypatch, where: str, words: list[str]
) -> None:
    (store / "broken.db").write_bytes(b"this is no database" * 100)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where)
    assert where in refused(*words)


def test_a_model_without_versions_has_none_to_show(store: Path) -> None:
    tracking.connect().create_registered_model("gate")
    assert (
        said("list").splitlines()[0] == "gate:"
        and said("history", "gate") == "No move of gate is in the record.\n"
    )
    assert "gate has no version." in refused("show", "models:/gate@champion")
    assert "gate has no earlier champion to go back to" in refused("rollback", "gate")
    assert said("verify").startswith("0 versions")


def test_promote_insist_rollback(store: Path) -> None:
    for wrong in (30, 10, 40):
        registered(wrong=wrong)
    assert "gate version 1 is champion: there was none" in said("promote", "models:/gate/1")
    assert "gate version 2 is champion: better" in said("promote", "models:/gate/2")
    told = said("promote", "models:/gate/3")
    assert "gate version 3 is challenger: " in told and "worse, 40 of 64" in told
    told = said("promote", "models:/gate@challenger", "--insist", "it is kinder")
    assert "gate version 3 is champion: it is kinder (insisted on, though " in told
    assert versions.aliases("gate") == {"champion": 3}
    told = said("rollback", "gate", "--why", "it is not")
    assert "gate version 2 is champion again.\nIt is not exported yet: python export/" in told
    assert "champion 3 -> 2 (rollback: it is not)" in said("history", "gate")
    assert "gate version 1 is champion again." in said("rollback", "gate")
    assert "gate has no earlier champion" in refused("rollback", "gate")
    assert said("verify").startswith("3 versions")


def test_rollback_takes_the_graphs_along(store: Path) -> None:
    for wrong in (30, 10):
        version = registered(wrong=wrong, seed=wrong)
        registered_graph(version, wrong)
        said("promote", version.uri)
    assert versions.aliases("gate-onnx") == {"champion": 2}
    assert said("rollback", "gate") == "gate version 1 is champion again.\n"
    assert versions.aliases("gate-onnx") == {"champion": 1}


def test_a_promotion_rewrites_the_card(store: Path) -> None:
    """A card that says why a version is challenger does not stay when it is champion."""
    for wrong in (10, 20):
        version = registered(wrong=wrong)
        moves.promote(version, lambda other: 1.0)
        card.publish(versions.find(version.uri))
    said("promote", "models:/gate/2", "--insist", "it is kinder")
    version = versions.find("models:/gate/2")
    for text in (versions.read(version, card.NAME).decode(), version.description):
        assert "it is kinder" in text.partition("## Promotion")[2].lower()
    assert versions.changes(version) == []


def test_a_version_whose_files_changed_is_no_champion(store: Path) -> None:
    version = registered()
    with damaged(version, "data/model.pt2", b"another"):
        told = refused("promote", version.uri)
    assert told == "gate version 1 cannot be champion: data/model.pt2 was changed."
    with damaged(version, "more.txt", b"another"):
        assert "more.txt is new" in refused("promote", version.uri)
    assert versions.aliases("gate") == {}


def legacy() -> Version:
    """Return a version without evidence, as earlier states of this project have made them."""
    with tracking.start("test"):
        return artifacts.register_torch(bank(), "gate", X[:2], {"task": "gate"})


def test_versions_without_evidence_are_listed_but_not_tested(store: Path) -> None:
    registered()
    legacy()
    assert "registered without evidence" in said("list")
    for words in (
        ["compare", "models:/gate/2", "models:/gate/1"],
        ["compare", "models:/gate/1", "models:/gate/2"],
        ["promote", "models:/gate/2"],
        ["promote", "models:/gate/2", "--insist", "I know it"],
    ):
        assert "gate version 2 was registered without evidence" in refused(*words)
    assert "gate version 2 has no card" in refused("show", "models:/gate/2")


def broken(*words: str) -> list[str]:
    """Return what `verify` has found."""
    result = CliRunner().invoke(registry.command, ["verify", *words])
    assert isinstance(result.exception, UserError), result.output
    lines = result.output.splitlines()
    assert f"{len(lines)} of what was registered is not as it was" in str(result.exception)
    return lines


def test_verify_tells_every_change(store: Path) -> None:
    first = registered(wrong=30)
    second = registered_graph(first)
    moves.promote(versions.find(first.uri), lambda other: 1.0)
    assert said("verify").startswith("2 versions")
    with (
        damaged(first, "data/model.pt2", b"another"),
        damaged(first, "requirements.txt", None),
        damaged(second, "MLmodel", b""),
        damaged(second, "more.txt", b"new"),
    ):
        assert broken() == [
            "gate version 1: data/model.pt2 was changed",
            "gate version 1: requirements.txt is missing",
            "gate-onnx version 1: MLmodel was changed",
            "gate-onnx version 1: more.txt is new",
        ]
        assert len(broken("gate")) == 2
    versions.set_alias("gate", "champion", None)
    versions.note("gate-onnx", "move.000001", versions.notes("gate")["move.000001"])
    assert "gate: champion is version None, but the record ends with 1" in broken("gate")
    registered()
    tracking.connect().delete_model_version_tag("gate", "2", versions.FILES)
    assert any("gate version 2: registered without hashes" in line for line in broken())


def test_verify_ends_with_2_and_without_a_traceback(store: Path) -> None:
    version = registered()
    command = [sys.executable, "-m", "experiments.registry", "verify"]
    with damaged(version, "data/model.pt2", b"another"):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == "gate version 1: data/model.pt2 was changed\n"
    assert done.stderr == "Error: 1 of what was registered is not as it was; see above.\n"


def test_files_that_are_gone_are_told_everywhere(store: Path) -> None:
    version = registered()
    moves.promote(version, lambda other: 1.0)
    folder = versions.folder(version)
    folder.rename(folder.with_name("elsewhere"))
    assert "registered, but its files cannot be read" in refused("show", version.uri)
    assert said("list").splitlines()[2].split()[:2] == ["1", "@champion"]
    assert len(broken()) == 1

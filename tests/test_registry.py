"""The registry's command: what it prints and changes, and its errors."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from experiments import report, tasks
from experiments.core import cli
from experiments.core.errors import UserError
from experiments.core.files import FileChange
from experiments.core.paths import ROOT
from experiments.registry import __main__, loading, model_card, versions
from experiments.registry import aliases as changes
from experiments.registry.aliases import Mismatch
from experiments.tracking import runs
from export import export_version, to_onnx
from tests.conftest import Command
from tests.expect import ending, refused
from tests.inprocess import Store
from tests.stores import damaged, numbers, registered, registered_graph, store_in


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A store of two champions, one after the other, and a challenger; no test changes it."""
    with store_in(tmp_path_factory.mktemp("shared")) as folder:
        for wrong in (30, 10, 10):
            version = registered(wrong=wrong, seed=wrong)
            changes.promote(version, lambda other: 1.0)
            model_card.publish(versions.find(version.uri))
        graph = registered_graph(versions.find("models:/gate/2"), 10)
        model_card.publish(graph, versions.find("models:/gate/2"))
        changes.follow_champion("gate")
        yield folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """An empty store."""
    with store_in(tmp_path) as folder:
        yield folder


def output(*words: str) -> str:
    """Return the output of the command with these words."""
    return run(__main__.command, *words)


def run(command: click.Command, *words: str) -> str:
    """Return the output of a command; its error is raised."""
    result = CliRunner().invoke(command, words)
    if result.exception:
        raise result.exception
    return result.output


def test_list_shows_every_version(shared: Path) -> None:
    lines = output("list").splitlines()
    assert lines[0] == "gate:" and {"version", "recipe", "val", "why"} <= set(lines[1].split())
    assert lines[2].split()[0] == "1" and {"default", "53.12%"} <= set(lines[2].split())
    assert lines[3].split()[:2] == ["2", "@champion"] and "84.38%" in lines[3]
    assert lines[4].split()[:2] == ["3", "@challenger"]
    assert lines[5] == "gate-onnx:"
    assert lines[7].split()[:2] == ["1", "@champion"] and "models:/gate/2" in lines[7]
    assert all(len(line) < 160 for line in lines)
    assert output("list", "gate-onnx").splitlines() == lines[5:]


def test_show_prints_the_card_and_the_tags(shared: Path) -> None:
    text = output("show", "models:/gate@champion")
    version, graph = versions.find("models:/gate/2"), versions.find("models:/gate-onnx/1")
    assert text.startswith(versions.read(version, model_card.NAME).decode())
    assert "\nrecipe: default\n" in text and f"\nonnx_model: {graph.uri}\n" in text
    assert "\nfiles:" not in text
    assert output("show", graph.uri).startswith(versions.read(graph, model_card.NAME).decode())


def test_compare_prints_every_check_and_changes_nothing(shared: Path) -> None:
    before = output("history", "gate")
    first, second = (versions.find(f"models:/gate/{number}") for number in (1, 2))
    for a, b, mark, words, alone in (
        (second, first, __main__.PASSED, __main__.WOULD, ["0", "20"]),
        (first, second, __main__.FAILED, __main__.WOULD_NOT, ["20", "0"]),
    ):
        lines = output("compare", a.uri, b.uri).splitlines()
        checks = changes.evaluate(a, b, lambda other: 1.0).checks
        assert lines[0] == f"{mark}  {checks[0]}" and checks[0].name == "validation"
        assert lines[1] == f"{__main__.PASSED}  {checks[1]}"
        assert numbers(lines[len(checks) + 1])[:2] == alone, "wrong on validation"
        assert lines[-1] == words.format(a=a, b=b)
    line = output("compare", "models:/gate/3", "models:/gate/2").splitlines()[0]
    assert numbers(line)[:5] == ["10", "64", "10", "1", "100"], "p of 1, and 100 % of its bytes"
    assert float(numbers(line)[5]) > 0, "its time, which decides"
    assert versions.aliases("gate") == {"champion": 2, "challenger": 3}
    assert output("history", "gate") == before


def test_history_prints_every_change(shared: Path) -> None:
    lines = output("history", "gate").splitlines()
    recorded = changes.history("gate")
    assert lines == [str(move) for move in recorded]
    assert [(m.kind, m.alias, m.target) for m in recorded] == [
        ("promote", "champion", 1),
        ("promote", "champion", 2),
        ("promote", "challenger", 3),
    ]
    (move,) = changes.history("gate-onnx")
    assert (move.kind, move.target) == ("follow", 1) and "gate version 2" in move.why
    assert output("history", "gate-onnx") == f"{move}\n"


def test_verify_of_an_unchanged_registry(shared: Path) -> None:
    assert output("verify") == __main__.VERIFIED.format(count=4) + "\n"
    assert output("verify", "gate") == __main__.VERIFIED.format(count=3) + "\n"


HAS, MODELS = "@challenger, @champion, 1, 2, 3", "gate, gate-onnx"
MISTAKES = [
    ("show models:/gate@best", "version-unknown", {"expected": HAS}),
    ("show models:/gait/1", "model-unknown", {"found": MODELS}),
    ("show gate", "uri-invalid", {"found": "'gate'"}),
    ("compare models:/gate/1 models:/gate/9", "version-unknown", {"what": "models:/gate/9"}),
    ("compare models:/gate/1 models:/gate-onnx/1", "model-not-trained", {"what": "gate-onnx"}),
    ("promote models:/gate@nobody", "version-unknown", {"expected": HAS}),
    ("promote models:/gate-onnx/1", "model-not-trained", {"expected": "gate or logic or mnist"}),
    ("rollback gait", "model-unknown", {"what": "gait", "found": MODELS}),
    ("rollback gate-onnx", "model-not-trained", {"what": "gate-onnx"}),
    ("history gait", "model-unknown", {"what": "gait"}),
    ("list gait", "model-unknown", {"what": "gait"}),
    ("verify gait", "model-unknown", {"what": "gait"}),
]


@pytest.mark.parametrize(("words", "code", "facts"), MISTAKES, ids=str)
def test_mistakes_name_what_is_wrong(
    shared: Path, words: str, code: str, facts: dict[str, str]
) -> None:
    with refused(code, **facts):
        output(*words.split())


EVERY = [
    "list",
    "show models:/gate@champion",
    "compare models:/gate/1 models:/gate/2",
    "promote models:/gate/1",
    "rollback gate",
    "history gate",
    "verify",
]


@pytest.mark.parametrize("database", ["mlflow.db", "none.db"], ids=["empty", "not there"])
def test_without_a_registry_the_error_has_the_first_command(
    store: Path, monkeypatch, database: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store / database}")
    for words in EVERY:
        fix = "mlflow run . -e train -P task="
        with refused("registry-empty", what=store / database, fix=fix):
            output(*words.split())
    assert not (store / "none.db").exists()


@pytest.mark.parametrize("where", ["sqlite:///broken.db", "http://127.0.0.1:9"])
def test_a_registry_that_fails_is_named(store: Path, monkeypatch, where: str) -> None:
    (store / "broken.db").write_bytes(b"no database" * 100)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where)
    for words in EVERY:
        with refused("storage-unreachable", what=where):
            output(*words.split())


def test_a_model_without_versions_has_none_to_show(store: Path) -> None:
    runs.connect().create_registered_model("gate")
    assert output("list").splitlines()[0] == "gate:"
    assert output("history", "gate") == __main__.NO_CHANGE.format(name="gate") + "\n"
    with refused("version-unknown"):
        output("show", "models:/gate@champion")
    with refused("champion-missing"):
        output("rollback", "gate")
    assert output("verify") == __main__.VERIFIED.format(count=0) + "\n"


def test_promote_insist_rollback(store: Path) -> None:
    made = [registered(wrong=wrong) for wrong in (30, 10, 40)]
    insisted = ["models:/gate@challenger", "--insist", "it is kinder"]
    for words, version, aliases in (
        (["models:/gate/1"], made[0], {"champion": 1}),
        (["models:/gate/2"], made[1], {"champion": 2}),
        (["models:/gate/3"], made[2], {"champion": 2, "challenger": 3}),
        (insisted, made[2], {"champion": 3}),
    ):
        text = output("promote", *words)
        reason = versions.find(version.uri).tags["promotion_reason"]
        assert str(version) in text and reason in text
        assert versions.aliases("gate") == aliases
    assert reason.startswith("it is kinder") and "40" in numbers(reason)
    text = output("rollback", "gate", "--why", "it is not")
    assert str(made[1]) in text and cli.HOW_TO_EXPORT.format(task="gate") in text
    last = changes.history("gate")[-1]
    assert (last.kind, last.origin, last.target, last.why) == ("rollback", 3, 2, "it is not")
    assert str(made[0]) in output("rollback", "gate")
    assert versions.aliases("gate") == {"champion": 1}
    with refused("champion-missing"):
        output("rollback", "gate")
    assert output("verify") == __main__.VERIFIED.format(count=3) + "\n"


def test_rollback_takes_the_graphs_along(store: Path) -> None:
    for wrong in (30, 10):
        version = registered(wrong=wrong, seed=wrong)
        registered_graph(version, wrong)
        output("promote", version.uri)
    assert versions.aliases("gate-onnx") == {"champion": 2}
    text = output("rollback", "gate")
    assert "gate version 1" in text and cli.HOW_TO_EXPORT.format(task="gate") not in text
    assert versions.aliases("gate-onnx") == {"champion": 1}


def test_a_promotion_rewrites_the_card(store: Path) -> None:
    """A card that says why a version is challenger does not stay when it is champion."""
    for wrong in (10, 20):
        version = registered(wrong=wrong)
        changes.promote(version, lambda other: 1.0)
        model_card.publish(versions.find(version.uri))
    output("promote", "models:/gate/2", "--insist", "it is kinder")
    version = versions.find("models:/gate/2")
    for text in (versions.read(version, model_card.NAME).decode(), version.description):
        assert "it is kinder" in text.lower()
    assert versions.log_changes(version) == []


def test_a_version_whose_files_changed_is_no_champion(store: Path) -> None:
    version = registered()
    for path, change in (("data/model.pt2", "changed"), ("more.txt", "new")):
        facts = {"what": version, "found": FileChange(change, path)}
        with damaged(version, path, b"another"), refused("model-corrupt", **facts):
            output("promote", version.uri)
    assert versions.aliases("gate") == {}


def test_versions_of_an_earlier_release_are_listed_but_not_opened(store: Path) -> None:
    """Their metadata have no format number; the names of their hyper-parameters are others."""
    current, old = registered(), registered(format=1, config={"hidden": 4}, hparams={"hidden": 4})
    model_card.publish(old)
    old = versions.find(old.uri)
    assert output("list").splitlines()[3].endswith(__main__.OUTDATED)
    assert output("show", old.uri).startswith(f"# {old}")
    assert output("verify") == __main__.VERIFIED.format(count=2) + "\n"
    task = tasks.get("gate")
    for opening in (
        lambda: loading.load_model(task, old),
        lambda: loading.load_splits(task, old),
        lambda: changes.promote(old, lambda other: 1.0, "I know it"),
        lambda: export_version.export(old),
        lambda: run(__main__.command, "compare", old.uri, current.uri),
        lambda: run(__main__.command, "compare", current.uri, old.uri),
        lambda: run(__main__.command, "promote", old.uri, "--insist", "I know it"),
        lambda: run(report.command, "--model", old.uri),
        lambda: run(report.command, "--model", current.uri, "--against", old.uri),
        lambda: run(to_onnx.command, "--task", "gate", "--model", old.uri),
    ):
        with refused("version-outdated", what=old, expected="format 2", fix="-P task=gate"):
            opening()


def test_a_training_replaces_a_champion_of_an_earlier_release(own_store: Store) -> None:
    old = registered(format=1)
    versions.set_alias("gate", "champion", old.number)
    own_store.train("--gate all")
    assert versions.aliases("gate") == {"champion": 2}
    assert [change.kind for change in changes.history("gate")] == ["found", "promote"]
    assert output("rollback", "gate").startswith(str(old))


def broken(*words: str) -> list[str]:
    """Return what `verify` has found."""
    result = CliRunner().invoke(__main__.command, ["verify", *words])
    assert isinstance(result.exception, UserError), result.output
    lines = result.output.splitlines()
    assert result.exception.code == "registry-changed"
    assert numbers(result.exception.found) == [str(len(lines))]
    return lines


def test_verify_prints_every_change(store: Path) -> None:
    first = registered(wrong=30)
    second = registered_graph(first)
    changes.promote(versions.find(first.uri), lambda other: 1.0)
    assert output("verify") == __main__.VERIFIED.format(count=2) + "\n"
    with (
        damaged(first, "data/model.pt2", b"another"),
        damaged(first, "requirements.txt", None),
        damaged(second, "MLmodel", b""),
        damaged(second, "more.txt", b"new"),
    ):
        assert broken() == [
            f"{first}: {FileChange('changed', 'data/model.pt2')}",
            f"{first}: {FileChange('missing', 'requirements.txt')}",
            f"{second}: {FileChange('changed', 'MLmodel')}",
            f"{second}: {FileChange('new', 'more.txt')}",
        ]
        assert len(broken("gate")) == 2
    versions.set_alias("gate", "champion", None)
    assert f"gate: {Mismatch(alias='champion', logged=1)}" in broken("gate")
    registered()
    runs.connect().delete_model_version_tag("gate", "2", versions.FILES)
    assert f"gate version 2: {FileChange('unhashed')}" in broken()


@pytest.mark.slow
def test_verify_ends_with_2_and_without_a_traceback(store: Path, run: Command) -> None:
    version, address = registered(), f"sqlite:///{store}/mlflow.db"
    line = f"{sys.executable} -m experiments.registry verify"
    with damaged(version, "data/model.pt2", b"another"):
        done = run(line, cwd=ROOT, fails=True, MLFLOW_TRACKING_URI=address)
    assert done.returncode == 2
    assert done.stdout == f"{version}: {FileChange('changed', 'data/model.pt2')}\n"
    assert ending(done.stderr).code == "registry-changed"


def test_files_that_are_gone(store: Path) -> None:
    version = registered()
    changes.promote(version, lambda other: 1.0)
    folder = versions.folder(version)
    folder.rename(folder.with_name("elsewhere"))
    with refused("model-unreadable", what=version):
        output("show", version.uri)
    assert output("list").splitlines()[2].split()[:2] == ["1", "@champion"]
    assert len(broken()) == 1

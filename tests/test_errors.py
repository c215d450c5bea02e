"""Errors: one sentence, made of the attributes that programs and tests read."""

import ast
import json
import pickle
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

from experiments.core import cli
from experiments.core.errors import DataError, UserError, without_password
from experiments.core.paths import ROOT
from serve.refusals import REFUSALS
from tests.expect import ending, refused

FACTS = ("device-unavailable", "device 'cuda'", "one of cpu", "none", "Pass device=cpu.")
ROOMS = ("experiments", "export", "serve", "models", "benchmarks")
NO_FIX = ("experiments/figures", "benchmarks")  # a figure's error message asks for nothing


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        (FACTS, "device 'cuda': expected one of cpu; found none. Pass device=cpu."),
        (("x", "a.idx", "a file"), "a.idx: expected a file."),
        (("x", "a.idx", "", "it is locked."), "a.idx: it is locked."),
        (("x", "a", "", 3, "Close it."), "a: 3. Close it."),
    ],
)
def test_the_sentence_has_all_facts(facts: tuple, sentence: str) -> None:
    error = UserError(*facts)
    assert str(error) == sentence
    assert UserError(**json.loads(json.dumps(error.facts()))).facts() == error.facts()


def test_a_command_ends_with_sentence_code_and_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def command() -> None:
        raise UserError(*FACTS)

    monkeypatch.setattr("sys.argv", ["command"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as stop:
        cli.main(command)
    assert stop.value.code == cli.USER_ERROR
    assert ending(capsys.readouterr().err) == (str(UserError(*FACTS)), "device-unavailable")


def test_refused_compares_class_code_and_facts() -> None:
    with refused("device-unavailable", what="cuda", fix="device=cpu"):
        raise UserError(*FACTS)
    for wrong in ({"code": "other"}, {"code": FACTS[0], "what": "mps"}):
        with pytest.raises(AssertionError), refused(**wrong):
            raise UserError(*FACTS)
    with pytest.raises(UserError), refused(FACTS[0], DataError):
        raise UserError(*FACTS)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://u:p@ss@h/x", "at http://u:***@h/x"),
        ("postgresql://me:a:b@h/db?token=abc&x=1", "postgresql://me:***@h/db?token=***&x=1"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_passwords_are_hidden(text: str, shown: str) -> None:
    assert without_password(text) == shown


def trees() -> Iterator[tuple[Path, ast.Module]]:
    """Yield each of the product's files, relative to the project's folder, and its syntax tree."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def name_of(node: ast.expr) -> str:
    """Return the last part of a dotted name; empty if it is none."""
    return getattr(node, "id", "") or getattr(node, "attr", "")


def error_classes() -> dict[str, Path]:
    """Return the names of UserError and its subclasses, and the file of each."""
    nodes = [(path, node) for path, tree in trees() for node in ast.walk(tree)]
    classes = [(path, node) for path, node in nodes if isinstance(node, ast.ClassDef)]
    result: dict[str, Path] = {"UserError": Path("experiments/core/errors.py")}
    count = 0
    while len(result) > count:  # until no further subclass is found
        count = len(result)
        for path, node in classes:
            if {*map(name_of, node.bases)} & result.keys():
                result[node.name] = path
    return result


def test_errors_of_every_class_can_be_pickled() -> None:
    classes = error_classes()
    assert {"UserError", "DataError", "DivergedError", "ParityError"} <= classes.keys()
    for name, path in classes.items():
        kind = getattr(import_module(".".join(path.with_suffix("").parts)), name)
        error = kind(*FACTS)
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and vars(again) == vars(error)


def test_the_pages_refusals_are_those_of_its_table() -> None:
    """Codes are in kebab case with a fix, and each is used; no other is."""
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)+", code) for code in REFUSALS)
    assert all(row.what and row.expected and row.fix.endswith(".") for row in REFUSALS.values())
    used = {
        node.args[0].value if isinstance(node.args[0], ast.Constant) else "server-failed"
        for path, tree in trees()
        for node in ast.walk(tree)
        if path.parts[0] == "serve" and isinstance(node, ast.Call)
        if name_of(node.func) == "refusal" and node.args
    }
    assert used == set(REFUSALS)


def test_each_error_has_a_code_and_a_fix() -> None:
    """The first argument of every error in the product is a code; the last says what to do."""
    names, wrong = error_classes(), []
    for path, tree in trees():
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and name_of(node.func) in names):
                continue
            code = node.args[0] if node.args else None
            is_code = not isinstance(code, ast.JoinedStr) and (
                not isinstance(code, ast.Constant)
                or re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", str(code.value))
            )
            keywords = {keyword.arg for keyword in node.keywords}  # None: **facts
            has_fix = len(node.args) == len(FACTS) or keywords & {"fix", None}
            if not is_code or not (has_fix or str(path).startswith(NO_FIX)):
                wrong.append(f"{path}:{node.lineno}")
    assert not wrong

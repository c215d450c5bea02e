"""The command line: what is understood, what is refused, and in which words."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from experiments import options, tasks
from experiments.errors import UserError, without_password
from experiments.paths import ROOT

TASKS = ", ".join(repr(name) for name in tasks.names())


def parsed(line: str) -> options.Request:
    found = []

    def probe(request: options.Request) -> None:
        """Keep the request."""
        found.append(request)

    result = CliRunner().invoke(options.training(probe), line.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


def test_defaults_are_the_tasks() -> None:
    request = parsed("")
    assert request.task.name == "mnist" and request.fixed == frozenset()
    assert request.hparams == request.task.hparams()
    assert (request.trials, request.seed, request.device) == (5, 0, "auto")


def test_given_hyper_parameters_are_fixed() -> None:
    request = parsed("--task gate --lr 1e-3 --hidden 3 --gate XOR")
    assert (request.hparams.lr, request.hparams.hidden) == (0.001, 3)
    assert request.fixed == {"lr", "hidden"}
    assert request.data.gate == "xor"


def test_recipe_is_where_the_rest_starts_from() -> None:
    request = parsed("--recipe flash --width 20")
    assert request.recipe == "flash" and request.fixed == {"width"}
    assert request.hparams == replace(request.task.recipes["flash"], width=20)
    assert request.as_parameters() == ("-P task=mnist -P recipe=flash -P trials=5 -P width=20")


def test_recipe_follows_the_gate() -> None:
    assert parsed("--task gate --gate parity6").recipe == "wide"
    assert parsed("--task gate --gate parity6").hparams == tasks.get("gate").recipes["wide"]
    assert parsed("--task gate --gate parity6 --recipe default").hparams.hidden == 4


@pytest.mark.parametrize("unset", ["auto", ""])
def test_unset_values_are_defaults(unset: str) -> None:
    found = []

    def probe(request: options.Request) -> None:
        """Keep the request."""
        found.append(request)

    CliRunner().invoke(options.training(probe), ["--lr", unset, "--data_dir", unset])
    assert found[0].hparams.lr == found[0].task.hparams().lr and found[0].fixed == frozenset()
    assert found[0].data.data_dir is None


def test_another_tasks_default_is_no_mistake() -> None:
    assert parsed("--task mnist --gate all").task.name == "mnist"


def test_both_spellings() -> None:
    assert parsed("--batch-size 64").hparams == parsed("--batch_size 64").hparams


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--task foo", f"'foo' is not one of {TASKS}"),
        ("--trials -1", "-1 is not in the range 0<=x"),
        ("--trials two", "'two' is not a valid integer"),
        (
            "--lr abc",
            "lr (peak learning rate, above 0, at most 100): Input should be a valid number",
        ),
        ("--lr -1", "greater than 0; found '-1'"),
        ("--optimizer rms", "should be 'adamw', 'sgd' or 'muon'; found 'rms'"),
        ("--device tpu", "'tpu' is not one of 'auto', 'cpu', 'cuda', 'mps'"),
        ("--task mnist --gate xor", "gate is no option of task mnist; it has data_dir, epochs"),
        ("--task gate --gate foo", "gate: expected all, one of false"),
        ("--layers 3", "No such option"),
        ("--width 1.5", "width (channels of the first convolution): Input should be a valid int"),
        ("--epochs 0", "epochs (passes over the training set; 0.5 is half a pass): Input should"),
        ("--recipe fast", "recipe: expected flash or default or best for task mnist; found 'fast'"),
        ("--task gate --optimizer muon", "should be 'adamw' or 'sgd'; found 'muon'"),
        ("--task gate --gate parity11", "found 11 in 'parity11'; a table doubles with each input"),
    ],
)
def test_mistakes_end_in_one_sentence(line: str, says: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "experiments.train", *line.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert says in result.stderr and result.stderr.startswith("Error: ")
    assert len(result.stderr.strip().splitlines()) == 1


ADDRESS = "postgresql+psycopg://them:hush@db.example:5432/optuna"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--aims speed", "aims: expected some of val_accuracy, val_loss, latency_ms, parameters"),
        ("--aims val_loss,val_loss", "expected each aim once"),
        ("--study a/b", "study: expected letters, digits"),
        ("--workers 2", "workers: several processes need a study to share; add study=NAME"),
        (f"--storage {ADDRESS}", "storage: several processes need a study to share"),
        ("--study a --storage mysql://them:hush@db/x", "found 'mysql://them:***@db/x'"),
        ("--study a --resume never", "a study is gone on with by its name"),
    ],
)
def test_shared_searches_are_checked(line: str, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as error:
        parsed(line)
    assert "hush" not in str(error.value)


def test_passwords_are_kept_to_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    request = parsed(f"--study a --storage {ADDRESS}")
    assert request.storage == ADDRESS and request.secrets() == {"PGPASSWORD": "hush"}
    assert "--storage=postgresql+psycopg://them@db.example:5432/optuna" in request.as_arguments()
    told = f"{request.options()} {request.as_arguments()} {request.as_parameters()}"
    assert "hush" not in told and "them:***@db.example" in told
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")  # mlflow run has written every -P down already
    with pytest.raises(UserError, match="set PGPASSWORD") as error:
        parsed(f"--study a --storage {ADDRESS}")
    assert "hush" not in str(error.value)


def test_one_database_is_not_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ADDRESS)
    with pytest.raises(UserError, match="give the study a database of its own"):
        parsed(f"--study a --storage {ADDRESS}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at http://u:p@ss@h/x", "at http://u:***@h/x"),
        ("postgresql://h/d?password=hush&a=1", "postgresql://h/d?password=***&a=1"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
    ],
)
def test_passwords_are_hidden(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_the_same_command_has_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = parsed("--seed 1").key("train")
    assert key == parsed("--seed 1 --resume auto --task mnist").key("train")
    others = [
        parsed(line).key("train") for line in ("", "--seed 1 --lr 0.2", "--seed 1 --trials 4")
    ]
    assert len({key, *others, parsed("--seed 1").key("tune")}) == 5
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert parsed("--seed 1").key("train") != key


def test_arguments_say_the_whole_request_again() -> None:
    line = "--task gate --gate xor --lr 0.02 --trials 7 --study a --aims val_loss,parameters"
    request = parsed(line)
    again = parsed(" ".join(request.as_arguments(workers=1)))
    assert again.options() == request.options() and again.hparams == request.hparams

"""The command line: which options are accepted, and which errors the others cause."""

from dataclasses import replace

import click
import pytest

from experiments import tasks, tune
from experiments.core.errors import DataError
from experiments.training import options
from tests.expect import refused
from tests.inprocess import parsed

ADDRESS = "postgresql+psycopg://them:hush@db.example:5432/optuna"


@pytest.mark.parametrize(
    "line", ["", "--lr auto --data_dir auto", "--lr= --data_dir=", "--gate all"]
)
def test_unset_values_and_another_tasks_default_are_the_tasks_defaults(line: str) -> None:
    config = parsed(line)
    assert config.task.name == "mnist" and config.fixed == frozenset()
    assert config.hparams == config.task.hparams() and config.data.data_dir is None
    assert (config.trials, config.seed, config.device) == (5, 0, "auto")


def test_given_hyper_parameters_are_fixed() -> None:
    config = parsed("--task gate --lr 1e-3 --hidden_dim 3 --gate XOR")
    assert (config.hparams.lr, config.hparams.hidden_dim) == (0.001, 3)
    assert config.fixed == {"lr", "hidden_dim"}
    assert config.data.gate == "xor"
    assert parsed("--batch-size 64").hparams == parsed("--batch_size 64").hparams


def test_given_hyper_parameters_replace_the_recipes() -> None:
    config = parsed("--recipe fast --base_channels 20")
    assert config.recipe == "fast" and config.fixed == {"base_channels"}
    assert config.hparams == replace(config.task.recipes["fast"], base_channels=20)
    assert config.as_project_params() == (
        "-P task=mnist -P recipe=fast -P trials=auto -P base_channels=20"
    )


def test_trials_are_short_unless_their_number_is_given() -> None:
    given = parsed("--trials 5")
    assert (given.trials, given.short) == (5, False)
    for line in ("", "--trials auto", "--trials="):
        config = parsed(line)
        assert (config.trials, config.short) == (5, True)
        assert config.key("train") != given.key("train")
        assert parsed(" ".join(config.as_arguments())).short
        assert "-P trials=auto" in config.as_command()
        assert "-P trials=0" in config.with_settings(config.hparams).as_command()


def test_the_default_recipe_depends_on_the_gate() -> None:
    assert parsed("--task gate --gate parity6").recipe == "large"
    assert parsed("--task gate --gate parity6").hparams == tasks.get("gate").recipes["large"]
    assert parsed("--task gate --gate parity6 --recipe default").hparams.hidden_dim == 4


@pytest.mark.parametrize("text", ["5", "5.0", " 5", "0.5e1", "5e0", "+5"])
def test_whole_numbers_in_any_spelling(text: str) -> None:
    command = ["--task", "gate", "--trials", text, "--epochs", text, "--gate", "0110"]
    config = options.parse(tune.command.make_context("tune", command).params)
    assert (config.trials, config.hparams.epochs, config.data.gate) == (5, 5, "0110")
    assert "-P trials=5 " in f"{config.as_project_params()} "


@pytest.mark.parametrize("line", ["--device tpu", "--layers 3"])
def test_common_options_are_checked(line: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        parsed(line)
    assert line.split()[0] in caught.value.format_message() and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("line", "code", "what", "expected", "found"),
    [
        ("--task foo", "task-unknown", "task", "gate, logic, mnist", "foo"),
        ("--trials -1", "value-invalid", "trials", "from 0 to 100,000", "'-1'"),
        ("--trials 5.5", "value-invalid", "trials", "a whole number", "'5.5'"),
        ("--trials inf", "value-invalid", "trials", "a whole number", "'inf'"),
        ("--trials two", "value-invalid", "trials", "a whole number", "'two'"),
        ("--seed 1e10", "value-invalid", "seed", "4,294,967,295", "'1e10'"),
        ("--lr abc", "value-invalid", "lr (peak", "number", "'abc'"),
        ("--lr -1", "value-invalid", "lr (peak", "a value greater than 0", "'-1'"),
        ("--optimizer rms", "value-invalid", "optimizer", "'adamw', 'sgd' or 'muon'", "'rms'"),
        ("--task gate --optimizer muon", "value-invalid", "opti", "'adamw' or 'sgd'", "'muon'"),
        ("--base_channels 1.5", "value-invalid", "base_channels (", "int", "'1.5'"),
        ("--gate xor", "option-unknown", "gate", "data_dir, ep", "another task"),
        ("--recipe flash", "recipe-unknown", "recipe", "fast or default or accurate", "'flash'"),
        ("--objectives speed", "objective-unknown", "objectives", "val_loss", "speed"),
        ("--objectives val_loss,val_loss", "objective-repeated", "objectives", "", "val_loss,"),
        ("--study a/b", "name-invalid", "study", "letters", "a/b"),
        ("--workers 2", "study-missing", "workers", "study", ""),
        (f"--storage {ADDRESS}", "study-missing", "storage", "study", ""),
        ("--study a --storage mysql://me:hush@db/x", "address-invalid", "storage", "", ":***@db/x"),
        ("--study a --resume false", "resume-unsuitable", "resume", "true", "false"),
    ],
)
def test_options_are_checked(line: str, code: str, what: str, expected: str, found: str) -> None:
    with refused(code, what=what, expected=expected, found=found) as caught:
        parsed(line)
    for text in ("Input should", "unable to", "hush"):
        assert text not in str(caught.value)


@pytest.mark.parametrize("gate", ["foo", "parity11"])
def test_gates_are_checked(gate: str) -> None:
    with pytest.raises(DataError) as caught:
        parsed(f"--task gate --gate {gate}")
    assert caught.value.what == "gate" and gate in caught.value.found


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    config = parsed(f"--study a --storage {ADDRESS}")
    assert config.storage == ADDRESS and config.secrets() == {"PGPASSWORD": "hush"}
    assert "--storage=postgresql+psycopg://them@db.example:5432/optuna" in config.as_arguments()
    shown = f"{config.options()} {config.as_arguments()} {config.as_project_params()}"
    assert "hush" not in shown and "them:***@db.example" in shown
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123")  # mlflow run has stored every -P already
    with refused("password-exposed", what="storage", fix="PGPASSWORD") as caught:
        parsed(f"--study a --storage {ADDRESS}")
    assert "hush" not in str(caught.value)


def test_studies_and_mlflow_need_different_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ADDRESS)
    with refused("database-shared", what="storage"):
        parsed(f"--study a --storage {ADDRESS}")


def test_the_same_command_has_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = parsed("--seed 1").key("train")
    assert key == parsed("--seed 1 --resume true --task mnist").key("train")
    lines = ("", "--seed 1 --lr 0.2", "--seed 1 --trials 4")
    others = [parsed(line).key("train") for line in lines]
    assert len({key, *others, parsed("--seed 1").key("tune")}) == 5
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert parsed("--seed 1").key("train") != key


def test_arguments_repeat_the_configuration() -> None:
    line = "--task gate --gate xor --lr 0.02 --trials 7 --study a --objectives val_loss,parameters"
    config = parsed(line)
    again = parsed(" ".join(config.as_arguments(workers=1)))
    assert again.options() == config.options() and again.hparams == config.hparams

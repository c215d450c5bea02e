"""The command line: what is understood, what is refused, and in which words."""

import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from experiments import options, tasks
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

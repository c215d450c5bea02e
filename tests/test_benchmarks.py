"""The benchmarks' arithmetic, and that the README has the results."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks import gates, race, recipes, record, reference, report, summary
from experiments import tasks


def test_the_readme_has_the_results() -> None:
    result = CliRunner().invoke(report.command, ["--check"], catch_exceptions=False)
    assert result.exit_code == 0
    table = (record.RESULTS / "table.md").read_text()
    assert "\n".join(report.details()).strip() in table


def test_results_of_an_earlier_recipe_are_marked() -> None:
    rows = dict(zip(report.RECIPES, list(report.recipes())[2:], strict=True))
    for name in report.RECIPES:
        result = record.load(name)
        recipe = tasks.get(result["task"]).recipes[result["recipe"]]
        assert (result["hparams"] == vars(recipe)) == (report.EARLIER not in rows[name]), name
        assert len(result["test_accuracy"]["values"]) >= 5
    robust = record.load("robustness")
    assert len(robust["default"]["test_accuracy"]["values"]) >= 5


def test_the_example_is_the_well_known_net() -> None:
    net = reference.network()
    assert sum(p.numel() for p in net.parameters()) == 1_199_882
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_epochs_to_an_accuracy() -> None:
    assert race.epochs_to(0.99, [0.98, 0.991, 0.989]) == 2
    assert race.epochs_to(0.995, [0.98, 0.991]) is None


def test_a_target_that_the_example_misses_gives_bounds() -> None:
    fits = [{"seconds": s, "test_accuracy": 0.9965, "val_accuracy": 0.99} for s in (1.0, 2.0)]
    row = race.compared(0.996, fits, [0.98, 0.99], 10.0)
    assert row["reached"] and row["reference_epochs"] is None
    assert row["reference_seconds"] == 20.0 and row["ratio"]["values"] == [20.0, 10.0]


def test_goals_are_ratios_to_an_epoch_of_the_example() -> None:
    measured = {name: 1.0 for name in report.GOALS if name.endswith("seconds")}
    commands = measured | {"default_command_seconds": 30.0}
    race, accurate = record.load("race"), record.load("mnist-accurate")
    result = summary.goals(20.0, commands, [(1.0, 2.0), (2.0, 2.0)], 50.0, race, accurate)
    assert result["default_command_in_epochs"] == 1.5
    assert result["accurate_fit_in_epochs"] == 2.5
    assert result["neighbour_slowdown"] == 1.5 and result["neighbour_slowdown_std"] > 0
    default = race["targets"][-1]
    assert result["default_test_accuracy_mean"] == default["test_accuracy"]["mean"]
    ratio = default["seconds"]["mean"] / race["reference_epoch_seconds"]["mean"]
    assert result["default_fit_in_epochs"] == pytest.approx(ratio)
    result |= {"epoch_seconds": record.spread([20.0, 20.0]), "command": "c", "hardware": "h"}
    rows = list(report.goals(result))
    assert "| a fit beside a busy process / alone | 1.50 ± 0.71 |" in rows
    assert list(report.goals({})) == []


def test_a_recipe_is_measured() -> None:
    recipe = tasks.get("gate").recipes["default"]
    fits = [record.fitted(record.request("gate", "default", seed)) for seed in range(2)]
    result = recipes.summary("gate", "default", fits)
    assert result["parameters"] == 16 * 17 and result["hparams"] == vars(recipe)
    assert result["test_accuracy"] == {"mean": 1.0, "std": 0.0, "values": [1.0, 1.0]}
    assert all(seconds > 0 for seconds in result["seconds"]["values"])


def test_gates_are_measured() -> None:
    result = gates.summary(["xor", "and"])
    assert result["trainings"] == 2 and result["solved_share"] == 1.0
    assert 0.9 < result["least_margin"] <= 1.0


def test_results_are_written_with_their_command(tmp_path: Path) -> None:
    record.save("x", "the command", {"a": 1}, tmp_path)
    result = record.load("x", tmp_path)
    assert result["a"] == 1 and result["command"] == "the command"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]
    assert record.load("y", tmp_path) == {}

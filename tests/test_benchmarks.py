"""The benchmarks' own arithmetic, and that the README says what the results say."""

import json

import pytest
import torch
from click.testing import CliRunner

from benchmarks import race, recipes, record, reference, report, split
from experiments import tasks


def test_readme_is_what_the_results_say() -> None:
    result = CliRunner().invoke(report.command, ["--check"], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads((record.RESULTS / "summary.json").read_text()) == report.summary()


def test_summary_has_the_figures_by_name() -> None:
    names = {
        "ratio_to_reference_at_99.0",
        "ratio_to_reference_at_99.0_std",
        "gate_bank_seconds",
        "gate_solved_share",
        "tracking_share",
    }
    for mean in (
        "flash_seconds_to_99.0",
        "default_test_accuracy",
        "default_seconds",
        "best_test_accuracy",
        "best_seconds",
    ):
        names |= {f"{mean}_mean", f"{mean}_std"}
    assert names <= report.summary().keys()


def test_results_are_of_the_recipes_that_stand() -> None:
    for name in ("mnist-flash", "mnist-default", "mnist-best", "gate-default"):
        result = record.load(name)
        recipe = tasks.get(result["task"]).recipes[result["recipe"]]
        assert result["hparams"] == vars(recipe), name
        assert len(result["test_accuracy"]["values"]) >= 5
    robust = record.load("robustness")
    assert robust["hparams"] == vars(tasks.get("mnist").recipes["default"])
    assert len(robust["default"]["test_accuracy"]["values"]) >= 5


def test_the_example_is_the_well_known_net() -> None:
    net = reference.network()
    assert sum(p.numel() for p in net.parameters()) == 1_199_882
    assert net(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_epochs_to_an_accuracy() -> None:
    assert race.epochs_to(0.99, [0.98, 0.991, 0.989]) == 2
    assert race.epochs_to(0.995, [0.98, 0.991]) is None


def test_clock_counts_the_innermost_part(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 1.0, 3.0, 7.0, 15.0, 31.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    clock = split.Clock()
    with clock.part("fit"):
        clock.counting(lambda: None, "tracking")()
    clock.turn()
    assert clock.seconds == {"all else": 1 + 16, "fit": 2 + 8, "tracking": 4}


def test_a_fit_is_measured() -> None:
    recipe = tasks.get("gate").recipes["default"]
    result = recipes.measure("gate", "default", 2)
    assert result["parameters"] == 16 * 17 and result["hparams"] == vars(recipe)
    assert result["test_accuracy"] == {"mean": 1.0, "std": 0.0, "values": [1.0, 1.0]}
    assert all(seconds > 0 for seconds in result["seconds"]["values"])


def test_results_are_replaced_whole(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    record.save("x", "the command", {"a": 1})
    assert record.load("x")["a"] == 1 and record.load("x")["command"] == "the command"
    with pytest.raises(TypeError):
        record.save("x", "the command", {"a": object()})
    assert record.load("x")["a"] == 1 and record.load("y") == {}

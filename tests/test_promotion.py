"""The promotion test: every check, its bound from both sides, and the reason it gives."""

import math
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments import tasks, train
from experiments.core.stats import mcnemar
from experiments.evaluation.calibration import Reliability
from experiments.evaluation.corruptions import CORRUPTIONS
from experiments.evaluation.mnist import METRICS
from experiments.evaluation.robustness import OODResult, RobustnessReport
from experiments.registry import promotion
from experiments.registry.metadata import FORMAT
from experiments.registry.promotion import MAX_BYTES, MAX_LATENCY_MS, evaluate_candidate
from experiments.tasks import gate
from tests.stores import numbers

PROOF = {"holds": True, "parity": "all the same", "bytes": 100_000, "latency_ms": 1.0}
MAX_ECE = METRICS["ece/validation"].maximum


def version(wrong: int | set[int] = 20, digest: str = "a", canonical: bool = True, **more: Any):
    answers = range(wrong) if isinstance(wrong, int) else wrong
    return {
        "format": FORMAT,
        "val_wrong": sorted(answers),
        "val_count": 10_000,
        "data_digest": digest,
        "canonical": canonical,
        "robustness": {},
        "metrics": {name: asdict(metric) for name, metric in METRICS.items()},
        "proof": PROOF,
        **more,
    }


def proof(**more: Any) -> dict[str, Any]:
    return {"proof": PROOF | more}


def robust(**values: float) -> dict[str, Any]:
    return {"robustness": {name.replace("__", "/"): value for name, value in values.items()}}


def never() -> float:
    raise AssertionError("the time does not decide here")


def failed(result: promotion.PromotionResult) -> list[str]:
    return [check.name for check in result.checks if not check.passed]


def test_the_first_is_champion_if_it_holds_every_bound() -> None:
    result = evaluate_candidate(version(9_000), None, never)
    assert result.passed and result.checks[0].name == "champion"
    assert not evaluate_candidate(version(0) | proof(holds=False), None, never).passed


@pytest.mark.parametrize(
    ("wrong", "count", "floor", "exhaustive", "learns"),
    [
        (5, 10_000, 0.5, False, True),
        (4_800, 10_000, 0.5, False, True),
        (4_950, 10_000, 0.5, False, False),  # 50.5 %: chance
        (0, 1, 0.5, False, False),  # 24 digits
        (0, 300, 1.0, False, False),  # a constant answer is right, too
        (0, 4, 7 / 8, True, True),
        (1, 4, 7 / 8, True, False),  # xor with one hidden unit
    ],
)
def test_no_version_that_did_not_learn_is_champion(
    wrong: int, count: int, floor: float, exhaustive: bool, learns: bool
) -> None:
    candidate = version(wrong, val_count=count, floor=floor, exhaustive=exhaustive)
    expected = [] if learns else ["learned"]
    assert failed(evaluate_candidate(candidate, None, never)) == expected
    worse = version(count, val_count=count, floor=floor, exhaustive=exhaustive)
    assert failed(evaluate_candidate(candidate, worse, never)) == expected
    result = evaluate_candidate(candidate, version(0, "b", canonical=False), never)
    assert failed(result) == expected


def test_no_version_of_unfit_data_is_champion() -> None:
    result = evaluate_candidate(version(0, unfit="the images are transposed"), None, never)
    assert not result.passed and "transposed" in result.reason


def test_a_champion_that_did_not_learn_is_replaced_but_not_by_one_on_foreign_data() -> None:
    forced = version(9_000, floor=0.5)
    assert evaluate_candidate(version(20, floor=0.5), forced, never).passed
    foreign = version(20, "b", canonical=False, floor=0.5)
    assert failed(evaluate_candidate(foreign, forced, never)) == ["data"]
    assert evaluate_candidate(foreign, forced | {"canonical": False}, never).passed


def test_of_data_that_are_all_there_are_fewer_wrong_answers_win() -> None:
    table = {"val_count": 4, "exhaustive": True}
    assert evaluate_candidate(version(0, **table), version(1, **table), never).passed
    assert not evaluate_candidate(version(1, **table), version(1, **table), lambda: 1.0).passed


@pytest.mark.parametrize("old", [{"task": "gate"}, version(0, format=1), version(0, "b", format=1)])
def test_an_outdated_champion_is_replaced(old: dict) -> None:
    """However good its numbers: this release can neither load nor export it."""
    assert evaluate_candidate(version(5_000), old, never).passed
    assert not evaluate_candidate(version(0) | proof(holds=False), old, never).passed


def test_an_outdated_champion_is_not_replaced_by_a_version_on_other_data() -> None:
    foreign = version(0, "b", canonical=False)
    assert failed(evaluate_candidate(foreign, version(20, format=1), never)) == ["data"]
    assert evaluate_candidate(foreign, version(20, canonical=False, format=1), never).passed


@pytest.mark.parametrize(("wrong", "wins"), [(6, True), (7, False)])
def test_a_champion_measured_on_other_samples_is_compared_by_fractions(wrong, wins: bool) -> None:
    """6 of 3,000 are 0.2 %, as are 20 of 10,000; its robustness must still hold."""
    candidate = version(wrong, val_count=3_000, robustness={"corruption/mean": 0.9})
    old = version(20, robustness={"corruption/mean": 0.9})
    assert evaluate_candidate(candidate, old, never).passed is wins
    better = version(20, robustness={"corruption/mean": 0.95})
    assert "robustness" in failed(evaluate_candidate(candidate, better, never))


def test_better_beyond_chance_wins() -> None:
    """Six answers that only the new one has right make p 2/64, five 2/32."""
    result = evaluate_candidate(version(14), version(20), never)
    assert result.passed and numbers(result.reason) == ["14", "10,000", "20", "0.031"]
    result = evaluate_candidate(version(15), version(20), lambda: 1.0)
    assert failed(result) == ["validation"]
    assert numbers(result.reason)[:4] == ["15", "10,000", "20", "0.062"]
    assert mcnemar(6, 0) == pytest.approx(2 / 64) and mcnemar(5, 0) == pytest.approx(2 / 32)


def test_the_test_is_paired() -> None:
    """Fewer are wrong by as many as above, but other answers: now chance explains it."""
    old, new = set(range(1000, 1020)), set(range(14))
    assert not evaluate_candidate(version(new), version(old), lambda: 1.0).passed


def test_more_wrong_answers_never_win_however_small_and_fast() -> None:
    small = version(21) | proof(bytes=1000, latency_ms=0.01)
    result = evaluate_candidate(small, version(20), lambda: 0.1)
    assert failed(result) == ["validation"]
    assert numbers(result.reason) == ["21", "10,000", "20"]


@pytest.mark.parametrize(
    ("size", "ratio", "wins"),
    [
        (100_000, 1.0, False),
        (95_000, None, True),
        (95_001, 1.0, False),
        (100_000, 0.9, True),
        (100_000, 0.901, False),
    ],
)
def test_no_worse_and_smaller_or_faster_wins(size: int, ratio: float | None, wins: bool) -> None:
    candidate = version() | proof(bytes=size)
    result = evaluate_candidate(candidate, version(), never if ratio is None else lambda: ratio)
    assert result.passed is wins
    assert numbers(result.reason)[:4] == ["20", "10,000", "20", "1"]


def test_a_champion_whose_export_failed_has_no_size_to_compare_with() -> None:
    forced = version() | proof(holds=False, bytes=0, latency_ms=0.0)
    assert not evaluate_candidate(version(), forced, lambda: 1.0).passed
    assert evaluate_candidate(version(5), forced, never).passed


def test_versions_on_other_data_do_not_compare_but_canonical_data_win() -> None:
    assert failed(evaluate_candidate(version(0, "b"), version(5_000), never)) == ["data"]
    foreign = version(0, "b", canonical=False)
    assert evaluate_candidate(version(5_000), foreign, never).passed
    assert not evaluate_candidate(foreign, version(5_000), never).passed
    assert not evaluate_candidate(version(5_000) | proof(holds=False), foreign, never).passed


@pytest.mark.parametrize(
    ("changed", "name", "detail"),
    [
        ({"holds": False, "parity": "9,999 of 10,000 decisions the same"}, "parity", "10,000"),
        ({"bytes": MAX_BYTES + 1}, "size", f"{MAX_BYTES:,}"),
        ({"latency_ms": MAX_LATENCY_MS * 1.001}, "latency", f"{MAX_LATENCY_MS:g}"),
        ({"latency_ms": math.nan}, "latency", f"{MAX_LATENCY_MS:g}"),
    ],
)
def test_every_bound_of_the_proof_can_fail(changed: dict, name: str, detail: str) -> None:
    result = evaluate_candidate(version(0) | proof(**changed), version(), never)
    (check,) = (check for check in result.checks if not check.passed)
    assert check.name == name and str(check) == result.reason
    assert numbers(check.detail)[-1] == detail


def test_the_bounds_themselves_are_allowed() -> None:
    most = proof(bytes=MAX_BYTES, latency_ms=MAX_LATENCY_MS) | robust(ece__validation=MAX_ECE)
    assert evaluate_candidate(version(0) | most, version(), never).passed


def test_calibration_has_a_bound_of_its_own_on_canonical_data() -> None:
    bad = robust(ece__validation=MAX_ECE + 1e-6)
    assert failed(evaluate_candidate(version(0) | bad, None, never)) == ["ece/validation"]
    assert evaluate_candidate(version(0, canonical=False) | bad, None, never).passed


@pytest.mark.parametrize(
    ("old", "new", "wins"),
    [
        ({"corruption__rotate": 0.90}, {"corruption__rotate": 0.86}, True),
        ({"corruption__rotate": 0.90}, {"corruption__rotate": 0.80}, False),
        ({"corruption__fog": 0.90}, {"corruption__fog": 0.82}, True),  # by name before group
        ({"corruption__fog": 0.90}, {"corruption__fog": 0.80}, False),
        ({"ece__validation": 0.010}, {"ece__validation": 0.014}, False),
        ({"ece__validation": 0.010}, {"ece__validation": 0.001}, True),
        ({"corruption__rotate": 0.90}, {"corruption__rotate": math.nan}, False),
        ({}, {"corruption__rotate": 0.1}, True),  # measured of one only
    ],
)
def test_less_robust_beyond_noise_is_no_champion(old: dict, new: dict, wins: bool) -> None:
    candidate, champion = version(0) | robust(**new), version() | robust(**old)
    result = evaluate_candidate(candidate, champion, never)
    assert failed(result) == ([] if wins else ["robustness"])
    foreign = {"canonical": False}  # their noise is not known
    assert evaluate_candidate(candidate | foreign, champion | foreign, never).passed


@pytest.mark.parametrize(
    ("mean", "least", "zigzag", "wins"),
    [
        (0.95, 0.85, 0.85, True),  # one kind is worse, fifteen together are better
        (0.955, 0.70, 0.70, False),  # so is the worst kind of all
        (0.914, 0.85, 0.85, False),  # the mean is better by less than its noise
        (0.95, 0.85, math.nan, False),
    ],
)
def test_one_corruption_may_be_worse_if_all_together_are_better(
    mean: float, least: float, zigzag: float, wins: bool
) -> None:
    old = robust(corruption__mean=0.90, corruption__least=0.83, corruption__zigzag=0.96)
    new = robust(corruption__mean=mean, corruption__least=least, corruption__zigzag=zigzag)
    result = evaluate_candidate(version(0) | new, version() | old, never)
    assert failed(result) == ([] if wins else ["robustness"])


def test_the_reason_has_every_failed_check() -> None:
    candidate = version(30) | robust(corruption__rotate=0.1) | proof(holds=False, bytes=10**8)
    result = evaluate_candidate(candidate, version() | robust(corruption__rotate=0.9), never)
    assert failed(result) == ["validation", "parity", "size", "robustness"]
    assert all(str(check) in result.reason for check in result.checks if not check.passed)
    assert {"100,000,000", "0.1000", "0.9000", "0.045"} <= set(numbers(result.reason))


def test_every_number_of_a_robustness_report_has_a_noise() -> None:
    reliability = Reliability(np.ones(15), np.full(15, 0.9), np.full(15, 0.4))
    kinds = dict.fromkeys(CORRUPTIONS, 0.5)
    pens, drawings, scores = [20], np.zeros((10, 1)), np.zeros(1)
    ood = {"letters": OODResult(np.zeros(1), 0.5, 0.5)}
    report = RobustnessReport(kinds, [], kinds, pens, drawings, 0.5, scores, 0.5, ood, reliability)
    old = report.numbers()
    for name in old:
        worse = {**old, name: old[name] + (0.5 if name.startswith("ece") else -0.5)}
        champion, candidate = version() | {"robustness": old}, version(0) | {"robustness": worse}
        assert "robustness" in failed(evaluate_candidate(candidate, champion, never)), name


def test_a_failed_export_costs_the_promotion_and_no_training() -> None:
    def fails(net: object, x: object) -> dict:
        raise RuntimeError("no such operator\nand more")

    splits = gate.load(gate.GateOptions())
    job = SimpleNamespace(task=replace(tasks.get("gate"), outputs=fails), splits=splits)
    result = train.verify_export(job, gate.network(inputs=2, nets=(16,)))
    assert result["parity"].endswith("no such operator") and not result["holds"]
    assert failed(evaluate_candidate(version(0) | proof(**result), None, never)) == ["parity"]

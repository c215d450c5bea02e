"""Who becomes champion: every gate, its bound from both sides, and the reason that is given."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from experiments import promotion, tasks, train
from experiments.calibration import Reliability
from experiments.chance import interval, mcnemar
from experiments.corruptions import CORRUPTIONS
from experiments.promotion import judge
from experiments.robustness import Card, Refusal
from experiments.tasks import gate

PROOF = {"holds": True, "parity": "all the same", "bytes": 100_000, "latency_ms": 1.0}


def version(wrong: int | set[int] = 20, digest: str = "a", canonical: bool = True, **more: Any):
    answers = range(wrong) if isinstance(wrong, int) else wrong
    return {
        "val_wrong": sorted(answers),
        "val_count": 10_000,
        "data_digest": digest,
        "canonical": canonical,
        "robustness": {},
        "proof": PROOF,
        **more,
    }


def proof(**more: Any) -> dict[str, Any]:
    return {"proof": PROOF | more}


def never() -> float:
    raise AssertionError("the time does not decide here")


def failed(verdict: promotion.Verdict) -> list[str]:
    return [gate.name for gate in verdict.gates if not gate.passed]


def test_the_first_is_champion_if_it_holds_every_bound() -> None:
    verdict = judge(version(9_000), None, never)
    assert verdict.passed and "there was none" in verdict.reason
    assert not judge(version(0) | proof(holds=False), None, never).passed


def test_better_beyond_chance_wins() -> None:
    """Six answers that only the new one has right, none that only the old one has: p is 2/64."""
    verdict = judge(version(14), version(20), never)
    assert verdict.passed and "14 of 10,000 wrong against the champion's 20" in verdict.reason
    assert "p 0.031" in verdict.reason and mcnemar(6, 0) == pytest.approx(2 / 64)


def test_better_within_chance_does_not_win() -> None:
    """Five answers make p 2/32, which is above 0.05."""
    verdict = judge(version(15), version(20), lambda: 1.0)
    assert failed(verdict) == ["validation"] and "no better beyond chance" in verdict.reason
    assert mcnemar(5, 0) == pytest.approx(2 / 32) and 2 / 64 < promotion.CHANCE < 2 / 32


def test_the_test_is_paired() -> None:
    """Fewer are wrong by as many as above, but other answers: now chance explains it."""
    old, new = set(range(1000, 1020)), set(range(14))
    assert not judge(version(new), version(old), lambda: 1.0).passed
    assert judge(version(14), version(20), never).passed


def test_more_wrong_answers_never_win_however_small_and_fast() -> None:
    verdict = judge(version(21) | proof(bytes=1000, latency_ms=0.01), version(20), lambda: 0.1)
    assert failed(verdict) == ["validation"]
    assert "worse, 21 of 10,000 wrong against the champion's 20" in verdict.reason


def test_the_same_answers_do_not_win() -> None:
    verdict = judge(version(), version(), lambda: 1.0)
    assert failed(verdict) == ["validation"] and "neither smaller (100% of its bytes)" in str(
        verdict.reason
    )


@pytest.mark.parametrize(("size", "wins"), [(95_000, True), (95_001, False)])
def test_no_worse_and_smaller_wins(size: int, wins: bool) -> None:
    verdict = judge(version() | proof(bytes=size), version(), never if wins else lambda: 1.0)
    assert verdict.passed is wins and ("but smaller: 95% of its bytes" in verdict.reason) is wins


@pytest.mark.parametrize(("ratio", "wins"), [(0.9, True), (0.901, False)])
def test_no_worse_and_faster_wins(ratio: float, wins: bool) -> None:
    verdict = judge(version(), version(), lambda: ratio)
    assert verdict.passed is wins and ("but faster: 90% of its time" in verdict.reason) is wins


def test_a_champion_whose_graph_was_never_proven_gives_no_traceback() -> None:
    """Somebody insisted on it: its graph has no size to be compared with."""
    unproven = version() | proof(holds=False, bytes=0, latency_ms=0.0)
    assert not judge(version(), unproven, lambda: 1.0).passed
    assert judge(version(5), unproven, never).passed


def test_other_data_do_not_compare() -> None:
    verdict = judge(version(0, "b"), version(5_000), never)
    assert failed(verdict) == ["data"] and "do not compare" in verdict.reason


def test_canonical_data_win_over_foreign() -> None:
    foreign = version(0, "b", canonical=False)
    assert judge(version(5_000), foreign, never).passed
    assert not judge(foreign, version(5_000), never).passed
    assert not judge(version(5_000) | proof(holds=False), foreign, never).passed


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ({"holds": False, "parity": "9,999 of 10,000 decisions the same"}, "parity"),
        ({"bytes": promotion.MOST_BYTES + 1}, "size"),
        ({"latency_ms": promotion.MOST_LATENCY_MS * 1.001}, "latency"),
        ({"latency_ms": math.nan}, "latency"),
    ],
)
def test_every_bound_of_the_proof_can_fail(numbers: dict[str, Any], name: str) -> None:
    verdict = judge(version(0) | proof(**numbers), version(), never)
    assert failed(verdict) == [name] and verdict.reason.startswith(f"{name}: ")
    assert numbers.get("parity", "at most") in verdict.reason


def test_the_bounds_themselves_are_allowed() -> None:
    most = proof(bytes=promotion.MOST_BYTES, latency_ms=promotion.MOST_LATENCY_MS)
    robust = {"robustness": {"ece/validation": promotion.MOST_ECE}}
    assert judge(version(0) | most | robust, version(), never).passed


def test_calibration_has_a_bound_of_its_own_on_canonical_data() -> None:
    bad = {"robustness": {"ece/validation": promotion.MOST_ECE + 1e-6}}
    assert failed(judge(version(0) | bad, None, never)) == ["calibration error"]
    assert judge(version(0, canonical=False) | bad, None, never).passed


def robust(**numbers: float) -> dict[str, Any]:
    return {"robustness": {name.replace("__", "/"): value for name, value in numbers.items()}}


def test_less_robust_beyond_noise_is_no_champion() -> None:
    champion = version() | robust(corruption__rotate=0.90, ece__validation=0.002)
    slightly = version(0) | robust(corruption__rotate=0.86, ece__validation=0.0049)
    assert judge(slightly, champion, never).passed
    clearly = version(0) | robust(corruption__rotate=0.80, ece__validation=0.002)
    verdict = judge(clearly, champion, never)
    assert failed(verdict) == ["robustness"]
    assert "corruption/rotate (0.8000 against 0.9000, noise 0.045)" in verdict.reason


def test_a_higher_calibration_error_is_worse_and_a_lower_one_is_not() -> None:
    champion = version() | robust(ece__validation=0.010)
    assert failed(judge(version(0) | robust(ece__validation=0.014), champion, never)) == [
        "robustness"
    ]
    assert judge(version(0) | robust(ece__validation=0.001), champion, never).passed


def test_noise_goes_by_name_before_group() -> None:
    champion = version() | robust(corruption__fog=0.90, refused__fashion_mnist=0.98)
    assert judge(version(0) | robust(corruption__fog=0.82), champion, never).passed
    assert not judge(version(0) | robust(corruption__fog=0.80), champion, never).passed


def test_noise_is_known_for_canonical_data_only() -> None:
    champion = version(canonical=False) | robust(corruption__rotate=0.90)
    candidate = version(0, canonical=False) | robust(corruption__rotate=0.5)
    assert judge(candidate, champion, never).passed


def test_what_only_one_has_measured_does_not_count() -> None:
    assert judge(version(0) | robust(corruption__rotate=0.1), version(), never).passed


def test_a_number_that_is_none_is_not_passed_as_no_worse() -> None:
    champion = version() | robust(corruption__rotate=0.90)
    verdict = judge(version(0) | robust(corruption__rotate=math.nan), champion, never)
    assert failed(verdict) == ["robustness"]


def test_all_that_failed_is_told() -> None:
    candidate = version(30) | robust(corruption__rotate=0.1) | proof(holds=False, bytes=10**8)
    verdict = judge(candidate, version() | robust(corruption__rotate=0.9), never)
    assert failed(verdict) == ["validation", "parity", "size", "robustness"]
    assert verdict.reason.count("; ") == 3 and "100,000,000 bytes, at most" in verdict.reason


def test_every_number_of_an_examination_has_a_noise() -> None:
    """No name that a card of digits gives to a number is unknown to the test."""
    reliability = Reliability(np.ones(15), np.full(15, 0.9), np.full(15, 0.4))
    refusal = Refusal(np.zeros(1), 0.5, 0.5)
    kinds = dict.fromkeys(CORRUPTIONS, 0.5)
    pens, drawings, scores = [20], np.zeros((10, 1)), np.zeros(1)
    refusals = {"letters": refusal}
    card = Card(kinds, [], kinds, pens, drawings, 0.5, scores, 0.5, refusals, reliability)
    old = card.numbers()
    for name in old:
        worse = {**old, name: old[name] + (0.5 if name.startswith("ece") else -0.5)}
        champion, candidate = version() | {"robustness": old}, version(0) | {"robustness": worse}
        assert "robustness" in failed(judge(candidate, champion, never)), name


def test_intervals_are_wilsons() -> None:
    """Wilson's formula by hand, z = 1.959964."""
    z, n, p = 1.959964, 10_000, 0.9967
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert interval(9967, n) == pytest.approx((centre - half, centre + half), abs=1e-7)
    assert interval(0, 10)[0] == 0 and interval(10, 10)[1] == 1


def test_what_cannot_be_proven_costs_the_promotion_and_no_training() -> None:
    task, splits = tasks.get("gate"), gate.load(gate.GateOptions())

    def fails(net: object, x: object) -> dict:
        raise RuntimeError("no such operator\nand more")

    job = SimpleNamespace(task=replace(task, outputs=fails), splits=splits)
    found = train.prove(job, gate.network(inputs=2, nets=(16,)))
    assert found["parity"] == "not proven: no such operator" and not found["holds"]
    verdict = judge(version(0) | proof(**found), None, never)
    assert not verdict.passed and verdict.reason == "parity: not proven: no such operator"

"""The test that a version passes to bear the alias `champion`: all gates and bounds stand here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from experiments.chance import mcnemar

# By how much a number of a version's robustness card may be worse than the champion's, by name or
# by group: three standard deviations of the difference between two seeds of the default recipe, or
# a little more; python -m benchmarks.robustness --seeds 5.
NOISE = {
    "corruption": 0.045,
    "corruption/mean": 0.015,
    "corruption/least": 0.08,
    "corruption/zigzag": 0.06,
    "corruption/fog": 0.09,
    "corruption/canny_edges": 0.125,
    "drawings": 0.03,
    "refused": 0.055,
    "auroc": 0.005,
    "ece": 0.003,
}
LESS_IS_BETTER = {"ece"}
CHANCE = 0.05  # of so uneven a division of validation answers: above, a difference is noise
MOST_ECE = 0.02  # expected calibration error on validation, 0 to 1
MOST_BYTES = 10_000_000  # of the ONNX graph
MOST_LATENCY_MS = 25.0  # for one sample on one thread of onnxruntime
SMALLER, FASTER = 0.95, 0.9  # of the champion's bytes; of its time, taken side by side

Evidence = Mapping[str, Any]


@dataclass(frozen=True)
class Gate:
    """One question of the test: its name, whether it is passed, and the numbers that say so."""

    name: str
    passed: bool
    told: str

    def __str__(self) -> str:
        return f"{self.name}: {self.told}"


@dataclass(frozen=True)
class Verdict:
    """The gates that were asked, in order."""

    gates: tuple[Gate, ...]

    @property
    def passed(self) -> bool:
        """Return whether each gate is passed."""
        return all(gate.passed for gate in self.gates)

    @property
    def reason(self) -> str:
        """Return why: what was not passed, or, if all was, what the first gate found."""
        failed = [str(gate) for gate in self.gates if not gate.passed]
        return "; ".join(failed) or f"{self.gates[0].told}, and every bound holds"


def judge(
    candidate: Evidence, champion: Evidence | None, time_ratio: Callable[[], float]
) -> Verdict:
    """Return how `candidate` does in the test against the present champion.

    Only versions measured on the same data compare. Of two on different data, the one trained on
    the task's canonical data wins over the one that was not, and nothing else does. What is noise
    in robustness and calibration is known for canonical data only.

    Args:
        candidate, champion: what was stored with the versions: `data_digest`, `canonical`,
            `val_wrong` (which validation answers were wrong), `val_count`, `robustness` (name ->
            number), `proof` (`parity`, `bytes`, `latency_ms`). No champion, or one without
            evidence: None.
        time_ratio: measures the candidate's time for a sample as a share of the champion's; asked
            only where it decides.
    """
    gates = [*_bounds(candidate)]
    if champion is None:
        gates.insert(0, Gate("champion", True, "there was none, or none with evidence"))
    elif candidate["data_digest"] != champion["data_digest"]:
        gates.insert(0, _other_data(candidate, champion))
    else:
        gates.insert(0, _validation(candidate, champion, time_ratio))
        if candidate["canonical"]:
            gates.append(_robustness(candidate["robustness"], champion["robustness"]))
    return Verdict(tuple(gates))


def _other_data(candidate: Evidence, champion: Evidence) -> Gate:
    if candidate["canonical"] and not champion["canonical"]:
        return Gate("data", True, "the champion was trained on data that are not the task's own")
    return Gate(
        "data", False, "it was trained on other data than the champion, so they do not compare"
    )


def _validation(candidate: Evidence, champion: Evidence, time_ratio: Callable[[], float]) -> Gate:
    """Better by McNemar's test; or no answer more is wrong, and it is smaller or faster."""
    new, old = set(candidate["val_wrong"]), set(champion["val_wrong"])
    shown = f"{len(new)} of {candidate['val_count']:,} wrong against the champion's {len(old)}"
    if len(new) > len(old):
        return Gate("validation", False, f"worse, {shown}")
    p = mcnemar(len(old - new), len(new - old))
    if p < CHANCE:
        return Gate("validation", True, f"better beyond chance, {shown} (McNemar's p {p:.2g})")
    shown = f"no better beyond chance, {shown} (McNemar's p {p:.2g})"
    size = champion["proof"]["bytes"]  # 0 of one that was never proven
    smaller = candidate["proof"]["bytes"] / size if size else 1.0
    if smaller <= SMALLER:
        return Gate("validation", True, f"{shown}, but smaller: {smaller:.0%} of its bytes")
    ratio = time_ratio()
    if ratio <= FASTER:
        return Gate("validation", True, f"{shown}, but faster: {ratio:.0%} of its time")
    return Gate(
        "validation",
        False,
        f"{shown}, and neither smaller ({smaller:.0%} of its bytes) nor faster ({ratio:.0%} of "
        "its time, taken side by side)",
    )


def _robustness(new: Mapping[str, float], old: Mapping[str, float]) -> Gate:
    worse = list(_worse(new, old))
    if worse:
        return Gate("robustness", False, f"worse beyond noise in {', '.join(worse)}")
    return Gate("robustness", True, f"none of {len(new.keys() & old.keys())} worse beyond noise")


def _worse(new: Mapping[str, float], old: Mapping[str, float]) -> Iterator[str]:
    """Yield the numbers in which `new` is worse than `old` beyond noise, of those that both had."""
    for name in sorted(new.keys() & old.keys()):
        group = name.split("/")[0]
        noise = NOISE.get(name, NOISE.get(group, 0.0))
        loss = (old[name] - new[name]) * (-1 if group in LESS_IS_BETTER else 1)
        if not loss <= noise:  # a number that is none is worse
            yield f"{name} ({new[name]:.4f} against {old[name]:.4f}, noise {noise:g})"


def _bounds(candidate: Evidence) -> Iterator[Gate]:
    """Yield the gates that ask nothing of the champion."""
    proof = candidate["proof"]
    yield Gate("parity", proof["holds"], proof["parity"])
    yield _at_most("size", proof["bytes"], MOST_BYTES, "bytes")
    yield _at_most("latency", proof["latency_ms"], MOST_LATENCY_MS, "ms")
    if candidate["canonical"] and "ece/validation" in candidate["robustness"]:
        error = candidate["robustness"]["ece/validation"]
        yield _at_most("calibration error", error, MOST_ECE, "on validation")


def _at_most(name: str, value: float, most: float, unit: str) -> Gate:
    shown, bound = (f"{v:,}" if isinstance(v, int) else f"{v:.4g}" for v in (value, most))
    return Gate(name, value <= most, f"{shown} {unit}, at most {bound}")

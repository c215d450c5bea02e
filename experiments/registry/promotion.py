"""The test by which a version becomes champion: all checks and bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from experiments.core.stats import mcnemar, wilson_interval
from experiments.registry.metadata import VersionMetadata, is_current, metric_of

ALPHA = 0.05  # of McNemar's test: a difference with a larger p is noise
MAX_BYTES = 10_000_000  # of the ONNX graph
MAX_LATENCY_MS = 25.0  # for one sample on one thread of onnxruntime
MEAN, SUMMARIES = "mean", ("mean", "least")  # of a group of numbers
MAX_NAMED = 3  # numbers that a reason names, those with the greatest loss
SMALLER, FASTER = 0.95, 0.9  # fraction of the champion's bytes; of its time, in one process


@dataclass(frozen=True)
class Check:
    """One part of the test: its name, whether it is passed, and the numbers behind it."""

    name: str
    passed: bool
    detail: str

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}"


@dataclass(frozen=True)
class PromotionResult:
    """All checks, in order; the first compares with the champion."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Return whether each check is passed."""
        return all(check.passed for check in self.checks)

    @property
    def reason(self) -> str:
        """Return the checks that failed, or else the detail of the first one."""
        failed = [str(check) for check in self.checks if not check.passed]
        return "; ".join(failed) or f"{self.checks[0].detail}, and every bound holds"


def evaluate_candidate(
    candidate: VersionMetadata, champion: VersionMetadata | None, time_ratio: Callable[[], float]
) -> PromotionResult:
    """Return the result of `candidate` in the test against the present champion.

    Versions measured on the same validation samples are compared sample by sample. A champion with
    another number of validation samples is compared by its fraction of wrong answers. Of two
    versions on different data, one on the task's canonical data wins over one that is not, and
    nothing else does. The noise of robustness and calibration is known for canonical data only.

    A champion of an earlier release is replaced, whatever its numbers: this release can neither
    load nor export it, so `export` would have no champion to take until one is forced. So is a
    champion that was forced and did not learn. Only a version that was trained on other data than
    the task's own does not replace one that was trained on these.

    No version that did not learn, or whose data are unfit, becomes champion.

    Args:
        candidate, champion: metadata of the versions; None without a champion.
        time_ratio: measures the candidate's time for a sample as a fraction of the champion's;
            called only where it decides.
    """
    checks = [*_bounds(candidate)]
    if champion is None:
        first = Check("champion", True, "there was no champion")
    elif not is_current(champion):
        first = _replaced(candidate, champion, "of an earlier release, which cannot be loaded")
    elif not learned(champion).passed:
        first = _replaced(candidate, champion, "that did not learn")
    elif candidate["data_digest"] != champion["data_digest"]:
        first = _other_data(candidate, champion)
    else:
        if candidate["val_count"] == champion["val_count"]:
            first = _validation(candidate, champion, time_ratio)
        else:
            first = _other_samples(candidate, champion)
        if candidate["canonical"]:
            checks.append(_robustness(candidate, champion))
    return PromotionResult((first, *checks))


def learned(version: VersionMetadata) -> Check:
    """Pass if the accuracy on validation is above the task's floor, beyond chance.

    A version of an earlier release has no floor, and passes.
    """
    count, floor = version["val_count"], version.get("floor", 0.0)
    right = count - len(version["val_wrong"])
    low = right / count if version.get("exhaustive") else wilson_interval(right, count)[0]
    detail = (
        f"{right:,} of {count:,} right on validation; one that learned is clearly above {floor:.1%}"
    )
    return Check("learned", low > floor or not floor, detail)


def _replaced(candidate: VersionMetadata, champion: VersionMetadata, kind: str) -> Check:
    if champion.get("canonical") and not candidate["canonical"]:
        return Check("data", False, "it was trained on other data than the champion")
    return Check("champion", True, f"it replaces a champion {kind}")


def _other_data(candidate: VersionMetadata, champion: VersionMetadata) -> Check:
    if candidate["canonical"] and not champion["canonical"]:
        return Check("data", True, "the champion was trained on data that are not the task's own")
    return Check("data", False, "it was trained on other data than the champion")


def _other_samples(candidate: VersionMetadata, champion: VersionMetadata) -> Check:
    """Pass with no larger fraction wrong, of different validation samples."""
    new, old = (len(each["val_wrong"]) / each["val_count"] for each in (candidate, champion))
    detail = (
        f"{new:.2%} of {candidate['val_count']:,} wrong, of the champion's own "
        f"{champion['val_count']:,} {old:.2%}"
    )
    return Check("validation", new <= old, detail)


def _validation(
    candidate: VersionMetadata, champion: VersionMetadata, time_ratio: Callable[[], float]
) -> Check:
    """Pass if better by McNemar's test, or if not worse and smaller or faster.

    Of data that are all there are, fewer wrong answers are better without a test.
    """
    new, old = set(candidate["val_wrong"]), set(champion["val_wrong"])
    counts = f"{len(new)} of {candidate['val_count']:,} wrong against the champion's {len(old)}"
    if len(new) > len(old):
        return Check("validation", False, f"worse, {counts}")
    # Better beyond chance?
    if candidate.get("exhaustive") and len(new) < len(old):
        return Check("validation", True, f"better, {counts}")
    p = mcnemar(len(old - new), len(new - old))
    if p < ALPHA:
        return Check("validation", True, f"better beyond chance, {counts} (McNemar's p {p:.2g})")
    counts = f"no better beyond chance, {counts} (McNemar's p {p:.2g})"
    # Smaller?
    size = champion["proof"]["bytes"]  # 0 if its export failed
    smaller = candidate["proof"]["bytes"] / size if size else 1.0
    if smaller <= SMALLER:
        return Check("validation", True, f"{counts}, but smaller: {smaller:.0%} of its bytes")
    # Faster?
    ratio = time_ratio()
    if ratio <= FASTER:
        return Check("validation", True, f"{counts}, but faster: {ratio:.0%} of its time")
    return Check(
        "validation",
        False,
        f"{counts}, and neither smaller ({smaller:.0%} of its bytes) nor faster ({ratio:.0%} of "
        "its time, in one process)",
    )


def _robustness(candidate: VersionMetadata, champion: VersionMetadata) -> Check:
    """Not worse beyond noise in any number that both have.

    The noise of a number is three standard deviations, so that of forty numbers one is worse by
    chance in 5 % of all tests. A real loss in one member of a group, such as one of fifteen
    corruptions, does not decide if the mean of that group has gained beyond its noise.
    """
    new, old = candidate["robustness"], champion["robustness"]
    common = sorted(new.keys() & old.keys())

    def noise(name: str) -> float:
        return float(metric_of(candidate, name).get("noise", 0.0))

    def loss(name: str) -> float:
        change = float(old[name] - new[name])
        return -change if metric_of(candidate, name).get("lower_is_better") else change

    def is_worse(name: str) -> bool:
        group, _, member = name.partition("/")
        mean = f"{group}/{MEAN}"
        traded = member not in SUMMARIES and mean in common and -loss(mean) > noise(mean)
        return math.isnan(loss(name)) or (loss(name) > noise(name) and not traded)

    worse = sorted(filter(is_worse, common), key=lambda name: noise(name) - loss(name))
    if not worse:
        return Check("robustness", True, f"none of {len(common)} worse beyond noise")
    texts = [
        f"{name} ({new[name]:.4f} against {old[name]:.4f}, noise {noise(name):g})"
        for name in worse[:MAX_NAMED]
    ]
    more = f" and {len(worse) - MAX_NAMED} more" if len(worse) > MAX_NAMED else ""
    return Check("robustness", False, f"worse beyond noise in {', '.join(texts)}{more}")


def _bounds(candidate: VersionMetadata) -> Iterator[Check]:
    """Yield the checks that need no champion."""
    yield learned(candidate)
    if candidate.get("unfit"):
        yield Check("fitness of the data", False, candidate["unfit"])
    proof = candidate["proof"]
    yield Check("parity", proof["holds"], proof["parity"])
    yield _at_most("size", proof["bytes"], MAX_BYTES, "bytes")
    yield _at_most("latency", proof["latency_ms"], MAX_LATENCY_MS, "ms")
    if candidate["canonical"]:
        for name, value in candidate["robustness"].items():
            bound = metric_of(candidate, name).get("maximum")
            if bound is not None:
                yield _at_most(name, value, bound, "on validation")


def _at_most(name: str, value: float, bound: float, unit: str) -> Check:
    return Check(name, value <= bound, f"{number(value)} {unit}, at most {number(bound)}")


def number(value: float) -> str:
    """Return a measured number as text: whole ones in full, others with four digits."""
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"

"""The rule by which a new version takes the alias `champion`."""

from collections.abc import Iterator, Mapping
from typing import Any

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


def verdict(candidate: Mapping[str, Any], champion: Mapping[str, Any] | None) -> tuple[bool, str]:
    """Return whether `candidate` becomes champion, and why.

    Only versions measured on the same data compare. Of two on different data, the one trained
    on the task's canonical data wins over the one that was not, and nothing else does. A version
    that is better on validation has to be no less robust, beyond `NOISE`, in anything that both
    cards hold; on the task's canonical data, since what is noise depends on how many digits there
    are. A champion of the time before robustness cards gives way.

    Args:
        candidate, champion: what was stored with the versions: `data_digest`, `canonical`,
            `val_accuracy` (0 to 1), `val_loss`, `robustness` (name -> number). No champion: None.
    """
    if champion is None:
        return True, "there was no champion"
    if candidate["data_digest"] != champion["data_digest"]:
        if candidate["canonical"] and not champion["canonical"]:
            return True, "the champion was trained on data that are not the task's own"
        return False, "it was trained on other data than the champion, so they do not compare"
    new, old = (
        (version["val_accuracy"], -version["val_loss"]) for version in (candidate, champion)
    )
    shown = (
        f"validation accuracy {new[0]:.4f}, loss {-new[1]:.4g} against {old[0]:.4f}, {-old[1]:.4g}"
    )
    if candidate.get("robustness") and not champion.get("robustness"):
        return True, f"the champion has no robustness card; {shown}"
    if new <= old:
        return False, f"not better on validation: {shown}"
    if candidate["canonical"] and (
        worse := list(_worse(candidate.get("robustness", {}), champion.get("robustness", {})))
    ):
        return False, f"better on validation ({shown}), but worse in {'; '.join(worse)}"
    return True, f"better on validation: {shown}"


def _worse(new: Mapping[str, float], old: Mapping[str, float]) -> Iterator[str]:
    """Yield the numbers in which `new` is worse than `old` beyond noise, of those that both had."""
    for name in sorted(new.keys() & old.keys()):
        group = name.split("/")[0]
        noise = NOISE.get(name, NOISE[group])
        loss = (old[name] - new[name]) * (-1 if group in LESS_IS_BETTER else 1)
        if loss > noise:
            yield f"{name} ({new[name]:.4f} against {old[name]:.4f}, noise {noise:g})"

"""The rule by which a new version takes the alias `champion`."""

from collections.abc import Mapping
from typing import Any


def verdict(candidate: Mapping[str, Any], champion: Mapping[str, Any] | None) -> tuple[bool, str]:
    """Return whether `candidate` becomes champion, and why.

    Only versions measured on the same data compare. Of two on different data, the one trained
    on the task's canonical data wins over the one that was not, and nothing else does.

    Args:
        candidate, champion: what was stored with the versions: `data_digest`, `canonical`,
            `val_accuracy` (0 to 1), `val_loss`. No champion: None.
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
    return new > old, f"{'better' if new > old else 'not better'} on validation: {shown}"

"""The model card of a version: its metadata as Markdown, a file of the model and its description.

jinja2 is imported inside a function: only a card that is written needs it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from experiments import tasks
from experiments.core.paths import ROOT
from experiments.core.stats import wilson_interval
from experiments.registry import metadata, versions
from experiments.registry.metadata import VersionMetadata
from experiments.registry.versions import Version

NAME = "card.md"
TEMPLATE = Path(__file__).with_name("model_card.md.jinja")
MAX_CHARS = 5000  # characters that every database takes as a version's description
WORST = 3  # corruptions that are listed
PRECISION = "precision."  # prefix of the tags that describe a version's graphs


def publish(version: Version, torch_version: Version | None = None) -> None:
    """Write the card, add it to the model, and make it the version's description.

    Args:
        torch_version: the version whose graph this one is; None for a torch version.
    """
    text = render(version, torch_version)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        path.write_text(text)
        versions.add_artifact(version, path)
    versions.describe(version, shortened(text))


def render(version: Version, torch_version: Version | None = None) -> str:
    """Return the card of a version."""
    from jinja2 import Environment, StrictUndefined

    origin = torch_version or version
    stored = version.metadata
    graphs = {
        key.removeprefix(PRECISION): json.loads(text)
        for key, text in sorted(origin.tags.items())
        if key.startswith(PRECISION)
    }
    template = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    return template.from_string(TEMPLATE.read_text()).render(
        version=version,
        is_graph=torch_version is not None,
        stored=stored,
        task=tasks.get(stored["task"]),
        summary=summary(origin),
        rows=[*accuracies(stored), *robustness(stored), *metadata.card_rows(stored)],
        graphs=graphs,
        licence=licence(),
    )


def summary(version: Version) -> str:
    """Return the accuracy and the origin of a version, in two sentences."""
    stored = version.metadata
    right, count = _right(stored, "test")
    interval = "all there are" if stored["exhaustive"] else f"95 % interval {_wilson(right, count)}"
    return (
        f"{version}: {right:,} of {count:,} test answers right, "
        f"{stored['test_accuracy']:.2%} ({interval}). Trained on {stored['data_name']} with recipe "
        f"{stored['recipe']}, seed {stored['seed']}, in {stored['fit_seconds']:.1f} s."
    )


def accuracies(stored: VersionMetadata) -> Iterator[tuple[str, str]]:
    """Yield label and text of the accuracies, each with its 95 % interval."""
    note = ", which is all there is" if stored["exhaustive"] else ""
    for label, split in (("test", "test"), ("validation", "val")):
        right, count = _right(stored, split)
        interval = "" if stored["exhaustive"] else f" ({_wilson(right, count)})"
        yield f"right on {label}{note}", f"{right:,} of {count:,}, {right / count:.2%}{interval}"


def _right(stored: VersionMetadata, split: str) -> tuple[int, int]:
    count = stored[f"{split}_count"]
    return round(stored[f"{split}_accuracy"] * count), count


def _wilson(right: int, count: int) -> str:
    low, high = wilson_interval(right, count)
    return f"{low:.2%} to {high:.2%}"


def robustness(stored: VersionMetadata) -> Iterator[tuple[str, str]]:
    """Yield label and text of the mean over corruptions, of the worst, and of other inputs."""
    groups: dict[str, dict[str, float]] = {}
    for name, value in stored["robustness"].items():
        group, _, entry = name.partition("/")
        groups.setdefault(group, {})[entry] = value
    kinds = groups.get("corruption", {})
    mean, _ = kinds.pop("mean", None), kinds.pop("least", None)
    if mean is not None:
        yield f"right, mean over {len(kinds)} corruptions of validation digits", f"{mean:.1%}"
    for kind in sorted(kinds, key=kinds.__getitem__)[:WORST]:
        yield f"right under {kind.replace('_', ' ')}", f"{kinds[kind]:.1%}"
    if "drawings" in groups:
        yield "right, of drawings with six pens", f"{groups['drawings']['mean']:.1%}"
    for kind, fraction in groups.get("refused", {}).items():
        yield f"rejected, of {kind.replace('_', ' ')}", f"{fraction:.1%}"


def licence() -> str:
    """Return the licence of the project's code and weights, as a sentence."""
    path = ROOT / "LICENSE"
    if path.is_file():
        return f"Code and weights: {path.read_text().strip().splitlines()[0].strip()}."
    return "Code and weights: no licence is stated; ask their author before you pass them on."


def shortened(text: str) -> str:
    """Return as many complete sections of a card as a description takes."""
    if len(text) <= MAX_CHARS:
        return text
    more = f"\n\nThe rest is in {NAME}, a file of the model."
    room = MAX_CHARS - len(more)
    end = text.rfind("\n## ", 0, room)
    return text[: end if end > 0 else room].rstrip() + more

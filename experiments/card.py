"""The card of a version: its evidence as Markdown, beside the model and in the registry."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments import versions
from experiments.chance import interval
from experiments.paths import ROOT
from experiments.versions import Version

NAME = "card.md"
TEMPLATE = Path(__file__).with_name("card.md.jinja")
LONGEST = 5000  # characters that every database takes as a version's description
WORST = 3  # corruptions that are named
PRECISION = "precision."  # how the tags begin that tell of a version's graphs


def publish(version: Version, torch_version: Version | None = None) -> None:
    """Write the card, lay it beside the model, and make it the version's description.

    Args:
        torch_version: the version whose graph this one is; None for a torch version.
    """
    text = written(version, torch_version)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / NAME
        path.write_text(text)
        versions.attach(version, path)
    versions.describe(version, shortened(text))


def written(version: Version, torch_version: Version | None = None) -> str:
    """Return the card of a version."""
    from jinja2 import Environment, StrictUndefined

    from experiments import tasks

    origin = torch_version or version
    stored = version.metadata
    graphs = {key.removeprefix(PRECISION): json.loads(v) for key, v in _graphs(origin)}
    template = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - Markdown
    return template.from_string(TEMPLATE.read_text()).render(
        version=version,
        origin=origin,
        is_graph=torch_version is not None,
        stored=stored,
        task=tasks.get(stored["task"]),
        summary=summary(origin),
        accuracies=list(accuracies(stored)),
        robustness=list(robustness(stored)),
        graphs=graphs,
        precision=stored.get("precision"),
        licence=licence(),
    )


def _graphs(version: Version) -> Iterator[tuple[str, str]]:
    return ((key, v) for key, v in sorted(version.tags.items()) if key.startswith(PRECISION))


def summary(version: Version) -> str:
    """Return what one needs to know of a version first, in two sentences."""
    stored = version.metadata
    right = round(stored["test_accuracy"] * stored["test_count"])
    low, high = interval(right, stored["test_count"])
    sure = "all there are" if stored["exhaustive"] else f"95 % interval {low:.2%} to {high:.2%}"
    return (
        f"{version}: {right:,} of {stored['test_count']:,} test answers right, "
        f"{stored['test_accuracy']:.2%} ({sure}). Trained on {stored['data_name']} with recipe "
        f"{stored['recipe']}, seed {stored['seed']}, in {stored['fit_seconds']:.1f} s."
    )


def accuracies(stored: Mapping[str, Any]) -> Iterator[tuple[str, int, int, str]]:
    """Yield split, answers right, answers, and their share with its 95 % interval."""
    for split, name in (("test", "test"), ("validation", "val")):
        count = stored[f"{name}_count"]
        right = round(stored[f"{name}_accuracy"] * count)
        low, high = interval(right, count)
        sure = "" if stored["exhaustive"] else f" ({low:.2%} to {high:.2%})"
        yield split, right, count, f"{right / count:.2%}{sure}"


def robustness(stored: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what was measured beyond accuracy, the worst first; nothing where nothing was."""
    numbers: Mapping[str, float] = stored["robustness"]
    kinds = {name: v for name, v in numbers.items() if name.startswith("corruption/")}
    mean, least = kinds.pop("corruption/mean", None), kinds.pop("corruption/least", None)
    if mean is None or least is None:
        return
    yield f"right, of validation digits damaged in {len(kinds)} ways, on average", f"{mean:.1%}"
    for name in sorted(kinds, key=kinds.__getitem__)[:WORST]:
        yield f"right under {name.partition('/')[2].replace('_', ' ')}", f"{kinds[name]:.1%}"
    if "drawings/mean" in numbers:
        yield "right, of drawings with six pens", f"{numbers['drawings/mean']:.1%}"
    for name, share in numbers.items():
        if name.startswith("refused/"):
            yield f"refused, of {name.partition('/')[2].replace('_', ' ')}", f"{share:.1%}"


def licence() -> str:
    """Return what the project says of the use of its code and weights."""
    path = ROOT / "LICENSE"
    if path.is_file():
        return f"Code and weights: {path.read_text().strip().splitlines()[0].strip()}."
    return "Code and weights: no licence is stated; ask their author before you pass them on."


def shortened(text: str) -> str:
    """Return as many whole sections of a card as a description takes."""
    if len(text) <= LONGEST:
        return text
    more = f"\n\nThe rest stands in {NAME}, beside the model."
    room = LONGEST - len(more)
    end = text.rfind("\n## ", 0, room)
    return text[: end if end > 0 else room].rstrip() + more

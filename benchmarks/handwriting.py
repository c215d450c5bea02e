"""Digits that people have drawn, read as the page reads them.

    python -m benchmarks.handwriting --strokes FILE --pen 8 30 60 --size 110 300

FILE is a .npz of strokes: `label` [N], `strokes_per_digit` [N], `points_per_stroke`, and `points`
[all points, 2] (x to the right, y down, in any unit). The page's own code reads each digit, drawn
on the pad with each pen and size, by the graphs of --model, else by the default recipe of --seeds.
Nothing is trained or calibrated on FILE. Writes benchmarks/results/handwriting.json.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import record
from experiments.core import cli
from experiments.data import strokes
from experiments.data.strokes import Drawing
from experiments.evaluation.calibration import Reliability
from serve.backends.onnx_backend import OnnxPredictor
from serve.tabs.digit import inference

SIDE = 400  # pixels of the pad


METRICS = ("right", "likeliest", "refused", "ece")
Pixels = tuple[int, ...]


class Spread(click.Command):
    """A command that takes `--pen 8 30` for `--pen 8 --pen 30`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each further value."""
        spread: list[str] = []
        for arg in args:
            if not arg.startswith("-") and spread and not spread[-1].startswith("-"):
                spread.append(next(each for each in reversed(spread) if each.startswith("-")))
            spread.append(arg)
        return super().parse_args(ctx, spread)


@click.command("benchmarks.handwriting", cls=Spread)
@click.option("--strokes", "file", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--pen", type=click.IntRange(1, 100), multiple=True, default=(8, 30, 60))
@click.option("--size", type=click.IntRange(20, 360), multiple=True, default=(300,))
@click.option("--model", type=click.Path(path_type=Path, exists=True), multiple=True)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
def command(file: Path, pen: Pixels, size: Pixels, model: tuple[Path, ...], seeds: int) -> None:
    """Read the digits of --strokes with every --pen (pixels wide) and --size (pixels high)."""
    drawings = load(file)
    predictors = list(map(OnnxPredictor, model)) if model else list(trained(seeds))
    rows = []
    for px, width in product(size, pen):
        metrics, confusions = measured(predictors, drawings, width, px)
        rows.append({"size": px, "pen": width, **metrics, "confusions": confusions})
        shown = ", ".join(f"{name} {each['mean']:.2%}" for name, each in metrics.items())
        click.echo(f"{px} px, pen {width}: {shown}\n    {', '.join(confusions)}")
    result = {"file": file.name, "digits": len(drawings), "models": len(predictors), "rows": rows}
    line = (
        f"--strokes {file.name} --pen {' '.join(map(str, pen))} --size {' '.join(map(str, size))}"
    )
    record.save("handwriting", f"python -m benchmarks.handwriting {line}", result)


def load(file: Path) -> list[Drawing]:
    """Return the digits of a .npz of strokes, in its units."""
    with np.load(file, allow_pickle=False) as data:
        lines = np.split(data["points"].astype(float), np.cumsum(data["points_per_stroke"]))
        ends = np.cumsum(data["strokes_per_digit"]).tolist()
        labels = map(str, data["label"].tolist())
    spans = zip(labels, [0, *ends], ends, strict=False)
    return [Drawing(label, "", tuple(lines[start:end])) for label, start, end in spans]


def draw(drawing: Drawing, pen: int, size: int) -> np.ndarray:
    """Return the pad, uint8 [SIDE, SIDE], with `drawing` in its middle, `size` pixels large."""
    points = np.concatenate(drawing.strokes)
    low, high = points.min(0), points.max(0)
    scale = size / SIDE / max((high - low).max(), 1)
    placed = tuple((stroke - (low + high) / 2) * scale + 0.5 for stroke in drawing.strokes)
    return strokes.render(Drawing(drawing.label, "", placed), pen, SIDE)


def trained(seeds: int) -> Iterator[OnnxPredictor]:
    """Yield the exported default network of each seed."""
    from experiments import train
    from export import graph

    for seed in range(seeds):
        job, net, _, _ = record.fit(record.request("mnist", "default", seed))
        facts = train.calibrate(job, net)
        known = {"task": "mnist", "labels": job.splits.labels, "facts": facts}
        metadata = {k: v if isinstance(v, str) else json.dumps(v) for k, v in known.items()}
        model = graph.of_task(job.task, net, job.splits.val.x[:2], metadata)
        yield OnnxPredictor(Path(f"seed {seed}"), model.SerializeToString())


def measured(
    predictors: list[OnnxPredictor], drawings: list[Drawing], pen: int, size: int
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the mean of each of METRICS over the predictors, and the most frequent confusions.

    `right` is read as this one digit and not refused; `likeliest` counts refused ones, too.
    """
    y = np.array([int(drawing.label) for drawing in drawings])
    answers: list[list[tuple[str, bool, np.ndarray]]] = [[] for _ in predictors]
    for drawing in drawings:
        pad = draw(drawing, pen, size)
        for predictor, found in zip(predictors, answers, strict=True):
            each = inference.read(predictor, pad)
            prob = each.outputs["probabilities"][each.focus]
            found.append(("".join(each.preds), bool(each.refused.any()), prob))
    runs, confusions = [], Counter[str]()
    for found in answers:
        preds, refused, probs = map(np.array, zip(*found, strict=True))
        likeliest = preds == y.astype(str)
        values = (likeliest & ~refused, likeliest, refused)
        runs.append([*(float(value.mean()) for value in values), Reliability.of(probs, y).error])
        pairs = zip(y[~likeliest], preds[~likeliest], strict=True)
        confusions.update(f"{label} as {pred}" for label, pred in pairs)
    spread = record.spread if len(runs) > 1 else lambda values: {"mean": values[0]}
    metrics = {name: spread(each) for name, *each in zip(METRICS, *runs, strict=True)}
    return metrics, [f"{pair} ({n})" for pair, n in confusions.most_common(8)]


if __name__ == "__main__":
    cli.main(command)

"""A training's curves as SVG: loss and accuracy over the epochs."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

from serve.model.markup import sentence
from serve.texts import model as say

Points = Sequence[Sequence[float]]  # (epoch, value)


def figure(found: Mapping[str, Points], note: str = "") -> str:
    """Return loss and accuracy over the epochs, train and validation, as two SVGs.

    Args:
        found: train_loss, val_loss (nats), train_accuracy, val_accuracy (0 to 1) -> points.
        note: what to know of them.
    """
    percent = {
        name: [(epoch, 100 * value) for epoch, value in points]
        for name, points in found.items()
        if name.endswith("accuracy")
    }
    panels = (
        _panel(say.LOSS, found.get("train_loss", ()), found.get("val_loss", ()), log=True),
        _panel(say.ACCURACY, *(percent.get(f"{s}_accuracy", ()) for s in ("train", "val"))),
    )
    if not any(panels):
        return sentence(say.NO_CURVES)
    return f'<div class="curves">{"".join(panels)}</div><p>{html.escape(note)}</p>'


def _panel(title: str, train: Points, val: Points, *, log: bool = False) -> str:
    """Return one diagram: epochs to the right, values upwards, on a logarithmic scale if `log`."""
    values = [v for points in (train, val) for _, v in points if math.isfinite(v)]
    if not values or not train or not val:
        return ""
    left, top, wide, high = 62, 34, 300, 180
    ticks = _decades(values) if log and min(values) > 0 else _steps(min(values), max(values))
    scale = math.log10 if log and min(values) > 0 else float
    low, full = scale(ticks[0]), scale(ticks[-1])
    first, last = (f([epoch for epoch, _ in (*train, *val)]) for f in (min, max))

    def x(epoch: float) -> float:
        return left + wide * (epoch - first) / max(last - first, 1)

    def y(value: float) -> float:
        return top + high * (1 - (scale(value) - low) / (full - low))

    def line(name: str, points: Points) -> str:
        kept = [(x(e), y(v)) for e, v in points if math.isfinite(v)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in kept)
        dots = f'<circle class="{name}" cx="{kept[-1][0]:.1f}" cy="{kept[-1][1]:.1f}" r="3"/>'
        return f'<polyline class="{name}" points="{path}"/>{dots}'

    marks = "".join(
        f'<path class="axis" d="M{left - 5} {y(t):.1f}h5"/><text x="{left - 9}" '
        f'y="{y(t) + 5:.1f}" text-anchor="end">{t:g}</text>'
        for t in ticks
    )
    below = sorted({first, round((first + last) / 2), last})
    marks += "".join(
        f'<path class="axis" d="M{x(e):.1f} {top + high}v5"/><text x="{x(e):.1f}" '
        f'y="{top + high + 22}" text-anchor="middle">{e:g}</text>'
        for e in below
    )
    told = say.CURVE_LABEL.format(
        what=title,
        epochs=f"{last:g}",
        train=say.TRAIN,
        validation=say.VALIDATION,
        train_first=f"{train[0][1]:.3g}",
        train_last=f"{train[-1][1]:.3g}",
        val_first=f"{val[0][1]:.3g}",
        val_last=f"{val[-1][1]:.3g}",
    )
    foot = top + high + 44
    return f"""<svg viewBox="0 0 380 290" role="img" aria-label="{html.escape(told)}">
<text x="{left}" y="18">{html.escape(title)}</text>
<path class="axis" d="M{left} {top}v{high}h{wide}"/>{marks}
<text x="{left + wide / 2}" y="{foot}" text-anchor="middle">{say.EPOCH}</text>
{line("train", train)}{line("val", val)}
<path class="train" d="M{left} {foot + 20}h34"/>
<text x="{left + 42}" y="{foot + 25}">{say.TRAIN}</text>
<path class="val" d="M{left + 140} {foot + 20}h34"/>
<text x="{left + 182}" y="{foot + 25}">{say.VALIDATION}</text></svg>"""


def _decades(values: Sequence[float]) -> list[float]:
    """Return 1, 2, 5 times powers of ten around positive values, or powers alone if many."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    every = -(-(high - low) // 5) if high - low > 2 else 1
    steps = (1,) if high - low > 2 else (1, 2, 5)
    ticks = [step * 10.0**power for power in range(low, high + 1, every) for step in steps]
    if ticks[-1] < max(values):
        ticks.append(10.0 ** (high if every == 1 else low + every * -(-(high - low) // every)))
    under = max((t for t in ticks if t <= min(values)), default=ticks[0])
    over = min((t for t in ticks if t >= max(values)), default=ticks[-1])
    kept = [t for t in ticks if under <= t <= over]
    return kept if len(kept) > 1 else [under, under * 10]


def _steps(low: float, high: float) -> list[float]:
    """Return round numbers, evenly spaced, from below `low` to above `high`."""
    span = (high - low) or 1.0
    step = 10.0 ** math.floor(math.log10(span / 3))
    step *= next(times for times in (1, 2, 5, 10) if span / (step * times) <= 4)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)
    return [round(index * step, 9) for index in range(first, last + 1)]

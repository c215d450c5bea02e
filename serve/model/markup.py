"""The Model tab's numbers as HTML and SVG: facts, training curves, pictures, two answers."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.calibration import refuses
from serve.predictor import Predictor
from serve.texts import model as say

Points = Sequence[Sequence[float]]  # (epoch, value)


def facts(predictor: Predictor, metadata: Mapping[str, str]) -> str:
    """Return what is served, as a table.

    Args:
        metadata: what the graph says of itself; empty for a torch program.
    """
    size = say.BYTES.format(count=len(predictor.graph)) if predictor.graph else say.TORCH_PROGRAM
    told = {**metadata, "title": predictor.title, "key": predictor.key, "size": size}
    for name in ("val_accuracy", "test_accuracy"):
        told[name] = _share(told.get(name, ""))
    rows = "".join(
        f'<tr><th scope="row">{html.escape(title)}</th><td>{html.escape(str(told[name]))}</td></tr>'
        for name, title in say.ROWS.items()
        if told.get(name)
    )
    return f'<div class="facts" aria-live="polite"><table>{rows}</table></div>'


def _share(text: str) -> str:
    try:
        return f"{float(text):.2%}"
    except ValueError:  # the file does not tell
        return ""


def sentence(text: str) -> str:
    """Return a sentence that stands where something is missing."""
    return f'<p class="said" aria-live="polite">{html.escape(text)}</p>' if text else ""


def harmless(card: str) -> str:
    """Return Markdown that shows no picture and holds no HTML, whatever it was."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", re.sub(r"!+\[", "[", card))


def curves(found: Mapping[str, Points], note: str = "") -> str:
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


def architecture(pictures: Mapping[str, str]) -> str:
    """Return the picture of the network, for light and for dark ground; CSS shows one of both.

    Args:
        pictures: light, dark -> SVG in base64. As images they can run and fetch nothing.
    """
    images = "".join(
        f'<img class="on-{html.escape(ground)}" alt="{html.escape(say.PICTURE_ALT)}" '
        f'src="data:image/svg+xml;base64,{html.escape(raw)}">'
        for ground, raw in pictures.items()
    )
    return (
        f'<div class="architecture" tabindex="0" role="group" '
        f'aria-label="{html.escape(say.PICTURE)}">{images}</div>'
    )


def link(title: str, url: str) -> str:
    """Return where Netron shows a graph."""
    anchor = f'<a href="{html.escape(url)}" target="_blank" rel="noopener">{html.escape(url)}</a>'
    told = html.escape(say.NETRON_AT).format(title=html.escape(title), link=anchor)
    return f'<p aria-live="polite">{told}</p>'


def versus(pair: Sequence[Predictor], answers: Sequence[Mapping[str, np.ndarray]]) -> str:
    """Return the answers of two versions to one picture side by side, and how they differ.

    Args:
        answers: of each, what the graph puts out for a batch of one.
    """
    shares = [answer["probabilities"][0] for answer in answers]
    told = [_answer(p, a) for p, a in zip(pair, answers, strict=True)]
    head = "".join(f'<th scope="col">{html.escape(_name(p))}</th>' for p in pair)
    rows = _row(say.ANSWER, [f"<b>{html.escape(text)}</b>" for text in told])
    scores = [_score(p, a) for p, a in zip(pair, answers, strict=True)]
    rows += _row(say.SCORE, scores) if any(scores) else ""
    for index, label in enumerate(pair[0].labels):
        rows += _row(label, [_bar(share, index) for share in shares])
    return (
        f'<div class="versus" aria-live="polite"><p>{html.escape(differences(pair, answers))}</p>'
        f'<table><tr><th scope="col">{say.CLASS}</th>{head}</tr>{rows}</table></div>'
    )


def _row(title: str, cells: Sequence[str]) -> str:
    body = "".join(f'<td class="pair">{cell}</td>' for cell in cells)
    return f'<tr><th scope="row">{html.escape(title)}</th>{body}</tr>'


def _bar(shares: np.ndarray, index: int) -> str:
    share, top = float(shares[index]), " top" if index == int(shares.argmax()) else ""
    bar = f'<div class="bar{top}" style="width:{share:.2%}"></div>'
    return f'{share:.1%}<div class="track">{bar}</div>'


def _name(predictor: Predictor) -> str:
    return predictor.key.removeprefix("models:/")


def _refuses(predictor: Predictor, answer: Mapping[str, np.ndarray]) -> bool:
    return bool(refuses(answer, predictor.facts)[0])


def _answer(predictor: Predictor, answer: Mapping[str, np.ndarray]) -> str:
    shares = answer["probabilities"][0]
    label = predictor.labels[int(shares.argmax())]
    if _refuses(predictor, answer):
        return say.REFUSES.format(label=label)
    return say.SAYS.format(label=label, share=float(shares.max()))


def _score(predictor: Predictor, answer: Mapping[str, np.ndarray]) -> str:
    if "score" not in answer or "score_threshold" not in predictor.facts:
        return ""
    threshold = predictor.facts["score_threshold"]
    return say.SCORE_OF.format(score=float(answer["score"][0]), threshold=threshold)


def differences(pair: Sequence[Predictor], answers: Sequence[Mapping[str, np.ndarray]]) -> str:
    """Return in words how the answers of two versions differ."""
    one, two = (answer["probabilities"][0].astype(float) for answer in answers)
    if pair[0].key == pair[1].key:
        return say.SAME_VERSION
    refused = [_refuses(p, a) for p, a in zip(pair, answers, strict=True)]
    labels = [
        say.NO_DIGIT if refuses else p.labels[int(shares.argmax())]
        for p, shares, refuses in zip(pair, (one, two), refused, strict=True)
    ]
    furthest = int(np.abs(one - two).argmax())
    most = say.FURTHEST.format(
        label=pair[0].labels[furthest], one=float(one[furthest]), two=float(two[furthest])
    )
    if labels[0] != labels[1]:
        names = {"first": _name(pair[0]), "second": _name(pair[1])}
        return f"{say.DIFFERENT.format(**names, one=labels[0], two=labels[1])} {most}"
    if all(refused):
        return f"{say.SAME_REFUSE} {most}"
    points = 100 * (float(one.max()) - float(two.max()))
    surer = say.SURER.format(title=_name(pair[points < 0]), points=abs(points))
    return f"{say.SAME.format(label=labels[0])} {surer if abs(points) >= 0.05 else say.AS_SURE}"

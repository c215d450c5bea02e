"""Two versions' answers to one picture, side by side, as HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

import numpy as np

from experiments.calibration import refuses
from serve.digit.markup import percent
from serve.predictor import Predictor
from serve.texts import model as say


def table(pair: Sequence[Predictor], answers: Sequence[Mapping[str, np.ndarray]]) -> str:
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
    return f'{html.escape(percent(share))}<div class="track">{bar}</div>'


def _name(predictor: Predictor) -> str:
    return predictor.key.removeprefix("models:/")


def _refuses(predictor: Predictor, answer: Mapping[str, np.ndarray]) -> bool:
    return bool(refuses(answer, predictor.facts)[0])


def _answer(predictor: Predictor, answer: Mapping[str, np.ndarray]) -> str:
    shares = answer["probabilities"][0]
    label = predictor.labels[int(shares.argmax())]
    if _refuses(predictor, answer):
        return say.REFUSES.format(label=label)
    return say.SAYS.format(label=label, share=percent(float(shares.max())))


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

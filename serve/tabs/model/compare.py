"""The outputs of two versions for one drawing, compared, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.evaluation.calibration import NO_DIGIT, is_refused
from serve.backends.onnx_backend import Predictor
from serve.strings import model as say
from serve.tabs.digit.markup import percent
from serve.tabs.model import markup

Outputs = Mapping[str, np.ndarray]  # of a graph for a batch of one


def table(pair: Sequence[Predictor], outputs: Sequence[Outputs]) -> str:
    """Return the predictions of two versions as a table, with their difference in words."""
    both = list(zip(pair, outputs, strict=True))
    probs = [each["probabilities"][0].tolist() for each in outputs]
    rows = [
        (label, [(percent(prob[index]), prob[index], prob[index] == max(prob)) for prob in probs])
        for index, label in enumerate(pair[0].labels)
    ]
    return markup.html(
        "comparison",
        differences(pair, outputs),
        [_name(predictor) for predictor in pair],
        [_in_words(*_prediction(*each), max(prob)) for each, prob in zip(both, probs, strict=True)],
        [_score(*each) for each in both],
        rows,
    )


def _name(predictor: Predictor) -> str:
    return predictor.key.removeprefix("models:/")


def _prediction(predictor: Predictor, outputs: Outputs) -> tuple[str, bool]:
    """Return the most probable label, and whether the drawing is refused as no digit."""
    label = predictor.labels[int(outputs["probabilities"][0].argmax())]
    return label, bool(is_refused(outputs, predictor.facts)[0])


def _in_words(label: str, is_refused: bool, prob: float) -> str:
    text = say.REJECTED if is_refused else say.PREDICTED
    return text.format(label=label, prob=percent(prob))


def _score(predictor: Predictor, outputs: Outputs) -> str:
    if "score" not in outputs or "score_threshold" not in predictor.facts:
        return ""
    threshold = predictor.facts["score_threshold"]
    return say.SCORE_OF.format(score=float(outputs["score"][0]), threshold=threshold)


def differences(pair: Sequence[Predictor], outputs: Sequence[Outputs]) -> str:
    """Return in words how the outputs of two versions differ."""
    if pair[0].key == pair[1].key:
        return say.SAME_VERSION
    names = [_name(predictor) for predictor in pair]
    one, two = (each["probabilities"][0].astype(float) for each in outputs)
    index = int(np.abs(one - two).argmax())
    largest = say.LARGEST_DIFFERENCE.format(
        label=pair[0].labels[index], one=one[index], two=two[index]
    )
    predictions = [_prediction(*each) for each in zip(pair, outputs, strict=True)]
    if all(is_refused for _, is_refused in predictions):
        return f"{say.BOTH_REJECT} {largest}"
    first, second = (NO_DIGIT if is_refused else label for label, is_refused in predictions)
    if first != second:
        text = say.DIFFERENT.format(first=names[0], second=names[1], one=first, two=second)
        return f"{text} {largest}"
    points = 100 * float(one.max() - two.max())
    confidence = say.EQUALLY_CONFIDENT
    if abs(points) >= 0.05:
        title = names[0] if points > 0 else names[1]
        confidence = say.MORE_CONFIDENT.format(title=title, points=abs(points))
    return f"{say.SAME.format(label=first)} {confidence}"

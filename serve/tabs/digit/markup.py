"""The Digit tab's HTML: prediction, bars, score, errors, example pictures.

Colours are safe for colour-blind eyes and the same as in the project's figures.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.evaluation.calibration import DRAWN_REJECT_RATE, FALSE_REJECT_RATE
from serve.backends.onnx_backend import Facts
from serve.strings import digit as texts
from serve.tabs import templates
from serve.tabs.digit.inference import Prediction
from serve.tabs.templates import fill

SCORE_RANGE = 12  # of the scores shown, on each side of the threshold
BLUE, ORANGE, WHITE = (0, 114, 178), (213, 94, 0), (247, 247, 247)
_html = templates.macros(Path(__file__).with_name("markup.html"), texts)


def prediction(result: Prediction) -> str:
    """Return the prediction, the bars of all labels, the score and the model's title."""
    focus, predictor = result.focus, result.predictor
    pred, prob, is_refused = result.preds[0], float(result.probs[0]), bool(result.refused[focus])
    note = ""
    if len(result.preds) > 1:
        digits = number(result)
        head = _html("answer", fill(texts.NUMBER, number=digits), "number", digits)
        note = _html("paragraph", texts.FOCUS.format(number=focus + 1))
    elif is_refused:
        head = _html("answer", fill(texts.REFUSED, pred=pred), "refused", pred)
    else:
        text = fill(texts.ANSWER, pred=pred, prob=percent(prob))
        head = _html("answer", text, "digit", pred)
    if result.marks:
        marks = " and ".join(texts.MARKS[mark] for mark in dict.fromkeys(result.marks))
        note += _html("paragraph", texts.UNREAD.format(marks=marks))
    probs = result.outputs["probabilities"][focus]
    scores = result.outputs.get("score")
    parts = [
        head,
        bars(predictor.labels, probs, refused=is_refused),
        score(None if scores is None else float(scores[focus]), predictor.facts),
        note,
    ]
    return _html("prediction", parts)


def no_prediction(message: str, labels: Sequence[str], state: str) -> str:
    """Return a message above empty bars.

    Args:
        message: of `fill` if it has tags.
        state: empty, blank, too-small, or the code of an error; for programs.
    """
    return _html("prediction", [_html("answer", message, state), bars(labels, None)])


def number(result: Prediction) -> str:
    """Return the digits of a number, `texts.UNKNOWN` for those that are refused."""
    pairs = zip(result.preds, result.refused, strict=True)
    return "".join(texts.UNKNOWN if refused else pred for pred, refused in pairs)


def percent(prob: float) -> str:
    """Return a probability in percent, never rounded up to certainty."""
    return ">99.9%" if prob >= 0.9995 else f"{prob:.1%}"


def bars(labels: Sequence[str], probs: np.ndarray | None, *, refused: bool = False) -> str:
    """Return a bar for each label; empty ones without `probs`.

    Args:
        refused: no bar is marked as the prediction.
    """
    widths = [0.0] * len(labels) if probs is None else probs.tolist()
    values = ["–" if probs is None else percent(width) for width in widths]
    top = -1 if probs is None or refused else int(probs.argmax())
    spoken = ", ".join(f"{label} {value}" for label, value in zip(labels, values, strict=True))
    rows = zip(labels, widths, values, strict=True)
    return _html("bars", rows, top, texts.BARS.format(probs=spoken))


def score(value: float | None, facts: Facts) -> str:
    """Return the score on a scale, with the threshold below which a drawing is no digit."""
    if value is None or "score_threshold" not in facts:
        return _html("paragraph", texts.NO_SCORE, kind="score")
    threshold = facts["score_threshold"]
    more = texts.SCORE_MEANING
    if FALSE_REJECT_RATE in facts:
        more += texts.FALSE_REJECT_RATE.format(rate=facts[FALSE_REJECT_RATE])
    if DRAWN_REJECT_RATE in facts:
        more += texts.DRAWN_REJECT_RATE.format(rate=facts[DRAWN_REJECT_RATE])
    position = min(max((value - threshold + SCORE_RANGE) / (2 * SCORE_RANGE), 0), 1)
    text = fill(texts.SCORE, score=value, threshold=threshold)
    return _html("score", text, more, "below" if value < threshold else "above", position)


def backends(rows: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """Return a row of texts for each form of a model, and notes below."""
    table = _html("table", texts.BACKENDS_HEAD, rows) if rows else ""
    return table + "".join(_html("paragraph", note) for note in notes)


def examples(pictures: Sequence[tuple[str, Image.Image]]) -> str:
    """Return a button for each (name, picture) that opens the picture on the canvas."""
    return _html("examples", [(name, png(picture)) for name, picture in pictures])


def png(picture: np.ndarray | Image.Image) -> str:
    """Return a picture, or uint8 [H, W] or [H, W, channels], as the data: URL of a PNG."""
    file = io.BytesIO()
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    image.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"

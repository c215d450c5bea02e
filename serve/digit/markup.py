"""Numbers to HTML: the answer, bars, the score on its scale, tables, example pictures.

Colours are safe for colour-blind eyes and the same as in the project's figures.
"""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from experiments.calibration import REFUSED
from serve.digit.reading import Reading
from serve.texts import digit as say

SCALE = 12  # of scores shown, to each side of the threshold
ZERO, ONE, PAPER = (0, 114, 178), (213, 94, 0), (247, 247, 247)


def reading(read: Reading, title: str) -> str:
    """Return the answer, the bars of all labels, and the score beside its threshold."""
    at = read.focus
    bars_ = bars(read.labels, read.outputs["probabilities"][at], refused=bool(read.refused[at]))
    several = f"<p>{say.OF_SEVERAL.format(place=at + 1)}</p>" if len(read.parts) > 1 else ""
    told = score(read.outputs.get("score", [None])[at], read.facts)
    by = f'<p class="by">{html.escape(say.ANSWERED.format(title=title))}</p>'
    return f'<div class="answer" aria-live="polite">{_head(read)}</div>{several}{bars_}{told}{by}'


def _head(read: Reading) -> str:
    if len(read.parts) > 1:
        figures = (
            say.NO_NUMBER if refused else html.escape(label)
            for label, refused in zip(read.said, read.refused, strict=True)
        )
        return say.NUMBER.format(number="".join(figures))
    share = percent(float(read.shares[0]), say.MORE_THAN)
    if read.refused[0]:
        return say.REFUSED.format(digit=say.a(html.escape(read.said[0])))
    return say.ANSWER.format(digit=say.a(f"<b>{html.escape(read.said[0])}</b>"), share=share)


def nothing(sentence: str, labels: Sequence[str]) -> str:
    """Return a sentence where the answer would be, above empty bars."""
    return f'<div class="answer" aria-live="polite">{sentence}</div>{bars(labels, None)}'


def percent(share: float, above: str = ">") -> str:
    """Return a probability in percent, never rounded up to certainty."""
    return f"{above}99.9%" if share >= 0.9995 else f"{share:.1%}"


def bars(labels: Sequence[str], probabilities: np.ndarray | None, *, refused: bool = False) -> str:
    """Return a bar for each label, in the labels' order; None: nothing yet.

    Args:
        refused: whether the network takes it for none of the labels.
    """
    shares = np.zeros(len(labels)) if probabilities is None else probabilities
    top = -1 if probabilities is None or refused else int(shares.argmax())
    told = ["–" if probabilities is None else percent(float(share)) for share in shares]
    rows = "".join(
        f'<span>{html.escape(label)}</span><div class="track"><div class="bar'
        f'{" top" if index == top else ""}" style="width:{width:.2%}"></div></div>'
        f'<span class="share">{share}</span>'
        for index, (label, width, share) in enumerate(zip(labels, shares, told, strict=True))
    )
    spoken = ", ".join(f"{label} {share}" for label, share in zip(labels, told, strict=True))
    name = html.escape(say.BARS.format(shares=spoken))
    return f'<div class="bars" role="img" aria-label="{name}">{rows}</div>'


def score(value: float | None, facts: Mapping[str, Any]) -> str:
    """Return the score on its scale, with the threshold below which a picture is no digit."""
    if value is None or "score_threshold" not in facts:
        return f'<p class="score">{say.NO_SCORE}</p>'
    threshold = facts["score_threshold"]
    low, high = threshold - SCALE, threshold + SCALE
    place, line = (min(max((v - low) / (high - low), 0), 1) for v in (value, threshold))
    text = say.SCORE.format(score=value, threshold=threshold)
    share = facts.get(REFUSED)  # older graphs do not state it
    text += "." if share is None else say.FALSE_REFUSALS.format(share=share)
    side = "below" if value < threshold else "above"
    return (
        f'<div class="score"><div class="scale {side}" aria-hidden="true">'
        f'<i style="left:{line:.1%}"></i><b style="left:{place:.1%}"></b></div><p>{text}</p></div>'
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts."""
    first = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<div class="rows"><table><tr>{first}</tr>{body}</table></div>'


def examples(pictures: Sequence[tuple[str, bytes]]) -> str:
    """Return a button for each picture, (name, PNG), which puts it on the pad."""
    buttons = "".join(
        f'<button type="button" data-example aria-label="{html.escape(name)}">'
        f'<img alt="" src="{address(raw)}"></button>'
        for name, raw in pictures
    )
    return f'<div class="examples">{buttons}</div>'


def png(pixels: np.ndarray) -> str:
    """Return uint8 [H, W] or [H, W, 3] as the address of a PNG that is part of the page."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return address(file.getvalue())


def address(raw: bytes) -> str:
    """Return a PNG's bytes as an address that holds them."""
    return f"data:image/png;base64,{base64.b64encode(raw).decode()}"

"""The views' HTML: input steps, occlusion map, rows of digits, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from experiments.evaluation.calibration import NO_DIGIT
from serve.strings import activations as texts
from serve.tabs import templates
from serve.tabs.digit import markup
from serve.tabs.digit.inference import Prediction
from serve.tabs.digit.markup import BLUE, ORANGE, WHITE, percent, png
from serve.tabs.digit.neighbor_index import Mistake, Neighbor
from serve.tabs.templates import fill

MAX_SHOWN_PX = 200  # longer side of a drawing on the page
FRAME = (168, 172, 180)  # a gray that no ink has
FRAME_PX = 3  # wide enough to show when the picture is scaled down
GRAY = (150, 150, 150)  # ink without effect
MIN_LIMIT = 0.5  # nats; lower importance gets no full colour
_html = templates.macros(Path(__file__).with_name("views.html"), texts)


def input_steps(drawing: np.ndarray, image: np.ndarray) -> str:
    """Return the steps from a drawing, uint8 [H, W], to the network's input, uint8 [28, 28]."""
    whole, final = Image.fromarray(drawing), Image.fromarray(image)
    cropped, scaled = whole.crop(whole.getbbox()), final.crop(final.getbbox())
    pictures = (_framed(whole), _thumbnail(cropped), scaled, final)
    steps = []
    for (title, alt), size, shown in zip(
        texts.STEPS, (whole, cropped, scaled, final), pictures, strict=True
    ):
        words = texts.SIZE.format(width=size.width, height=size.height)
        steps.append((png(shown), title, alt, words))
    return _html("input_steps", steps)


def _thumbnail(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((MAX_SHOWN_PX, MAX_SHOWN_PX))
    return small


def _framed(picture: Image.Image) -> Image.Image:
    """Return the drawing, reduced, with a frame around its ink."""
    small = ImageOps.expand(_thumbnail(picture), FRAME_PX)
    left, top, right, bottom = small.getbbox() or (0, 0, *small.size)
    framed = small.convert("RGB")
    frame = (left - FRAME_PX, top - FRAME_PX, right + FRAME_PX - 1, bottom + FRAME_PX - 1)
    ImageDraw.Draw(framed).rectangle(frame, outline=FRAME, width=FRAME_PX)
    return framed


def _diverging(values: np.ndarray, zero: tuple[int, int, int]) -> np.ndarray:
    """Return values, -1..1 [...], as colours from blue over `zero` to orange: uint8 [..., 3]."""
    strength = np.clip(np.abs(values), 0, 1)[..., None]
    ends = np.where(values[..., None] > 0, np.array(ORANGE), np.array(BLUE))
    return (np.array(zero) * (1 - strength) + ends * strength).round().astype(np.uint8)


def occlusion(image: np.ndarray, importance: np.ndarray) -> str:
    """Return the ink of `image`, uint8 [28, 28], coloured by its importance, float32 [28, 28]."""
    limit = max(float(np.abs(importance).max()), MIN_LIMIT)
    ink = image[..., None] / 255
    colours = np.array(WHITE) * (1 - ink) + _diverging(importance / limit, GRAY) * ink
    legend = ((ORANGE, texts.FOR), (GRAY, texts.NEUTRAL), (BLUE, texts.AGAINST))
    picture = png(colours.round().astype(np.uint8))
    return _html("occlusion", picture, legend, texts.OCCLUSION.format(limit=limit))


def neighbors(nearest: Sequence[Neighbor]) -> str:
    """Return the nearest training digits in a row."""
    figures = []
    for each in nearest:
        alt = texts.NEIGHBOR_ALT.format(index=each.index, label=each.label)
        note = fill(texts.NEIGHBOR, index=each.index, distance=each.distance)
        figures.append((png(each.image), alt, each.label, note))
    return _html("digits", texts.NEIGHBORS, figures)


def number(prediction: Prediction) -> str:
    """Return the digits of a number in a row, each with its prediction and probability."""
    digits = markup.number(prediction)
    figures = []
    for index, image in enumerate(prediction.images):
        note = percent(float(prediction.probs[index]))
        if prediction.refused[index]:
            note = NO_DIGIT
        alt = texts.PART_ALT.format(position=index + 1, count=len(digits))
        figures.append((png(image), alt, digits[index], note))
    return _html("digits", texts.NUMBER.format(number=digits), figures)


def mistakes(worst: Sequence[Mistake]) -> str:
    """Return a button for each mistake that opens its image on the canvas."""
    buttons = []
    for each in worst:
        facts = vars(each)
        short = fill(texts.MISTAKE_SHORT, **facts)
        buttons.append((each.index, png(each.image), texts.MISTAKE.format(**facts), short))
    return _html("mistakes", buttons)


def progress(done: float) -> str:
    """Return the progress of the neighbour index, 0 to 1."""
    return _html("progress", texts.PROGRESS.format(done=done), done)

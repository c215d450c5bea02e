"""Decision surfaces at one moment of a training, as a picture for a slider."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from experiments.plots import style

FEW, MANY = 300, 150  # pixels of a surface's side where gates are few, and where they are many
GAP, HEAD = 12, 24  # pixels between two, and of the line of words above each
MOST_COLUMNS = 4


def slide(labels: Sequence[str], epoch: int, probability: np.ndarray) -> np.ndarray:
    """Return the surfaces of gates, blue for 0, white for undecided, vermilion for 1.

    Args:
        labels: of the gates.
        epoch: of the moment.
        probability: float [gates, S, S] of a 1, b by a; b grows upwards in the picture.

    Returns:
        uint8 [H, W, 3].
    """
    columns = min(MOST_COLUMNS, len(labels))
    rows = math.ceil(len(labels) / columns)
    side = FEW if rows == 1 else MANY
    size = (GAP + columns * (side + GAP), HEAD + rows * (HEAD + side + GAP))
    page = Image.new("RGB", size, style.PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    pen.text((GAP, 4), f"epoch {epoch}: a to the right, b upwards", style.INK, font)
    for index, (label, surface) in enumerate(zip(labels, probability, strict=True)):
        left = GAP + index % columns * (side + GAP)
        top = HEAD + index // columns * (HEAD + side + GAP)
        pen.text((left, top + 3), label, style.INK, font)
        colours = (style.DIVERGING(surface[::-1])[..., :3] * 255).round().astype(np.uint8)
        picture = Image.fromarray(colours).resize((side, side), Image.Resampling.BILINEAR)
        page.paste(picture, (left, top + HEAD))
    return np.asarray(page)

"""Outlier exposure: training images that are no digit.

D. Hendrycks, M. Mazeika, T. Dietterich, "Deep Anomaly Detection with Outlier Exposure", 2019.
Of the out-of-distribution images of `evaluation/ood_data.py`, noise and blank images resemble
these; letters and scribbles are generated differently, and Fashion-MNIST is never trained on.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Generator, Tensor

from experiments.data import hands
from experiments.data.augment import SIDE, Images, clouds, random_box, uniform
from models.canvas import Canvas

MAX_STROKES, POINTS = 9, 20  # per glyph; per stroke
BOX = 19.0  # pixels of a glyph's longer side, like a digit's
SANS = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSansMono")
SERIF = ("DejaVuSerif", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralItalic")
LETTERS = "ACDEFHJKLMNPQRTUVWXYacdefhjkmnprtuvwxy"  # without those that look like digits


def outliers(count: int, generator: Generator) -> Images:
    """Return `count` images of no digit, in 0..255.

    Letters and signs of a pen, printed letters, glyphs, curves, silhouettes, blots, noise, nearly
    blank images.
    """
    weights = torch.tensor(list(KINDS.values()))
    kinds = torch.multinomial(weights, count, replacement=True, generator=generator)
    x = torch.empty(count, SIDE, SIDE)
    for index, kind in enumerate(KINDS):
        rows = (kinds == index).nonzero()[:, 0]
        if len(rows):
            x[rows] = kind(len(rows), generator)
    return x.clamp(0, 1) * 255


def drawn(count: int, generator: Generator) -> Images:
    """Return letters and signs of simulated hands."""
    return hands.training_outliers(count, generator).float() / 255


def glyphs(count: int, generator: Generator) -> Images:
    """Return glyphs of three to nine straight or curved strokes, most of them connected."""
    # 1. Start, middle and end of each stroke; straight ones have their middle between the ends.
    ends = torch.rand(count, MAX_STROKES, 3, 2, generator=generator)
    straight = torch.rand(count, MAX_STROKES, 1, generator=generator) < 0.5
    ends[:, :, 1] = torch.where(straight, ends[:, :, ::2].mean(2), ends[:, :, 1] * 1.6 - 0.3)
    # 2. Most strokes continue from the end or the middle of the one before.
    joint = torch.rand(count, MAX_STROKES, 1, generator=generator)
    for s in range(1, MAX_STROKES):
        on = torch.where(joint[:, s] < 0.4, ends[:, s - 1, 2], ends[:, s - 1, 1])
        ends[:, s, 0] = torch.where(joint[:, s] < 0.7, on, ends[:, s, 0])
    # 3. Quadratic Bezier curves, three to nine per glyph.
    t = torch.linspace(0, 1, POINTS)[:, None]
    bend = torch.cat([(1 - t) ** 2, 2 * t * (1 - t), t**2], 1)
    path = (bend @ ends).flatten(1, 2)  # [N, points, 2]
    number = torch.randint(3, MAX_STROKES + 1, (count, 1), generator=generator)
    used = (torch.arange(MAX_STROKES) < number).repeat_interleave(POINTS, 1)[..., None]
    return _inked(path, used, uniform(count, 0.5, 1.3, generator))


def random_curves(count: int, generator: Generator) -> Images:
    """Return random closed curves: sums of six waves."""
    t = torch.linspace(0, 2 * torch.pi, 8 * POINTS)[:, None]
    wave = torch.arange(1, 7)
    size = torch.randn(2, count, 1, 6, generator=generator) / wave.sqrt()
    phase = torch.rand(2, count, 1, 6, generator=generator) * 2 * torch.pi
    path = (size * torch.cos(wave * t + phase)).sum(3).permute(1, 2, 0)
    used = torch.ones(count, 8 * POINTS, 1, dtype=torch.bool)
    return _inked(path, used, uniform(count, 0.4, 1.2, generator))


def _inked(
    path: Float[Tensor, "batch points 2"],
    used: Bool[Tensor, "batch points 1"],
    pen: Float[Tensor, "batch 1 1"],
) -> Images:
    """Return the used points of each path, scaled and centred like a digit, with a soft pen."""
    low = path.masked_fill(~used, torch.inf).amin(1, keepdim=True)
    high = path.masked_fill(~used, -torch.inf).amax(1, keepdim=True)
    size = (high - low).amax(2, keepdim=True).clamp(min=1e-3)
    center = (path * used).sum(1, keepdim=True) / used.sum(1, keepdim=True)  # of mass
    position = (path - center) / size * BOX + SIDE / 2
    pixel = torch.arange(SIDE) + 0.5
    near = torch.exp(-(((position[..., None] - pixel) / pen[..., None]) ** 2))  # [N, P, 2, 28]
    ink = (near[:, :, 1] * used).transpose(1, 2) @ near[:, :, 0]
    return (1.5 * ink).clamp(max=1)


def letters(count: int, generator: Generator) -> Images:
    """Return printed letters."""
    images = alphabet()
    return images[torch.randint(len(images), (count,), generator=generator)].float() / 255


@cache
def alphabet() -> UInt8[Tensor, "letters 28 28"]:
    """Return `LETTERS` in each font, preprocessed like MNIST."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    canvas, images = Canvas(), []
    for font in SANS + SERIF:
        face = ImageFont.truetype(Path(matplotlib.get_data_path(), f"fonts/ttf/{font}.ttf"), 80)
        for letter in LETTERS:
            page = Image.new("L", (160, 160))
            ImageDraw.Draw(page).text((30, 30), letter, fill=255, font=face)
            images.append(canvas(torch.from_numpy(np.array(page)))[0])
    return torch.cat(images)


def silhouettes(count: int, generator: Generator) -> Images:
    """Return filled, symmetric shapes of uneven grey."""
    parts = [random_box(count, (4, 28), (2, 12), generator) for _ in range(3)]
    shape = torch.stack([side for part in parts for side in (part, part.flip(2))]).amax(0)
    rough = uniform(count, 0, 1, generator) * torch.rand(count, SIDE, SIDE, generator=generator)
    shade = uniform(count, 0.5, 1.5, generator) - clouds(count, 4, generator) / 2
    return shape * shade * (1 - rough)


def blots(count: int, generator: Generator) -> Images:
    """Return blots of uneven ink."""
    edge = uniform(count, 0.3, 0.8, generator)
    return (clouds(count, 6, generator) > edge) * clouds(count, 4, generator)


def static(count: int, generator: Generator) -> Images:
    """Return noise, independent per pixel, uniform or Gaussian, of any mean and deviation."""
    mean, std = uniform(count, 0, 1, generator), uniform(count, 0.1, 0.6, generator)
    gaussian = mean + std * torch.randn(count, SIDE, SIDE, generator=generator)
    flat = torch.rand(count, SIDE, SIDE, generator=generator)
    return torch.where(uniform(count, 0, 1, generator) < 0.5, gaussian, flat)


def nearly_blank(count: int, generator: Generator) -> Images:
    """Return images with nothing, a shade, a little noise or a few specks."""
    shade = uniform(count, 0, 1, generator) * _some(count, generator) * clouds(count, 2, generator)
    grain = uniform(count, 0, 0.2, generator) * _some(count, generator)
    grain = grain * torch.rand(count, SIDE, SIDE, generator=generator)
    specks = _some(count, generator) * (torch.rand(count, SIDE, SIDE, generator=generator) < 0.01)
    return shade + grain + specks


def _some(count: int, generator: Generator) -> Float[Tensor, "{count} 1 1"]:
    return (torch.rand(count, 1, 1, generator=generator) < 0.3).float()


KINDS = {
    drawn: 0.5,
    glyphs: 0.14,
    random_curves: 0.05,
    letters: 0.05,
    silhouettes: 0.11,
    blots: 0.02,
    static: 0.1,
    nearly_blank: 0.03,
}

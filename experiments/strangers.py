"""What training shows a network beside handwritten digits: mostly what is none.

Outlier exposure: D. Hendrycks, M. Mazeika, T. Dietterich, "Deep Anomaly Detection with Outlier
Exposure", 2019. Of what networks are examined by, in `nondigits.py`, noise and blank pages are
akin to these; letters and scribbles are made in another way, and Fashion-MNIST is never seen.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from experiments.degrade import SIDE, box, clouds, uniform
from models.canvas import Canvas
from models.cnn import DIGITS as NONE

STROKES, POINTS = 9, 20  # at most in a glyph; in each stroke
# Of a one, in its heights: its lean, the width and the drop of its flag, half of its foot.
ONE = ((-0.1, 0.45), (0.1, 0.4), (0.05, 0.4), (0.08, 0.3))
BOX = 19.0  # pixels of a glyph's longer side, as a digit's
FONTS = (
    "DejaVuSans",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralItalic",
)
LETTERS = "ACDEFHJKLMNPQRTUVWXYacdefhjkmnprtuvwxy"  # those that are taken for no digit


def strangers(count: int, noise: Generator) -> tuple[Tensor, Tensor]:
    """Return `count` strange pictures and their classes.

    A few are ones with a flag, which are rare in MNIST. The rest are no digits: glyphs, tangles,
    letters in print, silhouettes, blots, noise, next to blank pages.

    Returns:
        float32 [count, 28, 28] in 0..255, and int64 [count]: 1, or 10 for what is no digit.
    """
    shares = torch.tensor(list(KINDS.values()))
    drawn = torch.multinomial(shares, count, replacement=True, generator=noise)
    x = torch.empty(count, SIDE, SIDE)
    for index, kind in enumerate(KINDS):
        which = (drawn == index).nonzero()[:, 0]
        if len(which):
            x[which] = kind(len(which), noise)
    return x.clamp(0, 1) * 255, torch.where(drawn == list(KINDS).index(ones), 1, NONE)


def ones(count: int, noise: Generator) -> Tensor:
    """Return ones with a flag, upright or leaning, and every third one with a foot."""
    t = torch.linspace(0, 1, POINTS)
    lean, across, down, foot = (uniform(count, *limits, noise)[:, :, 0] for limits in ONE)
    stem = torch.stack([lean * (1 - t), t.expand(count, -1)], 2)
    flag = torch.stack([lean - across * t, down * t], 2)
    base = torch.stack([foot * (2 * t - 1), torch.ones(count, POINTS)], 2)
    used = torch.ones(count, 3 * POINTS, 1, dtype=torch.bool)
    used[torch.arange(count) % 3 > 0, 2 * POINTS :] = False
    return _inked(torch.cat([stem, flag, base], 1), used, uniform(count, 0.4, 1.3, noise))


def glyphs(count: int, noise: Generator) -> Tensor:
    """Return signs of three to nine strokes, straight or bent, most of which hang together."""
    ends = torch.rand(count, STROKES, 3, 2, generator=noise)  # start, middle, end of each stroke
    straight = torch.rand(count, STROKES, 1, generator=noise) < 0.5
    ends[:, :, 1] = torch.where(straight, ends[:, :, ::2].mean(2), ends[:, :, 1] * 1.6 - 0.3)
    joint = torch.rand(count, STROKES, 1, generator=noise)
    for s in range(1, STROKES):  # goes on from the last stroke's end, or from its middle
        on = torch.where(joint[:, s] < 0.4, ends[:, s - 1, 2], ends[:, s - 1, 1])
        ends[:, s, 0] = torch.where(joint[:, s] < 0.7, on, ends[:, s, 0])
    t = torch.linspace(0, 1, POINTS)[:, None]
    bend = torch.cat([(1 - t) ** 2, 2 * t * (1 - t), t**2], 1)  # quadratic Bezier curves
    path = (bend @ ends).flatten(1, 2)  # [N, points, 2]
    number = torch.randint(3, STROKES + 1, (count, 1), generator=noise)
    used = (torch.arange(STROKES) < number).repeat_interleave(POINTS, 1)[..., None]
    return _inked(path, used, uniform(count, 0.5, 1.3, noise))


def tangles(count: int, noise: Generator) -> Tensor:
    """Return closed lines that go round and across at random: sums of six waves."""
    t = torch.linspace(0, 2 * torch.pi, 8 * POINTS)[:, None]
    wave = torch.arange(1, 7)
    size = torch.randn(2, count, 1, 6, generator=noise) / wave.sqrt()
    phase = torch.rand(2, count, 1, 6, generator=noise) * 2 * torch.pi
    path = (size * torch.cos(wave * t + phase)).sum(3).permute(1, 2, 0)
    used = torch.ones(count, 8 * POINTS, 1, dtype=torch.bool)
    return _inked(path, used, uniform(count, 0.4, 1.2, noise))


def _inked(path: Tensor, used: Tensor, pen: Tensor) -> Tensor:
    """Return points [N, P, 2] fitted and centred as a digit is, inked by a soft round pen."""
    low = path.masked_fill(~used, torch.inf).amin(1, keepdim=True)
    high = path.masked_fill(~used, -torch.inf).amax(1, keepdim=True)
    size = (high - low).amax(2, keepdim=True).clamp(min=1e-3)
    middle = (path * used).sum(1, keepdim=True) / used.sum(1, keepdim=True)  # of its mass
    place = (path - middle) / size * BOX + SIDE / 2
    pixel = torch.arange(SIDE) + 0.5
    near = torch.exp(-(((place[..., None] - pixel) / pen[..., None]) ** 2))  # [N, P, 2, 28]
    ink = (near[:, :, 1] * used).transpose(1, 2) @ near[:, :, 0]
    return (1.5 * ink).clamp(max=1)


def letters(count: int, noise: Generator) -> Tensor:
    """Return letters in print."""
    every = alphabet()
    return every[torch.randint(len(every), (count,), generator=noise)].float() / 255


@cache
def alphabet() -> Tensor:
    """Return `LETTERS` in each font, as MNIST's makers would have them: uint8 [N, 28, 28]."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    canvas, made = Canvas(), []
    for font in FONTS:
        face = ImageFont.truetype(Path(matplotlib.get_data_path(), f"fonts/ttf/{font}.ttf"), 80)
        for letter in LETTERS:
            page = Image.new("L", (160, 160))
            ImageDraw.Draw(page).text((30, 30), letter, fill=255, font=face)
            made.append(canvas(torch.from_numpy(np.array(page)))[0])
    return torch.cat(made)


def silhouettes(count: int, noise: Generator) -> Tensor:
    """Return filled, symmetric shapes of uneven grey."""
    parts = [box(count, (4, 28), (2, 12), noise) for _ in range(3)]
    shape = torch.stack([side for part in parts for side in (part, part.flip(2))]).amax(0)
    rough = uniform(count, 0, 1, noise) * torch.rand(count, SIDE, SIDE, generator=noise)
    return shape * (uniform(count, 0.5, 1.5, noise) - clouds(count, 4, noise) / 2) * (1 - rough)


def blots(count: int, noise: Generator) -> Tensor:
    """Return blots of uneven ink."""
    edge = uniform(count, 0.3, 0.8, noise)
    return (clouds(count, 6, noise) > edge) * clouds(count, 4, noise)


def static(count: int, noise: Generator) -> Tensor:
    """Return noise, each pixel for itself, even or bell-shaped, of any mean and spread."""
    mean, spread = uniform(count, 0, 1, noise), uniform(count, 0.1, 0.6, noise)
    bell = mean + spread * torch.randn(count, SIDE, SIDE, generator=noise)
    even = torch.rand(count, SIDE, SIDE, generator=noise)
    return torch.where(uniform(count, 0, 1, noise) < 0.5, bell, even)


def nearly_blank(count: int, noise: Generator) -> Tensor:
    """Return pages with nothing, a shade, a little noise or a few specks on them."""
    shade = uniform(count, 0, 1, noise) * _some(count, noise) * clouds(count, 2, noise)
    grain = uniform(count, 0, 0.2, noise) * _some(count, noise)
    grain = grain * torch.rand(count, SIDE, SIDE, generator=noise)
    specks = _some(count, noise) * (torch.rand(count, SIDE, SIDE, generator=noise) < 0.01)
    return shade + grain + specks


def _some(count: int, noise: Generator) -> Tensor:
    return (torch.rand(count, 1, 1, generator=noise) < 0.3).float()


KINDS = {
    ones: 0.15,
    glyphs: 0.17,
    tangles: 0.06,
    letters: 0.25,
    silhouettes: 0.09,
    blots: 0.03,
    static: 0.2,
    nearly_blank: 0.05,
}

"""Pages with a digit on them: any size, place, polarity and background, for tests."""

import numpy as np
from PIL import Image

Random = np.random.Generator
SIDE = 280  # pixels of an enlarged digit
BACKGROUNDS = ["plain", "noise", "shade", "noise and shade"]
RESAMPLING = [Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]


def page(digit: np.ndarray, random: Random, background: str = "plain") -> np.ndarray:
    """Return `digit`, uint8 [28, 28], enlarged, on a larger page: uint8 [H, W].

    Place, aspect, enlargement, polarity and contrast (60 to 255 levels) are random; `background` is
    "plain", "noise", "shade" or "noise and shade".
    """
    resampling = RESAMPLING[random.integers(3)]
    height, width = random.integers(SIDE, 2 * SIDE, 2)
    top, left = random.integers(0, height - SIDE + 1), random.integers(0, width - SIDE + 1)
    ink = np.zeros((height, width))
    enlarged = Image.fromarray(digit).resize((SIDE, SIDE), resampling)
    ink[top : top + SIDE, left : left + SIDE] = np.asarray(enlarged) / 255
    return on_background(ink, random, background)


def on_background(ink: np.ndarray, random: Random, background: str) -> np.ndarray:
    """Return a page of ink, float [H, W] in 0..1, dark on light or the reverse: uint8 [H, W]."""
    contrast = random.uniform(60, 255)
    depth = random.uniform(0, min(100, 255 - contrast)) if "shade" in background else 0.0
    levels = random.uniform(0, 255 - contrast - depth) + contrast * ink
    if random.random() < 0.5:
        levels = 255 - depth - levels
    shade = depth * shading(ink.shape, random)
    # The shade of a screen or a scanner is added; a photograph's scales background and ink alike.
    gray = levels + shade if random.random() < 0.5 else (levels + depth) * (1 - shade / 255)
    if "noise" in background:
        gray = specked(gray + random.normal(0, random.uniform(0, 25), gray.shape), random)
    return gray.clip(0, 255).round().astype(np.uint8)


def shading(shape: tuple[int, ...], random: Random) -> np.ndarray:
    """Return a slope, a quadratic bowl or saddle, a lamp's spot or a vignette: [H, W] in 0..1."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    a, b, c, d, e = random.uniform(-1, 1, 5)
    spot = (x - a) ** 2 + (y - b) ** 2
    shade = [a * x + b * y, a * x + b * y + c * x * x + d * x * y + e * y * y, spot, spot**2]
    surface = shade[random.integers(4)]
    return (surface - surface.min()) / np.ptp(surface)


def specked(gray: np.ndarray, random: Random) -> np.ndarray:
    """Return `gray`, float [H, W], with up to 1 % of salt and pepper, specks of 1 to 3 pixels."""
    size = random.integers(1, 4)
    coarse = random.random([side // size + 1 for side in gray.shape])
    fine = np.kron(coarse, np.ones((size, size)))[: gray.shape[0], : gray.shape[1]]
    fraction = random.uniform(0.001, 0.005)
    return np.select([fine < fraction, fine > 1 - fraction], [0.0, 255.0], gray)

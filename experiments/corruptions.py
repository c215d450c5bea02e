"""Fifteen ways in which a picture of a digit goes bad, to examine networks by, never to train them.

Kinds and strengths after N. Mu and J. Gilmer, "MNIST-C: A Robustness Benchmark for Computer
Vision", 2019, as hard as there or harder. Each function takes and returns float32 [N, 28, 28]
between 0 (paper) and 1 (ink), and draws from the generator it is given.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, max_pool2d, pad

SIDE = 28
Corruption = Callable[[Tensor, Generator], Tensor]


def corrupted(kind: str, images: Tensor, seed: int = 0) -> Tensor:
    """Return uint8 `images` [N, 28, 28] corrupted in one way, uint8; the same for the same seed."""
    bad = CORRUPTIONS[kind](images.float() / 255, Generator().manual_seed(seed))
    return (bad.clamp(0, 1) * 255).round().to(torch.uint8)


def shot_noise(x: Tensor, random: Generator) -> Tensor:
    """Count photons: three for a pixel full of ink, on average."""
    return torch.poisson(x * 3, random) / 3


def impulse_noise(x: Tensor, random: Generator) -> Tensor:
    """Set every fifth pixel or so to ink or to paper."""
    drawn = torch.rand(x.shape, generator=random)
    return torch.where(drawn < 0.2, (drawn < 0.1).float(), x)


def glass_blur(x: Tensor, random: Generator) -> Tensor:
    """Blur, shuffle pixels among neighbours twice, blur again."""
    x = _blurred(x, 0.7)
    place = torch.arange(SIDE)
    for _ in range(2):
        step = torch.randint(-1, 2, (2, *x.shape), generator=random)
        row = (place[:, None] + step[0]).clamp(0, SIDE - 1)
        column = (place + step[1]).clamp(0, SIDE - 1)
        x = x.flatten(1).gather(1, (row * SIDE + column).flatten(1)).view_as(x)
    return _blurred(x, 0.7)


def motion_blur(x: Tensor, random: Generator) -> Tensor:
    """Smear by up to ten pixels to one side, at most 45 degrees from level."""
    angle = (torch.rand(len(x), generator=random) - 0.5) * torch.pi / 2
    side = torch.randint(0, 2, (len(x),), generator=random) * 2.0 - 1
    taps = torch.arange(10.0)
    weights = torch.softmax(-((taps / 3) ** 2) / 2, 0)
    steps = [_moved(x, side * t * angle.cos(), side * t * angle.sin()) for t in taps]
    return sum((w * step for w, step in zip(weights, steps, strict=True)), torch.zeros_like(x))


def shear(x: Tensor, random: Generator) -> Tensor:
    """Lean by 0.42 pixels a row, to either side."""
    lean = 0.42 * _sign(x, random)
    return _warped(x, torch.ones_like(lean), lean, torch.zeros_like(lean), torch.ones_like(lean))


def scale(x: Tensor, random: Generator) -> Tensor:
    """Shrink to 0.7 of the size."""
    more, none = torch.full((len(x),), 1 / 0.7), torch.zeros(len(x))
    return _warped(x, more, none, none, more)


def rotate(x: Tensor, random: Generator) -> Tensor:
    """Turn by 0.6 radians, 34 degrees, to either side."""
    angle = 0.6 * _sign(x, random)
    return _warped(x, angle.cos(), -angle.sin(), angle.sin(), angle.cos())


def brightness(x: Tensor, random: Generator) -> Tensor:
    """Add half of full ink everywhere."""
    return x + 0.5


def translate(x: Tensor, random: Generator) -> Tensor:
    """Move by five pixels across and five up or down."""
    return _moved(x, 5 * _sign(x, random), 5 * _sign(x, random))


def stripe(x: Tensor, random: Generator) -> Tensor:
    """Turn the left and the right quarter into their negatives."""
    edge = (torch.arange(SIDE) < 7) | (torch.arange(SIDE) >= 21)
    return torch.where(edge, 1 - x, x)


def fog(x: Tensor, random: Generator) -> Tensor:
    """Put three times as much fog as ink over the picture: a quarter of the contrast is left."""
    drifts, strength = torch.zeros_like(x), 1.0
    for cells in (2, 4, 8, 16, 32):
        coarse = torch.rand(len(x), 1, cells, cells, generator=random) - 0.5
        fine = interpolate(coarse, (32, 32), mode="bilinear", align_corners=True)
        drifts, strength = drifts + strength * fine[:, 0, :SIDE, :SIDE], strength / 1.4
    low = drifts.amin((1, 2), keepdim=True)
    drifts = (drifts - low) / (drifts.amax((1, 2), keepdim=True) - low)
    return (x + 3 * drifts) / 4


def spatter(x: Tensor, random: Generator) -> Tensor:
    """Spatter with drops of a quarter of full ink, which hide what is below."""
    wet = _blurred(0.65 + 0.3 * torch.randn(x.shape, generator=random), 1.0) > 0.65
    drops = _blurred(wet.float(), 1.0)
    drops = torch.where(drops < 0.8, 0, drops)
    return x * (1 - drops) + drops / 4


def dotted_line(x: Tensor, random: Generator) -> Tensor:
    """Draw a line from side to side, two columns of ink, two without."""
    left, right = torch.randint(0, 27, (2, len(x), 1), generator=random)
    column = torch.arange(SIDE)
    row = left + (right - left) * column / 27  # [N, 28]
    line = 1 - (torch.arange(SIDE)[None, :, None] - row[:, None, :]).abs()
    return x + line.clamp(min=0) * (column % 4 < 2)


def zigzag(x: Tensor, random: Generator) -> Tensor:
    """Draw a zigzag of height four from side to side."""
    start = torch.randint(0, 27, (len(x), 1), generator=random)
    rise = torch.randint(-5, 5, (len(x), 1), generator=random) / 23
    fine = torch.arange(2, 25, 0.25)
    phase = (fine - 2) / 2  # up in two columns, down in two
    tooth = 2 * (1 - (phase % 2 - 1).abs()) * torch.where(phase % 4 < 2, 1.0, -1.0)
    row = start + rise * (fine - 2) + tooth  # [N, points]
    near = 1 - (torch.arange(SIDE)[None, :, None] - row[:, None, :]).abs()
    beside = 1 - (torch.arange(SIDE)[:, None] - fine).abs()  # [28, points]
    ink = near.clamp(min=0)[:, :, None, :] * beside.clamp(min=0)
    return torch.maximum(x, ink.amax(3).clamp(max=1))


def canny_edges(x: Tensor, random: Generator) -> Tensor:
    """Leave only the edges (J. Canny, "A Computational Approach to Edge Detection", 1986)."""
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    smooth = _blurred(x, 1.0)[:, None]
    across, down = (conv2d(smooth, k[None, None], padding=1)[:, 0] for k in (sobel, sobel.T))
    slope = torch.hypot(across, down)
    octant = (torch.atan2(down, across) / (torch.pi / 4)).round().long() % 4
    ridge = torch.zeros_like(slope, dtype=torch.bool)
    for way, (dx, dy) in enumerate(((1, 0), (1, 1), (0, 1), (-1, 1))):
        wide = pad(slope, (1, 1, 1, 1))
        before = wide[:, 1 - dy : 1 - dy + SIDE, 1 - dx : 1 - dx + SIDE]
        after = wide[:, 1 + dy : 1 + dy + SIDE, 1 + dx : 1 + dx + SIDE]
        ridge |= (octant == way) & (slope >= before) & (slope > after)
    weak, edges = (ridge & (slope > 0.1)).float(), (ridge & (slope > 0.2)).float()
    for _ in range(SIDE):  # weak edges that hang together with strong ones
        edges = max_pool2d(edges[:, None], 3, 1, 1)[:, 0] * weak
    return edges


CORRUPTIONS: Mapping[str, Corruption] = {
    function.__name__: function
    for function in (
        shot_noise,
        impulse_noise,
        glass_blur,
        motion_blur,
        shear,
        scale,
        rotate,
        brightness,
        translate,
        stripe,
        fog,
        spatter,
        dotted_line,
        zigzag,
        canny_edges,
    )
}


def _blurred(x: Tensor, sigma: float) -> Tensor:
    """Return x [N, 28, 28] after a Gaussian of `sigma` pixels."""
    reach = int(4 * sigma + 0.5)
    bell = torch.softmax(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2), 0)
    wide = pad(x[:, None], (reach,) * 4, mode="replicate")
    return conv2d(conv2d(wide, bell.view(1, 1, -1, 1)), bell.view(1, 1, 1, -1))[:, 0]


def _sign(x: Tensor, random: Generator) -> Tensor:
    return torch.randint(0, 2, (len(x),), generator=random) * 2.0 - 1


def _moved(x: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Return x moved by [N] pixels to the right and down."""
    one, none = torch.ones(len(x)), torch.zeros(len(x))
    return _warped(x, one, none, none, one, -right, -down)


def _warped(
    x: Tensor,
    xx: Tensor,
    xy: Tensor,
    yx: Tensor,
    yy: Tensor,
    right: float | Tensor = 0.0,
    down: float | Tensor = 0.0,
) -> Tensor:
    """Return x [N, 28, 28] sampled at (xx u + xy v + right, yx u + yy v + down), in pixels."""
    none = torch.zeros(len(x))
    first = torch.stack([xx, xy, none + right * 2 / SIDE], 1)
    second = torch.stack([yx, yy, none + down * 2 / SIDE], 1)
    places = affine_grid(torch.stack([first, second], 1), [len(x), 1, SIDE, SIDE], False)
    return grid_sample(x[:, None], places, align_corners=False)[:, 0]

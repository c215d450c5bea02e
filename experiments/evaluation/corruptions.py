"""Fifteen corruptions of digit images, for evaluation only: none is used in training.

Kinds and strengths after N. Mu and J. Gilmer, "MNIST-C: A Robustness Benchmark for Computer
Vision", 2019, as hard as there or harder. Each function takes and returns images from 0
(background) to 1 (ink), and draws from the generator that it gets.
"""

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, UInt8
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, max_pool2d, pad

SIDE = 28
Images = Float[Tensor, "N 28 28"]
Bytes = UInt8[Tensor, "N 28 28"]
Row = tuple[float | Tensor, float | Tensor, float | Tensor]


def corrupted(kind: str, images: Bytes, seed: int = 0) -> Bytes:
    """Return `images` with one kind of corruption; the same for the same seed."""
    x = CORRUPTIONS[kind](images.float() / 255, Generator().manual_seed(seed))
    return (x.clamp(0, 1) * 255).round().to(torch.uint8)


def shot_noise(x: Images, generator: Generator) -> Images:
    """Replace each pixel by a photon count, on average three at full ink."""
    return torch.poisson(x * 3, generator) / 3


def impulse_noise(x: Images, generator: Generator) -> Images:
    """Set a random fifth of the pixels to ink or background."""
    draw = torch.rand(x.shape, generator=generator)
    return torch.where(draw < 0.2, (draw < 0.1).float(), x)


def glass_blur(x: Images, generator: Generator) -> Images:
    """Blur, replace each pixel by a random neighbour, twice, and blur again."""
    x = _blur(x, 0.7)
    index = torch.arange(SIDE)
    for _ in range(2):
        step = torch.randint(-1, 2, (2, *x.shape), generator=generator)
        row = (index[:, None] + step[0]).clamp(0, SIDE - 1)
        column = (index + step[1]).clamp(0, SIDE - 1)
        x = x.flatten(1).gather(1, (row * SIDE + column).flatten(1)).view_as(x)
    return _blur(x, 0.7)


def motion_blur(x: Images, generator: Generator) -> Images:
    """Smear over ten pixels to one side, at most 45 degrees from horizontal."""
    angle = (torch.rand(len(x), generator=generator) - 0.5) * torch.pi / 2
    side = _signs(len(x), generator)
    offsets = torch.arange(10.0)  # pixels along the motion
    weights = torch.softmax(-((offsets / 3) ** 2) / 2, 0)
    result = torch.zeros_like(x)
    for weight, offset in zip(weights, offsets, strict=True):
        right, down = side * offset * angle.cos(), side * offset * angle.sin()
        result += weight * _warp(x, (1.0, 0.0, -right), (0.0, 1.0, -down))
    return result


def shear(x: Images, generator: Generator) -> Images:
    """Shear by 0.42 pixels a row, to either side."""
    slant = 0.42 * _signs(len(x), generator)
    return _warp(x, (1.0, slant, 0.0), (0.0, 1.0, 0.0))


def scale(x: Images, generator: Generator) -> Images:
    """Shrink to 0.7 of the size."""
    return _warp(x, (1 / 0.7, 0.0, 0.0), (0.0, 1 / 0.7, 0.0))


def rotate(x: Images, generator: Generator) -> Images:
    """Rotate by 0.6 radians (34 degrees) to either side."""
    angle = 0.6 * _signs(len(x), generator)
    return _warp(x, (angle.cos(), -angle.sin(), 0.0), (angle.sin(), angle.cos(), 0.0))


def brightness(x: Images, generator: Generator) -> Images:
    """Add half of full ink everywhere."""
    return x + 0.5


def translate(x: Images, generator: Generator) -> Images:
    """Translate by five pixels to the left or right, and five up or down."""
    right, down = 5 * _signs(len(x), generator), 5 * _signs(len(x), generator)
    return _warp(x, (1.0, 0.0, -right), (0.0, 1.0, -down))


def stripe(x: Images, generator: Generator) -> Images:
    """Invert the left and the right quarter."""
    edge = (torch.arange(SIDE) < 7) | (torch.arange(SIDE) >= 21)
    return torch.where(edge, 1 - x, x)


def fog(x: Images, generator: Generator) -> Images:
    """Blend one part of ink with three parts of fog, which leaves a quarter of the contrast."""
    # Fog is noise at five scales, the finer the weaker.
    clouds = torch.zeros_like(x)
    for octave, cells in enumerate((2, 4, 8, 16, 32)):
        coarse = torch.rand(len(x), 1, cells, cells, generator=generator) - 0.5
        fine = interpolate(coarse, (32, 32), mode="bilinear", align_corners=True)
        clouds += fine[:, 0, :SIDE, :SIDE] / 1.4**octave
    low = clouds.amin((1, 2), keepdim=True)
    clouds = (clouds - low) / (clouds.amax((1, 2), keepdim=True) - low)
    return (x + 3 * clouds) / 4


def spatter(x: Images, generator: Generator) -> Images:
    """Cover parts with opaque drops of a quarter of full ink."""
    wet = _blur(0.65 + 0.3 * torch.randn(x.shape, generator=generator), 1.0) > 0.65
    drops = _blur(wet.float(), 1.0)
    drops = torch.where(drops < 0.8, 0, drops)
    covered: Images = x * (1 - drops) + drops / 4
    return covered


def dotted_line(x: Images, generator: Generator) -> Images:
    """Draw a dotted line from side to side: two columns of ink, two without."""
    left, right = torch.randint(0, 27, (2, len(x), 1), generator=generator)
    column = torch.arange(SIDE)
    row = left + (right - left) * column / 27  # [N, 28]
    line = 1 - (column[:, None] - row[:, None, :]).abs()
    dots: Images = line.clamp(min=0) * (column % 4 < 2)
    return x + dots


def zigzag(x: Images, generator: Generator) -> Images:
    """Draw a zigzag of height four from side to side."""
    start = torch.randint(0, 27, (len(x), 1), generator=generator)
    rise = torch.randint(-5, 5, (len(x), 1), generator=generator) / 23
    # 1. Four points per column: a triangle wave, two columns up and two down, on a sloped line.
    column = torch.arange(2, 25, 0.25)
    phase = (column - 2) / 2
    tooth = 2 * (1 - (phase % 2 - 1).abs()) * torch.where(phase % 4 < 2, 1.0, -1.0)
    row = start + rise * (column - 2) + tooth  # [N, points]
    # 2. A pixel's ink falls with its distance to the nearest point, along both axes.
    pixel = torch.arange(SIDE)[:, None]
    vertical = (1 - (pixel - row[:, None, :]).abs()).clamp(min=0)  # [N, 28, points]
    horizontal = (1 - (pixel - column).abs()).clamp(min=0)  # [28, points]
    ink = vertical[:, :, None, :] * horizontal  # [N, 28, 28, points]
    return torch.maximum(x, ink.amax(3).clamp(max=1))


def canny_edges(x: Images, generator: Generator) -> Images:
    """Keep only the edges (J. Canny, "A Computational Approach to Edge Detection", 1986)."""
    # 1. The gradient of the smoothed image, and its direction in steps of 45 degrees.
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    smooth = _blur(x, 1.0)[:, None]
    dx, dy = (conv2d(smooth, kernel[None, None], padding=1)[:, 0] for kernel in (sobel, sobel.T))
    slope = torch.hypot(dx, dy)
    direction = (torch.atan2(dy, dx) / (torch.pi / 4)).round().long() % 4

    # 2. Thin edges: keep a pixel that is steeper than both neighbours along the gradient.
    padded = pad(slope, (1, 1, 1, 1))
    ridge = torch.zeros_like(slope, dtype=torch.bool)
    for index, (right, down) in enumerate(((1, 0), (1, 1), (0, 1), (-1, 1))):
        before = padded[:, 1 - down : 1 - down + SIDE, 1 - right : 1 - right + SIDE]
        after = padded[:, 1 + down : 1 + down + SIDE, 1 + right : 1 + right + SIDE]
        ridge |= (direction == index) & (slope >= before) & (slope > after)

    # 3. Hysteresis: keep strong edges, and weak ones connected to them.
    weak, edges = (ridge & (slope > 0.1)).float(), (ridge & (slope > 0.2)).float()
    for _ in range(SIDE):
        edges = max_pool2d(edges[:, None], 3, 1, 1)[:, 0] * weak
    return edges


CORRUPTIONS: Mapping[str, Callable[[Images, Generator], Images]] = {
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


def _blur(x: Images, sigma: float) -> Images:
    """Return x convolved with a Gaussian of standard deviation `sigma` pixels."""
    reach = int(4 * sigma + 0.5)
    kernel = torch.softmax(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2), 0)
    padded = pad(x[:, None], (reach,) * 4, mode="replicate")
    return conv2d(conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))[:, 0]


def _signs(count: int, generator: Generator) -> Tensor:
    """Return -1 or 1 at random for each image: float32 [count]."""
    return torch.randint(0, 2, (count,), generator=generator) * 2.0 - 1


def _warp(x: Images, first: Row, second: Row) -> Images:
    """Return x sampled at (u, v, 1) multiplied by two rows, in pixels from the middle.

    Args:
        first, second: of the matrix; each entry is one number, or one per image.
    """
    entries = [torch.as_tensor(entry).float().expand(len(x)) for entry in (*first, *second)]
    matrix = torch.stack(entries, 1).view(-1, 2, 3)
    matrix[:, :, 2] *= 2 / SIDE  # the grid is 2 wide
    grid = affine_grid(matrix, [len(x), 1, SIDE, SIDE], align_corners=False)
    return grid_sample(x[:, None], grid, align_corners=False)[:, 0]

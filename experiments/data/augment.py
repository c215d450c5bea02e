"""Random affine transforms and random corruptions of training images, a whole batch at a time.

No corruption here is one of `evaluation/corruptions.py`, which networks are evaluated with;
docs/experiments.md says which are similar. Each takes and returns images in 0 (background) to 1
(ink), and draws one strength per image.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Real, Shaped
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, max_pool2d

SIDE = 28
Images = Float[Tensor, "batch 28 28"]


def random_affine(
    images: Shaped[Tensor, "batch side side"],
    generator: Generator,
    *,
    rotation_deg: float = 0.0,
    scale_jitter: float = 0.0,
    shear: float = 0.0,
    translate_px: float = 0.0,
) -> Float[Tensor, "batch side side"]:
    """Rotate, scale, shear and translate each image by amounts of its own, bilinearly.

    The amounts are those of the sampling grid, drawn uniformly from minus to plus their limits.

    Args:
        images: any dtype; the background is 0.
        generator: on the CPU.
        rotation_deg: limit in degrees.
        scale_jitter: limit per axis: 0.1 makes an image 1/1.1 to 1/0.9 times as large.
        shear: limit in pixels a row.
        translate_px: limit in each direction, in pixels.
    """
    count, height, width = images.shape
    amounts = torch.rand(6, count, generator=generator) * 2 - 1
    angle, slant = amounts[0] * math.radians(rotation_deg), amounts[1] * shear
    scale_x, scale_y = 1 + scale_jitter * amounts[2], 1 + scale_jitter * amounts[3]
    right, down = amounts[4] * 2 * translate_px / width, amounts[5] * 2 * translate_px / height
    cos, sin = angle.cos(), angle.sin()
    first = torch.stack([cos * scale_x, (slant - sin) * scale_y, right], 1)
    second = torch.stack([sin * scale_x, cos * scale_y, down], 1)
    inverse = torch.stack([first, second], 1).to(images.device)  # output pixel -> input pixel
    grid = affine_grid(inverse, [count, 1, height, width], align_corners=False)
    return grid_sample(images.float().unsqueeze(1), grid, align_corners=False)[:, 0]


def random_corruption(
    images: Real[Tensor, "batch 28 28"], prob: float, generator: Generator
) -> Real[Tensor, "batch 28 28"]:
    """Corrupt each of `images`, in 0..255, with probability `prob`, once."""
    if not prob:
        return images
    x = images / 255
    selected = torch.rand(len(x), generator=generator) < prob
    kinds = torch.randint(len(CORRUPTIONS), (len(x),), generator=generator)
    for index, corruption in enumerate(CORRUPTIONS):
        rows = (selected & (kinds == index)).nonzero()[:, 0]
        if len(rows):
            x[rows] = corruption(x[rows].cpu(), generator).clamp(0, 1).to(x.device)
    return x * 255


def elastic(x: Images, generator: Generator) -> Images:
    """Bend strokes by waves of a quarter of the image, by 1.5 pixels."""
    waves = torch.randn(len(x), 2, 5, 5, generator=generator) * (1.5 * 2 / SIDE)
    offset = interpolate(waves, x.shape[1:], mode="bicubic", align_corners=True)
    identity = affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), [len(x), 1, *x.shape[1:]], False)
    return grid_sample(x[:, None], identity + offset.permute(0, 2, 3, 1), align_corners=False)[:, 0]


def dilate(x: Images, generator: Generator) -> Images:
    """Widen strokes by up to a pixel on each side."""
    return x + uniform(len(x), 0, 1, generator) * (max_pool2d(x[:, None], 3, 1, 1)[:, 0] - x)


def erode(x: Images, generator: Generator) -> Images:
    """Narrow strokes by up to a pixel on each side; a part always remains."""
    return x + uniform(len(x), 0, 0.8, generator) * (-max_pool2d(-x[:, None], 3, 1, 1)[:, 0] - x)


def random_convolution(x: Images, generator: Generator) -> Images:
    """Blend each image with its convolution by a random 5x5 kernel.

    Source: Z. Xu et al., "Robust and Generalizable Visual Representation Learning via Random
    Convolutions", 2021.
    """
    kernels = torch.randn(len(x), 1, 5, 5, generator=generator)
    filtered = conv2d(x[None], kernels, padding=2, groups=len(x))[0].clamp(min=0)
    filtered = filtered / filtered.amax((1, 2), keepdim=True).clamp(min=1e-3)
    return x.lerp(filtered, uniform(len(x), 0.5, 1, generator))


def uneven_background(x: Images, generator: Generator) -> Images:
    """Put a smooth, uneven background behind fainter ink."""
    background = (clouds(len(x), 3, generator) + clouds(len(x), 8, generator)) / 2
    return background.lerp(x, uniform(len(x), 0.2, 0.9, generator))


def invert_box(x: Images, generator: Generator) -> Images:
    """Invert a rectangle, partly or fully."""
    boxes = random_box(len(x), (6, 28), (6, 28), generator)
    return (x - boxes * uniform(len(x), 0.3, 1, generator)).abs()


def erase_box(x: Images, generator: Generator) -> Images:
    """Erase a small rectangle."""
    return x * (1 - random_box(len(x), (3, 8), (3, 8), generator))


def line(x: Images, generator: Generator) -> Images:
    """Draw a straight or wavy line over the digit, from edge to edge."""
    angle, phase = (uniform(len(x), 0, 2 * math.pi, generator) for _ in range(2))
    pixel = torch.arange(SIDE) + 0.5 - SIDE / 2
    along = angle.cos() * pixel + angle.sin() * pixel[:, None]
    across = angle.cos() * pixel[:, None] - angle.sin() * pixel
    wave = (uniform(len(x), 0.2, 0.9, generator) * along + phase).sin()
    distance = across - uniform(len(x), -9, 9, generator) + uniform(len(x), 0, 2, generator) * wave
    pen = uniform(len(x), 0.3, 1, generator)
    return torch.maximum(x, (pen + 0.5 - distance.abs()).clamp(0, 1))


def gaussian_noise(x: Images, generator: Generator) -> Images:
    """Add Gaussian noise."""
    return x + uniform(len(x), 0, 0.4, generator) * torch.randn(x.shape, generator=generator)


CORRUPTIONS: tuple[Callable[[Images, Generator], Images], ...] = (
    elastic,
    dilate,
    erode,
    random_convolution,
    uneven_background,
    invert_box,
    erase_box,
    line,
    gaussian_noise,
)


def uniform(
    count: int, low: float, high: float, generator: Generator
) -> Float[Tensor, "{count} 1 1"]:
    """Return `count` numbers between `low` and `high`."""
    return torch.rand(count, 1, 1, generator=generator) * (high - low) + low


def clouds(count: int, cells: int, generator: Generator) -> Images:
    """Return `count` smooth backgrounds of `cells` bumps a side, 0 to 1."""
    coarse = torch.rand(count, 1, cells, cells, generator=generator)
    return interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=True)[:, 0]


def random_box(
    count: int, heights: tuple[float, float], widths: tuple[float, float], generator: Generator
) -> Images:
    """Return `count` images that are 1 inside a random rectangle, 0 outside."""
    height, width = (uniform(count, *limits, generator) for limits in (heights, widths))
    center_y, center_x = (uniform(count, 0, SIDE, generator) for _ in range(2))
    pixel = torch.arange(SIDE) + 0.5
    rows = (pixel[:, None] - center_y).abs() < height / 2
    return (rows & ((pixel - center_x).abs() < width / 2)).float()

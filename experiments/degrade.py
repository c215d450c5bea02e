"""Ways in which training pictures are made worse, so that a network learns not to mind.

None is one of `corruptions.py`, by which networks are judged; docs/experiments.md says which of
those are akin to what is seen here. Each takes and returns float32 [N, 28, 28], 0 (paper) to 1
(ink), one strength drawn for each picture.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, conv2d, grid_sample, interpolate, max_pool2d

SIDE = 28


def degraded(images: Tensor, share: float, noise: Generator) -> Tensor:
    """Return `images`, float32 [N, 28, 28] in 0..255, a `share` made worse in one way each."""
    if not share:
        return images
    x = images / 255
    chosen = torch.rand(len(x), generator=noise) < share
    drawn = torch.randint(len(WAYS), (len(x),), generator=noise)
    for index, way in enumerate(WAYS):
        which = (chosen & (drawn == index)).nonzero()[:, 0]
        if len(which):
            x[which] = way(x[which].cpu(), noise).clamp(0, 1).to(x.device)
    return x * 255


def wavy(x: Tensor, noise: Generator) -> Tensor:
    """Bend lines by waves of a quarter of the picture, by a pixel and a half."""
    waves = torch.randn(len(x), 2, 5, 5, generator=noise) * (1.5 * 2 / SIDE)
    bend = interpolate(waves, x.shape[1:], mode="bicubic", align_corners=True)
    as_it_is = affine_grid(torch.eye(2, 3).expand(len(x), 2, 3), [len(x), 1, *x.shape[1:]], False)
    return grid_sample(x[:, None], as_it_is + bend.permute(0, 2, 3, 1), align_corners=False)[:, 0]


def thicker(x: Tensor, noise: Generator) -> Tensor:
    """Widen strokes by up to a pixel on each side."""
    return x + uniform(len(x), 0, 1, noise) * (max_pool2d(x[:, None], 3, 1, 1)[:, 0] - x)


def thinner(x: Tensor, noise: Generator) -> Tensor:
    """Narrow strokes by up to a pixel on each side, and never take them away altogether."""
    return x + uniform(len(x), 0, 0.8, noise) * (-max_pool2d(-x[:, None], 3, 1, 1)[:, 0] - x)


def filtered(x: Tensor, noise: Generator) -> Tensor:
    """Mix in what a random 5x5 filter makes of it, one for each picture.

    Source: Z. Xu et al., "Robust and Generalizable Visual Representation Learning via Random
    Convolutions", 2021.
    """
    kernels = torch.randn(len(x), 1, 5, 5, generator=noise)
    made = conv2d(x[None], kernels, padding=2, groups=len(x))[0].clamp(min=0)
    made = made / made.amax((1, 2), keepdim=True).clamp(min=1e-3)
    return x.lerp(made, uniform(len(x), 0.5, 1, noise))


def clouded(x: Tensor, noise: Generator) -> Tensor:
    """Lay a smooth, uneven ground under fainter ink."""
    ground = (clouds(len(x), 3, noise) + clouds(len(x), 8, noise)) / 2
    return ground.lerp(x, uniform(len(x), 0.2, 0.9, noise))


def patched(x: Tensor, noise: Generator) -> Tensor:
    """Turn a rectangle more or less into its negative."""
    return (x - box(len(x), (6, 28), (6, 28), noise) * uniform(len(x), 0.3, 1, noise)).abs()


def hidden(x: Tensor, noise: Generator) -> Tensor:
    """Cover a small rectangle with paper."""
    return x * (1 - box(len(x), (3, 8), (3, 8), noise))


def noisy(x: Tensor, noise: Generator) -> Tensor:
    """Add Gaussian noise."""
    return x + uniform(len(x), 0, 0.4, noise) * torch.randn(x.shape, generator=noise)


WAYS: tuple[Callable[[Tensor, Generator], Tensor], ...] = (
    wavy,
    thicker,
    thinner,
    filtered,
    clouded,
    patched,
    hidden,
    noisy,
)


def uniform(count: int, low: float, high: float, noise: Generator) -> Tensor:
    """Return `count` numbers between `low` and `high`: float32 [count, 1, 1]."""
    return torch.rand(count, 1, 1, generator=noise) * (high - low) + low


def clouds(count: int, cells: int, noise: Generator) -> Tensor:
    """Return smooth grounds, `cells` bumps a side: float32 [count, 28, 28], 0 to 1."""
    coarse = torch.rand(count, 1, cells, cells, generator=noise)
    return interpolate(coarse, (SIDE, SIDE), mode="bilinear", align_corners=True)[:, 0]


def box(
    count: int, heights: tuple[float, float], widths: tuple[float, float], noise: Generator
) -> Tensor:
    """Return 1 inside rectangles of random place and sides, 0 outside: float32 [count, 28, 28]."""
    height, width = (uniform(count, *limits, noise) for limits in (heights, widths))
    down, across = (uniform(count, 0, SIDE, noise) for _ in range(2))
    pixel = torch.arange(SIDE) + 0.5
    rows = (pixel[:, None] - down).abs() < height / 2
    return (rows & ((pixel - across).abs() < width / 2)).float()

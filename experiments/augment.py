"""Random changes to training images, a whole batch at a time."""

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample


def warped(
    images: Tensor,
    noise: Generator,
    *,
    rotate: float = 0.0,
    scale: float = 0.0,
    shear: float = 0.0,
    shift: float = 0.0,
) -> Tensor:
    """Return each image rotated, scaled, sheared and shifted by amounts of its own.

    The amounts are those of the sampling grid, drawn uniformly from minus to plus their limits.

    Args:
        images: [B, side, side], any dtype; what moves in from outside is 0.
        noise: the generator to draw from; it lives on the CPU.
        rotate: limit in degrees.
        scale: limit for each axis, as a share: 0.1 makes an image 1/1.1 to 1/0.9 times as large.
        shear: limit of the sideways lean, in pixels a row.
        shift: limit in each direction, in pixels.

    Returns:
        float32 [B, side, side], sampled bilinearly.
    """
    count, height, width = images.shape
    drawn = torch.rand(6, count, generator=noise) * 2 - 1
    angle, lean = drawn[0] * math.radians(rotate), drawn[1] * shear
    across, along = 1 + scale * drawn[2], 1 + scale * drawn[3]
    right, down = drawn[4] * 2 * shift / width, drawn[5] * 2 * shift / height
    cos, sin = angle.cos(), angle.sin()
    first = torch.stack([cos * across, (lean - sin) * along, right], 1)
    second = torch.stack([sin * across, cos * along, down], 1)
    inverse = torch.stack([first, second], 1).to(images.device)  # where each pixel comes from
    places = affine_grid(inverse, [count, 1, height, width], align_corners=False)
    return grid_sample(images.float().unsqueeze(1), places, align_corners=False)[:, 0]

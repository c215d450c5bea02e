"""Random changes to training images, a whole batch at a time."""

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad


def shifted(images: Tensor, most: int, noise: Generator) -> Tensor:
    """Return each image moved by a whole number of pixels, -most to most in each direction.

    Args:
        images: [B, H, W], any dtype; what moves in from outside is 0.
        noise: the generator to draw from; it lives on the CPU.
    """
    count, height, width = images.shape
    offset = torch.randint(0, 2 * most + 1, (2, count, 1), generator=noise).to(images.device)
    rows = torch.arange(height, device=images.device) + offset[0]  # [B, H]
    columns = torch.arange(width, device=images.device) + offset[1]  # [B, W]
    sample = torch.arange(count, device=images.device)[:, None, None]
    return pad(images, (most,) * 4)[sample, rows[:, :, None], columns[:, None, :]]

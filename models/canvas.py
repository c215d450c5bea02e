"""A drawing of any size to the 28x28 picture that MNIST's makers would have made of it.

They cropped to the ink, scaled the longer side to 20 pixels with the aspect kept, and put the
centre of mass into the middle of 28x28 (LeCun et al., "The MNIST database", and their 1998
paper, section III.A). All of it is one separable area resampling: `rows @ ink @ columns.T`.
"""

import torch
from torch import Tensor, nn

SIDE = 28  # of the picture, in pixels
FIT = 20  # the longer side of the ink in it


class Canvas(nn.Module):
    """Normalise one drawing; elementwise operations and two matrix products, so it exports."""

    def forward(self, canvas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the picture, the ink's box and the inked share.

        Args:
            canvas: uint8 [H, W], white ink (255) on black (0), any size from 1x1.

        Returns:
            image: uint8 [1, 28, 28]; all zero for a blank canvas.
            box: int64 [4], top, left, bottom, right of the ink in pixels, the last two
                exclusive; all zero for a blank canvas.
            ink: float32 [1], mean of the canvas as a share of full ink.
        """
        ink = canvas.float() / 255
        top, bottom = _extent(ink.amax(1))
        left, right = _extent(ink.amax(0))
        scale = torch.maximum(bottom - top, right - left).clamp(min=1) / FIT
        rows = _overlap(ink.sum(1), top, scale)  # [28, H]
        columns = _overlap(ink.sum(0), left, scale)  # [28, W]
        image = rows @ ink @ columns.T  # [28, 28]
        image = (image * 255).round().clamp(0, 255).to(torch.uint8)
        box = torch.stack([top, left, bottom, right]).to(torch.int64)
        return image.unsqueeze(0), box, ink.mean().reshape(1)


def _extent(profile: Tensor) -> tuple[Tensor, Tensor]:
    """Return first and past-the-last index where `profile`, float32 [N], is inked; 0, 0 if none."""
    index = torch.arange(profile.shape[0], device=profile.device)
    inked = profile > 0
    last = torch.where(inked, index + 1, 0).max().float()
    return torch.minimum(torch.where(inked, index, profile.shape[0]).min().float(), last), last


def _overlap(mass: Tensor, start: Tensor, scale: Tensor) -> Tensor:
    """Return how much of each source pixel each of 28 output cells averages: float32 [28, N].

    The cells are `scale` source pixels wide. Their grid is laid on the edge of the ink, and
    shifted by whole cells to bring the centre of `mass`, float32 [N], into cell 14, as in every
    picture of MNIST: so a digit that is normalised already comes back as it was. (The 1e-5
    absorbs rounding where the centre lies on the cell's edge.)
    """
    edge = torch.arange(mass.shape[0], device=mass.device).float()
    centre = (mass * (edge + 0.5)).sum() / mass.sum().clamp(min=1e-6)
    shift = (SIDE / 2 - (centre - start) / scale - 1e-5).ceil()
    cell = (torch.arange(SIDE, device=mass.device).float().unsqueeze(1) - shift) * scale + start
    covered = torch.minimum(cell + scale, edge + 1) - torch.maximum(cell, edge)
    return covered.clamp(min=0) / scale

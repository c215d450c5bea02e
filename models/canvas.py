"""A drawing of any size to 28x28 pixels, preprocessed as MNIST was.

Draw its strokes with full ink and a pen as wide as MNIST's, crop to the ink, scale its longer side
to 20 pixels with the aspect kept, and put the centre of mass into the middle of 28x28 (LeCun et
al., "The MNIST database", and their 1998 paper, section III.A). A drawing whose edges are as soft
as those of MNIST's digits has been normalised before, and keeps its strokes.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn

SIDE = 28  # pixels of the image
FIT = 20  # pixels of the ink's longer side in it
CELLS = 4  # of the grid that strokes are measured in, for a pixel of the image and axis
MARGIN = 8  # empty cells around the ink, into which strokes grow
PEN = 5.0  # cells that strokes become wide, as MNIST's thinnest: loops stay open
MAX_CHANGE = 8  # cells by which strokes grow or shrink on each side
MAX_THINNING = 0.27  # of their width, on each side, so that the thinnest ones remain
SOFT = 1.2  # cells that an edge is wide; those of MNIST's digits are wider
FAINT = 0.7  # typical ink of strokes; that of MNIST's digits is fuller
EMPTY = 1e-3  # fraction of full ink; less is rounding

Grid = Float[Tensor, "cells cells"]


class Canvas(nn.Module):
    """Normalise one drawing; without control flow, so it exports, and torch.vmap takes it."""

    def forward(
        self, canvas: UInt8[Tensor, "height width"]
    ) -> tuple[UInt8[Tensor, "1 28 28"], Int64[Tensor, "4"], Float[Tensor, "1"]]:
        """Return the image, the ink's box and the fraction of ink.

        Args:
            canvas: white ink (255) on black (0), any size from 1x1.

        Returns:
            image: all zero for a blank canvas.
            box: top, left, bottom, right of the ink in pixels, the last two exclusive; all zero
                for a blank canvas.
            ink: mean of the canvas as a fraction of full ink.
        """
        ink = canvas.float() / 255
        top, bottom, left, right = _box(ink)
        # 1. Enlarge or reduce the ink to a grid finer than the image.
        size = torch.maximum(bottom - top, right - left).clamp(min=1)
        cell, count = size / (CELLS * FIT), CELLS * FIT + 2 * MARGIN
        rows = _overlap(_numbers(ink.sum(1)), top, cell, MARGIN, count)  # [96, H]
        columns = _overlap(_numbers(ink.sum(0)), left, cell, MARGIN, count)  # [96, W]
        grid = rows @ ink @ columns.T  # [96, 96]
        # 2. Change the strokes, unless the drawing is coarse or soft as MNIST's digits are.
        grid = torch.where(size > FIT, _normalize_strokes(grid), grid)
        # 3. Reduce the grid to the image.
        top_, bottom_, left_, right_ = _box(grid)
        scale = torch.maximum(bottom_ - top_, right_ - left_).clamp(min=1) / FIT
        rows = _centered(grid.sum(1), top_, scale)  # [28, 96]
        columns = _centered(grid.sum(0), left_, scale)  # [28, 96]
        image = ((rows @ grid @ columns.T) * 255).round().clamp(0, 255).to(torch.uint8)
        corners = torch.stack([top, left, bottom, right]).to(torch.int64)
        return image.unsqueeze(0), corners, ink.mean().reshape(1)


def _normalize_strokes(grid: Grid) -> Grid:
    """Return strokes of full ink, PEN wide; those with soft edges as they are."""
    # 1. Typical ink: that of the strokes' middle, even where a line is thinner than a cell.
    squares = grid * grid
    typical = ((squares * grid).sum() / squares.sum().clamp(min=EMPTY)).clamp(min=EMPTY)
    _, edge = _measure((grid / typical).clamp(max=1))
    # 2. Full ink, also for a line that two cells share.
    full = (2 * grid / typical).clamp(max=1)
    width, _ = _measure(full)
    # 3. Grow the ink if it is thin, else the ground around it.
    is_thin = width < PEN
    limit = torch.where(is_thin, PEN, MAX_THINNING * width).clamp(max=MAX_CHANGE)
    change = torch.minimum((PEN - width).abs() / 2, limit)
    step = torch.where(is_thin, full, 1 - full)
    changed = step * (1 - change).clamp(min=0)
    for index in range(1, MAX_CHANGE + 1):
        step = _grow(step, is_round=index % 2 == 0)
        changed = changed + step * (1 - (change - index).abs()).clamp(min=0)
    changed = torch.where(is_thin, changed, 1 - changed)
    # 4. Soft strokes are as wide as MNIST's, but may be faint.
    gain = torch.where(typical < FAINT, 1 / typical, 1)
    return torch.where(edge < SOFT, changed, (grid * gain).clamp(max=1))


def _measure(grid: Grid) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the mean width of the strokes and of their edges, in cells.

    A stroke has an edge on each side, so its width is twice the area by the outline's length, which
    is the total variation.
    """
    padded = F.pad(grid[None], (1, 1, 1, 1))[0]
    across = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
    down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
    outline = (across * across + down * down + 1e-12).sqrt().sum().clamp(min=EMPTY)
    return 2 * grid.sum() / outline, 4 * (grid * (1 - grid)).sum() / outline


def _grow(grid: Grid, is_round: bool) -> Grid:
    """Return the maximum of each cell and its neighbours: 8 of them, or 4 if `is_round`."""
    # Of shifted grids: torch.vmap makes max_pool2d slow.
    padded = F.pad(grid, (1, 1, 1, 1))
    across = torch.maximum(torch.maximum(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    if not is_round:
        return torch.maximum(torch.maximum(across[:-2], across[1:-1]), across[2:])
    down = torch.maximum(torch.maximum(padded[:-2], padded[1:-1]), padded[2:])
    return torch.maximum(across[1:-1], down[:, 1:-1])


def _box(ink: Float[Tensor, "height width"]) -> tuple[Float[Tensor, ""], ...]:
    """Return top, bottom, left and right of the ink, the ends exclusive; all 0 if there is none."""
    return *_extent(ink.amax(1)), *_extent(ink.amax(0))


def _extent(profile: Float[Tensor, " pixels"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return first and past-the-last index where `profile` is inked; 0, 0 if none."""
    index = torch.arange(profile.shape[0], device=profile.device)
    inked = profile > EMPTY
    last = torch.where(inked, index + 1, 0).max().float()
    return torch.minimum(torch.where(inked, index, profile.shape[0]).min().float(), last), last


def _numbers(profile: Float[Tensor, " pixels"]) -> Float[Tensor, " pixels"]:
    return torch.arange(profile.shape[0], device=profile.device).float()


def _overlap(
    pixels: Float[Tensor, " pixels"],
    start: Float[Tensor, ""],
    scale: Float[Tensor, ""],
    shift: Float[Tensor, ""] | int,
    cells: int,
) -> Float[Tensor, "cells pixels"]:
    """Return how much of each source pixel, from its number on, each cell averages.

    A cell is `scale` source pixels wide; the one of index `shift` begins at `start`.
    """
    index = torch.arange(cells, device=start.device).float().unsqueeze(1)
    cell = (index - shift) * scale + start
    covered = torch.minimum(cell + scale, pixels + 1) - torch.maximum(cell, pixels)
    return covered.clamp(min=0) / scale


def _centered(
    mass: Float[Tensor, " pixels"], start: Float[Tensor, ""], scale: Float[Tensor, ""]
) -> Float[Tensor, "28 pixels"]:
    """Return what each pixel of the image averages, with the centre of `mass` in pixel 14.

    The grid of pixels begins at the edge of the ink and is shifted by whole pixels, as in every
    image of MNIST; so a digit that is normalised already does not change. (The 1e-5 absorbs
    rounding where the centre lies on a pixel's edge.)
    """
    pixels = _numbers(mass)
    centre = (mass * (pixels + 0.5)).sum() / mass.sum().clamp(min=1e-6)
    shift = (SIDE / 2 - (centre - start) / scale - 1e-5).ceil()
    return _overlap(pixels, start, scale, shift, SIDE)

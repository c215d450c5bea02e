"""Find the sheet or screen that a picture shows on a desk, beside a table or with a margin."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy import ndimage

from serve.tabs.digit import segmentation

WORKING_SIDE_PX = 100  # of the longer side at which a sheet is looked for
MIN_LEVELS = 25  # of 255, between a sheet and its surroundings
MIN_AREA, MAX_AREA = 0.1, 0.97  # of the picture
MIN_FILL = 0.88  # of the smallest rectangle around it, at any angle
MIN_SHARPNESS = 0.5  # of the levels between: a shade changes slowly
MIN_COVER = 0.9  # of the rest of the picture and of the sheet's edge: thick surroundings
EIGHT = np.ones((3, 3))
MIN_GROUND = 0.25  # of a sheet and of its upright box that bears no ink
GAP = 4  # pixels of the reduced picture, between a digit and the edge of its sheet
ANGLES = np.deg2rad(np.arange(0, 90, 5))
MIN_SIDE_PX = 40  # of a picture that may have such a line
MAX_LINE = 0.012  # of a side: a border as thin is a line that a scanner or a crop left
MIN_LINE = 0.97  # of the side that such a line covers


def find(gray: np.ndarray) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Yield the box of each sheet, the largest first, and which of its pixels belong to it.

    A sheet is a large rectangle, upright or turned, with sharp edges; it need not have ink.

    Args:
        gray: float32 [H, W].

    Returns:
        Pairs of slices of rows and columns, and bool of their shape.
    """
    step = segmentation.reduction(gray.shape, WORKING_SIDE_PX)
    small = np.asarray(Image.fromarray(gray).reduce(step))
    dark, light = _two_levels(small)
    if light - dark < MIN_LEVELS:
        return
    is_light = small > (dark + light) / 2
    sheets = []
    for mask in (is_light, ~is_light):
        # 1. The largest part of one level, with the ink on it.
        parts, _ = ndimage.label(mask)
        ground = parts == np.argmax(np.bincount(parts.ravel())[1:]) + 1
        if not _may_be_ground(ground):
            continue
        closed = ndimage.binary_closing(np.pad(ground, GAP, "edge"), EIGHT, GAP)
        sheet = ndimage.binary_fill_holes(closed[GAP:-GAP, GAP:-GAP])
        # 2. It is a rectangle, and what surrounds it is no stroke.
        is_sheet = MIN_AREA <= sheet.mean() <= MAX_AREA and _is_rectangle(sheet)
        if is_sheet and _stands_out(sheet, mask, small, light - dark):
            sheets.append(ndimage.binary_erosion(sheet, EIGHT, border_value=1))
    for sheet in sorted(sheets, key=np.sum, reverse=True):
        if sheet.any():
            yield _enlarge(sheet, step, gray.shape)


def _may_be_ground(part: np.ndarray) -> bool:
    """Return whether a part may be a sheet without its ink: no whole page, and no stroke."""
    (box,) = ndimage.find_objects(part.astype(int))
    inked = part.sum()
    return bool(
        segmentation.border(part).mean() <= MAX_AREA
        and inked >= MIN_GROUND * MIN_AREA * part.size
        and inked >= MIN_GROUND * part[box].size
    )


def _stands_out(sheet: np.ndarray, mask: np.ndarray, small: np.ndarray, levels: float) -> bool:
    """Return whether a sheet has sharp edges and thick surroundings that fill the picture."""
    edge = sheet & ~ndimage.binary_erosion(sheet, border_value=1)
    clean = ndimage.median_filter(small, 3)  # specks have sharp edges, too
    reach = ndimage.maximum_filter(clean, 5) - ndimage.minimum_filter(clean, 5)
    if np.median(reach[edge]) < MIN_SHARPNESS * levels:
        return False
    around = ndimage.binary_opening(np.pad(~mask & ~sheet, 3, "edge"), EIGHT)[3:-3, 3:-3]
    around = ndimage.binary_dilation(around, EIGHT, 2)
    covers = (around | sheet).mean() >= MIN_COVER
    return bool(covers and (around & edge).sum() >= MIN_COVER * edge.sum())


def trim(gray: np.ndarray) -> np.ndarray:
    """Return a picture without a thin line along an edge: [H, W] or less."""
    for _ in range(4):
        gray = np.rot90(gray)
        if len(gray) < MIN_SIDE_PX:
            continue
        limit = max(2, round(MAX_LINE * len(gray)))
        inner = np.median(gray[limit : 3 * limit + 1])
        lines = np.abs(gray[: limit + 1] - inner) > MIN_LEVELS
        is_line = lines.mean(1) >= MIN_LINE
        if is_line[0] and not is_line[limit]:
            gray = gray[int(np.flatnonzero(is_line)[-1]) + 2 :]
    return np.ascontiguousarray(gray)


def _two_levels(small: np.ndarray) -> tuple[float, float]:
    """Return the mean levels of the dark and the light pixels that differ most (2-means)."""
    dark, light = float(small.min()), float(small.max())
    for _ in range(10):
        is_light = small > (dark + light) / 2
        if is_light.all() or not is_light.any():
            break
        dark, light = float(small[~is_light].mean()), float(small[is_light].mean())
    return dark, light


def _is_rectangle(mask: np.ndarray) -> bool:
    y, x = np.nonzero(mask & ~ndimage.binary_erosion(mask))
    sizes = [
        (np.ptp(x * np.cos(a) + y * np.sin(a)) + 1) * (np.ptp(y * np.cos(a) - x * np.sin(a)) + 1)
        for a in ANGLES
    ]
    return bool(mask.sum() >= MIN_FILL * min(sizes))


def _enlarge(
    mask: np.ndarray, step: int, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return the box of a reduced mask in a picture of `shape`, and its pixels there."""
    (small,) = ndimage.find_objects(mask.astype(int))
    rows, columns = (
        slice(side.start * step, min(side.stop * step, length))
        for side, length in zip(small, shape, strict=True)
    )
    size = (rows.stop - rows.start, columns.stop - columns.start)
    return (rows, columns), segmentation.enlarge(mask[small], step, size)

"""Remove what is no stroke from a page's ink: lines of the paper, and what the border cuts off."""

import numpy as np
from scipy import ndimage

from serve.tabs.digit.segmentation import border, enlarge, max_pool, reduction

WORKING_SIDE_PX = 256  # of the longer side at which marks are looked for
MIN_EXTENT = 0.18  # of the shorter side: a digit is as high or wide
SLOPES = np.linspace(-0.12, 0.12, 25)  # of lines of the paper
MIN_LINE = 0.75  # of the side that a line of the paper inks
MAX_LINE_WIDTH = 0.05  # of the other side
MAX_AROUND = 0.5  # of the side that is inked next to such a line
MANY_LINES = 3  # are no strokes, even if the digit reaches as far
LINE_MARGIN = 0.04  # of the side: a line of the paper is longer than the digit at both ends
STRONGER = 1.5  # times a line's ink is a stroke that crosses it
STRONG = 0.55  # of full ink: a digit's on paper with faint lines
FULL_QUANTILE = 0.99  # of the inked pixels: the value of full ink
NEAR = 0.008  # of the longer side: ink as near to strong ink is a stroke's edge
MAX_CONTACT = 0.15  # of its height: the border touches a digit, and cuts through anything else
MIN_HEIGHT = 0.6  # of the highest whole part: a digit's that the border touches
MAX_OUTLINE, MIN_FILL = 0.2, 0.9  # of a frame's area: its line, and the area's of its box
MIN_FRAMED = 0.3  # of a frame's shorter side: the digit in it is as large
EIGHT = np.ones((3, 3))


def remove(ink: np.ndarray) -> np.ndarray:
    """Return `ink`, float32 [H, W], without what touches the border and is no digit."""
    edges = [edge.any() for edge in (ink[0], ink[-1], ink[:, 0], ink[:, -1])]
    if (edges[0] and edges[1]) or (edges[2] and edges[3]):
        strong = _strong_digit(ink)
        ink = _remove_lines(ink) if strong is None else strong
    return _remove_frame(_remove_cut_marks(ink) if any(edges) else ink)


def _remove_frame(ink: np.ndarray) -> np.ndarray:
    """Return the ink without a thin rectangle around a digit."""
    step = reduction(ink.shape, WORKING_SIDE_PX)
    parts, count = ndimage.label(max_pool(ink, step), EIGHT)
    if count < 2:
        return ink
    boxes = ndimage.find_objects(parts)
    areas = [(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in boxes]
    frame = int(np.argmax(areas))
    inside = parts[boxes[frame]]
    outline = inside == frame + 1
    filled = ndimage.binary_fill_holes(outline)
    others = ndimage.find_objects(np.where(filled & ~outline, inside, 0))
    sizes = [max(s.stop - s.start for s in box) for box in others if box is not None]
    is_thin = outline.sum() <= MAX_OUTLINE * filled.sum()
    if not is_thin or filled.mean() < MIN_FILL or not sizes:
        return ink
    if max(sizes) < MIN_FRAMED * min(filled.shape):
        return ink
    return np.where(enlarge(parts == frame + 1, step, ink.shape), 0, ink)


def _strong_digit(ink: np.ndarray) -> np.ndarray | None:
    """Return the ink of a digit without weaker marks around it; None if there is none."""
    strong = ink > STRONG * np.quantile(ink[ink > 0], FULL_QUANTILE)
    parts, _ = ndimage.label(strong, EIGHT)
    extents = [max(s.stop - s.start for s in box) for box in ndimage.find_objects(parts)]
    if border(parts).any() or max(extents) < MIN_EXTENT * min(ink.shape):
        return None
    near = ndimage.maximum_filter(strong, 1 + 2 * round(NEAR * max(ink.shape)))
    return np.where(near, ink, 0)


def _remove_lines(ink: np.ndarray) -> np.ndarray:
    """Return the ink without long straight thin lines through the whole sheet."""
    # 1. Find the lines of each direction at a reduced size.
    step = reduction(ink.shape, WORKING_SIDE_PX)
    small = max_pool(ink, step)
    level, count_across = _lines(small > 0)
    upright, count_down = _lines(small.T > 0)
    lines = level | upright.T
    if not lines.any():
        return ink
    # 2. Keep strokes that cross a line: they are stronger, or have ink on both of its sides.
    is_stroke = small > STRONGER * np.median(small[lines & (small > 0)])
    beyond = np.where(lines, 0, small) > 0
    for is_line, axis in ((level, 0), (upright.T, 1)):
        is_stroke |= _crossed(is_line, beyond, axis)
    erased = lines & ~is_stroke
    # 3. What remains must be a digit, and end before the lines do, unless they are many.
    rest, _ = ndimage.label(np.where(erased, 0, small), EIGHT)
    if not rest.any():
        return ink
    largest = np.argmax(np.bincount(rest.ravel())[1:])
    box = ndimage.find_objects(rest)[largest]
    if max(side.stop - side.start for side in box) < MIN_EXTENT * min(small.shape):
        return ink
    for found, side, length in ((level, box[1], small.shape[1]), (upright, box[0], small.shape[0])):
        margin = min(side.start, length - side.stop)
        if found.any() and margin < LINE_MARGIN * length and count_across + count_down < MANY_LINES:
            return ink
    return np.where(enlarge(erased, step, ink.shape), 0, ink)


def _lines(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the pixels of lines from left to right, bool [h, w], and the number of lines."""
    height, width = mask.shape
    x = np.arange(width)
    tall = mask | np.pad(mask, ((0, 1), (0, 0)))[1:]  # a slanting line changes its row
    best, rows = np.zeros(height), np.zeros((height, width), np.intp)
    for slope in SLOPES:
        sheared = np.arange(height)[:, None] + np.rint(slope * (x - width / 2)).astype(int)
        profile = (tall[sheared.clip(0, height - 1), x] & (sheared >= 0) & (sheared < height)).mean(
            1
        )
        if (profile**4).sum() > (best**4).sum():
            best, rows = profile, sheared
    found = np.zeros_like(mask)
    bands, _ = ndimage.label(best >= MIN_LINE)
    lines = 0
    for (band,) in ndimage.find_objects(bands):
        start, stop = band.start - 1, band.stop + 1  # and the rows that it inks in part
        around = best[[max(band.start - 2, 0), min(band.stop + 1, height - 1)]]
        is_thin = band.stop - band.start <= max(MAX_LINE_WIDTH * height, 4)
        if not is_thin or (around[0] > MAX_AROUND and around[1] > MAX_AROUND):
            continue
        lines += 1
        for each in range(max(start, 0), min(stop, height)):
            inside = (rows[each] >= 0) & (rows[each] < height)
            found[rows[each][inside], x[inside]] = True
    return found & mask, lines


def _crossed(is_line: np.ndarray, beyond: np.ndarray, axis: int) -> np.ndarray:
    """Return the pixels of a line with ink beyond it on both sides along `axis`."""
    if axis:
        return _crossed(is_line.T, beyond.T, 0).T
    wide = ndimage.binary_dilation(beyond, np.ones((1, 3)))
    above, below = wide & ~is_line, wide & ~is_line
    for _ in range(max(6, round(MAX_LINE_WIDTH * len(is_line)) + 2)):  # rows of a line
        above |= is_line & np.pad(above, ((1, 0), (0, 0)))[:-1]
        below |= is_line & np.pad(below, ((0, 1), (0, 0)))[1:]
    return above & below & is_line


def _remove_cut_marks(ink: np.ndarray) -> np.ndarray:
    """Return the ink without parts that the border cuts off, if there is a whole digit."""
    parts, _ = ndimage.label(ink, EIGHT)
    boxes = ndimage.find_objects(parts)
    contact = np.bincount(border(parts), minlength=len(boxes) + 1)[1:]
    heights = np.array([rows.stop - rows.start for rows, _ in boxes])
    widths = np.array([columns.stop - columns.start for _, columns in boxes])
    extent = np.maximum(heights, widths)
    whole = (contact == 0) & (extent >= MIN_EXTENT * min(ink.shape))
    if not whole.any():
        return ink
    is_digit = (heights >= MIN_HEIGHT * heights[whole].max()) & (widths >= 0.3 * heights)
    is_digit &= (contact <= MAX_CONTACT * heights) & (heights < 0.95 * len(ink))
    kept = np.concatenate([[False], (contact == 0) | is_digit])
    return np.where(kept[parts], ink, 0)

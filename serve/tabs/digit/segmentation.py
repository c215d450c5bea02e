"""Split a drawing of several digits into its digits and the marks that are none.

The thresholds were chosen on MNIST's training digits, one in 35 of which is in several parts, and
on composites of them. What they leave open, `inference` decides by the network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import ndimage

MIN_INK = 64  # of 255; fainter pixels belong to the digit that is nearest
WORKING_SIDE_PX = 256  # of the longer side at which parts are looked for
MIN_OVERLAP = 0.4  # of the narrower width; parts above each other are one digit
MIN_HEIGHT = 0.5  # of the tallest digit; what is shorter is a part of another digit
MIN_SIZE = 0.15  # of the largest digit's pixels; so is what has fewer
MAX_PARTS = 40  # the largest ones; the rest are specks
MANY_DOTS = 5  # small parts are a dotted line
MAX_DOT = 0.3  # of the height of all ink, the longer side of its dots
GROWTH = 0.6  # of the gap between dots
MIN_MARK, MAX_MARK = 0.04, 0.35  # of the tallest digit, the longer side of a point
MIN_APART = 0.05  # of the tallest digit: what is nearer is a part of the digit
FLAT = 0.3  # height by width of a dash or a line, at most
MIN_LINE = 0.6  # of the width of what it underlines
SLANTS = (-0.6, -0.4, -0.2, 0.0, 0.2)  # columns a row, of cuts between digits that touch
MAX_CUTS = 3
EIGHT = np.ones((3, 3))
POINT, DASH, LINE = "point", "dash", "line"


class Group(NamedTuple):
    """Connected parts that belong to one digit, and their box in pixels."""

    left: int
    right: int  # exclusive
    top: int
    bottom: int  # exclusive
    size: int  # pixels of ink
    parts: tuple[int, ...]

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left


@dataclass(frozen=True)
class Segments:
    """The digits in a drawing, from left to right.

    Attributes:
        drawing: uint8 [H, W].
        owners: of each pixel, int [H, W]: the number of its digit from 0; -1 for a mark's.
        count: number of digits, at least one.
        gaps: between the ink of a digit and of the next one, in heights of the tallest.
        marks: kinds of the marks that belong to no digit: POINT, DASH or LINE.
    """

    drawing: np.ndarray
    owners: np.ndarray
    count: int
    gaps: tuple[float, ...] = ()
    marks: tuple[str, ...] = ()

    def cut(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the ink of some digits, all unless given, without the rest: uint8 [h, w]."""
        if self.count == 1 and not self.marks:
            return self.drawing
        stop = self.count if stop is None else stop
        is_own = (self.owners >= start) & (self.owners < stop)
        return crop(np.where(is_own, self.drawing, 0))

    def digits(self) -> list[np.ndarray]:
        """Return each digit's drawing, cropped; the one drawing if it holds fewer than two."""
        return [self.cut(number, number + 1) for number in range(self.count)]


def split(drawing: np.ndarray) -> Segments:
    """Find the digits in a drawing, uint8 [H, W], white ink (255) on black (0)."""
    # 1. Reduce the drawing, connect a dotted line, and find the connected parts.
    step = reduction(drawing.shape, WORKING_SIDE_PX)
    small = max_pool(drawing, step)
    labels, count = ndimage.label(small > MIN_INK, EIGHT)
    if count >= MANY_DOTS and (radius := _dot_gap(labels)):
        small = ndimage.grey_dilation(small, (2 * radius + 1,) * 2)  # the canvas thins the pen
        labels, count = ndimage.label(small > MIN_INK, EIGHT)
        larger = enlarge(small, step, drawing.shape)
        drawing = np.maximum(drawing, larger)
    whole = Segments(drawing, np.zeros(drawing.shape, np.intp), 1)
    if count < 2:
        return whole
    # 2. Set lines below aside, and merge parts that lie above each other.
    parts = _largest_parts(labels)
    lines = [part for part in parts if _underlines(part, parts)]
    groups = _merge([part for part in parts if part not in lines])
    # 3. Drop groups that are too small for a digit of their own; some are marks between digits.
    min_height = MIN_HEIGHT * max((g.height for g in groups), default=0)
    min_size = MIN_SIZE * max((g.size for g in groups), default=0)
    digits = [g for g in groups if g.height >= min_height and g.size >= min_size]
    digits.sort(key=lambda group: group.left + group.right)
    marks = [(line, LINE) for line in lines]
    marks += [(g, kind) for g in groups if g not in digits and (kind := _mark(g, digits))]
    if len(digits) < 2 and not marks:
        return whole
    # 4. Assign every other pixel to the nearest digit or mark.
    owner_of_part = np.full(labels.max() + 1, -2)
    for number, group in enumerate(digits):
        owner_of_part[list(group.parts)] = number
    for group, _ in marks:
        owner_of_part[list(group.parts)] = -1
    owners = owner_of_part[labels]
    nearest = ndimage.distance_transform_edt(
        owners == -2, return_distances=False, return_indices=True
    )
    gaps = tuple(_gap(owners, n) * MIN_HEIGHT / min_height for n in range(len(digits) - 1))
    owners = owners[tuple(nearest)]
    # 5. Enlarge that map to the drawing's size.
    owners = enlarge(owners, step, drawing.shape)
    return Segments(drawing, owners, len(digits), gaps, tuple(kind for _, kind in marks))


def crop(drawing: np.ndarray) -> np.ndarray:
    """Return `drawing`, [H, W], cropped to its ink."""
    rows, columns = (np.flatnonzero(drawing.any(axis)) for axis in (1, 0))
    return drawing[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def reduction(size: Sequence[int], side: int) -> int:
    """Return the least whole factor by which `size` is reduced to at most `side` pixels a side."""
    return math.ceil(max(size) / side)


def max_pool(drawing: np.ndarray, step: int) -> np.ndarray:
    """Return the maximum of each `step` x `step` block: [ceil(H/step), ceil(W/step)]."""
    padded = np.pad(drawing, [(0, -side % step) for side in drawing.shape])
    rows, columns = (side // step for side in padded.shape)
    return padded.reshape(rows, step, columns, step).max((1, 3))


def enlarge(x: np.ndarray, step: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return what `max_pool` has reduced at the size it had: `shape`."""
    return x.repeat(step, 0).repeat(step, 1)[: shape[0], : shape[1]]


def border(x: np.ndarray) -> np.ndarray:
    """Return the outermost values of [H, W]: [2 H + 2 W]."""
    return np.concatenate([x[0], x[-1], x[:, 0], x[:, -1]])


def cuts(ink: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return pairs of parts of a cropped drawing, cut where a slanting line crosses least ink."""
    height, width = ink.shape
    rows = np.arange(height)
    found = []
    for slant in SLANTS:
        shift = np.rint(slant * (rows - height / 2)).astype(int)
        columns = np.arange(width // 4, width - width // 4)
        crossed = ink[rows, (columns[:, None] + shift).clip(0, width - 1)].sum(1, dtype=float)
        best = int(np.argmin(crossed))
        found.append((float(crossed[best]), int(columns[best]), shift))
    pairs = []
    for _, column, shift in sorted(found, key=lambda cut: cut[0])[:MAX_CUTS]:
        is_left = np.arange(width) < (column + shift)[:, None]
        sides = np.where(is_left, ink, 0), np.where(is_left, 0, ink)
        if all(side.any() for side in sides):
            pairs.append((crop(sides[0]), crop(sides[1])))
    return pairs


def _dot_gap(labels: np.ndarray) -> int:
    """Return by how much dots of equal distance must grow to touch; 0 if there are none."""
    boxes = ndimage.find_objects(labels)
    sizes = [max(side.stop - side.start for side in box) for box in boxes]
    extent = 1 + np.ptp(np.nonzero(labels)[0])
    if max(sizes) > MAX_DOT * extent or np.median(sizes) < MIN_MARK / 2 * extent:
        return 0
    centers = np.array([[(side.start + side.stop) / 2 for side in box] for box in boxes])
    distances = np.linalg.norm(centers[:, None] - centers, axis=2) + 1e9 * np.eye(len(boxes))
    gap = np.median(distances.min(1)) - np.median(sizes)
    return int(np.clip(np.ceil(GROWTH * gap), 1, extent / 24))


def _largest_parts(labels: np.ndarray) -> list[Group]:
    """Return a group for each of the largest parts in `labels`, int [h, w], 0 where none is."""
    boxes = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel())[1:]
    groups = []
    for index in np.argsort(-sizes, kind="stable")[:MAX_PARTS].tolist():
        rows, columns = boxes[index]
        box = (columns.start, columns.stop, rows.start, rows.stop)
        groups.append(Group(*box, int(sizes[index]), (index + 1,)))
    return groups


def _underlines(line: Group, parts: list[Group]) -> bool:
    """Return whether a part is a line below all others, apart from them or longer than they."""
    others = [part for part in parts if part != line]
    left, right = min(p.left for p in others), max(p.right for p in others)
    bottom, height = max(p.bottom for p in others), max(p.height for p in others)
    gap = line.top - bottom
    if line.height > FLAT * line.width or line.width < MIN_LINE * (right - left):
        return False
    is_longer = line.left < left and line.right > right and gap > 0.03 * height
    return height > line.height and (gap > 0.08 * height or is_longer)


def _mark(group: Group, digits: list[Group]) -> str | None:
    """Return the kind of a small group that lies to the left or right of all digits' boxes."""
    tallest = max(digit.height for digit in digits)
    if any(_overlap(group, digit) > 0 for digit in digits) or group.height > MAX_MARK * tallest:
        return None
    gaps = [max(digit.left - group.right, group.left - digit.right) for digit in digits]
    nearest = digits[int(np.argmin(gaps))]
    if min(gaps) < MIN_APART * tallest:
        return None
    middle = ((group.top + group.bottom) / 2 - nearest.top) / nearest.height
    if group.height <= FLAT * 1.5 * group.width and group.width >= 0.15 * tallest:
        return DASH if 0.25 < middle < 0.75 else None
    extent = max(group.height, group.width)
    is_point = group.height < 1.5 * group.width and extent <= MAX_MARK * tallest and middle > 0.7
    return POINT if is_point and extent >= MIN_MARK * tallest else None


def _gap(owners: np.ndarray, number: int) -> float:
    """Return the distance between the ink of a digit and that of the next one, in pixels."""
    distance = ndimage.distance_transform_edt(owners != number)
    return float(distance[owners == number + 1].min())


def _merge(groups: list[Group]) -> list[Group]:
    """Merge the two groups with the largest overlap, again and again, while there is enough."""
    while len(groups) > 1:
        pairs = [(a, b) for index, a in enumerate(groups) for b in groups[:index]]
        a, b = max(pairs, key=lambda pair: _overlap(*pair))
        if _overlap(a, b) < MIN_OVERLAP:
            break
        merged = Group(
            left=min(a.left, b.left),
            right=max(a.right, b.right),
            top=min(a.top, b.top),
            bottom=max(a.bottom, b.bottom),
            size=a.size + b.size,
            parts=a.parts + b.parts,
        )
        groups = [merged, *(group for group in groups if group not in (a, b))]
    return groups


def _overlap(a: Group, b: Group) -> float:
    """Return the horizontal overlap as a fraction of the narrower group's width."""
    shared = min(a.right, b.right) - max(a.left, b.left)
    return shared / min(a.right - a.left, b.right - b.left)

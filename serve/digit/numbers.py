"""Several digits drawn side by side: the ink of each, from left to right.

The figures were chosen on MNIST's training digits, one in 35 of which comes apart, and on
composites of them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

INKED = 64  # of 255; fainter ink belongs to the digit that it is nearest to
FINEST = 256  # pixels of the longer side in which parts are looked for
OVERLAP = 0.4  # of the narrower part's width; parts above each other are one digit
SHORT = 0.5  # of the tallest one's height; what is shorter is no digit but a part of one
LIGHT = 0.15  # of the largest one's inked pixels; so is what has less
MOST_PARTS = 40  # the largest ones; the rest are specks


class Group(NamedTuple):
    """Connected parts that are one digit, or a piece of one: where they are, in pixels."""

    left: int
    right: int  # exclusive
    top: int
    bottom: int  # exclusive
    size: int  # inked pixels
    parts: tuple[int, ...]

    @property
    def height(self) -> int:
        return self.bottom - self.top


def split(ink: np.ndarray) -> list[np.ndarray]:
    """Return the ink of each digit, from left to right; one array if it is a single digit.

    Connected parts are one digit if their horizontal spans overlap; what is much shorter
    than the tallest, or has much less ink than the largest, joins the nearest one.

    Args:
        ink: uint8 [H, W], white ink (255) on black (0).

    Returns:
        uint8 arrays [h, w], each cropped to its digit and without the ink of the others; `ink` as
        it is if there are no two digits in it.
    """
    step = -(-max(ink.shape) // FINEST)
    labels, groups = _parts(_reduced(ink, step))
    digits = _digits(_merged(groups))
    if len(digits) < 2:
        return [ink]
    owner = np.zeros(labels.max() + 1, np.intp)  # of each part; specks have none yet
    for number, parts in enumerate(digits, 1):
        owner[list(parts)] = number
    owners = _nearest(owner[labels])
    whole = owners.repeat(step, 0).repeat(step, 1)[: ink.shape[0], : ink.shape[1]]
    return [_cropped(np.where(whole == number, ink, 0)) for number in range(1, len(digits) + 1)]


def _reduced(ink: np.ndarray, step: int) -> np.ndarray:
    """Return the strongest ink of each `step` x `step` block: uint8 [ceil(H/step), ...]."""
    padded = np.pad(ink, [(0, -side % step) for side in ink.shape])
    rows, columns = (side // step for side in padded.shape)
    return padded.reshape(rows, step, columns, step).max((1, 3))


def _parts(ink: np.ndarray) -> tuple[np.ndarray, list[Group]]:
    """Return each pixel's part, int [h, w], 0 where there is none, and the largest parts."""
    from scipy import ndimage  # late: it costs the page's start a fifth of a second

    labels, _ = ndimage.label(ink > INKED, np.ones((3, 3)))
    found = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel())[1:]
    groups = []
    for part in np.argsort(-sizes, kind="stable")[:MOST_PARTS].tolist():
        rows, columns = found[part]
        box = (columns.start, columns.stop, rows.start, rows.stop)
        groups.append(Group(*box, int(sizes[part]), (part + 1,)))
    return labels, groups


def _merged(groups: list[Group]) -> list[Group]:
    """Return the groups with those made one that overlap, most first."""
    while len(groups) > 1:
        pairs = [(a, b) for index, a in enumerate(groups) for b in groups[:index]]
        a, b = max(pairs, key=lambda pair: _overlap(*pair))
        if _overlap(a, b) < OVERLAP:
            break
        low, high = np.minimum(a[:4], b[:4]).tolist(), np.maximum(a[:4], b[:4]).tolist()
        both = Group(low[0], high[1], low[2], high[3], a.size + b.size, a.parts + b.parts)
        groups = [both, *(group for group in groups if group not in (a, b))]
    return groups


def _overlap(a: Group, b: Group) -> float:
    """Return which share of the narrower one's width lies above or below the other."""
    shared = min(a.right, b.right) - max(a.left, b.left)
    return shared / min(a.right - a.left, b.right - b.left)


def _digits(groups: list[Group]) -> list[tuple[int, ...]]:
    """Return the parts of each group that is large enough for a digit, from left to right."""
    tallest = max((group.height for group in groups), default=0)
    largest = max((group.size for group in groups), default=0)
    digits = [g for g in groups if g.height >= SHORT * tallest and g.size >= LIGHT * largest]
    return [group.parts for group in sorted(digits, key=lambda group: group.left + group.right)]


def _nearest(owners: np.ndarray) -> np.ndarray:
    """Return `owners`, int [h, w], with that of the nearest pixel wherever there is none."""
    from scipy import ndimage

    place = ndimage.distance_transform_edt(owners == 0, return_distances=False, return_indices=True)
    return owners[tuple(place)]


def _cropped(ink: np.ndarray) -> np.ndarray:
    rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]

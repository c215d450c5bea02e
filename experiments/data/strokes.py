"""Drawings as the strokes of a pen: read from a file, written by a hand, inked on a canvas.

A stroke is float32 [n, 2]: points x (to the right) and y (down), one at each tick of a clock, so
the pen was fast where they are far apart. One unit is the side of the canvas; shapes and the
paths they are made of, which have no canvas yet, are measured in their own height.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from experiments.errors import DataError

Strokes = tuple[np.ndarray, ...]
MARGIN = 0.055  # kept free round the path, in canvas sides: half a pen of 40 on 400, and a bit
FINER = 2  # pixels that are drawn for each one of the canvas, a side, for soft edges
THINNEST = 0.3  # share of the pen's width left where it is fastest, at `speed` 1
TICK = 0.08  # how far the pen comes between two points where nothing slows it, in heights
WAVE = 0.25  # between two changes of mind of a shaky hand, in heights
HOW = "Write it anew with: python -m benchmarks.draw"


@dataclass(frozen=True)
class Drawing:
    """A digit or letter, the way it is written ("7 with a bar"), its strokes in canvas sides."""

    label: str
    shape: str
    strokes: Strokes


@dataclass(frozen=True)
class Hand:
    """How somebody writes; the defaults change nothing but the size and the place."""

    slant: float = 0.0  # degrees to the right, a shear
    turn: float = 0.0  # degrees clockwise, a rotation
    aspect: float = 1.0  # width to height, times the shape's own
    top: float = 0.0  # how much wider the top is than the foot, as a share; -1..1
    middle: float = 0.0  # how far down the middle is pulled, in quarter heights; -1..1
    jitter: float = 0.0  # standard deviation of the shaking, in heights
    roundness: float = 0.0  # 0 keeps corners as they are, 1 makes bends of them
    size: float = 0.65  # height, in canvas sides; less if the drawing would be too wide
    place: tuple[float, float] = (0.5, 0.5)  # right and down, as shares of the free room; 0..1


def load(path: Path) -> list[Drawing]:
    """Return the drawings in the JSON file at `path`.

    Raises:
        DataError: the file is missing, is no JSON, or holds something other than drawings with
            points in 0..1; the message names the file, the expectation and the finding.
    """
    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"{path}: expected drawings, cannot be read ({error}). {HOW}") from error
    except ValueError as error:
        raise DataError(f"{path}: expected JSON, found damage ({error}). {HOW}") from error
    if not isinstance(found, list) or not found:
        raise DataError(f"{path}: expected a list of drawings, found {str(found)[:40]!r}. {HOW}")
    return [_drawing(item, f"{path}: drawing {index}") for index, item in enumerate(found)]


def _drawing(item: object, where: str) -> Drawing:
    """Return `item` of the JSON as a drawing; `where` begins the message of what is wrong."""
    if not isinstance(item, dict) or item.keys() != {"label", "shape", "strokes"}:
        what = "an object with label, shape and strokes"
        raise DataError(f"{where}: expected {what}, found {str(item)[:60]!r}. {HOW}")
    label, shape, strokes = item["label"], item["shape"], item["strokes"]
    if not (isinstance(label, str) and isinstance(shape, str)):
        raise DataError(f"{where}: expected texts, found {label!r} and {shape!r}. {HOW}")
    try:
        arrays = tuple(np.array(stroke, np.float32) for stroke in strokes)
    except (TypeError, ValueError):
        arrays = ()
    if not arrays or not all(_is_stroke(array) for array in arrays):
        what = "strokes of points x, y in 0..1"
        raise DataError(f"{where}: expected {what}, found {str(strokes)[:60]!r}. {HOW}")
    return Drawing(label, shape, arrays)


def _is_stroke(array: np.ndarray) -> bool:
    shaped = array.ndim == 2 and len(array) > 0 and array.shape[1] == 2
    return shaped and bool(((array >= 0) & (array <= 1)).all())


def render(
    drawing: Drawing | Sequence[np.ndarray], pen: float, side: int = 400, speed: float = 0.0
) -> np.ndarray:
    """Return the canvas with `drawing` on it: uint8 [side, side], ink 255 on paper 0, soft edges.

    Args:
        drawing: a drawing or its strokes, each float [n, 2] in canvas sides; ink beyond the
            canvas is lost. A stroke of one point is a dot.
        pen: diameter of the pen in pixels, at least 0.5; rounded to halves.
        side: of the canvas, in pixels.
        speed: 0..1, how much thinner the line is where the pen is fast: at 1 the fastest part of
            the drawing is `THINNEST` of the pen's width.
    """
    strokes = drawing.strokes if isinstance(drawing, Drawing) else drawing
    canvas = Image.new("L", (side * FINER, side * FINER))
    ink = ImageDraw.Draw(canvas)
    paces = [_pace(stroke) for stroke in strokes]
    fastest = max((pace.max() for pace in paces), default=0.0) or 1.0
    for stroke, pace in zip(strokes, paces, strict=True):
        widths = FINER * pen * (1 - (1 - THINNEST) * speed * pace / fastest)
        _trace(ink, stroke * (side * FINER), np.maximum(1, np.rint(widths)).astype(int))
    return np.array(canvas.reduce(FINER))


def _trace(ink: ImageDraw.ImageDraw, stroke: np.ndarray, widths: np.ndarray) -> None:
    """Draw discs of `widths`, int [n], at the points [n, 2], in pixels, and what is between."""
    corners = np.rint(stroke - widths[:, None] / 2).astype(int)
    reach = (widths[:, None] - 1) / 2  # from the middle pixel of a disc to its outermost ones
    for (left, top), width in zip(corners.tolist(), (widths - 1).tolist(), strict=True):
        ink.ellipse((left, top, left + width, top + width), fill=255)
    middles = corners + reach
    steps = np.diff(middles, axis=0)
    across = steps[:, ::-1] * [-1, 1] / np.maximum(np.hypot(*steps.T), 1e-6)[:, None]
    here, there = across * reach[:-1], across * reach[1:]
    a, b = middles[:-1], middles[1:]
    sides = np.concatenate([a + here, b + there, b - there, a - here], 1)
    for side in np.rint(sides).astype(int).tolist():
        ink.polygon(side, fill=255)


def _pace(stroke: np.ndarray) -> np.ndarray:
    """Return how fast the pen was at each point of `stroke`, [n, 2]: [n], units a tick."""
    if len(stroke) < 2:
        return np.zeros(len(stroke))
    steps = np.hypot(*np.diff(stroke, axis=0).T)
    steps = np.convolve(np.pad(steps, 1, "edge"), [0.25, 0.5, 0.25], "valid")
    return np.interp(np.arange(len(stroke)), np.arange(len(steps)) + 0.5, steps)


def write(strokes: Sequence[np.ndarray], hand: Hand, random: np.random.Generator) -> Strokes:
    """Return `strokes`, each float [n, 2] in any unit, as `hand` writes them on a canvas.

    Returns:
        As many strokes of as many points, float32, in canvas sides, `MARGIN` off its edges.
    """
    low, high = _box(strokes)
    height = (high - low)[1] or 1.0
    own = [_rounded((stroke - (low + high) / 2) / height, hand.roundness) for stroke in strokes]
    placed = [_bent(stroke, hand) + hand.jitter * _wobble(stroke, random) for stroke in own]
    low, high = _box(placed)
    scale = min(hand.size / max(high[1] - low[1], 1e-6), (1 - 2 * MARGIN) / (high - low).max())
    corner = MARGIN + (1 - 2 * MARGIN - (high - low) * scale) * np.array(hand.place)
    return tuple(((stroke - low) * scale + corner).astype(np.float32) for stroke in placed)


def _box(strokes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    points = np.concatenate([np.asarray(stroke, np.float64) for stroke in strokes])
    return points.min(0), points.max(0)


def _bent(stroke: np.ndarray, hand: Hand) -> np.ndarray:
    """Return `stroke`, in heights about its middle, in the proportions and the slope of `hand`."""
    x, y = stroke.T
    x = x * hand.aspect * (1 - hand.top * y)
    y = y + hand.middle * (0.25 - y**2)
    x = x - np.tan(np.radians(hand.slant)) * y
    cos, sin = np.cos(np.radians(hand.turn)), np.sin(np.radians(hand.turn))
    return np.stack([cos * x - sin * y, sin * x + cos * y], 1)


def _rounded(stroke: np.ndarray, roundness: float) -> np.ndarray:
    """Return `stroke` with its bends averaged over neighbours, both ends where they were."""
    for _ in range(round(8 * roundness)):
        inner = (stroke[:-2] + 2 * stroke[1:-1] + stroke[2:]) / 4
        stroke = np.concatenate([stroke[:1], inner, stroke[-1:]]) if len(stroke) > 2 else stroke
    return stroke


def _wobble(stroke: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a slow random motion along `stroke`, in heights: [n, 2], deviation about 1."""
    along = np.cumsum(np.hypot(*np.diff(stroke, axis=0, prepend=stroke[:1]).T)) / WAVE
    before = along.astype(int)
    knots = random.standard_normal((before[-1] + 2, 2))
    share = (along - before)[:, None]
    share = share**2 * (3 - 2 * share)  # no corner at a knot
    return knots[before] * (1 - share) + knots[before + 1] * share


def spline(points: np.ndarray, steps: int = 16) -> np.ndarray:
    """Return a smooth curve through `points`, float [n, 2], no two neighbours alike.

    Returns:
        float64 [(n - 1) * steps + 1, 2]: a centripetal Catmull-Rom spline, which makes no loops
        of its own (Yuksel et al., "Parameterization and applications of Catmull-Rom curves").
    """
    points = np.asarray(points, np.float64)
    ends = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    points = np.concatenate([ends[:1], points, ends[1:]])
    a, b, c, d = (points[i : len(points) - 3 + i, None] for i in range(4))  # [n - 1, 1, 2]
    t1 = _root(b - a)
    t2 = t1 + _root(c - b)
    t3 = t2 + _root(d - c)
    t = t1 + (t2 - t1) * (np.arange(steps) / steps)[:, None]  # [n - 1, steps, 1]
    ab, bc, cd = (t1 - t) / t1 * a + t / t1 * b, _mix(b, c, t1, t2, t), _mix(c, d, t2, t3, t)
    inner = _mix(_mix(ab, bc, 0 * t1, t2, t), _mix(bc, cd, t1, t3, t), t1, t2, t)
    return np.concatenate([inner.reshape(-1, 2), points[-2:-1]])


def _root(step: np.ndarray) -> np.ndarray:
    return np.sqrt(np.hypot(step[..., :1], step[..., 1:]))


def _mix(
    a: np.ndarray, b: np.ndarray, start: np.ndarray, end: np.ndarray, t: np.ndarray
) -> np.ndarray:
    return ((end - t) * a + (t - start) * b) / (end - start)


def timed(path: np.ndarray) -> np.ndarray:
    """Return where a pen that follows `path` is at each tick: slow in bends, and at both ends.

    Args:
        path: float [n, 2], in heights of the drawing, so dense that it looks smooth.

    Returns:
        float64 [m, 2], the first and the last point those of `path`.
    """
    along = np.cumsum(np.hypot(*np.diff(path, axis=0, prepend=path[:1]).T))
    even = np.linspace(0, along[-1], max(int(along[-1] / 0.01), 9) + 1)
    x, y = (np.interp(even, along, axis) for axis in path.T)
    heading = np.unwrap(np.arctan2(np.diff(y), np.diff(x)))
    turned = np.abs(np.diff(heading, append=heading[-1], prepend=heading[0]))
    bend = np.convolve(turned, np.ones(9), "same")  # radians within some 0.09 heights
    pace = np.clip(0.35 + np.minimum(even, even[::-1]) / 0.15, 0, 1) / (1 + 1.5 * bend)
    time = np.concatenate([[0], np.cumsum(np.diff(even) / ((pace[1:] + pace[:-1]) / 2))])
    ticks = np.linspace(0, time[-1], max(round(time[-1] / TICK), 2) + 1)
    return np.stack([np.interp(ticks, time, x), np.interp(ticks, time, y)], 1)


def scribble(random: np.random.Generator) -> Strokes:
    """Return a random scribble that is no digit and no letter: strokes as `write` returns them.

    It is two or three of: a chain of loops, a zigzag, a coil, a walk, straight lines criss-cross.
    """
    kinds = random.choice(5, random.integers(2, 4), replace=False)
    strokes = []
    for kind in kinds:
        path = (_loops, _zigzag, _coil, _walk, _cross)[kind](random)
        for part in path:
            angle = random.uniform(0, 2 * np.pi)
            cos, sin = np.cos(angle), np.sin(angle)
            turned = part @ np.array([[cos, sin], [-sin, cos]])
            strokes.append(timed(turned + random.uniform(-0.15, 0.15, 2)))
    size, place = random.uniform(0.65, 0.89), (random.random(), random.random())
    return write(strokes, Hand(jitter=0.01, size=size, place=place), random)


def _loops(random: np.random.Generator) -> list[np.ndarray]:
    t = np.linspace(0, 2 * np.pi * random.integers(3, 6), 400)
    round_ = random.uniform(0.2, 0.4) * np.stack([np.cos(t), np.sin(t)], 1)
    return [round_ + np.linspace(-0.5, 0.5, 400)[:, None] * [1, 0]]


def _zigzag(random: np.random.Generator) -> list[np.ndarray]:
    n = random.integers(6, 10)
    ups = np.resize([-0.5, 0.5], n) * random.uniform(0.5, 1, n)
    return [np.stack([np.linspace(-0.5, 0.5, n), ups], 1)]


def _coil(random: np.random.Generator) -> list[np.ndarray]:
    t = np.linspace(1, 2 * np.pi * random.uniform(2.5, 4), 500)
    round_ = np.stack([np.cos(t), random.uniform(0.6, 1) * np.sin(t)], 1)
    return [0.5 * (t / t[-1])[:, None] * round_]


def _walk(random: np.random.Generator) -> list[np.ndarray]:
    return [spline(random.uniform(-0.5, 0.5, (random.integers(9, 14), 2)))]


def _cross(random: np.random.Generator) -> list[np.ndarray]:
    ends = random.uniform([0.3, -0.4], [0.6, 0.4], (random.integers(3, 5), 2))
    return [spline(np.array([end, -end * random.uniform(0.6, 1)])) for end in ends]

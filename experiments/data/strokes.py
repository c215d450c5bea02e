"""Drawings as strokes of a pen: read from a file, drawn on a canvas, and random scribbles.

A stroke is float [n, 2]: the points x (to the right) and y (down), in sides of the canvas.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from scipy.interpolate import CubicSpline

from experiments.core.errors import DataError

MARGIN = 0.055  # free on each edge, in canvas sides: half a pen of 40 on 400, and a bit
SUPERSAMPLING = 2  # pixels drawn per pixel of the canvas and axis, for soft edges


@dataclass(frozen=True)
class Drawing:
    """A digit or letter, its shape in words ("7 with a bar"), and its strokes."""

    label: str
    shape: str
    strokes: tuple[np.ndarray, ...]


def load(path: Path) -> list[Drawing]:
    """Return the drawings in the JSON file at `path`.

    Raises:
        DataError: the file is missing, or holds something other than drawings.
    """
    fix = f"Restore it with: git checkout {path}"
    try:
        items = json.loads(path.read_text())
        return [_drawing(**item) for item in items]
    except OSError as error:
        reason = error.strerror or error
        raise DataError("file-missing", path, "drawings", reason, fix) from error
    except (TypeError, ValueError) as error:
        raise DataError("file-damaged", path, "drawings in JSON", error, fix) from error


def _drawing(label: str, shape: str, strokes: list[list[list[float]]]) -> Drawing:
    arrays = tuple(np.array(stroke, np.float32) for stroke in strokes)
    points = np.concatenate(arrays)
    if points.shape[1:] != (2,) or not ((points >= 0) & (points <= 1)).all():
        raise ValueError(f"{shape}: points outside 0..1")
    return Drawing(label, shape, arrays)


def render(drawing: Drawing, pen: float, side: int = 400) -> np.ndarray:
    """Return a canvas with `drawing` on it: uint8 [side, side], ink 255, background 0, soft edges.

    Args:
        drawing: ink outside the canvas is lost; a stroke of one point is a dot.
        pen: diameter of the pen in pixels, rounded to halves.
        side: of the canvas, in pixels.
    """
    canvas = Image.new("L", (side * SUPERSAMPLING, side * SUPERSAMPLING))
    draw = ImageDraw.Draw(canvas)
    for stroke in drawing.strokes:
        _trace(draw, stroke * (side * SUPERSAMPLING), max(1, round(SUPERSAMPLING * pen)))
    return np.array(canvas.reduce(SUPERSAMPLING))


def _trace(draw: ImageDraw.ImageDraw, points: np.ndarray, width: int) -> None:
    """Draw a line of `width` pixels through the points, float [n, 2], with round ends."""
    # 1. A disc at each point, aligned to whole pixels.
    corners = np.rint(points - width / 2).astype(int)
    for left, top in corners.tolist():
        draw.ellipse((left, top, left + width - 1, top + width - 1), fill=255)

    # 2. Between two neighbours, the quadrilateral between their diameters across the step.
    radius = (width - 1) / 2  # from the middle pixel of a disc to its outermost ones
    centers = corners + radius
    start, end = centers[:-1], centers[1:]
    steps = end - start
    lengths = np.maximum(np.hypot(*steps.T), 1e-6)
    across = steps[:, ::-1] * [-1, 1] / lengths[:, None] * radius
    corners = np.concatenate([start + across, end + across, end - across, start - across], 1)
    for polygon in np.rint(corners).astype(int).tolist():
        draw.polygon(polygon, fill=255)


def scribble(random: np.random.Generator) -> Drawing:
    """Return a random scribble, neither a digit nor a letter.

    It is two or three of: a chain of loops, a zigzag, a coil, a walk, straight lines that cross.
    """
    strokes = []
    for kind in random.choice(len(KINDS), random.integers(2, 4), replace=False):
        for path in KINDS[kind](random):
            angle = random.uniform(0, 2 * np.pi)
            cos, sin = np.cos(angle), np.sin(angle)
            turned = path @ np.array([[cos, sin], [-sin, cos]])
            strokes.append(turned + random.uniform(-0.15, 0.15, 2))

    # Scale to a random height, then move to a random position inside the margins.
    points = np.concatenate(strokes)
    low, extent = points.min(0), np.ptp(points, axis=0)
    room = 1 - 2 * MARGIN
    scale = min(random.uniform(0.65, 0.89) / extent[1], room / extent.max())
    corner = MARGIN + (room - extent * scale) * random.random(2)
    placed = [((stroke - low) * scale + corner).astype(np.float32) for stroke in strokes]
    return Drawing("", "scribble", tuple(placed))


def _loops(random: np.random.Generator) -> list[np.ndarray]:
    t = np.linspace(0, 2 * np.pi * random.integers(3, 6), 400)
    circle = random.uniform(0.2, 0.4) * np.stack([np.cos(t), np.sin(t)], 1)
    return [circle + np.linspace(-0.5, 0.5, 400)[:, None] * [1, 0]]


def _zigzag(random: np.random.Generator) -> list[np.ndarray]:
    n = random.integers(6, 10)
    y = np.resize([-0.5, 0.5], n) * random.uniform(0.5, 1, n)
    return [np.stack([np.linspace(-0.5, 0.5, n), y], 1)]


def _coil(random: np.random.Generator) -> list[np.ndarray]:
    t = np.linspace(1, 2 * np.pi * random.uniform(2.5, 4), 500)
    ellipse = np.stack([np.cos(t), random.uniform(0.6, 1) * np.sin(t)], 1)
    return [0.5 * (t / t[-1])[:, None] * ellipse]


def _walk(random: np.random.Generator) -> list[np.ndarray]:
    points = random.uniform(-0.5, 0.5, (random.integers(9, 14), 2))
    steps = np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1))  # centripetal: no loops
    t = np.concatenate([[0], np.cumsum(steps)])
    return [CubicSpline(t, points)(np.linspace(0, t[-1], 16 * len(points)))]


def _cross(random: np.random.Generator) -> list[np.ndarray]:
    ends = random.uniform([0.3, -0.4], [0.6, 0.4], (random.integers(3, 5), 2))
    return [np.stack([end, -end * random.uniform(0.6, 1)]) for end in ends]


KINDS = (_loops, _zigzag, _coil, _walk, _cross)

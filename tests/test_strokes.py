"""Drawings: ink compared with distances to the strokes, the drawings' files, and scribbles."""

import json
import string
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from experiments.core.errors import DataError
from experiments.core.paths import DRAWINGS
from experiments.data import strokes
from tests.expect import refused

SOFT = 0.75  # pixels by which an edge may be off


@pytest.fixture(scope="module")
def digits() -> list[strokes.Drawing]:
    return strokes.load(DRAWINGS / "drawings.json")


@pytest.fixture(scope="module")
def letters() -> list[strokes.Drawing]:
    return strokes.load(DRAWINGS / "letters.json")


def line(*points: tuple[float, float]) -> strokes.Drawing:
    return strokes.Drawing("1", "line", (np.array(points, np.float32),))


def distances(drawing: strokes.Drawing, side: int) -> np.ndarray:
    """Return the distance of each pixel's middle to the strokes, in pixels, by the definition."""
    middle = np.arange(side) + 0.5
    pixels = np.stack(np.meshgrid(middle, middle), -1)
    nearest = np.full((side, side), np.inf)
    for stroke in drawing.strokes:
        points = stroke.astype(float) * side
        for a, b in zip(points, [*points[1:], points[-1]], strict=True):
            length = max((b - a) @ (b - a), 1e-9)
            t = np.clip((pixels - a) @ (b - a) / length, 0, 1)[..., None]
            nearest = np.minimum(nearest, np.linalg.norm(pixels - a - t * (b - a), axis=-1))
    return nearest


@pytest.mark.parametrize("pen", [6, 20, 40])
def test_ink_is_within_half_the_pen_and_nowhere_else(digits, pen: int) -> None:
    for drawing in digits[::67]:
        ink = strokes.render(drawing, pen, side=200)
        distance = distances(drawing, 200)
        assert (ink[distance < pen / 2 - SOFT] > 127).all()
        assert (ink[distance > pen / 2 + SOFT] <= 127).all()
        assert not ink[distance > pen / 2 + 2 * SOFT].any()


@pytest.mark.parametrize("pen", [6, 40])
@pytest.mark.parametrize("end", [(0.9, 0.5), (0.8, 0.8), (0.85, 0.62)])
def test_a_line_is_as_wide_as_the_pen(pen: int, end: tuple[float, float]) -> None:
    start = (1 - end[0], 1 - end[1])
    length = 400 * np.hypot(end[0] - start[0], end[1] - start[1])
    for drawing in (line(start, end), line(start, (0.5, 0.5), end)):
        area = strokes.render(drawing, pen).sum() / 255 - np.pi * (pen / 2) ** 2
        assert area / length == pytest.approx(pen, abs=1)


def test_a_point_is_a_round_dot() -> None:
    ink = strokes.render(line((0.5, 0.5)), 40)
    assert ink.sum() / 255 == pytest.approx(np.pi * 20**2, rel=0.02)
    assert (ink == ink.T).all() and (ink == ink[::-1]).all()


def test_there_are_many_digits_in_many_shapes(digits) -> None:
    count = Counter(drawing.label for drawing in digits)
    assert sorted(count) == list(string.digits)
    assert sum(count.values()) >= 320 and min(count.values()) >= 30
    for label in string.digits:
        assert len({drawing.shape for drawing in digits if drawing.label == label}) >= 4


def test_no_letter_looks_like_a_digit(letters) -> None:
    count = Counter(drawing.label for drawing in letters)
    assert set(count) == set(string.ascii_letters) - set("IOSZBGioszbglq")
    assert sum(count.values()) >= 200 and min(count.values()) >= 6


def test_all_ink_is_on_the_canvas(digits, letters) -> None:
    scribbles = [strokes.scribble(np.random.default_rng(seed)) for seed in range(50)]
    for drawing in digits + letters + scribbles:
        points = np.concatenate(drawing.strokes)
        assert points.min() >= 20 / 400 and points.max() <= 1 - 20 / 400, drawing.shape
    for drawing in (digits + letters)[::40]:
        edge = strokes.render(drawing, 40)
        edge[1:-1, 1:-1] = 0
        assert not edge.any(), drawing.shape


def holes(drawing: strokes.Drawing) -> int:
    """Return how many holes the ink of a thick pen has, by Euler: pixels - pairs + fours.

    The ink must be connected. Holes less than some 8 pixels wide are filled first.
    """
    small = Image.fromarray(strokes.render(drawing, 40)).reduce(4).filter(ImageFilter.MaxFilter(3))
    ink = np.array(small) > 127
    across, below = ink[:, 1:] & ink[:, :-1], ink[1:] & ink[:-1]
    fours = across[1:] & across[:-1]
    return int(1 - (ink.sum() - across.sum() - below.sum() + fours.sum()))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [("0", 1), ("4 closed", 1), ("4 in one", 1), ("6", 1), ("8", 2), ("9", 1), ("1", 0), ("5", 0)],
)
def test_a_thick_pen_leaves_holes_open(digits, shape: str, expected: int) -> None:
    closed = [d for d in digits if d.shape.startswith(shape) and "open" not in d.shape]
    assert {holes(drawing) for drawing in closed} == {expected}


def test_scribbles_are_long_and_repeat_with_their_seed() -> None:
    for seed in range(50):
        scribble, again = (strokes.scribble(np.random.default_rng(seed)) for _ in range(2))
        extent = np.ptp(np.concatenate(scribble.strokes), axis=0).max()
        length = sum(np.hypot(*np.diff(s, axis=0).T).sum() for s in scribble.strokes)
        assert length > 5 * extent  # an 8 is below 4
        pairs = zip(scribble.strokes, again.strokes, strict=True)
        assert all(np.array_equal(a, b) and a.dtype == np.float32 for a, b in pairs)


GOOD = {"label": "1", "shape": "1 plain", "strokes": [[[0.5, 0.1], [0.5, 0.9]]]}


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps([GOOD]))
    (drawing,) = strokes.load(path)
    assert (drawing.label, drawing.shape) == ("1", "1 plain")
    assert drawing.strokes[0].dtype == np.float32
    assert np.allclose(drawing.strokes[0], GOOD["strokes"][0])


@pytest.mark.parametrize(
    "text",
    [
        "[{",
        "[3]",
        json.dumps([GOOD, {"label": "1"}]),
        *(
            json.dumps([GOOD | {"strokes": strokes}])
            for strokes in ([], [[]], 7, [[[0.5]]], [[[0.5, 1.5]]], [[[0.5, float("nan")]]])
        ),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with refused("file-damaged", DataError, what=path, fix="git checkout"):
        strokes.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with refused("file-missing", DataError, what=tmp_path / "absent.json"):
        strokes.load(tmp_path / "absent.json")

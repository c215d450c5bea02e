"""Drawings: ink against distances reckoned by hand, hands that repeat themselves, and the files."""

import json
import string
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageFilter

from benchmarks import draw
from experiments.data import strokes
from experiments.data.strokes import Hand
from experiments.errors import DataError
from experiments.paths import ROOT

DATA = ROOT / "tests" / "data"
SOFT = 0.75  # pixels by which an edge may be off


@pytest.fixture(scope="module")
def digits() -> list[strokes.Drawing]:
    return strokes.load(DATA / "drawings.json")


@pytest.fixture(scope="module")
def letters() -> list[strokes.Drawing]:
    return strokes.load(DATA / "letters.json")


def line(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, np.float32)


def distances(path: strokes.Strokes, side: int) -> np.ndarray:
    """Return how far the middle of each pixel is from the path, in pixels, by the definition."""
    middle = np.arange(side) + 0.5
    pixels = np.stack(np.meshgrid(middle, middle), -1)
    nearest = np.full((side, side), np.inf)
    for stroke in path:
        points = stroke.astype(float) * side
        for a, b in zip(points, [*points[1:], points[-1]], strict=True):
            length = max((b - a) @ (b - a), 1e-9)
            share = np.clip((pixels - a) @ (b - a) / length, 0, 1)[..., None]
            nearest = np.minimum(nearest, np.linalg.norm(pixels - a - share * (b - a), axis=-1))
    return nearest


@pytest.mark.parametrize("pen", [6, 20, 40])
def test_ink_is_within_half_the_pen_and_nowhere_else(digits, pen: int) -> None:
    for drawing in digits[::67]:
        ink = strokes.render(drawing, pen, side=200)
        away = distances(drawing.strokes, 200)
        assert (ink[away < pen / 2 - SOFT] > 127).all()
        assert (ink[away > pen / 2 + SOFT] <= 127).all()
        assert not ink[away > pen / 2 + 2 * SOFT].any()


@pytest.mark.parametrize("pen", [6, 20, 40])
@pytest.mark.parametrize("end", [(0.9, 0.5), (0.5, 0.9), (0.8, 0.8), (0.85, 0.62)])
def test_a_line_is_as_wide_as_the_pen(pen: int, end: tuple[float, float]) -> None:
    start = (1 - end[0], 1 - end[1])
    once, twice = line(start, end), line(start, (0.5, 0.5), end)
    for stroke in (once, twice):
        area = strokes.render([stroke], pen).sum() / 255 - np.pi * (pen / 2) ** 2
        length = 400 * np.hypot(*(stroke[-1] - stroke[0]))
        assert area / length == pytest.approx(pen, abs=1)


def test_a_point_is_a_round_dot() -> None:
    ink = strokes.render([line((0.5, 0.5))], 40)
    assert ink.sum() / 255 == pytest.approx(np.pi * 20**2, rel=0.02)
    assert (ink == ink.T).all() and (ink == ink[::-1]).all()


def test_speed_thins_the_fast_part_only() -> None:
    slow, fast = np.arange(0.1, 0.5, 0.01), np.arange(0.5, 0.9, 0.08)
    stroke = np.stack([np.concatenate([slow, fast]), np.full(len(slow) + len(fast), 0.5)], 1)
    full, thin = (strokes.render([stroke], 20, speed=s) for s in (0.0, 1.0))
    heights = (thin > 127).sum(0)
    assert ((full > 127).sum(0)[60:320] == 20).all()
    assert heights[60:140].min() >= 17
    assert heights[260:320].max() <= 20 * strokes.THINNEST + 1
    assert (thin <= full).all()


def test_nothing_but_paper_without_strokes() -> None:
    assert not strokes.render([], 20).any()


def test_the_same_seed_writes_the_same(digits) -> None:
    hand = Hand(slant=10, turn=3, aspect=0.9, jitter=0.02, roundness=0.3, size=0.5)
    path = digits[100].strokes
    one, same, other = (strokes.write(path, hand, np.random.default_rng(s)) for s in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))


def test_a_hand_does_what_it_says() -> None:
    cross = (line((0, 0.5), (1, 0.5)), line((0.5, 0), (0.5, 1)))

    def written(**how: float) -> strokes.Strokes:
        return strokes.write(cross, Hand(size=0.4, **how), np.random.default_rng(0))

    def spans(**how: float) -> tuple[np.ndarray, np.ndarray]:
        across, down = written(**how)
        return across[1] - across[0], down[1] - down[0]

    assert np.allclose(spans(), [(0.4, 0), (0, 0.4)], atol=1e-6)
    assert np.allclose(spans(aspect=0.5), [(0.2, 0), (0, 0.4)], atol=1e-6)
    _, down = spans(slant=20)
    assert down[0] / down[1] == pytest.approx(-np.tan(np.radians(20)), abs=1e-4)
    across, _ = spans(turn=30)
    assert across[1] / across[0] == pytest.approx(np.tan(np.radians(30)), abs=1e-4)
    assert written(middle=0.5)[0][0, 1] > 0.5 + 0.02
    across, _ = written(place=(0.0, 1.0))
    assert across[0, 0] == pytest.approx(strokes.MARGIN)


def test_shaking_is_as_strong_as_asked() -> None:
    straight = np.stack([np.full(3000, 0.5), np.linspace(0, 1, 3000)], 1)
    off = [
        strokes.write((straight,), Hand(jitter=0.02, size=0.5), np.random.default_rng(s))[0]
        for s in range(200)
    ]
    spread = np.mean([stroke[:, 0].std() for stroke in off])
    assert 0.5 * 0.02 * 0.5 < spread < 0.5 * 0.02 * 1.1
    assert max(np.abs(np.diff(stroke[:, 0], 2)).max() for stroke in off) < 1e-5  # no tremor


def test_a_curve_runs_through_its_points() -> None:
    angle = np.linspace(0, 2 * np.pi, 17)
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    curve = strokes.spline(circle, steps=10)
    assert np.allclose(curve[::10], circle)
    assert np.abs(np.linalg.norm(curve, axis=1) - 1)[20:-20].max() < 0.01


def test_the_pen_is_slow_in_corners_and_at_ends() -> None:
    ell = np.concatenate([np.linspace((0, 0), (0, 1), 100), np.linspace((0, 1), (1, 1), 100)])
    ticks = strokes.timed(ell)
    steps = np.hypot(*np.diff(ticks, axis=0).T)
    corner = np.abs(ticks - [0, 1]).sum(1).argmin()
    assert np.abs(ticks[[0, -1]] - ell[[0, -1]]).max() < 1e-9
    assert max(steps[0], steps[-1], steps[corner]) < 0.6 * steps.max()
    assert np.minimum(np.abs(ticks[:, 0]), np.abs(ticks[:, 1] - 1)).max() < 0.02


def test_there_are_many_digits_in_many_shapes(digits) -> None:
    count = Counter(drawing.label for drawing in digits)
    assert sorted(count) == list(string.digits)
    assert sum(count.values()) >= 320 and min(count.values()) >= 30
    for label in string.digits:
        assert len({drawing.shape for drawing in digits if drawing.label == label}) >= 4


def test_no_letter_is_a_digits_twin(letters) -> None:
    count = Counter(drawing.label for drawing in letters)
    assert set(count) == set(string.ascii_letters) - set("IOSZBGioszbglq")
    assert sum(count.values()) >= 200 and min(count.values()) >= 6


def test_all_ink_is_on_the_canvas(digits, letters) -> None:
    for drawing in digits + letters:
        points = np.concatenate(drawing.strokes)
        assert points.min() >= 20 / 400 and points.max() <= 1 - 20 / 400, drawing.shape
    for drawing in (digits + letters)[::40]:
        edge = strokes.render(drawing, 40)
        edge[1:-1, 1:-1] = 0
        assert not edge.any(), drawing.shape


def holes(drawing: strokes.Drawing) -> int:
    """Return how many holes the ink of a thick pen has, by Euler: pixels - pairs + fours.

    The ink must hang together. Holes less than some 8 pixels wide are filled first.
    """
    small = Image.fromarray(strokes.render(drawing, 40)).reduce(4).filter(ImageFilter.MaxFilter(3))
    ink = np.array(small) > 127
    beside, below = ink[:, 1:] & ink[:, :-1], ink[1:] & ink[:-1]
    fours = beside[1:] & beside[:-1]
    return int(1 - (ink.sum() - beside.sum() - below.sum() + fours.sum()))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [("0", 1), ("4 closed", 1), ("4 in one", 1), ("6", 1), ("8", 2), ("9", 1), ("1", 0), ("5", 0)],
)
def test_a_thick_pen_leaves_holes_open(digits, shape: str, expected: int) -> None:
    closed = [d for d in digits if d.shape.startswith(shape) and "open" not in d.shape]
    found = [(index, d.shape, holes(d)) for index, d in enumerate(closed)]
    assert found == [(index, d.shape, expected) for index, d in enumerate(closed)]


def test_scribbles_are_long_and_cross_the_canvas() -> None:
    for seed in range(50):
        scribble = strokes.scribble(np.random.default_rng(seed))
        points = np.concatenate(scribble)
        assert points.dtype == np.float32
        assert points.min() >= 20 / 400 and points.max() <= 1 - 20 / 400
        length = sum(np.hypot(*np.diff(stroke, axis=0).T).sum() for stroke in scribble)
        assert length > 5 * np.ptp(points, axis=0).max()  # an 8 is below 4
        again = strokes.scribble(np.random.default_rng(seed))
        assert all((a == b).all() for a, b in zip(scribble, again, strict=True))


def test_the_command_writes_the_very_same_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(draw, "DRAWINGS", tmp_path)
    assert CliRunner().invoke(draw.command, [], catch_exceptions=False).exit_code == 0
    for name in ("drawings.json", "letters.json"):
        assert (tmp_path / name).read_text() == (DATA / name).read_text()
    assert sum((DATA / name).stat().st_size for name in draw.texts()) < 600_000


GOOD = {"label": "1", "shape": "1 plain", "strokes": [[[0.5, 0.1], [0.5, 0.9]]]}


def test_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps([GOOD]))
    (drawing,) = strokes.load(path)
    assert (drawing.label, drawing.shape) == ("1", "1 plain")
    assert drawing.strokes[0].dtype == np.float32
    assert np.allclose(drawing.strokes[0], GOOD["strokes"][0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[{", "expected JSON"),
        ("{}", "expected a list of drawings"),
        ("[]", "expected a list of drawings"),
        ("[3]", "drawing 0: expected an object"),
        (json.dumps([GOOD, {"label": "1"}]), "drawing 1: expected an object"),
        (json.dumps([GOOD | {"label": 1}]), "drawing 0: expected texts"),
        *(
            (
                json.dumps([GOOD | {"strokes": bad}]),
                r"drawing 0: expected strokes of points.*0\.\.1",
            )
            for bad in (
                [],
                [[]],
                7,
                [[[0.5]]],
                [[[0.5, 1.5]]],
                [[[0.5, float("nan")]]],
                [[["a", 1]]],
            )
        ),
    ],
)
def test_damage_names_expectation_and_finding(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(DataError, match=says) as told:
        strokes.load(path)
    assert str(path) in str(told.value) and "benchmarks.draw" in str(told.value)


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        strokes.load(tmp_path / "absent.json")

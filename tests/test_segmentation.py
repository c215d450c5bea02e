"""Digits side by side are separated; the parts of one digit stay together."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from experiments.core.paths import DRAWINGS
from experiments.data import mnist, strokes
from serve.tabs.digit.segmentation import DASH, LINE, POINT, split

Line = Sequence[tuple[int, int]]


def in_a_row(images: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Return the digits side by side with `gap` empty columns between, 28 pixels high."""
    cropped = [image[:, image.any(0)] for image in images]
    return np.concatenate([np.pad(image, ((0, 0), (0, gap))) for image in cropped], 1)


def drawn(*lines: Line) -> np.ndarray:
    picture = Image.new("L", (400, 200))
    for line in lines:
        ImageDraw.Draw(picture).line(list(line), fill=255, width=10)
    return np.asarray(picture)


def test_a_single_digit_is_hardly_ever_split(digits: mnist.Mnist) -> None:
    large = [np.kron(image, np.ones((5, 5), np.uint8)) for image in digits.test_images[:1000]]
    assert np.mean([split(image).count > 1 for image in large]) <= 0.003
    for drawing in strokes.load(DRAWINGS / "drawings.json")[::2]:
        assert split(strokes.render(drawing, 16, 200)).count == 1, drawing.shape


@pytest.mark.parametrize(("count", "gap"), [(2, 2), (3, 5), (5, 2)])
def test_digits_in_a_row_are_separated_in_order(digits: mnist.Mnist, count: int, gap: int) -> None:
    results = []
    for start in range(0, 200, count):
        images = digits.test_images[start : start + count]
        parts = split(in_a_row(images, gap)).digits()
        pairs = zip(parts, (image[:, image.any(0)] for image in images), strict=False)
        similar = [
            np.corrcoef(part.sum(0), image.sum(0))[0, 1] > 0.98
            for part, image in pairs
            if part.shape[1] == image.shape[1]
        ]
        results.append(len(parts) == count and all(similar))
        assert sum(int(part.sum()) for part in parts) == images.sum()  # no ink lost or doubled
    assert np.mean(results) >= 0.95


@pytest.mark.parametrize(
    "lines",
    [
        ([(60, 40), (60, 90), (110, 110), (100, 160), (50, 165)], [(75, 38), (125, 34)]),
        ([(60, 30), (40, 110), (90, 110)], [(105, 80), (105, 100)]),
    ],
    ids=["bar of a 5", "short stroke of a 4"],
)
def test_a_loose_stroke_belongs_to_its_digit(lines: Sequence[Line]) -> None:
    result = split(drawn(*lines))
    assert result.count == 1 and not result.marks


def test_a_loose_stroke_belongs_to_the_nearer_digit() -> None:
    ones = [(50, 30), (50, 170)], [(250, 30), (250, 170)]
    left, right = split(drawn(*ones, [(225, 80), (225, 110)])).digits()
    assert left.shape[1] < 20 and right.shape[1] > 20


@pytest.mark.parametrize(
    ("mark", "kind"),
    [
        ([(150, 100), (200, 100)], DASH),
        ([(145, 163), (157, 163)], POINT),
        ([(20, 190), (280, 192)], LINE),
    ],
)
def test_a_mark_is_no_part_of_a_digit(mark: Line, kind: str) -> None:
    ones = [(50, 30), (50, 170)], [(250, 30), (250, 170)]
    for count in (1, 2):
        result = split(drawn(*ones[:count], mark))
        assert result.marks == (kind,) and result.count == count
        assert all(digit.shape[1] < 20 for digit in result.digits())


def test_a_dotted_line_is_one_part() -> None:
    angles = np.linspace(0, 2 * np.pi, 24)
    dots = np.stack([150 + 60 * np.cos(angles), 100 + 80 * np.sin(angles)], 1)
    result = split(drawn(*[[(x - 4, y), (x + 4, y)] for x, y in dots.round().tolist()]))
    assert result.count == 1 and ndimage.label(result.cut() > 64, np.ones((3, 3)))[1] == 1


def test_slanted_strokes_side_by_side_are_two() -> None:
    assert split(drawn([(60, 170), (100, 30)], [(100, 170), (140, 30)])).count == 2


def test_pages_without_digits_are_not_split() -> None:
    for blank in (np.zeros((30, 50), np.uint8), np.pad(np.full((1, 1), 255, np.uint8), 4)):
        assert [part.shape for part in split(blank).digits()] == [blank.shape]
    random = np.random.default_rng(0)
    specks = np.where(random.random((1000, 1000)) > 0.999, 255, 0).astype(np.uint8)
    specks[100:900, 200:240] = 255
    assert [part.shape for part in split(specks).digits()] == [specks.shape]

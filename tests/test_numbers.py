"""Digits side by side come apart, a digit of several parts does not."""

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image, ImageDraw

from experiments.data import mnist, strokes
from experiments.paths import DRAWINGS
from serve.digit import numbers


def enlarged(image: np.ndarray, scale: int = 5) -> np.ndarray:
    side = 28 * scale
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR))


def in_a_row(images: Sequence[np.ndarray], gap: int) -> np.ndarray:
    """Return the digits' ink side by side with `gap` empty columns between, 28 pixels high."""
    cropped = [image[:, image.any(0)] for image in images]
    return np.concatenate([np.pad(image, ((0, 0), (0, gap))) for image in cropped], 1)


def page(*lines: Sequence[tuple[int, int]], size: tuple[int, int] = (400, 200)) -> np.ndarray:
    picture = Image.new("L", size)
    for line in lines:
        ImageDraw.Draw(picture).line(list(line), fill=255, width=10)
    return np.asarray(picture)


def test_a_single_digit_is_practically_never_split(digits: mnist.Mnist) -> None:
    split = [len(numbers.split(enlarged(image))) > 1 for image in digits.test_images[:1000]]
    assert np.mean(split) <= 0.003


def test_no_drawing_of_the_project_is_split() -> None:
    for drawing in strokes.load(DRAWINGS / "drawings.json")[::2]:
        assert len(numbers.split(strokes.render(drawing, 16, 200))) == 1, drawing.shape


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("gap", [2, 5])
def test_digits_in_a_row_come_apart_in_order(digits: mnist.Mnist, count: int, gap: int) -> None:
    right = 0
    for start in range(0, 200, count):
        images = digits.test_images[start : start + count]
        parts = numbers.split(in_a_row(images, gap))
        right += len(parts) == count and all(
            np.corrcoef(part.sum(0), image[:, image.any(0)].sum(0))[0, 1] > 0.98
            for part, image in zip(parts, images, strict=True)
            if part.shape[1] == image.any(0).sum()
        )
    assert right / len(range(0, 200, count)) >= 0.95


def test_no_ink_is_lost_or_doubled(digits: mnist.Mnist) -> None:
    ink = in_a_row(digits.test_images[:3], 3)
    parts = numbers.split(ink)
    assert len(parts) == 3
    assert sum(int(part.sum()) for part in parts) == int(ink.sum())


def test_a_loose_bar_stays_with_its_digit() -> None:
    five = page([(60, 40), (60, 90), (110, 110), (100, 160), (50, 165)], [(75, 38), (125, 34)])
    four = page([(60, 30), (40, 110), (90, 110)], [(105, 80), (105, 100)])
    assert len(numbers.split(five)) == len(numbers.split(four)) == 1


def test_a_bar_beside_two_digits_goes_to_the_nearer() -> None:
    ones = [(50, 30), (50, 170)], [(250, 30), (250, 170)]
    left, right = numbers.split(page(*ones, [(200, 100), (220, 100)]))
    assert (left.shape[1] < 20) and (right.shape[1] > 40)


def test_leaning_strokes_side_by_side_are_two() -> None:
    assert len(numbers.split(page([(60, 170), (100, 30)], [(100, 170), (140, 30)]))) == 2


def test_a_blank_page_is_one_part() -> None:
    blank = np.zeros((30, 50), np.uint8)
    assert [part.shape for part in numbers.split(blank)] == [(30, 50)]
    dot = np.pad(np.full((1, 1), 255, np.uint8), 4)
    assert len(numbers.split(dot)) == 1


def test_a_large_page_of_many_specks_is_told_soon() -> None:
    random = np.random.default_rng(0)
    specks = np.where(random.random((1000, 1000)) > 0.999, 255, 0).astype(np.uint8)
    specks[100:900, 200:240] = 255
    parts = numbers.split(specks)
    assert len(parts) == 1 and parts[0].shape == specks.shape

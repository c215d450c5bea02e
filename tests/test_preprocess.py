"""Uploads and photographs become MNIST's images: any size, place, polarity and background."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

from experiments.data.mnist import Mnist
from serve.backends.onnx_backend import open_session
from serve.tabs.digit import background, preprocess
from tests.pages import BACKGROUNDS, RESAMPLING, on_background, page

COUNT = 50  # digits of the slow properties
CLEAR = 0.7  # a digit of this probability keeps its class, whatever the resampling
UNEVEN = [name for name in BACKGROUNDS if name != "plain"]
Random = np.random.Generator
Probs = Callable[[np.ndarray], np.ndarray]

quick = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32).map(np.random.default_rng)
margins = st.tuples(*[st.integers(0, 60)] * 4)


@pytest.fixture(scope="module")
def probs(trained: Path) -> Probs:
    """Images, uint8 [B, 28, 28], to the probabilities of their classes, float32 [B, 10]."""
    session = open_session(trained / "model.onnx")
    return lambda images: session.run(["probabilities"], {"image": images})[0]


def drawing(gray: np.ndarray) -> np.ndarray:
    return preprocess.from_picture(Image.fromarray(gray))


def to_image(gray: np.ndarray) -> np.ndarray:
    """Return the network's input for a page, uint8 [H, W]: uint8 [28, 28]."""
    return preprocess.to_image(drawing(gray))[0]


def within_a_pixel(image: np.ndarray, digit: np.ndarray, levels: float) -> bool:
    """Return whether each pixel is, within `levels`, between those around it in `digit`."""
    low = ndimage.grey_erosion(digit, (3, 3)).astype(float)
    high = ndimage.grey_dilation(digit, (3, 3)).astype(float)
    return bool((image >= low - levels).all() and (image <= high + levels).all())


@given(
    index=st.integers(0, 9_999),
    factor=st.integers(2, 12),
    margins=margins,
    inverted=st.booleans(),
)
@quick
def test_size_place_polarity_and_aspect_change_nothing(
    digits: Mnist, index: int, factor: int, margins: tuple[int, ...], inverted: bool
) -> None:
    digit = digits.test_images[index]
    top, bottom, left, right = (factor * margin for margin in margins)
    top, left = top // 2 + margins[0] % 2, left // 2  # not only multiples of the factor
    large = np.kron(digit, np.ones((factor, factor), np.uint8))
    large = np.pad(large, ((top, bottom), (left, right)))
    large = large[: preprocess.MAX_SIDE_PX, : preprocess.MAX_SIDE_PX]
    assert np.array_equal(to_image(255 - large if inverted else large), to_image(digit))


def test_plain_digits_are_unchanged(digits: Mnist) -> None:
    for digit in digits.test_images[:500]:
        assert within_a_pixel(to_image(digit), digit, background.MIN_CONTRAST * 255)


@given(
    index=st.integers(0, COUNT - 1),
    size=st.integers(20, 2000),
    resampling=st.sampled_from(RESAMPLING),
    margins=margins,
)
@quick
def test_any_size_keeps_the_class(
    digits: Mnist,
    probs: Probs,
    index: int,
    size: int,
    resampling: Image.Resampling,
    margins: tuple[int, ...],
) -> None:
    expected = probs(digits.test_images[:COUNT])[index]
    assume(expected.max() > CLEAR)
    digit = digits.test_images[index]
    top, bottom, left, right = (size * margin // 120 for margin in margins)
    large = np.asarray(Image.fromarray(digit).resize((size, size), resampling))
    image = to_image(np.pad(large, ((top, bottom), (left, right))))
    assert probs(image[None]).argmax() == expected.argmax()
    assert size < 100 or within_a_pixel(image, digit, 64.0)


def test_noise_and_shade_keep_the_class(digits: Mnist, probs: Probs) -> None:
    x, y = digits.test_images[:200], digits.test_labels[:200]
    right = np.flatnonzero(probs(x).argmax(1) == y)
    pages = [page(x[i], np.random.default_rng(i), UNEVEN[i % 3]) for i in right]
    wrong = probs(np.stack([to_image(gray) for gray in pages])).argmax(1) != y[right]
    assert wrong.mean() <= 0.01, right[wrong]


@given(random=seeds, shape=st.tuples(*[st.integers(120, 700)] * 2), name=st.sampled_from(UNEVEN))
@quick
def test_a_mere_background_is_blank(random: Random, shape: tuple[int, int], name: str) -> None:
    assert not drawing(on_background(np.zeros(shape), random, name)).any()


@pytest.mark.parametrize("shape", [(2, 300), (300, 2), (1, 300), (1, 1), (12, 600)])
def test_thin_shaded_strips_are_blank(shape: tuple[int, int]) -> None:
    slope = np.linspace(50, 200, max(shape)).reshape([-1, 1] if shape[0] > shape[1] else [1, -1])
    assert not drawing(np.broadcast_to(slope, shape).round().astype(np.uint8)).any()


@given(random=seeds, name=st.sampled_from(BACKGROUNDS))
@quick
def test_separate_strokes_remain_and_specks_go(random: Random, name: str) -> None:
    five = Image.new("L", (420, 500))
    pen = ImageDraw.Draw(five)
    pen.line([(160, 100), (160, 220), (250, 240), (260, 330), (150, 390)], 255, 24, joint="curve")
    pen.line([(200, 85), (280, 80)], 255, 24)
    strokes = np.asarray(five) > 0
    ink = drawing(on_background(strokes / 1.0, random, name)) > 0
    assert ndimage.label(ink, np.ones((3, 3)))[1] == 2
    assert ink[strokes].mean() > 0.97
    assert not ink[~ndimage.binary_dilation(strokes, iterations=25)].any()

"""What a person uploads or photographs is read right: any size, place, polarity and ground."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.grounds import GROUNDS, WAYS, on_ground, page
from experiments.data.mnist import Mnist
from serve.digit import ink, paper
from serve.predictor import open_session

FEW = 50  # digits, at sizes that take their time
SURE = 0.7  # a digit of this probability is clear; its class must not hang on a pixel
UNEVEN = [ground for ground in GROUNDS if ground != "plain"]
Random = np.random.Generator
Read = Callable[[np.ndarray], np.ndarray]

quick = settings(max_examples=40, deadline=None)
indices = st.integers(0, 9_999)
seeds = st.integers(0, 2**32).map(np.random.default_rng)
margins = st.tuples(*[st.integers(0, 60)] * 4)


@pytest.fixture(scope="module")
def read(trained: Path) -> Read:
    """Pictures, uint8 [B, 28, 28], to the probabilities of their classes, float32 [B, 10]."""
    session = open_session(trained / "model.onnx")
    return lambda images: session.run(["probabilities"], {"image": images})[0]


@given(index=indices, factor=st.integers(2, 12), margins=margins, inverted=st.booleans())
@quick
def test_size_place_polarity_and_aspect_change_nothing(
    digits: Mnist, index: int, factor: int, margins: tuple[int, ...], inverted: bool
) -> None:
    digit = digits.test_images[index]
    top, bottom, left, right = (factor * margin for margin in margins)
    top, left = top // 2 + margins[0] % 2, left // 2  # not only in steps of the factor
    large = np.pad(
        np.kron(digit, np.ones((factor, factor), np.uint8)), ((top, bottom), (left, right))
    )
    large = large[: ink.LONGEST_SIDE, : ink.LONGEST_SIDE]
    assert np.array_equal(seen(255 - large if inverted else large), seen(digit))


def test_plain_digits_come_back(digits: Mnist) -> None:
    for digit in digits.test_images[:1000]:
        assert within_a_pixel(seen(digit), digit, paper.FAINT * 255)


@given(
    index=st.integers(0, FEW - 1),
    size=st.integers(20, 2000),
    way=st.sampled_from(WAYS),
    margins=margins,
    inverted=st.booleans(),
)
@quick
def test_any_size_is_read_alike(
    digits: Mnist,
    read: Read,
    index: int,
    size: int,
    way: Image.Resampling,
    margins: tuple[int, ...],
    inverted: bool,
) -> None:
    probabilities = read(digits.test_images[:FEW])
    assume(probabilities[index].max() > SURE)
    digit = digits.test_images[index]
    top, bottom, left, right = (size * margin // 120 for margin in margins)
    large = np.asarray(Image.fromarray(digit).resize((size, size), way))
    large = np.pad(large, ((top, bottom), (left, right)))
    image = seen(255 - large if inverted else large)
    assert read(image[None]).argmax() == probabilities[index].argmax()
    assert size < 100 or within_a_pixel(image, digit, 64.0)


def test_noise_and_shade_keep_the_class(digits: Mnist, read: Read) -> None:
    x, y = digits.test_images[:300], digits.test_labels[:300]
    right = np.flatnonzero(read(x).argmax(1) == y)
    grounds = [UNEVEN[index % 3] for index in right]
    pages = [page(x[i], np.random.default_rng(i), on) for i, on in zip(right, grounds, strict=True)]
    lost = read(np.stack([seen(gray) for gray in pages])).argmax(1) != y[right]
    assert lost.mean() <= 0.01, [
        (i, on) for i, on, gone in zip(right, grounds, lost, strict=True) if gone
    ]


@given(random=seeds, shape=st.tuples(*[st.integers(120, 700)] * 2), ground=st.sampled_from(UNEVEN))
@quick
def test_a_page_of_nothing_but_ground_is_blank(
    random: Random, shape: tuple[int, int], ground: str
) -> None:
    assert not ink.from_picture(Image.fromarray(on_ground(np.zeros(shape), random, ground))).any()


@given(random=seeds, ground=st.sampled_from(GROUNDS))
@quick
def test_strokes_that_do_not_touch_stay_and_specks_go(random: Random, ground: str) -> None:
    five = Image.new("L", (420, 500))
    pen = ImageDraw.Draw(five)
    pen.line([(160, 100), (160, 220), (250, 240), (260, 330), (150, 390)], 255, 24, joint="curve")
    pen.line([(200, 85), (280, 80)], 255, 24)  # its hat
    strokes = np.asarray(five) > 0
    found = ink.from_picture(Image.fromarray(on_ground(strokes / 1.0, random, ground))) > 0
    assert ndimage.label(found, np.ones((3, 3)))[1] == 2
    assert found[strokes].mean() > 0.97
    assert not found[~ndimage.binary_dilation(strokes, iterations=25)].any()


def seen(gray: np.ndarray) -> np.ndarray:
    """Return what the network sees of a page, uint8 [H, W]: uint8 [28, 28]."""
    return ink.to_image(ink.from_picture(Image.fromarray(gray)))[0]


def within_a_pixel(image: np.ndarray, digit: np.ndarray, levels: float) -> bool:
    """Tell if each pixel of `image` is, but for `levels`, between those around it in `digit`."""
    least = ndimage.grey_erosion(digit, (3, 3)).astype(float)
    most = ndimage.grey_dilation(digit, (3, 3)).astype(float)
    return bool((image >= least - levels).all() and (image <= most + levels).all())


@pytest.mark.parametrize("shape", [(2, 300), (300, 2), (1, 300), (1, 1), (12, 600)])
def test_thin_shaded_strips_are_blank(shape: tuple[int, int]) -> None:
    slope = np.linspace(50, 200, max(shape)).reshape([-1, 1] if shape[0] > shape[1] else [1, -1])
    strip = np.broadcast_to(slope, shape).round().astype(np.uint8)
    assert not ink.from_picture(Image.fromarray(strip)).any()

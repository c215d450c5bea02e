"""Data that are legal and unfit: what is wrong is named; of digits and other data, nothing is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from experiments import tasks
from experiments.core.paths import DRAWINGS
from experiments.data import fitness, idx, mnist, strokes
from experiments.evaluation import ood_data
from tests.conftest import write_digits

COUNT = 1000
Change = Callable[[np.ndarray], np.ndarray]
random = np.random.default_rng(3)


def linear(matrix: list[list[float]]) -> Change:
    """Return what moves the pixel `matrix` @ (row, column) to (row, column), from the middle."""
    offset = 13.5 - np.dot(matrix, [13.5, 13.5])
    return lambda x: np.stack([ndimage.affine_transform(each, matrix, offset) for each in x])


IMAGES: dict[str, Change] = {
    "transposed": lambda x: x.swapaxes(1, 2),
    "mirrored left to right": lambda x: x[:, :, ::-1],
    "mirrored top to bottom": lambda x: x[:, ::-1],
    "rotated by 90 degrees clockwise": lambda x: np.rot90(x, -1, (1, 2)),
    "rotated by 90 degrees counterclockwise": lambda x: np.rot90(x, 1, (1, 2)),
    "upside down": lambda x: x[:, ::-1, ::-1],
    "black on white": lambda x: 255 - x,
    "50% of the images are black": lambda x: np.where(
        np.arange(len(x))[:, None, None] % 2, x, 255 - x
    ),
    "pixels reach 1 only": lambda x: x // 128,
    "pixels reach 15 only": lambda x: x // 16,
    "background is 60": lambda x: 60 + x // 2,
    "100% of the images are blank": lambda x: x * 0 + 9,
    "10% of the images are blank": lambda x: x * (np.arange(len(x))[:, None, None] % 10 > 0),
    "100% of the images are copies": lambda x: np.broadcast_to(x[0], x.shape),
    "+3 pixels right and -2 down": lambda x: np.roll(x, (-2, 3), (1, 2)),
    "-12 pixels right": lambda x: np.roll(x.reshape(len(x), -1), 16, 1).reshape(x.shape),
    "50% of the size": lambda x: np.pad(x[:, ::2, ::2], ((0, 0), (7, 7), (7, 7))),
    "slanted to the left": linear([[1, 0], [-0.6, 1]]),
    "rotated by some 30 degrees clockwise": linear([[0.9, -0.4], [0.4, 0.9]]),
    "rotated by some 60 degrees counter": linear([[0.5, 0.9], [-0.9, 0.5]]),
    "stretched in height": linear([[1, 0], [0, 2]]),
    "nothing to do with the images": lambda x: random.permuted(x.reshape(-1, 784), axis=1).reshape(
        x.shape
    ),
}
LABELS: dict[str, Change] = {
    "every label is 3": lambda y: y * 0 + 3,
    "no image is labelled 7": lambda y: np.where(y == 7, 1, y),
    "9 is labelled 0": lambda y: (y + 1) % 10,
    "4 is labelled 9": lambda y: np.where(y == 4, 9, np.where(y == 9, 4, y)),
    "nothing to do with the images": random.permutation,
    "many labels look wrong": lambda y: np.where(random.random(len(y)) < 0.3, (y + 3) % 10, y),
}


def found(images: np.ndarray, labels: np.ndarray) -> str:
    """Return what is found about one set."""
    return "; ".join(fitness.unfit(images.astype(np.uint8), labels.astype(np.uint8)))


@pytest.mark.parametrize("phrase", IMAGES)
def test_unfit_images_are_named(phrase: str, digits: mnist.Mnist) -> None:
    images = IMAGES[phrase](digits.train_images[:COUNT])
    assert phrase in found(images, digits.train_labels[:COUNT])


@pytest.mark.parametrize("phrase", LABELS)
def test_unfit_labels_are_named(phrase: str, digits: mnist.Mnist) -> None:
    labels = LABELS[phrase](digits.train_labels[: 2 * COUNT])
    assert phrase in found(digits.train_images[: 2 * COUNT], labels)


def test_nearly_equal_labels_are_not_called_random(digits: mnist.Mnist) -> None:
    ones = np.flatnonzero(digits.train_labels == 1)[:3000]
    some = np.r_[ones, np.flatnonzero(digits.train_labels != 1)[:60]]
    assert found(digits.train_images[some], digits.train_labels[some]) == ""


@pytest.mark.parametrize("count", [24, 250, COUNT, 10_000])
def test_digits_are_fit(count: int, digits: mnist.Mnist) -> None:
    train = digits.train_images[:count], digits.train_labels[:count]
    test = digits.test_images[:count], digits.test_labels[:count]
    assert fitness.findings(train, test) == ()


def test_letters_with_labels_of_their_own_are_fit() -> None:
    drawn = [d for d in strokes.load(DRAWINGS / "letters.json") if d.label in "ADEFHKLMRT"]
    images = np.concatenate([ood_data.draw(drawn, (pen,)).numpy() for pen in (10, 16, 24, 32)])
    labels = np.array(["ADEFHKLMRT".index(drawing.label) for drawing in drawn] * 4)
    assert len(images) >= fitness.MIN_IMAGES and found(images, labels) == ""


def test_fashion_mnist_is_fit() -> None:
    """Where it is installed: other images of 28x28, with labels that are not digits."""
    if not ood_data.FASHION.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    data = mnist.load(ood_data.FASHION)
    train, test = (data.train_images, data.train_labels), (data.test_images, data.test_labels)
    assert fitness.findings(train, test) == ()


def test_a_set_that_differs_and_shared_images_are_named(digits: mnist.Mnist) -> None:
    images, labels = digits.train_images[:COUNT], digits.train_labels[:COUNT]
    turned = images.swapaxes(1, 2), labels
    (phrase,) = fitness.findings((images, labels), turned)
    assert phrase.startswith("test: ") and "transposed" in phrase
    (phrase,) = fitness.findings((images, labels), (images, labels))
    assert phrase == "100% of the test images are training images"


def test_the_reference_has_mnists_class_means(digits: mnist.Mnist) -> None:
    means = fitness.class_means(digits.train_images, digits.train_labels)
    np.testing.assert_array_equal(idx.read(fitness.REFERENCE, 3)[0], means.round())


def test_only_data_that_are_not_mnists_own_are_examined(
    digits: mnist.Mnist, tmp_path: Path
) -> None:
    task = tasks.get("mnist")
    folder = write_digits(tmp_path, digits, COUNT)
    assert task.load(task.data_options(data_dir=folder)).unfit == ()
    images = folder / next(iter(mnist.CANONICAL_MD5))
    images.write_bytes(idx.pack(255 - idx.read(images, 3)[0]))
    (phrase,) = task.load(task.data_options(data_dir=folder)).unfit
    assert "train" in phrase and "black on white" in phrase

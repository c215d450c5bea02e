"""What makes images of digits unlike those that a drawing becomes: polarity, range, orientation.

The class means of MNIST are compared with those of the data. Each finding is a phrase for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.core.stats import wilson_interval
from experiments.data import idx

# Made by: python -c "from experiments.data import fitness as f, mnist, idx; d = mnist.load();
# f.REFERENCE.write_bytes(idx.pack(f.class_means(d.train_images, d.train_labels).round()))"
REFERENCE = Path(__file__).with_name("mnist_means.idx")
CLASSES, SIDE, MIDDLE = 10, 28, 13.5  # of an image, so that it turns about its middle
SAMPLE = 4000  # images that are looked at; the rest only for copies
MIN_IMAGES = 200  # below, classes may be missing and their means are too noisy to judge by
TOLERATED = 0.01  # share of the images that may be blank or copies
TOLERATED_BRIGHT = 0.1  # share that may have a bright border: a coat may fill its image
ALIKE = 0.7  # correlation of class means with MNIST's: 0.93 of 200 MNIST digits, 0.53 transposed
BETTER = 0.02  # by which another order of the labels must correlate better
MIN_AGREEMENT = 0.7  # share of digits whose nearest neighbour has their label: 0.9 of MNIST
MIN_NEIGHBOURS = 1000  # images, for that share
MAX_NAMED = 3  # exchanged labels
MAX_CHANCE = 0.9  # above, the share says nothing: nearly all labels are the same
MAX_SHIFT_PX, MAX_ZOOM = 1.5, 1.25  # of the mean digit against MNIST's
# Name -> what undoes it, on [..., rows, columns]
ORIENTATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed (rows and columns are swapped)": lambda x: x.swapaxes(-1, -2),
    "mirrored left to right": lambda x: x[..., ::-1],
    "mirrored top to bottom": lambda x: x[..., ::-1, :],
    "upside down (rotated by 180 degrees)": lambda x: x[..., ::-1, ::-1],
    "rotated by 90 degrees clockwise": lambda x: np.rot90(x, 1, (-2, -1)),
    "rotated by 90 degrees counterclockwise": lambda x: np.rot90(x, -1, (-2, -1)),
    "rotated and mirrored": lambda x: x[..., ::-1, ::-1].swapaxes(-1, -2),
}
COS_30, SIN_30, SLANT, STRETCH = 0.5 * 3**0.5, 0.5, 0.7, 1.35
# The same for what is never exact: [[row of row, row of column], [column of row, ...]]
DISTORTIONS: dict[str, list[list[float]]] = {
    "slanted to the right": [[1, 0], [-SLANT, 1]],
    "slanted to the left": [[1, 0], [SLANT, 1]],
    "rotated by some 30 degrees clockwise": [[COS_30, SIN_30], [-SIN_30, COS_30]],
    "rotated by some 30 degrees counterclockwise": [[COS_30, -SIN_30], [SIN_30, COS_30]],
    "rotated by some 60 degrees clockwise": [[SIN_30, COS_30], [-COS_30, SIN_30]],
    "rotated by some 60 degrees counterclockwise": [[SIN_30, -COS_30], [COS_30, SIN_30]],
    "stretched in width": [[1 / STRETCH, 0], [0, STRETCH]],
    "stretched in height": [[STRETCH, 0], [0, 1 / STRETCH]],
}
DISTORTED = 0.15  # by which undoing one must correlate better: hands differ in slant and width


def findings(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> tuple[str, ...]:
    """Return what is unfit about two sets of images, uint8 [N, 28, 28], and labels, uint8 [N]."""
    known = set(map(bytes, train[0]))
    shared = float(np.mean([bytes(image) in known for image in test[0]]))
    leak = [f"{shared:.0%} of the test images are training images"] if shared > TOLERATED else []
    found = {name: list(unfit(*split)) for name, split in (("train", train), ("test", test))}
    if found["train"] == found["test"]:
        return (*found["train"], *leak)
    return (*(f"{name}: {phrase}" for name in found for phrase in found[name]), *leak)


def class_means(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the mean image of each class, float64 [10, 28, 28]; NaN of a class without images."""
    means = np.full((CLASSES, SIDE, SIDE), np.nan)
    for label in np.unique(labels):
        means[label] = images[labels == label].mean(0)
    return means


def unfit(images: np.ndarray, labels: np.ndarray) -> Iterator[str]:
    """Yield what is unfit about one set."""
    present = np.unique(labels)
    missing = sorted({*range(CLASSES)} - {*present.tolist()})
    if len(present) == 1:
        yield f"every label is {present[0]}"
    elif missing and len(images) >= MIN_IMAGES:
        yield f"no image is labelled {', '.join(map(str, missing))}"
    blank = float((np.ptp(images.reshape(len(images), -1), axis=1) == 0).mean())
    copies = 1 - len(set(map(bytes, images))) / len(images)
    if blank > TOLERATED:
        yield f"{blank:.0%} of the images are blank"
    elif copies > TOLERATED:
        yield f"{copies:.0%} of the images are copies of others"
    if blank > 0.5:
        return
    some = np.random.default_rng(0).permutation(len(images))[:SAMPLE]
    images, labels = images[some], labels[some]
    yield from _pixels(images)
    if len(images) >= MIN_IMAGES and len(present) > 2:
        yield from _shapes_and_labels(_normalised(images), labels)


def _borders(images: np.ndarray) -> np.ndarray:
    """Return the median of each image's outermost pixels, float64 [N]."""
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    return np.median(np.concatenate(edges, 1), 1)


def _pixels(images: np.ndarray) -> Iterator[str]:
    """Yield what is unfit about the range and the polarity of the pixels."""
    brightest = float(np.median(images.max((1, 2))))
    if brightest < 128:
        yield f"pixels reach {brightest:.0f} only, where a drawing has 0 to 255"
    borders = _borders(images)
    bright = float((borders > images.max() / 2).mean())
    if bright > TOLERATED_BRIGHT:
        which = "the images are" if bright > 0.99 else f"{bright:.0%} of the images are"
        yield f"{which} black on white, where a drawing is white on black"
    elif np.median(borders) > brightest / 8:
        yield f"the background is {np.median(borders):.0f}, where a drawing has 0"


def _normalised(images: np.ndarray) -> np.ndarray:
    """Return the images as float32, background 0 and ink up to 1, whatever their polarity."""
    distance = np.abs(images.astype(np.float32) - _borders(images)[:, None, None])
    return distance / np.maximum(distance.max((1, 2), keepdims=True), 1)


def _shapes_and_labels(images: np.ndarray, labels: np.ndarray) -> Iterator[str]:
    """Yield what is unfit about orientation, place, size and labels; the first three of digits."""
    reference = idx.read(REFERENCE, ndim=3)[0] / 255
    means = class_means(images, labels)
    mnist_center, mnist_radius = _moments(reference.mean(0))
    wrapped = _wrapped(np.nanmean(means, 0))
    means = np.roll(means, -wrapped, (1, 2))
    center, radius = _moments(np.nanmean(means, 0))
    (down, right), zoom = center + wrapped - mnist_center, radius / mnist_radius
    fitted = _fitted(means, center, zoom), _fitted(reference, mnist_center, 1.0)
    match = _match(*fitted, np.unique(labels))
    if match.digits:
        if match.orientation:
            yield f"the images are {match.orientation}"
        if max(abs(down), abs(right)) > MAX_SHIFT_PX:
            place = f"{round(right):+d} pixels right and {round(down):+d} down"
            yield f"the digits lie {place} of the middle"
        if not 1 / MAX_ZOOM < zoom < MAX_ZOOM:
            yield f"the digits have {zoom:.0%} of the size that a drawing gets"

    agreement, chance = _agreement(images, labels)
    neighbours = f"(the most similar image has the same label for {agreement:.0%})"
    if match.digits and match.exchanged:
        yield f"labels are exchanged ({', '.join(match.exchanged[:MAX_NAMED])})"
    elif agreement <= chance < MAX_CHANCE:
        yield f"the labels have nothing to do with the images {neighbours}"
    elif match.digits and len(images) >= MIN_NEIGHBOURS and agreement < MIN_AGREEMENT:
        yield f"many labels look wrong {neighbours}"


@dataclass(frozen=True)
class _Match:
    """How class means resemble MNIST's best: turned how, and with which labels exchanged."""

    digits: bool
    orientation: str
    exchanged: list[str]


def _match(means: np.ndarray, reference: np.ndarray, classes: np.ndarray) -> _Match:
    """Compare the means of `classes`, in every orientation, with the labels as they are or not."""
    from scipy.optimize import linear_sum_assignment

    turned = {"": means} | {name: undo(means) for name, undo in ORIENTATIONS.items()}
    turned |= {name: _transformed(means, matrix) for name, matrix in DISTORTIONS.items()}
    tables = {
        name: _correlations(each[classes], reference[classes]) for name, each in turned.items()
    }
    # 1. The orientation that fits best with the labels as they are; else with any labels
    orders = {name: linear_sum_assignment(-table)[1] for name, table in tables.items()}
    as_labelled = {name: float(table.diagonal().mean()) for name, table in tables.items()}
    exchanged = {n: float(t[np.arange(len(t)), orders[n]].mean()) for n, t in tables.items()}
    name = max(as_labelled, key=lambda name: as_labelled[name] - _handicap(name))
    if as_labelled[name] < ALIKE:
        name = max(exchanged, key=lambda name: exchanged[name] - _handicap(name))
    # 2. The labels, if another order of them fits better
    pairs = zip(classes[orders[name]], classes, strict=True)
    swaps = [f"{digit} is labelled {label}" for digit, label in pairs if digit != label]
    better = exchanged[name] > as_labelled[name] + BETTER
    return _Match(exchanged[name] >= ALIKE, name, swaps if better else [])


def _handicap(name: str) -> float:
    return DISTORTED if name in DISTORTIONS else 0.0


def _transformed(means: np.ndarray, matrix: list[list[float]]) -> np.ndarray:
    """Return `means` transformed about their middle; `matrix` leads from a result to its origin."""
    from scipy.ndimage import affine_transform

    offset = MIDDLE - np.dot(matrix, [MIDDLE, MIDDLE])
    return np.stack([affine_transform(mean, matrix, offset, order=1) for mean in means])


def _fitted(means: np.ndarray, center: np.ndarray, zoom: float) -> np.ndarray:
    """Return `means` with `center` (row, column) in the middle, enlarged by 1 / `zoom`."""
    from scipy.ndimage import affine_transform

    moved = np.zeros_like(means)
    for label, image in enumerate(np.nan_to_num(means)):
        offset = center - zoom * MIDDLE
        affine_transform(image, [zoom, zoom], offset, output=moved[label], order=1)
    return moved


def _wrapped(mean: np.ndarray) -> np.ndarray:
    """Return by how many rows and columns the ink is moved, maybe over an edge: int [2]."""
    turns = np.exp(2j * np.pi * (np.arange(SIDE) - MIDDLE) / SIDE)
    angles = np.angle([mean.sum(1) @ turns, mean.sum(0) @ turns])
    return np.asarray(np.round(angles * SIDE / (2 * np.pi)), int)


def _moments(mean: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the centre of mass (row, column) and the standard deviation of the ink, in pixels."""
    places = np.indices(mean.shape).reshape(2, -1)
    weight = mean.reshape(-1) / max(mean.sum(), 1e-9)
    center = places @ weight
    return center, float(np.sqrt(((places - center[:, None]) ** 2 @ weight).sum()))


def _correlations(means: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the correlation of each of `means` with each of `reference`, both [K, 28, 28].

    What all classes have in common is subtracted first: it says nothing of the labels.
    """
    a, b = (each.reshape(len(each), -1) for each in (means, reference))
    a, b = a - a.mean(0), b - b.mean(0)
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    return np.asarray(a @ b.T / np.maximum(norms, 1e-9))


def _agreement(images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the share whose nearest neighbour has their label, and what chance explains of it."""
    half = len(images) // 2
    known, asked = (part.reshape(len(part), -1) for part in (images[:half], images[half:]))
    nearest = ((known**2).sum(1) - 2 * asked @ known.T).argmin(1)
    right = int((labels[:half][nearest] == labels[half:]).sum())
    largest = int(np.bincount(labels).max() * len(asked) / len(labels))
    return right / len(asked), float(wilson_interval(largest, len(asked))[1])

"""Images that are no digits, to evaluate rejection with; none is used in training."""

import os
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from tqdm import tqdm

from experiments.core.cli import user_path
from experiments.core.errors import DataError
from experiments.core.paths import DRAWINGS
from experiments.data import idx, strokes
from experiments.evaluation.corruptions import SIDE, Bytes
from experiments.training import threads
from models.canvas import Canvas

FASHION = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
MAX_SCRIBBLES = 500  # slower to draw than anything else
PENS = (12, 24)  # pixels, of scribbles and letters on a canvas of 400


def ood_images(count: int, seed: int = 0, *, test: bool = False) -> Mapping[str, Bytes]:
    """Return images by kind; the same for a seed.

    Fashion-MNIST is in $FASHION_MNIST_DIR or in Debian's package, and left out otherwise.

    Args:
        count: images of noise and of Fashion-MNIST, and of scribbles at most; of blank images and
            letters there is a fixed number.
        test: take Fashion-MNIST's test images instead of its training images.
    """
    generator = Generator().manual_seed(seed)
    random = np.random.default_rng(seed)
    scribbles = [strokes.scribble(random) for _ in range(min(count, MAX_SCRIBBLES))]
    shape = (count, SIDE, SIDE)
    images = {
        "blank": blank(generator),
        "uniform noise": (torch.rand(shape, generator=generator) * 255).byte(),
        "Gaussian noise": _bytes(128 + 80 * torch.randn(shape, generator=generator)),
        "scribbles": draw(scribbles, PENS),
        "drawn letters": draw(strokes.load(DRAWINGS / "letters.json"), PENS),
    }
    clothes = fashion(test)
    if clothes is not None:
        images["Fashion-MNIST"] = clothes[:count]
    return images


def blank(generator: Generator) -> Bytes:
    """Return blank and nearly blank images: even, shaded, grainy, with specks or a dot."""
    zero = torch.zeros(1, SIDE, SIDE)
    even = torch.linspace(1, 255, 20).view(-1, 1, 1).expand(-1, SIDE, SIDE)
    slope = torch.linspace(0, 1, SIDE).expand(SIDE, SIDE)
    shaded = torch.stack([slope, slope.T]).repeat(10, 1, 1) * even
    grainy = even / 10 * torch.rand(20, SIDE, SIDE, generator=generator)
    specks = 255.0 * (torch.rand(20, SIDE, SIDE, generator=generator) < 0.005)
    dots = torch.zeros(4, SIDE, SIDE)
    for size, image in enumerate(dots, start=1):
        image[14 : 14 + size, 14 : 14 + size] = 255
    return _bytes(torch.cat([zero, even, shaded, grainy, specks, dots]))


def fashion(test: bool) -> Bytes | None:
    """Return Fashion-MNIST's images, or None where it is not installed or damaged."""
    folder = user_path(os.environ.get("FASHION_MNIST_DIR") or FASHION, "FASHION_MNIST_DIR")
    file = folder / f"{'t10k' if test else 'train'}-images-idx3-ubyte.gz"
    if not file.is_file():
        return None
    try:
        return torch.tensor(idx.read(file, 3)[0])
    except DataError as error:  # a training goes on without it
        tqdm.write(f"Fashion-MNIST is left out: {error}")
        return None


def draw(drawings: Sequence[strokes.Drawing], pens: Sequence[int]) -> Bytes:
    """Return drawings, each with the next of the pens, preprocessed as on the page."""
    canvas = Canvas()

    def image(pair: tuple[strokes.Drawing, int]) -> Tensor:
        image: Tensor = canvas(torch.from_numpy(strokes.render(*pair)))[0]
        return image

    return torch.cat(threads.mapped(image, zip(drawings, cycle(pens), strict=False)))


def _bytes(x: Tensor) -> Bytes:
    return x.clamp(0, 255).byte()

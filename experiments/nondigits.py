"""Pictures that are no digits, to examine a network's refusals by; none is used in training."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor
from tqdm import tqdm

from experiments.data import idx, strokes
from experiments.errors import DataError
from experiments.paths import DRAWINGS
from models.canvas import Canvas

SIDE = 28
FASHION = Path("/usr/share/datasets/fashion-mnist")  # where Debian puts it
SCRIBBLES = 500  # at most, since they take longer to draw than anything else
PENS = (12, 24)  # pixels, of scribbles and letters on a canvas of 400


def nondigits(count: int, seed: int = 0, *, test: bool = False) -> Mapping[str, Tensor]:
    """Return pictures by kind, uint8 [N, 28, 28]; the same for a seed.

    Fashion-MNIST is left out where it is not installed ($FASHION_MNIST_DIR or Debian's package
    dataset-fashion-mnist).

    Args:
        count: pictures of noise and of clothes, and of scribbles at most; blank pages and drawn
            letters are as many as there are.
        test: take Fashion-MNIST's test pictures, else its training pictures.
    """
    noise = Generator().manual_seed(seed)
    shape = (count, SIDE, SIDE)
    kinds = {
        "blank": blank(noise),
        "uniform noise": (torch.rand(shape, generator=noise) * 255).byte(),
        "Gaussian noise": _bytes(128 + 80 * torch.randn(shape, generator=noise)),
        "scribbles": scribbles(min(count, SCRIBBLES), seed),
        "drawn letters": letters(),
    }
    clothes = fashion(test)
    return kinds if clothes is None else kinds | {"Fashion-MNIST": clothes[:count]}


def blank(noise: Generator) -> Tensor:
    """Return blank pages and next to blank ones: even, shaded, grainy, with a dot or specks."""
    none = torch.zeros(1, SIDE, SIDE)
    even = torch.linspace(1, 255, 20).view(-1, 1, 1).expand(-1, SIDE, SIDE)
    slope = torch.linspace(0, 1, SIDE).expand(SIDE, SIDE)
    shaded = torch.stack([slope, slope.T]).repeat(10, 1, 1) * even
    grainy = even / 10 * torch.rand(20, SIDE, SIDE, generator=noise)
    specks = 255.0 * (torch.rand(20, SIDE, SIDE, generator=noise) < 0.005)
    dots = torch.zeros(4, SIDE, SIDE)
    for size, page in enumerate(dots):
        page[14 : 15 + size, 14 : 15 + size] = 255
    return _bytes(torch.cat([none, even, shaded, grainy, specks, dots]))


def scribbles(count: int, seed: int) -> Tensor:
    """Return random scribbles."""
    random = np.random.default_rng(seed)
    return pictures([strokes.scribble(random) for _ in range(count)], PENS)


def letters() -> Tensor:
    """Return drawn letters, none of them a digit's look-alike."""
    drawn = strokes.load(DRAWINGS / "letters.json")
    return pictures([letter.strokes for letter in drawn], PENS)


def fashion(test: bool) -> Tensor | None:
    """Return the pictures of Fashion-MNIST, or None where it is not installed or is damaged."""
    folder = Path(os.environ.get("FASHION_MNIST_DIR") or FASHION)
    file = folder / f"{'t10k' if test else 'train'}-images-idx3-ubyte.gz"
    if not file.is_file():
        return None
    try:
        return torch.tensor(idx.read(file, 3)[0])
    except DataError as error:  # no reason to lose a training
        tqdm.write(f"Fashion-MNIST is left out: {error}")
        return None


def pictures(drawings: list[strokes.Strokes], pens: tuple[int, ...]) -> Tensor:
    """Return what a network sees of drawings, each with the next of the pens: uint8 [N, 28, 28]."""
    canvas = Canvas()
    inked = (strokes.render(d, pens[i % len(pens)]) for i, d in enumerate(drawings))
    return torch.cat([canvas(torch.from_numpy(page))[0] for page in inked])


def _bytes(x: Tensor) -> Tensor:
    return x.clamp(0, 255).byte()

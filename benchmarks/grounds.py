"""Whether a digit on a page of any size, place, polarity and ground keeps its class.

python -m benchmarks.grounds --model model.onnx

Each of MNIST's 10,000 test digits is enlarged to 280 pixels, put onto a page, and read as the page
of this project reads an upload.
"""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click
import numpy as np
from PIL import Image

from benchmarks import record
from experiments import cli
from experiments.data import mnist
from experiments.robustness import in_batches
from serve.digit import ink
from serve.predictor import OnnxPredictor

Random = np.random.Generator
SIDE = 280  # pixels of an enlarged digit
GROUNDS = ["plain", "noise", "shade", "noise and shade"]
WAYS = [Image.Resampling.NEAREST, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC]
AT_ONCE = 100  # digits a process takes


@click.command("benchmarks.grounds")
@click.option("--model", type=Path, default=Path("model.onnx"), show_default=True)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
def command(model: Path, workers: int) -> None:
    """Count the digits that keep their class on each ground."""
    from tqdm import tqdm

    predictor, data = OnnxPredictor(model), mnist.load()
    said = classes(predictor, data.test_images)
    right = said == data.test_labels
    result: dict[str, object] = {"model": predictor.title, "right": int(right.sum())}
    with ProcessPoolExecutor(workers) as pool:
        for ground in GROUNDS:
            starts = range(0, len(right), AT_ONCE)
            pictures = tqdm(pool.map(partial(seen, ground), starts), ground, len(starts))
            kept = (classes(predictor, np.concatenate(list(pictures))) == said)[right]
            result[ground] = {"kept": int(kept.sum()), "share": float(kept.mean())}
            click.echo(f"{ground}: {kept.mean():.2%}")
    record.save("grounds", f"python -m benchmarks.grounds --model {model}", result)


def classes(predictor: OnnxPredictor, images: np.ndarray) -> np.ndarray:
    """Return what the model says of images, uint8 [N, 28, 28]: int [N]."""
    return in_batches(predictor)(images)["probabilities"].argmax(1)


def seen(ground: str, start: int) -> np.ndarray:
    """Return what the network sees of `AT_ONCE` test digits on pages, uint8 [N, 28, 28]."""
    made = []
    for index, digit in enumerate(mnist.load().test_images[start : start + AT_ONCE], start):
        sheet = page(digit, np.random.default_rng([index, GROUNDS.index(ground)]), ground)
        made.append(ink.to_image(ink.from_picture(Image.fromarray(sheet)))[0])
    return np.stack(made)


def page(digit: np.ndarray, random: Random, ground: str = "plain") -> np.ndarray:
    """Return `digit`, uint8 [28, 28], enlarged, on a larger page: uint8 [H, W].

    Place, aspect, enlargement, polarity and contrast (60 to 255 levels) are random; `ground` is
    "plain", "noise", "shade" or "noise and shade".
    """
    way = WAYS[random.integers(3)]
    height, width = random.integers(SIDE, 2 * SIDE, 2)
    top, left = random.integers(0, height - SIDE + 1), random.integers(0, width - SIDE + 1)
    ink = np.zeros((height, width))
    enlarged = Image.fromarray(digit).resize((SIDE, SIDE), way)
    ink[top : top + SIDE, left : left + SIDE] = np.asarray(enlarged) / 255
    return on_ground(ink, random, ground)


def on_ground(ink: np.ndarray, random: Random, ground: str) -> np.ndarray:
    """Return a page of ink, float [H, W] in 0..1, dark on light or the reverse: uint8 [H, W]."""
    contrast = random.uniform(60, 255)
    depth = random.uniform(0, min(100, 255 - contrast)) if "shade" in ground else 0.0
    levels = random.uniform(0, 255 - contrast - depth) + contrast * ink
    if random.random() < 0.5:
        levels = 255 - depth - levels
    shade = depth * shading(ink.shape, random)
    # A photograph's shade scales paper and ink alike; a screen's or a scanner's is added.
    gray = levels + shade if random.random() < 0.5 else (levels + depth) * (1 - shade / 255)
    if "noise" in ground:
        gray = specked(gray + random.normal(0, random.uniform(0, 25), gray.shape), random)
    return gray.clip(0, 255).round().astype(np.uint8)


def shading(shape: tuple[int, ...], random: Random) -> np.ndarray:
    """Return a slope, a quadratic bowl or saddle, a lamp's spot or a vignette: [H, W] in 0..1."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in shape), indexing="ij")
    a, b, c, d, e = random.uniform(-1, 1, 5)
    spot = (x - a) ** 2 + (y - b) ** 2
    shade = [a * x + b * y, a * x + b * y + c * x * x + d * x * y + e * y * y, spot, spot**2]
    chosen = shade[random.integers(4)]
    return (chosen - chosen.min()) / np.ptp(chosen)


def specked(gray: np.ndarray, random: Random) -> np.ndarray:
    """Return `gray`, float [H, W], with up to 1 % of salt and pepper, specks of 1 to 3 pixels."""
    size = random.integers(1, 4)
    coarse = random.random([side // size + 1 for side in gray.shape])
    fine = np.kron(coarse, np.ones((size, size)))[: gray.shape[0], : gray.shape[1]]
    share = random.uniform(0.001, 0.005)
    return np.select([fine < share, fine > 1 - share], [0.0, 255.0], gray)


if __name__ == "__main__":
    cli.main(command)

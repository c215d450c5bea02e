"""Digits, letters and signs of simulated hands, preprocessed as drawings on the page are.

A hand bends a shape of `pen_shapes.py`: it moves the points, leans, stretches, rounds corners or
makes polygons, trembles, and has a pen of some width. MNIST's writers are few of the world's: no
zero of theirs has a slash, and hardly a one has a foot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor
from torch.nn.functional import avg_pool1d, pad
from torch.nn.utils.rnn import pad_sequence

from experiments.data import pen_shapes
from experiments.data.augment import uniform
from models.canvas import Canvas

POINTS = 160  # along the strokes of a shape
ROUND = 13  # of them that are averaged where corners are round
CANVAS_PX, INK_PX = 100, 90  # side of the canvas; longer side of the ink on it
BLOCK = 256  # drawings that are made together
DIGIT_BLOCKS, OUTLIER_BLOCKS = 40, 16  # for training
FIRST_TRAINING_SEED = 1000
CHUNK = 32  # drawings at a time, which fit the processor's cache

Paths = Float[Tensor, "batch points 2"]
Bytes = UInt8[Tensor, "batch 28 28"]


@dataclass(frozen=True)
class Hand:
    """How far hands deviate from a shape, in sides of its box unless a line says otherwise.

    Attributes:
        jitter: largest standard deviation of single points.
        width: median of width over height.
        stretch: standard deviation of the logarithm of width over height.
        slant, turn: standard deviations, in sides across for one down, and in radians.
        warp: limit of tapering and of bending along the axes.
        bend: standard deviation of smooth waves.
        tremor: largest standard deviation of the line.
        pens: narrowest and widest pen, in longer sides of the shape.
        polygons, boxes, soft: fractions of drawings that are polygons, that fill their box, and
            that are blurred, so that their pen keeps its width.
    """

    jitter: float = 0.07
    width: float = 0.72
    stretch: float = 0.25
    slant: float = 0.22
    turn: float = 0.10
    warp: float = 0.35
    bend: float = 0.03
    tremor: float = 0.015
    pens: tuple[float, float] = (0.03, 0.3)
    polygons: float = 0.15
    boxes: float = 0.15
    soft: float = 0.25


HAND = Hand()
CAREFUL = Hand(jitter=0.05, warp=0.25, turn=0.08, polygons=0.08, boxes=0.05)  # of letters and signs


class Shapes:
    """Shapes of a pen as matrices, padded to the same size.

    Attributes:
        places: different points of each, float32 [shapes, places, 2], -0.5 to 0.5.
        lines: places -> points of the line, float32 [shapes, 3, POINTS, places]: a curve, the
            same with round corners, and straight from place to place.
        joined: whether a point of the line is connected to the next, float32 [shapes, POINTS - 1].
    """

    def __init__(self, texts: Sequence[str]) -> None:
        places, lines, joined = zip(*map(_matrices, texts), strict=True)
        most = max(map(len, places))
        self.places = pad_sequence(list(places), batch_first=True)
        self.lines = torch.stack([pad(line, (0, most - line.shape[2])) for line in lines])
        self.joined = torch.stack(joined)


def _matrices(
    text: str,
) -> tuple[Float[Tensor, "places 2"], Float[Tensor, "3 line places"], Float[Tensor, " gaps"]]:
    """Return places, lines and joints of one shape."""
    # 1. Segments: the places before, at its ends, and behind, all within a piece between corners.
    strokes = [stroke.split() for stroke in text.split("|")]
    names = sorted({name for stroke in strokes for name in stroke})
    place = {name: index for index, name in enumerate(names)}
    segments, owners = [], []
    for owner, stroke in enumerate(strokes):
        corners = [i for i in range(1, len(stroke)) if stroke[i] == stroke[i - 1]]
        for start, end in zip([0, *corners], [*corners, len(stroke)], strict=True):
            piece = [place[name] for name in stroke[start:end]]
            piece = [piece[0], *piece, piece[-1]]
            segments += [piece[i : i + 4] for i in range(len(piece) - 3)]
            owners += [owner] * (len(piece) - 3)
    corner = torch.tensor(segments)  # [segments, 4]
    places = torch.tensor([[int(n[:2]), int(n[2:])] for n in names]) / 99 - 0.5
    # 2. The line's points, equally far from each other: each one's segment, and where in it.
    length = (places[corner[:, 2]] - places[corner[:, 1]]).norm(dim=1).clamp(min=0.03)
    ends = length.cumsum(0)
    at = (torch.arange(POINTS) + 0.5) / POINTS * ends[-1]
    segment = torch.searchsorted(ends, at).clamp(max=len(ends) - 1)
    t = 1 - (ends[segment] - at) / length[segment]
    # 3. Weights of the four places: Catmull and Rom's spline, and linear.
    spline = torch.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2], 1
    )
    linear = torch.stack([0 * t, 1 - t, t, 0 * t], 1)
    curve, straight = (
        torch.zeros(POINTS, len(names)).scatter_add(1, corner[segment], weights)
        for weights in (spline / 2, linear)
    )
    # 4. Round corners: means over neighbours in the same stroke.
    stroke_of = torch.tensor(owners)[segment]
    index = torch.arange(POINTS)
    near = (index[:, None] - index).abs() <= ROUND // 2
    near &= stroke_of[:, None] == stroke_of
    rounded = (near / near.sum(1, keepdim=True)) @ curve
    joined = (stroke_of[1:] == stroke_of[:-1]).float()
    return places, torch.stack([curve, rounded, straight]), joined


def draw(shapes: Shapes, which: Int64[Tensor, " batch"], generator: Generator, hand: Hand) -> Bytes:
    """Return a drawing of each of the shapes with the numbers `which`, by a hand of its own."""
    chunks = [_draw(shapes, chunk, generator, hand) for chunk in which.split(CHUNK)]
    return torch.cat(chunks)


def _draw(
    shapes: Shapes, which: Int64[Tensor, " batch"], generator: Generator, hand: Hand
) -> Bytes:
    count = len(which)
    places = shapes.places[which]
    sigma = uniform(count, 0.2, 1, generator) * hand.jitter
    places = places + sigma * torch.randn(places.shape, generator=generator)
    lines = shapes.lines[which] @ places[:, None]  # [N, 3, POINTS, 2]
    polygon = (uniform(count, 0, 1, generator) < hand.polygons).float()
    path = lines[:, 0].lerp(lines[:, 1], uniform(count, 0, 1, generator))
    path = path.lerp(lines[:, 2], polygon)
    return _inked(_bent(path, generator, hand), shapes.joined[which], generator, hand)


def _bent(path: Paths, generator: Generator, hand: Hand) -> Paths:
    """Return the lines of a shape as a hand draws them, in sides of the shape's box."""
    count = len(path)

    def normal(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator)

    # 1. Fill the box, taper it, and move its middle.
    boxed = (uniform(count, 0, 1, generator) < hand.boxes) * uniform(count, 0.3, 1, generator)
    reach = path.norm(dim=2, keepdim=True) / path.abs().amax(2, keepdim=True).clamp(min=1e-3)
    path = path * reach**boxed
    taper, bow = (uniform(count, -hand.warp, hand.warp, generator) for _ in range(2))
    x, y = path.split(1, 2)
    path = torch.cat([x * (1 + taper * y), y + bow * (y**2 - 0.25)], 2)
    # 2. Two smooth waves, and tremor along the line.
    for _ in range(2):
        phase = path @ normal(2, 1) * 4 + normal(1, 1) * 3
        path = path + normal(1, 2) * hand.bend * phase.sin()
    tremor = avg_pool1d(normal(2, POINTS + 4), 5, 1).mT * 5**0.5
    path = path + uniform(count, 0, 1, generator) ** 2 * hand.tremor * tremor
    # 3. Stretch, lean, turn.
    x, y = path.split(1, 2)
    x = x * hand.width * (hand.stretch * normal(1, 1)).exp() - y * hand.slant * normal(1, 1)
    turn = hand.turn * normal(1, 1)
    return torch.cat([x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()], 2)


def _inked(
    path: Paths, joined: Float[Tensor, "batch gaps"], generator: Generator, hand: Hand
) -> Bytes:
    """Return the paths with a round pen, preprocessed."""
    count = len(path)
    # 1. Scale the ink's longer side to INK_PX, and place it.
    low, high = path.amin(1, keepdim=True), path.amax(1, keepdim=True)
    narrow, wide = hand.pens
    pen = narrow * (wide / narrow) ** torch.rand(count, 1, 1, generator=generator)
    scale = INK_PX / ((high - low).amax(2, keepdim=True) * (1 + pen))
    middle = CANVAS_PX / 2 + torch.rand(count, 1, 2, generator=generator) * 4 - 2
    path = (path - (low + high) / 2) * scale + middle
    radius = INK_PX * pen / (1 + pen) / 2
    # 2. The distance to a line is -log of the sum of Gaussians on it, each weighted by the length
    # that it stands for: a product of two matrices instead of a search for the nearest point.
    gap = path.diff(dim=1).norm(dim=2) * joined
    length = (pad(gap, (1, 0)) + pad(gap, (0, 1))) / 2
    spacing = length.mean(1)[:, None, None]
    sigma = torch.maximum(radius / 2, 1.2 * spacing)
    weight = (length[..., None] / (torch.pi**0.5 * sigma)).clamp(min=0.1)
    pixel = torch.arange(CANVAS_PX) + 0.5
    gaps = (path / sigma)[..., None] - (pixel / sigma)[:, :, None]  # [N, POINTS, 2, 100]
    near = gaps.square_().clamp_(max=40).neg_().exp_()  # no subnormal numbers: they are slow
    field = (near[:, :, 1] * weight).mT @ near[:, :, 0]
    distance = sigma * (-field.clamp(1e-30, 1).log()).sqrt()
    blur = 1 + (uniform(count, 0, 1, generator) < hand.soft) * uniform(count, 1, 4, generator)
    ink = ((radius - distance) / blur + 0.5).clamp(0, 1)
    # 3. The page's preprocessing.
    image, _, _ = torch.vmap(Canvas())((ink * 255).round().to(torch.uint8))
    return image[:, 0]


def training_digits(count: int, generator: Generator) -> tuple[Bytes, Int64[Tensor, " batch"]]:
    """Return random digits of the training's hands, and their labels."""
    images, labels = digits(BLOCK, _seed(DIGIT_BLOCKS, generator))
    chosen = torch.randint(BLOCK, (count,), generator=generator)
    return images[chosen], labels[chosen]


def training_outliers(count: int, generator: Generator) -> Bytes:
    """Return random letters and signs of the training's hands."""
    images = outliers(BLOCK, _seed(OUTLIER_BLOCKS, generator))
    return images[torch.randint(BLOCK, (count,), generator=generator)]


def _seed(blocks: int, generator: Generator) -> int:
    """Return the seed of one of the blocks, each of which is drawn at its first use."""
    return FIRST_TRAINING_SEED + int(torch.randint(blocks, (), generator=generator))


@cache
def digits(count: int, seed: int, hand: Hand = HAND) -> tuple[Bytes, Int64[Tensor, " batch"]]:
    """Return drawn digits and their labels; the same for the same seed."""
    return _of_table(pen_shapes.DIGITS, count, seed, hand)


@cache
def outliers(count: int, seed: int, hand: Hand = CAREFUL) -> Bytes:
    """Return drawn letters and signs that look like no digit; the same for the same seed."""
    return _of_table(pen_shapes.LETTERS | pen_shapes.SIGNS, count, seed, hand)[0]


_shapes = cache(Shapes)


def _of_table(
    table: Mapping[str, Sequence[str]], count: int, seed: int, hand: Hand
) -> tuple[Bytes, Int64[Tensor, " batch"]]:
    """Return drawings of a table's shapes, equally many of each key, and the keys' numbers."""
    generator = Generator().manual_seed(seed)
    texts = tuple(text for shapes in table.values() for text in shapes)
    key = torch.tensor([i for i, shapes in enumerate(table.values()) for _ in shapes])
    weights = 1 / key.bincount()[key].float()
    which = torch.multinomial(weights, count, replacement=True, generator=generator)
    return draw(_shapes(texts), which, generator, hand), key[which]

"""Of any picture only the digit reaches the network: papers, desks, margins, colours, formats."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from experiments.core.paths import DRAWINGS
from experiments.data import strokes
from serve.tabs.digit import preprocess
from tests.expect import refused

Random = np.random.Generator
Kind = Callable[[Random, np.ndarray], Image.Image]
SEEDS = range(8)
KINDS: dict[str, Kind] = {}


def kind(draw: Kind) -> Kind:
    KINDS[draw.__name__] = draw
    return draw


def drawn(random: Random) -> np.ndarray:
    """Return a digit's ink, of any pen, size and place: float [H, H] in 0..1."""
    drawings = strokes.load(DRAWINGS / "drawings.json")
    drawing = drawings[random.integers(len(drawings))]
    side, size = int(random.integers(250, 600)), random.uniform(0.5, 0.8)
    lines = [(line - 0.5) * size + 0.5 + random.uniform(-0.06, 0.06, 2) for line in drawing.strokes]
    pen = max(2, side * size * random.uniform(0.03, 0.1))
    placed = strokes.Drawing(drawing.label, drawing.shape, tuple(lines))
    return strokes.render(placed, pen, side) / 255


def gray(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels.clip(0, 255).round().astype(np.uint8))


def paper(random: Random, ink: np.ndarray) -> np.ndarray:
    """Return a photo of paper, shaded and noisy: float [H, W]."""
    y, x = np.mgrid[: ink.shape[0], : ink.shape[1]] / len(ink)
    light, dark, noise = random.uniform((190, 20, 0), (240, 80, 5))
    shade = random.uniform(-20, 20, 2) @ np.stack([x, y]).reshape(2, -1)
    return (
        light + (dark - light) * ink + shade.reshape(ink.shape) + random.normal(0, noise, x.shape)
    )


def lines(random: Random, ink: np.ndarray, upright: bool) -> np.ndarray:
    """Return ruled or squared paper's lines, level or slanting: float [H, H] in 0..1."""
    side = len(ink)
    page, slant = Image.new("L", ink.shape), random.choice([0, random.uniform(-0.06, 0.06)])
    pen, gap = ImageDraw.Draw(page), random.uniform(0.08, 0.2) * side
    for at in np.arange(random.uniform(-gap, 0), 1.1 * side, gap):
        ends = [(0, at), (side, at + slant * side)]
        pen.line(ends, 255, max(1, side // 250))
        if upright:
            pen.line([(side - y, x) for x, y in ends], 255, max(1, side // 250))
    return np.asarray(page) / 255


@kind
def thin_line(random: Random, ink: np.ndarray) -> Image.Image:
    return gray(255 - 255 * (ndimage.minimum_filter(ink, 3) > 0.5))


@kind
def squared_paper(random: Random, ink: np.ndarray) -> Image.Image:
    ruling = random.uniform(0.2, 0.5) * lines(random, ink, upright=True)
    return gray(paper(random, np.maximum(ink, ruling)))


@kind
def ruled_paper(random: Random, ink: np.ndarray) -> Image.Image:  # as dark as the ink
    return gray(255 - 255 * np.maximum(ink, lines(random, ink, upright=False)))


@kind
def dark_edge(random: Random, ink: np.ndarray) -> Image.Image:
    page, quarters = paper(random, ink), int(random.integers(4))
    turned = np.rot90(page, quarters)  # a view
    last = np.flatnonzero(np.rot90(ink, quarters).any(1))[-1]
    turned[random.integers(min(last + 4, len(ink) - 3), len(ink) - 2) :] = random.uniform(10, 100)
    return gray(page)


@kind
def sheet_on_a_desk(random: Random, ink: np.ndarray) -> Image.Image:
    sheet = gray(paper(random, ink)).convert("RGBA").rotate(random.uniform(-12, 12), expand=True)
    desk = Image.new("RGBA", tuple(int(1.2 * side) for side in sheet.size), (90, 60, 40, 255))
    desk.alpha_composite(sheet, (len(ink) // 20, len(ink) // 9))
    return desk.convert("RGB")


@kind
def light_margin(random: Random, ink: np.ndarray) -> Image.Image:
    return gray(np.pad(255 * ink, random.integers(8, 90, (2, 2)), constant_values=255))


@kind
def dark_margin(random: Random, ink: np.ndarray) -> Image.Image:
    return gray(np.pad(255 - 255 * ink, random.integers(8, 90, (2, 2)), constant_values=20))


@kind
def frame(random: Random, ink: np.ndarray) -> Image.Image:
    page = np.pad(255 - 255 * ink, int(random.integers(1, 4)), constant_values=0)
    return gray(np.pad(page, int(random.choice([0, 9])), constant_values=255))


@kind
def line_at_an_edge(random: Random, ink: np.ndarray) -> Image.Image:
    page = 255 - 255 * ink
    np.rot90(page, random.integers(4))[: random.integers(1, 4)] = 0  # a view
    return gray(page)


@kind
def remains_of_a_neighbour(random: Random, ink: np.ndarray) -> Image.Image:
    page = np.pad(ink, ((0, 0), (len(ink) // 8, 0)))
    rows = np.flatnonzero(ink.any(1))
    y, x = np.mgrid[: page.shape[0], : page.shape[1]]
    radius = np.hypot((y - rows.mean()) / np.ptp(rows) * 2, (x + 0.1 * len(ink)) / len(ink) * 5)
    return gray(paper(random, np.maximum(page, np.abs(radius - 0.8) < 0.12)))


@kind
def faint_ink(random: Random, ink: np.ndarray) -> Image.Image:
    return gray(255 - random.uniform(12, 31) * ink)


@kind
def transparent_ground(random: Random, ink: np.ndarray) -> Image.Image:
    shade = np.full(ink.shape, random.choice([0, 200, 255]), np.uint8)
    alpha = (255 * ink).round().astype(np.uint8)
    channels = random.choice([1, 3])
    return Image.fromarray(np.dstack([*[shade] * channels, alpha]))


@kind
def transparent_palette(random: Random, ink: np.ndarray) -> Image.Image:
    picture = Image.fromarray((ink > 0.5).astype(np.uint8)).convert("P")
    picture.putpalette([255, 255, 255] * 2)
    picture.info["transparency"] = 0
    return picture


COLOURS = {  # ink on ground
    "yellow on white": ((255, 240, 0), (255, 255, 255)),
    "blue on black": ((0, 0, 255), (0, 0, 0)),
    "red on green": ((255, 0, 0), (0, 130, 0)),
    "pencil": ((150, 150, 155), (235, 232, 225)),
    "pale yellow on white": ((255, 255, 150), (255, 255, 255)),
}


@kind
def colours(random: Random, ink: np.ndarray) -> Image.Image:
    pen, ground = (np.array(each) for each in list(COLOURS.values())[random.integers(len(COLOURS))])
    rgb = ground + (pen - ground) * ink[..., None] + random.normal(0, 2, (*ink.shape, 3))
    return Image.fromarray(rgb.clip(0, 255).round().astype(np.uint8))


def alike(drawing: np.ndarray, ink: np.ndarray) -> float:
    """Return the correlation of the network's input for a drawing with that for the ink alone."""
    images = [preprocess.to_image(each)[0] for each in (drawing, (255 * ink).astype(np.uint8))]
    blurred = [ndimage.gaussian_filter(image.astype(float), 1) for image in images]
    return float(np.corrcoef(blurred[0].ravel(), blurred[1].ravel())[0, 1])


@pytest.mark.parametrize("name", KINDS)
def test_only_the_digit_reaches_the_network(name: str) -> None:
    similarity = []
    for seed in SEEDS:
        random = np.random.default_rng([seed, len(name)])
        ink = drawn(random)
        drawing = preprocess.from_picture(KINDS[name](random, ink))
        assert drawing.any(), (name, seed)
        similarity.append(alike(drawing, ink))
    assert np.mean(np.array(similarity) > 0.8) >= 0.8, np.round(similarity, 2)


def encoded(ink: np.ndarray) -> Iterator[tuple[str, Image.Image, dict[str, object]]]:
    """Yield a name, a picture and options of its file for each format."""
    page = gray(255 - 255 * ink)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter to the right
    deep = Image.fromarray(np.rot90(np.asarray(page)).astype(np.uint16) * 257)
    yield "deep.png", deep, {"exif": turned}
    yield "photo.jpg", page.rotate(90, expand=True), {"exif": turned}
    yield "photo.mpo", page, {"save_all": True, "append_images": [page.resize((60, 60))]}
    yield "photo.avif", page, {}
    yield "photo.heic", page, {}
    yield "photo.webp", page.convert("RGB"), {"lossless": True}


def test_files_of_phones_and_scanners_are_read(tmp_path: Path) -> None:
    ink = drawn(np.random.default_rng(3))
    pillow_heif.register_heif_opener()
    for name, picture, options in encoded(ink):
        picture.save(tmp_path / name, **options)
        assert alike(preprocess.from_file(tmp_path / name), ink) > 0.9, name


def test_a_photo_with_a_second_picture_may_be_as_large_as_a_jpeg(tmp_path: Path) -> None:
    large = Image.new("L", (6000, 5000), 255)
    ImageDraw.Draw(large).line([(3000, 1000), (3000, 4000)], 0, 300)
    file = tmp_path / "photo.mpo"
    large.save(file, "MPO", save_all=True, append_images=[Image.new("L", (60, 60))])
    assert preprocess.from_file(file).any()


def test_an_unread_format_is_answered_with_those_that_are_read(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("L", (9, 9)).save(file, "PPM")
    (tmp_path / "picture.ppm").write_bytes(file.getvalue())
    with refused("picture-unreadable", expected="PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"):
        preprocess.from_file(tmp_path / "picture.ppm")

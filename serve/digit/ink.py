"""Whatever a person hands in, drawn or uploaded, to white ink on black, and on to 28x28."""

import base64
import io
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps

from experiments.errors import UserError
from serve.digit import paper
from serve.predictor import open_session
from serve.texts import digit as say

LONGEST_DRAWING = 2000  # pixels of the pad's longer side; it has 800
LONGEST_SIDE = 1000  # pixels; a larger upload is reduced first
FIRST_SIDE = 2 * LONGEST_SIDE  # to which it is thinned before anything else, to save memory
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
MOST_PIXELS, MOST_JPEG = 16_000_000, 50_000_000  # unpacked; a JPEG is unpacked smaller
LARGE, PATIENCE = 1_000_000, 5  # pixels; seconds to wait for another large picture
LEAST = 32  # of 255; a page whose strongest ink is weaker is blank
CANVAS = Path(__file__).with_name("canvas.onnx")
_large = threading.Lock()


def from_pad(value: Mapping[str, str] | None) -> np.ndarray:
    """Return the ink of the page's pad: uint8 [H, W], all zero if nothing is on it.

    Args:
        value: `kind`: "pen", whose ink is the picture's alpha, or "file", a picture of anything;
            `data`: the picture's file as a data: address in base64.

    Raises:
        UserError: it holds no picture that can be read.
    """
    if not value:
        return np.zeros((1, 1), np.uint8)
    try:
        raw = base64.b64decode(value["data"].partition(",")[2], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(_no_picture()) from error
    return _opened(io.BytesIO(raw), _alpha if value.get("kind") == "pen" else from_picture)


def _alpha(picture: Image.Image) -> np.ndarray:
    if max(picture.size) > LONGEST_DRAWING:
        raise ValueError
    return np.asarray(picture.convert("RGBA"))[..., 3]


def from_file(path: Path) -> np.ndarray:
    """Return the ink of the image file at `path`, as `from_picture` does.

    Raises:
        UserError: it is no image that can be read, or one of more pixels than is safe to unpack.
    """
    return _opened(path, from_picture)


def _opened(file: Path | IO[bytes], ink: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    try:
        with Image.open(file, formats=FORMATS) as picture:
            pixels = picture.width * picture.height
            if pixels > (MOST_JPEG if picture.format == "JPEG" else MOST_PIXELS):
                raise ValueError("too many pixels")
            picture.draft(None, (LONGEST_SIDE, LONGEST_SIDE))  # a JPEG is unpacked no larger
            with _turn(pixels):
                return ink(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(_no_picture()) from error


def _no_picture() -> str:
    return say.NO_PICTURE.format(jpeg=MOST_JPEG // 1_000_000, most=MOST_PIXELS // 1_000_000)


@contextmanager
def _turn(pixels: int) -> Iterator[None]:
    """Let large pictures be unpacked one after the other: each takes tens of megabytes."""
    if pixels < LARGE:
        yield
    elif _large.acquire(timeout=PATIENCE):
        try:
            yield
        finally:
            _large.release()
    else:
        raise UserError(say.BUSY)


def from_picture(picture: Image.Image) -> np.ndarray:
    """Return the ink of an image, dark on light or light on dark: uint8 [H, W].

    Paper is what the picture's border shows, with its shade; ink is how far a pixel is from it,
    to the side where the strokes are. Noise and specks are no ink, and a page of them is blank.
    """
    ink = paper.without_paper(_gray(picture))
    strongest = ink.max()
    if strongest < LEAST:
        return np.zeros(ink.shape, np.uint8)
    return (ink * (255 / strongest)).round().astype(np.uint8)


def _gray(picture: Image.Image) -> np.ndarray:
    """Return the upright picture, on white and reduced: float32 [H, W], 0 to 255."""
    picture.thumbnail((FIRST_SIDE, FIRST_SIDE), Image.Resampling.NEAREST)
    picture = _eight_bits(picture)
    if picture.mode in ("1", "P", "PA"):  # whose pixels are no shades that could be mixed
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    picture = ImageOps.exif_transpose(picture)
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    if picture.mode == "RGBA":
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return np.asarray(picture.convert("L"), np.float32)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Return `picture` with its range of grey stretched to 0..255, if it holds more than bytes."""
    if picture.mode[0] not in "IF":
        return picture
    deep = np.nan_to_num(np.asarray(picture, np.float32))
    span = max(float(np.ptp(deep)), 1e-9)
    return Image.fromarray(((deep - deep.min()) * (255 / span)).round().astype(np.uint8))


def to_image(ink: np.ndarray) -> np.ndarray:
    """Return the 28x28 picture that MNIST's makers would have made of it: uint8 [1, 28, 28]."""
    return _canvas().run(["image"], {"canvas": np.ascontiguousarray(ink)})[0]


@cache
def _canvas() -> Any:
    return open_session(CANVAS)

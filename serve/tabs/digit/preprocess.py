"""A drawing or any picture of a digit to white ink on black, and on to 28x28 pixels."""

import base64
import io
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import cache
from pathlib import Path
from typing import IO

import numpy as np
from onnxruntime import InferenceSession
from PIL import Image, ImageOps
from scipy import ndimage

from experiments.core.errors import UserError
from serve.backends.onnx_backend import open_session
from serve.tabs.digit import colour, sheet
from serve.tabs.digit.background import remove_background

MAX_DRAWING_PX = 2000  # of the canvas's longer side, which has 800
MAX_SIDE_PX = 1000  # of a picture; a larger one is reduced
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")
MAX_PIXELS = 25_000_000
MAX_JPEG_PIXELS = 50_000_000  # a JPEG is decoded at a reduced size
LARGE_PIXELS = 1_000_000  # larger pictures are decoded one at a time: each takes some 100 MB
MAX_NESTED = 2  # sheets: one on a desk, with a frame
MIN_INK = 0.2  # of a sheet's side: a digit on it is as large
CANVAS = Path(__file__).with_name("canvas.onnx")
_large_picture = threading.Lock()


def from_pad(value: Mapping[str, str] | None) -> np.ndarray:
    """Return the drawing on the page's pad: uint8 [H, W], all zero if the pad is empty.

    Args:
        value: `kind`: "pen", a drawing whose alpha channel is the ink, or "file", any picture;
            `data`: the file as a data: URL in base64.

    Raises:
        UserError: picture-unreadable.
    """
    if not value:
        return np.zeros((1, 1), np.uint8)
    try:
        raw = base64.b64decode(value["data"].partition(",")[2], validate=True)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable("something else") from error
    return _open(io.BytesIO(raw), _alpha if value.get("kind") == "pen" else from_picture)


def from_file(path: Path) -> np.ndarray:
    """Return the drawing in an image file, as `from_picture` does.

    Raises:
        UserError: picture-unreadable.
    """
    return _open(path, from_picture)


def from_picture(picture: Image.Image) -> np.ndarray:
    """Return a picture's drawing, white on black: uint8 [H, W]; all zero if it is blank."""
    ink = _ink(sheet.trim(_to_gray(picture)))
    return (ink * (255 / max(ink.max(), 1))).round().astype(np.uint8)


def _ink(gray: np.ndarray, nested: int = 0) -> np.ndarray:
    """Return the strokes of a picture, or those on the sheet that it shows: float32 [H, W]."""
    for box, is_sheet in sheet.find(gray) if nested < MAX_NESTED else ():
        nearest = ndimage.distance_transform_edt(
            ~is_sheet, return_distances=False, return_indices=True
        )
        ink = _ink(gray[box][tuple(nearest)], nested + 1)
        rows, columns = (np.flatnonzero(ink.any(axis)) for axis in (1, 0))
        if rows.size and max(np.ptp(rows), np.ptp(columns)) >= MIN_INK * min(ink.shape):
            return ink
    return remove_background(gray)


def to_image(drawing: np.ndarray) -> np.ndarray:
    """Return a drawing, uint8 [H, W], normalised as MNIST's digits are: uint8 [1, 28, 28]."""
    return _canvas().run(["image"], {"canvas": np.ascontiguousarray(drawing)})[0]


@cache
def _canvas() -> InferenceSession:
    return open_session(CANVAS)


def _alpha(picture: Image.Image) -> np.ndarray:
    if max(picture.size) > MAX_DRAWING_PX:
        raise _unreadable(f"a drawing of {picture.width} × {picture.height} pixels")
    return np.asarray(picture.convert("RGBA"))[..., 3]


def _open(file: Path | IO[bytes], convert: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    """Return what `convert` makes of an image file, unless it has too many pixels to decode."""
    try:
        _register_heif()
        with Image.open(file, formats=FORMATS) as picture:
            pixels = picture.width * picture.height
            is_jpeg = picture.format in ("JPEG", "MPO")  # an MPO holds several JPEGs
            if pixels > (MAX_JPEG_PIXELS if is_jpeg else MAX_PIXELS):
                raise _unreadable(f"{pixels / 1e6:.0f} megapixels")
            picture.draft(None, (MAX_SIDE_PX, MAX_SIDE_PX))  # the size to decode a JPEG at
            with _large_picture if pixels > LARGE_PIXELS else nullcontext():
                return convert(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable("something else") from error


@cache
def _register_heif() -> None:
    from pillow_heif import register_heif_opener  # a tenth of a second

    register_heif_opener()


def _unreadable(found: str) -> UserError:
    jpeg, other = MAX_JPEG_PIXELS // 1_000_000, MAX_PIXELS // 1_000_000
    return UserError(
        "picture-unreadable",
        "this file",
        expected=f"a JPEG of at most {jpeg} megapixels or a PNG, WebP, GIF, BMP, TIFF, AVIF or "
        f"HEIC of at most {other}",
        found=found,
        fix="Choose another picture.",
    )


def _to_gray(picture: Image.Image) -> np.ndarray:
    """Return the picture upright and reduced, in shades: float32 [H, W], 0 to 255."""
    # 1. Drop pixels first, which saves memory; the better reduction comes after the conversion.
    picture.thumbnail((2 * MAX_SIDE_PX, 2 * MAX_SIDE_PX), Image.Resampling.NEAREST)
    # 2. Turn it as its EXIF data ask, before a conversion drops them.
    picture = ImageOps.exif_transpose(picture)
    # 3. Stretch 16 bits and floats to 0..255; replace a palette by colours, which have a mean.
    if picture.mode[0] in "IF":
        deep = np.nan_to_num(np.asarray(picture, np.float32))
        span = max(float(np.ptp(deep)), 1e-9)
        picture = Image.fromarray(((deep - deep.min()) * (255 / span)).round().astype(np.uint8))
    if picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    return colour.to_gray(picture)

"""Whatever a person hands in, drawn or uploaded, to white ink on black, and on to 28x28."""

import warnings
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from experiments.errors import UserError
from serve import paper
from serve.predictor import open_session

LONGEST_SIDE = 1000  # pixels; a larger upload is reduced first
LEAST = 32  # of 255; a page whose strongest ink is weaker is blank
CANVAS = Path(__file__).with_name("canvas.onnx")


def from_drawing(drawing: dict[str, Any] | None) -> np.ndarray:
    """Return the ink of a Gradio sketch: uint8 [H, W], all zero if nothing is drawn."""
    layers = [layer for layer in (drawing or {}).get("layers") or [] if layer is not None]
    if not layers:
        return np.zeros((1, 1), np.uint8)
    return np.maximum.reduce([np.asarray(layer)[..., 3] for layer in layers])


def from_file(path: Path) -> np.ndarray:
    """Return the ink of the image file at `path`, as `from_picture` does.

    Raises:
        UserError: it is no image that can be read, or one of more pixels than is safe to unpack.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return from_picture(picture)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
        raise UserError(
            f"This file is no picture that can be read ({type(error).__name__}); "
            "try a PNG or JPEG of at most 89 megapixels."
        ) from error


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
    picture = _eight_bits(ImageOps.exif_transpose(picture))
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
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

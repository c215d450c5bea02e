"""A picture of any mode to shades in which ink and ground differ most."""

import numpy as np
from PIL import Image
from scipy import ndimage

from serve.tabs.digit import segmentation

OPAQUE = 200  # of 255
MIN_CONTRAST = 64  # of 255, between the opaque pixels of a picture of its own
MIN_CONTRAST_FRACTION = 0.002  # of the opaque pixels that have it
WORKING_SIDE_PX = 128  # of the longer side at which colours are compared
SHADE = 1 / 8  # of the side: whatever changes as slowly is shade


def to_gray(picture: Image.Image) -> np.ndarray:
    """Return the shades of a picture, float32 [H, W], 0 to 255 apart at most.

    A transparent ground is ink's opposite: if all opaque pixels are alike, they are the ink.
    """
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = np.asarray(picture)[..., 3]
        if alpha.min() < OPAQUE and not _has_contrast(picture, alpha):
            return alpha.astype(np.float32)
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    if picture.mode == "L":
        return np.asarray(picture, np.float32)
    return _along_contrast(picture.convert("RGB"))


def _has_contrast(picture: Image.Image, alpha: np.ndarray) -> bool:
    """Return whether the opaque pixels show ink and ground."""
    gray = np.asarray(picture.convert("L"), np.float32)[alpha > OPAQUE]
    if not gray.size:
        return False
    differs = np.abs(gray - np.median(gray)) > MIN_CONTRAST
    return bool(differs.mean() > MIN_CONTRAST_FRACTION)


def _along_contrast(picture: Image.Image) -> np.ndarray:
    """Return the colours' position on the axis along which strokes differ most from their ground.

    It is the first principal component of the reduced picture without its shade.
    """
    rgb = np.asarray(picture)
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        return rgb[..., 0].astype(np.float32)
    small = picture.reduce(segmentation.reduction(picture.size, WORKING_SIDE_PX))
    colours = np.asarray(small, np.float32)
    size = max(3, round(SHADE * max(small.size)))
    detail = colours - ndimage.uniform_filter(colours, (size, size, 0))
    axis = np.linalg.eigh(np.einsum("yxi,yxj->ij", detail, detail))[1][:, -1]
    axis = axis * np.sign(axis.sum() or 1) / np.abs(axis).sum()
    return rgb.astype(np.float32) @ axis.astype(np.float32)

"""Occlusion maps: how the log-odds of the prediction fall when a patch of ink is erased.

M. D. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", 2014, IV.D.
"""

import numpy as np

from serve.backends.onnx_backend import Predictor

PATCH_PX, STRIDE_PX = 5, 2  # side of the squares, and from one to the next


def importance(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """Return the importance of each pixel's ink for the prediction, in nats.

    It is the fall of the prediction's log-odds, averaged over all patches that cover the pixel.

    Args:
        image: uint8 [1, 28, 28], 0 is background.

    Returns:
        float32 [28, 28]: positive for the prediction, negative against it, 0 where no ink is.
    """
    has_ink = image[0] > 0
    patches = _patches(image.shape[1])
    patches = patches[(patches & has_ink).any((1, 2))]
    # One batch: the image itself, then a copy for each patch, without its ink.
    batch = np.concatenate([image, np.where(patches, 0, image)])  # [1 + N, 28, 28]
    logits = predictor(batch)["logits"].astype(np.float64)
    pred = int(logits[0].argmax())
    log_odds = logits[:, pred] - np.logaddexp.reduce(np.delete(logits, pred, 1), axis=1)
    falls = log_odds[0] - log_odds[1:]
    # The mean fall of the patches that cover each pixel.
    mean = np.tensordot(falls, patches.astype(np.float64), 1) / np.maximum(patches.sum(0), 1)
    return np.where(has_ink, mean, 0).astype(np.float32)


def _patches(side: int) -> np.ndarray:
    """Return a grid of square patches, bool [N, side, side].

    The first ones begin outside, so that pixels at the edges are covered as often as others.
    """
    offsets = np.arange(side) - np.arange(1 - PATCH_PX, side, STRIDE_PX)[:, None]
    spans = (offsets >= 0) & (offsets < PATCH_PX)  # [starts, side]
    return (spans[:, None, :, None] & spans[None, :, None, :]).reshape(-1, side, side)

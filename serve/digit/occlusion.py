"""Which ink mattered: how much less sure the answer is when a patch of the ink is wiped away.

M. D. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", 2014, IV.D.
"""

import numpy as np

from serve.predictor import Predictor

PATCH = 5  # pixels, of the square that is wiped
MOST = 150  # pictures in the batch: all that 20x20 pixels of ink can need


def importance(predictor: Predictor, image: np.ndarray) -> np.ndarray:
    """Return how much each pixel's ink speaks for the present answer, or against it.

    A pixel's value is the fall of the log-odds of the answer, in nats, averaged over all patches
    that cover the pixel. The picture and its wiped copies are one batch.

    Args:
        image: uint8 [1, 28, 28], 0 is paper.

    Returns:
        float32 [28, 28]: positive for the answer, negative against it, 0 where there is no ink.
    """
    patches = _patches(image[0] > 0)
    batch = np.concatenate([image, np.where(patches, 0, image)])  # [1 + N, 28, 28]
    odds = _log_odds(predictor(batch)["logits"].astype(np.float64))
    falls = odds[0] - odds[1:]
    covered = patches.sum(0)  # by how many patches, each pixel
    mean = np.tensordot(falls, patches.astype(np.float64), 1) / np.maximum(covered, 1)
    return np.where(image[0] > 0, mean, 0).astype(np.float32)


def _patches(inked: np.ndarray) -> np.ndarray:
    """Return the patches that hold ink, bool [N, 28, 28], as dense as `MOST` allows."""
    patches = np.zeros((0, *inked.shape), bool)
    for step in range(1, PATCH + 1):
        patches = _lattice(inked.shape, step)
        patches = patches[(patches & inked).any((1, 2))]
        if len(patches) < MOST:
            break
    return patches


def _lattice(shape: tuple[int, ...], step: int) -> np.ndarray:
    """Return the square patches that begin every `step` pixels: bool [N, H, W].

    The first ones begin outside, so that the pixels at the edges are covered as often as others.
    """
    rows, columns = (
        (np.arange(side) - np.arange(1 - PATCH, side, step)[:, None]) for side in shape
    )
    within = [(offset >= 0) & (offset < PATCH) for offset in (rows, columns)]
    return (within[0][:, None, :, None] & within[1][None, :, None, :]).reshape(-1, *shape)


def _log_odds(logits: np.ndarray) -> np.ndarray:
    """Return the log-odds [B], against all other labels, of the label that row 0 is for."""
    answer = int(logits[0].argmax())
    others = np.delete(logits, answer, 1)
    highest = others.max(1)
    return logits[:, answer] - highest - np.log(np.exp(others - highest[:, None]).sum(1))

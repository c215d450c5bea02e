"""Which pixels speak for the predicted digit, and whether a net with random weights says the same.

Sources: M. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", 2014
(occlusion); M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017 (integrated
gradients); J. Adebayo et al., "Sanity Checks for Saliency Maps", 2018 (random weights).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.errors import DataError
from models.cnn import DIGITS, SIDE, DigitCNN

WINDOW, STRIDE = 4, 2  # pixels, of the patch that hides
STEPS = 32  # points on the way from the empty page to the digit
AT_ONCE = 32  # windows hidden in one call
METHODS = ("occlusion", "integrated gradients")


def examples(y: np.ndarray, logits: np.ndarray, mistakes: int = 3, most: int = 6) -> np.ndarray:
    """Return int [<= most]: the surest mistakes, then the first digits read right, one a class.

    Args:
        y: int [N], the true digits.
        logits: float [N, 10].
    """
    predicted = logits.argmax(1)
    doubt = np.exp(logits - logits.max(1, keepdims=True)).sum(1)  # 1 / probability
    wrong = np.flatnonzero(predicted != y)
    wrong = wrong[np.argsort(doubt[wrong], kind="stable")][:mistakes]
    right = np.flatnonzero(predicted == y)
    _, first = np.unique(y[right], return_index=True)
    new = np.sort(first)
    rest = np.setdiff1d(np.arange(len(right)), new)  # the second and later ones of a class
    return np.concatenate([wrong, right[np.concatenate([new, rest])]])[:most]


def attribute(net: DigitCNN, x: np.ndarray, target: np.ndarray) -> dict[str, np.ndarray]:
    """Return, by method, what each pixel adds to a digit's logit: float32 [M, 28, 28].

    Both methods compare with an empty page (paper, 0). Occlusion: by how much the logit falls when
    a window of 4x4 pixels is emptied, a pixel's mean over the windows upon it. Integrated
    gradients rather than a plain gradient, because its parts add up to the difference between the
    logits of the picture and of the empty page, which can be checked.

    Args:
        x: uint8 [M, 28, 28].
        target: int [M], the digit whose logit is explained.

    Raises:
        DataError: if the pictures and the targets do not fit each other.
    """
    from captum.attr import IntegratedGradients, Occlusion

    if not len(x) or x.shape != (len(target), SIDE, SIDE):
        raise DataError(
            f"Expected pictures [M, {SIDE}, {SIDE}] and as many digits, M at least 1; "
            f"got {x.shape} and {len(target)}."
        )
    net.eval()
    device = next(net.parameters()).device
    pixels = torch.tensor(x, device=device).float()
    to = torch.tensor(target, device=device).long()

    def digit_logits(image: Tensor) -> Tensor:
        return net(image)[:, :DIGITS]

    hidden = Occlusion(digit_logits).attribute(
        pixels,
        (WINDOW, WINDOW),
        strides=STRIDE,
        baselines=0,
        target=to,
        perturbations_per_eval=AT_ONCE,
    )
    summed = IntegratedGradients(digit_logits).attribute(
        pixels, 0, target=to, n_steps=STEPS, method="gausslegendre"
    )
    parts = (part.detach().float().cpu().numpy() for part in (hidden, summed))
    return dict(zip(METHODS, parts, strict=True))


def untrained(net: DigitCNN, seed: int) -> DigitCNN:
    """Return a net of the same architecture with fresh weights drawn with `seed`.

    Its batch norm is as at birth, too (mean 0, variance 1): the trained net's statistics are
    learned from the data, and belong to other weights.
    """
    config: dict[str, Any] = dict(net.config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = DigitCNN(**config)
    return fresh.to(next(net.parameters()).device).eval()


def similarity(first: np.ndarray, second: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of the absolute attributions of each picture.

    Over the pixels of ink alone: far from the ink all attributions are 0 by construction, whatever
    the weights, so that over the whole page any two nets seem to agree. (Integrated gradients are
    0 on all paper; occlusion's windows reach a few pixels beyond the ink.)

    Args:
        first, second: float [M, 28, 28].
        where: bool [M, 28, 28], the pixels that count.

    Returns:
        float [M], -1 to 1; 0 where it is not defined, because one of the two is constant.
    """
    from scipy.stats import spearmanr

    found = np.zeros(len(first))
    for index, mask in enumerate(where):
        a, b = abs(first[index][mask]), abs(second[index][mask])
        if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0:
            found[index] = spearmanr(a, b).statistic
    return found

"""Attribution of the predicted digit's logit to pixels, and the sanity check by random weights.

Sources: M. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", 2014
(occlusion); M. Sundararajan et al., "Axiomatic Attribution for Deep Networks", 2017 (integrated
gradients); J. Adebayo et al., "Sanity Checks for Saliency Maps", 2018 (random weights).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from experiments.evaluation.arrays import Array, Images, Labels, Probabilities, Vector
from models.cnn import DIGITS, DigitCNN

WINDOW, STRIDE = 4, 2  # pixels, of the window that is set to background
STEPS = 64  # of the integration path from an empty image to the digit
WINDOWS_PER_CALL = 32

Maps = Float[Array, "N 28 28"]


def examples(y: Labels, probabilities: Probabilities, count: int = 6) -> Int[Array, " chosen"]:
    """Return `count` indices: the three most confident mistakes, then a correct digit a class."""
    pred = probabilities.argmax(1)
    wrong, right = np.flatnonzero(pred != y), np.flatnonzero(pred == y)
    confident = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][: count // 2]
    _, first = np.unique(y[right], return_index=True)
    return np.concatenate([confident, right[np.sort(first)]])[:count]


def attribute(net: DigitCNN, x: Images, target: Labels) -> dict[str, Maps]:
    """Return each pixel's attribution to the logit of the digit `target`, by method.

    The baseline of both methods is an empty image (0). Occlusion: the fall of the logit when a
    window of 4x4 pixels is emptied, averaged over the windows that contain the pixel. Integrated
    gradients rather than plain gradients, because they add up to the difference between the
    logits of the image and of the baseline, which a test can check.

    Args:
        x: at least one image.
    """
    from captum.attr import IntegratedGradients, Occlusion

    net.eval()
    device = next(net.parameters()).device
    pixels = torch.tensor(x, device=device).float()
    common = {"baselines": 0, "target": torch.tensor(target, device=device).long()}

    def digit_logits(image: Tensor) -> Tensor:
        return net(image)[:, :DIGITS]

    occlusion = Occlusion(digit_logits).attribute(
        pixels,
        (WINDOW, WINDOW),
        strides=STRIDE,
        perturbations_per_eval=WINDOWS_PER_CALL,
        **common,
    )
    integrated = IntegratedGradients(digit_logits).attribute(
        pixels, n_steps=STEPS, method="gausslegendre", **common
    )
    maps = {"occlusion": occlusion, "integrated gradients": integrated}
    return {name: part.detach().float().cpu().numpy() for name, part in maps.items()}


def untrained(net: DigitCNN, seed: int) -> DigitCNN:
    """Return a net of the same architecture with initial weights drawn with `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        initial = DigitCNN(**net.config)  # type: ignore[arg-type]  # its own arguments
    return initial.to(next(net.parameters()).device).eval()


def similarity(first: Maps, second: Maps, where: Bool[Array, "N 28 28"]) -> Vector:
    """Return Spearman's rank correlation of the absolute attributions of each image, -1 to 1.

    Over the pixels of ink alone, `where`: far from the ink all attributions are 0 whatever the
    weights, so that over the whole image any two nets seem similar. It is 0 where it is not
    defined, because one of the two is constant.
    """
    from scipy.stats import spearmanr

    result = np.zeros(len(first))
    for index, mask in enumerate(where):
        a, b = abs(first[index][mask]), abs(second[index][mask])
        if len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0:
            result[index] = spearmanr(a, b).statistic
    return result

"""Networks for tests: the default digit network with changes, and weights of gates."""

from typing import Any

import numpy as np

from experiments.tasks.mnist import ARCHITECTURE, MnistHparams
from models.cnn import DigitCNN


def digit_config(**changes: object) -> dict[str, Any]:
    """Return the keyword arguments of the default digit network, but for `changes`."""
    default = MnistHparams()
    return {name: getattr(default, name) for name in ARCHITECTURE} | changes


def digit_net(**changes: object) -> DigitCNN:
    """Return a fresh digit network, the default one but for `changes`."""
    return DigitCNN(**digit_config(**changes))


def random_weights(*nets: int, hidden: int = 3, inputs: int = 2) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"weight1": (hidden, inputs), "bias1": (hidden,), "weight2": (hidden,), "bias2": ()}
    return {name: random.normal(size=(*nets, *shape)) for name, shape in shapes.items()}

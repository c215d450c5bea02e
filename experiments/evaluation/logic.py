"""The circuit beyond accuracy: what is measured of the digit network."""

from dataclasses import replace

from torch import nn

from experiments.evaluation import mnist
from experiments.tasks.task import Split


def calibrate(
    net: nn.Module, fit: Split, judge: Split, canonical: bool = False
) -> dict[str, float]:
    """Calibrate as the digit network, but on MNIST's digits alone: it is trained on no others."""
    return mnist.calibrate(net, fit, judge)


EVALUATION = replace(mnist.EVALUATION, calibrate=calibrate)

"""The circuit beyond accuracy: what is measured of the digit network."""

from experiments.evaluation.mnist import EVALUATION as EVALUATION

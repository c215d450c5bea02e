"""Untrained networks and their graphs, each exported once and read by several tests.

A test that changes a graph changes a copy.
"""

import json
from functools import cache

import numpy as np
import onnx
import torch

from experiments import tasks
from experiments.core.exports import OPSET
from experiments.core.onnx_session import open_session, run_batches
from experiments.data import mnist
from export import graph, preprocessing
from tests.nets import digit_config

LABELS = {"mnist": [str(digit) for digit in range(10)], "gate": ["false", "and", "xor", "true"]}
SHAPES = {
    "mnist": digit_config(
        base_channels=4, num_stages=2, convs_per_stage=2, hidden_dim=16, activation="gelu"
    ),
    "gate": {"inputs": 2, "nets": (4,)},
}
FORMS = {  # the recipes' architectures with fewer channels, and the least
    "default": digit_config(base_channels=4, hidden_dim=16),
    "relu": digit_config(
        base_channels=4,
        num_stages=2,
        convs_per_stage=1,
        pixel_unshuffle=2,
        hidden_dim=12,
        activation="relu",
    ),
    "gelu": digit_config(
        base_channels=3, num_stages=2, pixel_unshuffle=2, hidden_dim=9, activation="gelu"
    ),
    "silu": digit_config(base_channels=2, num_stages=1, hidden_dim=5, activation="silu"),
    "tanh": digit_config(base_channels=2, num_stages=2, hidden_dim=5, activation="tanh"),
}
TABLE = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)


def metadata(task: str) -> dict[str, str]:
    """The text that is stored in a task's graph."""
    return {"task": task, "labels": json.dumps(LABELS[task]), "input": "as it was"}


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """The text that a graph holds."""
    return {each.key: each.value for each in model.metadata_props}


def run(model: onnx.ModelProto, x: np.ndarray) -> dict[str, np.ndarray]:
    """What onnxruntime computes, of a graph that the checker accepts."""
    onnx.checker.check_model(model, full_check=True)
    return run_batches(open_session(model.SerializeToString()), x)


@cache
def images() -> np.ndarray:
    """The first digits of the training set, uint8 [200, 28, 28]."""
    return mnist.load().train_images[:200]


@cache
def digit(form: str) -> tuple[torch.nn.Module, onnx.ModelProto]:
    """An untrained digit network of FORMS with digits' batch statistics, and its graph."""
    torch.manual_seed(0)
    result = tasks.get("mnist").network(**FORMS[form])
    with torch.no_grad():
        result.train()(torch.tensor(images()[:64]))
    result.get_buffer("temperature").fill_(0.5)
    about = {"task": "mnist", "labels": '["0", "1"]', "facts": "{}"}
    example = np.zeros((2, 28, 28), np.uint8)
    return result.eval(), graph.of_task(tasks.get("mnist"), result, example, about)


@cache
def net(task: str) -> torch.nn.Module:
    """A task's network before training; MNIST's with statistics of digits and a temperature."""
    torch.manual_seed(0)
    result = tasks.get(task).network(**SHAPES[task])
    if task == "mnist":
        with torch.no_grad():
            result.train()(torch.tensor(images()))
        result.get_buffer("temperature").fill_(0.5)  # which is in Gelu's definition, too
    return result.eval()


def of(task: str, opset: int = OPSET) -> onnx.ModelProto:
    """The graph of `net(task)`, or of the canvas."""
    return _exported(task, opset)


@cache
def _exported(task: str, opset: int) -> onnx.ModelProto:
    if task == "canvas":
        return preprocessing.export_preprocessing(opset)
    example = images()[:2] if task == "mnist" else TABLE[:2]
    return graph.of_task(tasks.get(task), net(task), example, metadata(task), opset)

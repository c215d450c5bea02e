"""A third task in one file, as anyone would add one: Iris, 4 lengths in cm to one of 3 species.

EXTRA_TASKS=tests.iris mlflow run . -e train -P task=iris
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic.dataclasses import dataclass as checked_dataclass

from experiments.tasks.task import (
    Choice,
    DataOptions,
    Epochs,
    EvalEvery,
    HeldOut,
    Hparams,
    Input,
    LearningRate,
    Range,
    Split,
    Splits,
    Task,
)

if TYPE_CHECKING:
    from torch import Tensor, nn


def load(options: DataOptions) -> Splits:
    """Return 90 train, 30 val, 30 test samples; float32 x [N, 4], int64 y [N]."""
    from sklearn.datasets import load_iris

    data = load_iris()
    x, y = data.data.astype("float32"), data.target.astype("int64")
    fold = np.arange(len(x)) % 5
    train, val, test = fold < 3, fold == 3, fold == 4
    return Splits(
        train=Split(x[train], y[train]),
        val=Split(x[val], y[val]),
        test=HeldOut(x[test], y[test]),
        labels=tuple(map(str, data.target_names)),
        name="Iris",
        source="scikit-learn's load_iris",
        digest="iris-150",
        canonical=True,
    )


def network(inputs: int = 4, hidden: int = 16, classes: int = 3) -> nn.Module:
    from torch import nn

    net = nn.Sequential(nn.Linear(inputs, hidden), nn.Tanh(), nn.Linear(hidden, classes))
    net.config = {"inputs": inputs, "hidden": hidden, "classes": classes}
    return net


def loss(logits: Tensor, y: Tensor, label_smoothing: float) -> Tensor:
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, y, label_smoothing=label_smoothing, reduction="none")


def outputs(net: Any, x: Tensor) -> dict[str, Tensor]:
    logits = net(x)
    return {"logits": logits, "probabilities": logits.softmax(1)}


@checked_dataclass(frozen=True)
class IrisHparams(Hparams):
    """Hyper-parameters of the network of three layers."""

    epochs: Epochs = 60
    batch_size: int = 30
    lr: LearningRate = 0.03
    eval_every: EvalEvery = 20


TASK = Task(
    name="iris",
    input=Input(name="lengths", dtype="float32", meaning="sepal and petal, length and width, cm"),
    hparams=IrisHparams,
    load=load,
    network=network,
    build=lambda splits, hparams: network(),
    recipes={"default": IrisHparams()},
    loss=loss,
    predict=lambda logits: logits.argmax(1),
    is_correct=lambda logits, y: logits.argmax(1) == y,
    outputs=outputs,
    space={"lr": Range(0.01, 0.1, log=True), "optimizer": Choice(("adamw", "sgd"))},
    output_docs={
        "logits": "float32 [batch, 3]",
        "probabilities": "float32 [batch, 3], their softmax",
    },
    limitations="It is trained on 150 flowers of three species.",
    licence="R. A. Fisher's Iris data are free to all.",
    objective="val_loss",
)

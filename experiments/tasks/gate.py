"""Logic gates: n inputs to the outputs of one or all gates, learned by a bank of networks."""

from __future__ import annotations

from hashlib import md5
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from experiments.data import truth_table
from experiments.tasks.task import (
    Choice,
    DataOptions,
    EvalEvery,
    HeldOut,
    Hparams,
    Input,
    LearningRate,
    Range,
    Split,
    Splits,
    Task,
    WeightDecay,
)

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float
    from torch import Tensor

    from models.mlp import GateBank

    Table = Float[Tensor, "batch gates"]
    Logits = Float[Tensor, "batch gates *restarts"]


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class GateHparams(Hparams):
    """Hyper-parameters of a bank of gate networks; an epoch is one pass over the truth table."""

    epochs: float = Field(
        default=200, gt=0, le=1_000_000, description="passes over the training set"
    )
    optimizer: Literal["adamw", "sgd"] = Field(default="adamw", description="update rule")
    batch_size: int = Field(default=1024, ge=2, description="rows of the truth table a step")
    lr: LearningRate = 0.1
    weight_decay: WeightDecay = 0.0
    eval_every: EvalEvery = 10
    num_restarts: int = Field(
        default=64, ge=1, le=65536, description="networks started for each gate"
    )
    hidden_dim: int = Field(default=4, ge=1, le=1024, description="hidden units of each network")
    activation: Literal["tanh", "relu", "sigmoid"] = Field(
        default="tanh", description="activation function of the hidden units"
    )


MIN_EPOCHS = 50  # in which gates of two inputs are learned
RECIPES = {
    "default": GateHparams(),
    "large": GateHparams(epochs=2000, lr=0.015, num_restarts=16, hidden_dim=64, eval_every=50),
    "xlarge": GateHparams(epochs=2000, lr=0.015, num_restarts=8, hidden_dim=256, eval_every=50),
}


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class GateOptions(DataOptions):
    """Which gates."""

    gate: str = Field(
        default="all",
        description="all 16 gates of two inputs, one name (xor, nand, ...), a family with its "
        "number of inputs (parity4, majority3), or a truth table as bits (01101001)",
    )

    @field_validator("gate")
    @classmethod
    def _known(cls, gate: str) -> str:
        truth_table.parse(gate)
        return gate.strip().lower()


def default_recipe(options: GateOptions) -> str:
    """Return the recipe that is sized for tables of this many inputs."""
    rows = max(map(len, truth_table.parse(options.gate).values()))
    if rows <= 2**4:
        return "default"
    return "large" if rows <= 2**8 else "xlarge"


def load(options: GateOptions) -> Splits:
    """Return the truth table as all three splits: float32 x [2^n, n], y [2^n, gates]."""
    tables = truth_table.parse(options.gate)
    y = truth_table.outputs(tables)
    x = truth_table.inputs(len(y).bit_length() - 1)
    table = Split(x, y)
    return Splits(
        train=table,
        val=table,
        test=HeldOut(x, y),
        labels=tuple(tables),
        name=f"truth table of {options.gate if options.gate == 'all' else ', '.join(tables)}",
        source="computed from the definition of each gate",
        digest=md5(repr(tables).encode(), usedforsecurity=False).hexdigest(),
        canonical=options.gate == "all",
        exhaustive=True,
        export_metadata={"truth_tables": tables},
    )


def network(**config: Any) -> GateBank:
    """Return an untrained bank; the keyword arguments are its `config`."""
    from models.mlp import GateBank

    return GateBank(**config)


def build(splits: Splits, hparams: GateHparams) -> GateBank:
    """Return the bank to train: gates x restarts networks."""
    return network(
        inputs=splits.train.x.shape[1],
        nets=(len(splits.labels), hparams.num_restarts),
        hidden_dim=hparams.hidden_dim,
        activation=hparams.activation,
    )


def loss(logits: Logits, y: Table, label_smoothing: float) -> Logits:
    """Return the binary cross-entropy of each output."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    target = y * (1 - label_smoothing) + label_smoothing / 2
    return binary_cross_entropy_with_logits(logits, _like(target, logits), reduction="none")


def predict(logits: Logits) -> Logits:
    """Return 1 where the gate is on, else 0."""
    return (logits > 0).float()


def is_correct(logits: Logits, y: Table) -> Bool[Tensor, "batch gates *restarts"]:
    """Return whether each output has the value of the truth table."""
    return predict(logits) == _like(y, logits)


def _like(y: Table, logits: Logits) -> Logits:
    """Repeat `y` over the restarts, if `logits` have them."""
    return y.reshape(*y.shape, *[1] * (logits.ndim - y.ndim)).expand_as(logits)


def outputs(net: GateBank, x: Float[Tensor, "batch inputs"]) -> dict[str, Tensor]:
    """Return logits, probabilities and the hidden units before their activation."""
    hidden = net.hidden(x)
    logits = net.output(hidden)
    return {"logits": logits, "probabilities": logits.sigmoid(), "hidden": hidden}


def select_model(net: GateBank, val: Split) -> GateBank:
    """Return the bank of each gate's best restart, the one with the least loss."""
    import torch

    with torch.inference_mode():
        best = loss(net(val.x), val.y, 0.0).mean(0).argmin(1)
    return net.select(best)


def floor(splits: Splits) -> float:
    """Return an accuracy that only every row right is above."""
    return 1 - 0.5 / float(splits.val.y.size)


def likely_cause(splits: Splits, hparams: GateHparams) -> str:
    """Return why some row is wrong: too few hidden units, or too short a training."""
    if hparams.hidden_dim == 1:
        tables = zip(splits.labels, splits.val.y.T, strict=True)
        hard = [n for n, y in tables if not truth_table.is_separable(splits.val.x, y)]
        if hard:
            return f"one hidden unit cannot represent {', '.join(hard)}: pass hidden_dim=2 or more"
    if hparams.epochs < MIN_EPOCHS:
        return f"too few epochs ({hparams.epochs:g}): pass epochs=200 or more"
    return (
        f"too few hidden units ({hparams.hidden_dim}), restarts ({hparams.num_restarts}) or epochs "
        f"({hparams.epochs:g}), or an unsuitable lr ({hparams.lr:g})"
    )


def bits(x: np.ndarray) -> str:
    """Return the inputs, float32 [n], as text."""
    return "".join(str(int(bit)) for bit in x)


TASK = Task(
    name="gate",
    input=Input(
        name="x", dtype="float32", meaning="the inputs, 0 is off and 1 is on, first input first"
    ),
    hparams=GateHparams,
    data_options=GateOptions,
    load=load,
    network=network,
    build=build,
    recipes=RECIPES,
    default_recipe=default_recipe,
    loss=loss,
    predict=predict,
    is_correct=is_correct,
    outputs=outputs,
    select_model=select_model,
    floor=floor,
    likely_cause=likely_cause,
    show=bits,
    space={
        "lr": Range(5e-3, 3e-1, log=True),
        "hidden_dim": Range(2, 8),
        "activation": Choice(("tanh", "relu", "sigmoid")),
    },
    objective="val_loss",
    limitations="It is trained on its truth table only: between the corners, where an input is "
    "neither 0 nor 1, its output is an interpolation that no data support.",
    licence="Truth tables are facts, free to all.",
    output_docs={
        "logits": "float32 [batch, gates], above 0 is on",
        "probabilities": "float32 [batch, gates], that the gate is on",
        "hidden": "float32 [batch, gates, units], the hidden units before their activation",
    },
)

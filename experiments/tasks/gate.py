"""Logic gates: n switches to the outputs of one or all gates, learned by a bank of networks."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import md5
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from experiments.data import truth_table
from experiments.tasks.base import (
    Choice,
    DataOptions,
    EvalEvery,
    Examination,
    Exhibit,
    Hparams,
    Input,
    LearningRate,
    Range,
    Split,
    Splits,
    Task,
    Trained,
    WeightDecay,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from models.mlp import GateBank


MOST_WATCHED = 500_000  # weights of a bank that are kept of each moment


@checked_dataclass(frozen=True)
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
    restarts: int = Field(default=64, ge=1, le=65536, description="networks started for each gate")
    hidden: int = Field(default=4, ge=1, le=1024, description="hidden units of each network")
    activation: Literal["tanh", "relu", "sigmoid"] = Field(
        default="tanh", description="activation function of the hidden units"
    )


RECIPES = {
    "default": GateHparams(),
    "wide": GateHparams(epochs=2000, lr=0.015, restarts=16, hidden=64, eval_every=50),
    "widest": GateHparams(epochs=2000, lr=0.015, restarts=8, hidden=256, eval_every=50),
}


@checked_dataclass(frozen=True)
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


def suits(options: GateOptions) -> str:
    """Return the recipe that is sized for tables of this many inputs."""
    rows = max(map(len, truth_table.parse(options.gate).values()))
    return "default" if rows <= 2**4 else "wide" if rows <= 2**8 else "widest"


def load(options: GateOptions) -> Splits:
    """Return the truth table as all three splits: float32 x [2^n, n], y [2^n, gates]."""
    bits = truth_table.parse(options.gate)
    y = truth_table.outputs(bits)
    x = truth_table.inputs(len(y).bit_length() - 1)
    table = Split(x, y)
    return Splits(
        train=table,
        val=table,
        test=table,
        labels=tuple(bits),
        name=f"truth table of {options.gate if options.gate == 'all' else ', '.join(bits)}",
        source="computed from the definition of each gate",
        digest=md5(repr(bits).encode(), usedforsecurity=False).hexdigest(),
        canonical=options.gate == "all",
        exhaustive=True,
        facts={"truth_tables": bits},
    )


def network(**config: Any) -> GateBank:
    from models.mlp import GateBank

    return GateBank(**config)


def build(splits: Splits, hparams: GateHparams) -> GateBank:
    return network(
        inputs=splits.train.x.shape[1],
        nets=(len(splits.labels), hparams.restarts),
        hidden=hparams.hidden,
        activation=hparams.activation,
    )


def loss(logits: Tensor, y: Tensor, label_smoothing: float) -> Tensor:
    from torch.nn.functional import binary_cross_entropy_with_logits

    target = y * (1 - label_smoothing) + label_smoothing / 2
    return binary_cross_entropy_with_logits(logits, _like(target, logits), reduction="none")


def decide(logits: Tensor) -> Tensor:
    return (logits > 0).float()


def correct(logits: Tensor, y: Tensor) -> Tensor:
    return decide(logits) == _like(y, logits)


def _like(y: Tensor, logits: Tensor) -> Tensor:
    """Repeat y [B, gates] over the restarts, if `logits` [B, gates, restarts] has them."""
    return y.reshape(*y.shape, *[1] * (logits.ndim - y.ndim)).expand_as(logits)


def outputs(net: GateBank, x: Tensor) -> dict[str, Tensor]:
    hidden = net.hidden(x)
    logits = net.output(hidden)
    return {"logits": logits, "probabilities": logits.sigmoid(), "hidden": hidden}


def choose(net: GateBank, val: Split) -> GateBank:
    """Return the bank of each gate's best restart: the one with the least loss on its table."""
    import torch

    with torch.inference_mode():
        best = loss(net(val.x), val.y, 0.0).mean(0).argmin(1)
    return net.choose(best)


def augment(x: Tensor, y: Tensor, hparams: GateHparams, noise: Generator) -> tuple[Tensor, Tensor]:
    return x, y


def watch(net: GateBank, val: Split) -> dict[str, Tensor]:
    """Keep the weights of all networks, unless there are too many for that."""
    weights: dict[str, Tensor] = dict(net.named_parameters())
    return weights if sum(w.numel() for w in weights.values()) <= MOST_WATCHED else {}


def exhibits(trained: Trained) -> Iterator[Exhibit]:
    from experiments.exhibits import gates

    return gates.exhibits(trained)


TASK = Task(
    name="gate",
    input=Input(
        name="x", dtype="float32", meaning="the switches, 0 is off and 1 is on, first input first"
    ),
    hparams=GateHparams,
    data_options=GateOptions,
    load=load,
    network=network,
    build=build,
    recipes=RECIPES,
    suits=suits,
    loss=loss,
    decide=decide,
    correct=correct,
    outputs=outputs,
    choose=choose,
    augment=augment,
    watch=watch,
    exhibits=exhibits,
    calibrate=lambda net, val: {},
    examine=lambda *_: Examination(),
    space={
        "lr": Range(5e-3, 3e-1, log=True),
        "hidden": Range(2, 8),
        "activation": Choice(("tanh", "relu", "sigmoid")),
    },
    objective="val_loss",
    mixed_precision=False,
    limits="It knows its truth table and nothing else: what it says between the corners, where an "
    "input is neither 0 nor 1, is how this network happens to fill them in.",
    licence="Truth tables are facts, free to all.",
    meanings={
        "logits": "float32 [batch, gates], above 0 says on",
        "probabilities": "float32 [batch, gates], that the gate is on",
        "hidden": "float32 [batch, gates, units], the hidden units before their activation",
    },
)

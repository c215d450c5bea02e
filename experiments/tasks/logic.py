"""Handwritten digits read by a circuit of learned two-input logic gates, without any arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import Field
from pydantic.dataclasses import dataclass as checked_dataclass

from experiments.tasks import mnist
from experiments.tasks.task import (
    Epochs,
    LabelSmoothing,
    LearningRate,
    Range,
    Split,
    Splits,
    WeightDecay,
)

if TYPE_CHECKING:
    from models.logic import Circuit, SoftCircuit

EVAL_BATCH = 500  # digits at a time
MIN_INK = 0.0005  # of the training digits have ink at a pixel that the circuit may read


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class LogicHparams(mnist.DigitHparams):
    """Hyper-parameters of the circuit."""

    epochs: Epochs = 12
    batch_size: int = Field(default=128, ge=2, description="samples a step")
    lr: LearningRate = 0.15
    weight_decay: WeightDecay = 0.0
    label_smoothing: LabelSmoothing = 0.0
    rotation_deg: float = Field(default=0, ge=0, le=45, description="largest rotation, in degrees")
    scale_jitter: float = Field(default=0, ge=0, le=0.5, description="largest change of size")
    shear: float = Field(default=0, ge=0, le=0.5, description="largest shear, in pixels a row")
    outlier_ratio: float = Field(default=0.03, ge=0, le=1, description="outlier images per digit")
    strong_affine_frac: float = Field(
        default=0, ge=0, le=1, description="fraction of digits with a strong affine transform"
    )
    corruption_prob: float = Field(default=0, ge=0, le=1, description="probability of corruption")
    pen_ratio: float = Field(
        default=0, ge=0, le=4, description="digits of simulated hands per digit"
    )
    plain_frac: float = Field(
        default=0,
        ge=0,
        le=1,
        description="fraction of the steps, the last ones, without strong augmentation",
    )
    num_layers: int = Field(default=2, ge=1, le=16, description="layers of gates")
    hidden_gates: int = Field(
        default=3000, ge=1, le=1_000_000, description="gates of each layer but the last"
    )
    class_votes: int = Field(
        default=636, ge=1, le=100_000, description="gates of the last layer for each class"
    )
    candidates: int = Field(
        default=16, ge=1, le=1024, description="signals from which each wire is chosen"
    )
    candidate_radius: float = Field(
        default=3, ge=0, le=28, description="spread of a gate's candidate pixels, in pixels"
    )
    votes_per_logit: float = Field(
        default=10, gt=0, le=10_000, description="votes that make a logit of 1 in training"
    )
    soft_frac: float = Field(
        default=0.5, ge=0, le=1, description="fraction of the steps with soft gates, then hard"
    )


def network(**config: Any) -> Circuit:
    """Return a circuit without wires; the keyword arguments are its `config`."""
    from models.logic import Circuit

    return Circuit(**config)


def build(splits: Splits, hparams: LogicHparams) -> SoftCircuit:
    """Return the circuit to train, with soft gates."""
    import torch

    from models.logic import CLASSES, SoftCircuit

    batches = max(1, len(splits.train.x) // hparams.batch_size)
    often = (splits.train.x > 0).mean(0) >= MIN_INK
    return SoftCircuit(
        sizes=[hparams.hidden_gates] * (hparams.num_layers - 1) + [CLASSES * hparams.class_votes],
        votes_per_logit=hparams.votes_per_logit,
        candidates=hparams.candidates,
        pixels=torch.tensor(often.ravel()).nonzero()[:, 0],
        radius=hparams.candidate_radius,
        soft_steps=round(hparams.soft_frac * hparams.epochs * batches),
    )


def select_model(net: SoftCircuit, val: Split) -> Circuit:
    """Return the hard circuit."""
    return net.harden()


def monitor(net: SoftCircuit, val: Split) -> dict[str, float]:
    """Return the soft circuit's accuracy, and how often it and the hard one decide differently."""
    import torch

    with torch.inference_mode():
        soft, hard = (
            torch.cat([mnist.predict(net.logits(x, each)) for x in val.x.split(EVAL_BATCH)])
            for each in (False, True)
        )
    return {
        "val_accuracy_soft": float((soft == val.y).double().mean()),
        "val_soft_differs": float((soft != hard).double().mean()),
    }


TASK = replace(
    mnist.TASK,
    name="logic",
    hparams=LogicHparams,
    network=network,
    build=build,
    select_model=select_model,
    monitor=monitor,
    recipes={"default": LogicHparams()},
    space={
        "lr": Range(0.1, 1, log=True),
        "votes_per_logit": Range(4, 20, log=True),
        "soft_frac": Range(0.2, 0.9),
    },
    foreign_hparams={"pen_ratio": 0.0},
    mixed_precision=False,
    limitations="It is a circuit of logic gates: of each pixel it sees only whether it is "
    "brighter than three thresholds. It is trained on MNIST's own digits, moved by up to a "
    "pixel; damage and other hands than MNIST's American writers cost it far more than they cost "
    "a convolutional network.",
    output_docs={
        **mnist.TASK.output_docs,
        "logits": "float32 [batch, 10], votes of the ten digits, scaled and calibrated",
    },
)

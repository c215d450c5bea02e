"""Handwritten digits: 28x28 pixels to one of ten classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from experiments.data import mnist
from experiments.data.split import SPLIT_SEED, VAL_SHARE, stratified
from experiments.errors import DataError
from experiments.tasks.base import (
    Choice,
    DataOptions,
    Epochs,
    Examination,
    Exhibit,
    Hparams,
    Input,
    LabelSmoothing,
    LearningRate,
    Range,
    Split,
    Splits,
    Task,
    Trained,
    UpdateRule,
    WeightDecay,
)

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

FEWEST = 24  # training digits that can be split: two for validation
ARCHITECTURE = ("width", "stages", "depth", "fold", "hidden", "activation")
WARPS = ("rotate", "scale", "shear", "shift")
FAR = {"rotate": 25, "scale": 0.25, "shear": 0.3, "shift": 5}  # what `far` means
LABELS = tuple("0123456789")
DIGITS = len(LABELS)  # and the network's class of this number: no digit


@checked_dataclass(frozen=True)
class MnistHparams(Hparams):
    """Hyper-parameters of the digit network."""

    epochs: Epochs = 5
    optimizer: UpdateRule = "muon"
    lr: LearningRate = 0.1
    weight_decay: WeightDecay = 0.001
    label_smoothing: LabelSmoothing = 0.1
    rotate: float = Field(
        default=10, ge=0, le=45, description="largest random turn of a digit, in degrees"
    )
    scale: float = Field(
        default=0.1, ge=0, le=0.5, description="largest random change of its width and height"
    )
    shear: float = Field(
        default=0.1, ge=0, le=0.5, description="largest random lean, in pixels a row"
    )
    shift: float = Field(default=1, ge=0, le=8, description="largest random shift, in pixels")
    far: float = Field(default=0.1, ge=0, le=1, description="share of digits warped far")
    degrade: float = Field(default=0.3, ge=0, le=1, description="share of digits made worse")
    strangers: float = Field(
        default=0.0625,
        ge=0,
        le=1,
        description="pictures of anything else, for each digit of a batch",
    )
    width: int = Field(default=16, ge=1, le=512, description="channels of the first convolution")
    stages: int = Field(default=3, ge=1, le=3, description="groups of convolutions, each pooled")
    depth: int = Field(
        default=2, ge=1, le=4, description="convolutions in each group but the first, which has one"
    )
    fold: int = Field(
        default=1,
        ge=1,
        le=2,
        description="2 folds the picture to a quarter, with 4 channels; 1 leaves it",
    )
    hidden: int = Field(default=128, ge=1, le=4096, description="units of the hidden linear layer")
    activation: Literal["relu", "gelu", "silu"] = Field(
        default="gelu", description="activation function"
    )


RECIPES = {
    "flash": MnistHparams(
        epochs=0.4,
        lr=0.2,
        rotate=0,
        scale=0,
        shear=0,
        shift=0,
        far=0,
        degrade=0,
        strangers=0,
        width=32,
        stages=2,
        depth=1,
        fold=2,
    ),
    "default": MnistHparams(),
    "best": MnistHparams(epochs=8, width=24, rotate=15, scale=0.15, shear=0.2, shift=2),
}


@checked_dataclass(frozen=True)
class MnistOptions(DataOptions):
    """Where the digits are."""

    data_dir: Path | None = Field(
        default=None,
        description="folder with the four IDX files; default: $MNIST_DIR, else fetched once",
    )

    @field_validator("data_dir")
    @classmethod
    def _from_any_folder(cls, data_dir: Path | None) -> Path | None:
        return data_dir and data_dir.expanduser().resolve()


def load(options: MnistOptions) -> Splits:
    """Return MNIST: 55,000 train, 5,000 val (stratified), 10,000 test; uint8 images [N, 28, 28]."""
    data = mnist.load(options.data_dir)
    labels = data.train_labels.astype(np.int64)
    if len(labels) < FEWEST:
        raise DataError(
            f"{data.source}: expected at least {FEWEST} training digits, found {len(labels)}."
        )
    val = stratified(labels, VAL_SHARE, SPLIT_SEED)
    return Splits(
        train=Split(data.train_images[~val], labels[~val]),
        val=Split(data.train_images[val], labels[val]),
        test=Split(data.test_images, data.test_labels.astype(np.int64)),
        labels=LABELS,
        name="not canonical MNIST" if data.foreign else "MNIST",
        source=data.source,
        digest=data.digest,
        canonical=not data.foreign,
    )


def network(**config: Any) -> nn.Module:
    import torch

    from models.cnn import DigitCNN

    return DigitCNN(**config).to(memory_format=torch.channels_last)


def build(splits: Splits, hparams: MnistHparams) -> nn.Module:
    return network(**{name: getattr(hparams, name) for name in ARCHITECTURE})


def loss(logits: Tensor, y: Tensor, label_smoothing: float) -> Tensor:
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, y, label_smoothing=label_smoothing, reduction="none")


def decide(logits: Tensor) -> Tensor:
    return logits[:, :DIGITS].argmax(1)


def correct(logits: Tensor, y: Tensor) -> Tensor:
    """Of a picture of no digit, only the network's eleventh class is right."""
    return (decide(logits) == y) | ((y == DIGITS) & (logits.argmax(1) == DIGITS))


def outputs(net: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """`score` is the logarithm of the odds that x is a digit at all."""
    every = net(x)
    logits = every[:, :DIGITS]
    score = logits.logsumexp(1) - every[:, DIGITS]
    return {"logits": logits, "probabilities": logits.softmax(1), "score": score}


def augment(x: Tensor, y: Tensor, hparams: MnistHparams, noise: Generator) -> tuple[Tensor, Tensor]:
    """Digits warped, some of them far, some made worse, and strange pictures among them."""
    import torch

    from experiments.augment import warped
    from experiments.degrade import degraded
    from experiments.strangers import strangers

    near = {name: getattr(hparams, name) for name in WARPS}
    far = round(len(x) * hparams.far)
    if count := round(len(x) * hparams.strangers):
        strange, theirs = strangers(count, noise)
        x, y = torch.cat([x, strange.to(x.device)]), torch.cat([y, theirs.to(y.device)])
    if far or any(near.values()):
        parts = ((x[:far], FAR), (x[far:], near))
        x = torch.cat([warped(part, noise, **limits) for part, limits in parts if len(part)])
    return degraded(x, hparams.degrade, noise), y


def choose(net: nn.Module, val: Split) -> nn.Module:
    return net


def watch(net: nn.Module, val: Split) -> dict[str, Tensor]:
    """Return what the net says of a few validation digits, always the same ones."""
    import torch

    from experiments.interpret.digits import watched

    with torch.inference_mode():
        logits = net.eval()(val.x[watched(val.y.cpu().numpy())])
    return {"probabilities": logits[:, :DIGITS].softmax(1)}


def exhibits(trained: Trained) -> Iterator[Exhibit]:
    from experiments.exhibits import digits

    return digits.exhibits(trained)


def calibrate(net: nn.Module, val: Split) -> dict[str, float]:
    """Set the temperature; return it, and the score below which a picture is no digit.

    `refused_digits` is the share of validation digits that this refuses by mistake.
    """
    from experiments import calibration, robustness
    from experiments.metrics import predict

    net.get_buffer("temperature").fill_(1)
    logits = predict(net, val.x)[:, :DIGITS].cpu().numpy()
    temperature = calibration.temperature(logits, val.y.cpu().numpy())
    net.get_buffer("temperature").fill_(temperature)
    scores = robustness.of_net(outputs, net)(val.x.cpu().numpy())["score"]
    threshold = robustness.threshold(scores)
    return {
        "temperature": temperature,
        "score_threshold": threshold,
        calibration.REFUSED: float((scores < threshold).mean()),
    }


def examine(
    net: nn.Module,
    facts: Mapping[str, float],
    splits: Splits,
    logits: np.ndarray,
    champion: Mapping[str, float],
) -> Examination:
    from experiments import robustness

    exam = robustness.Exam.prepare(splits.val.x, splits.val.y)
    card = robustness.examine(robustness.of_net(outputs, net), exam, facts["score_threshold"])
    return robustness.written(card, splits.test.y, logits[:, :DIGITS], facts, champion)


TASK = Task(
    name="mnist",
    input=Input(
        name="image",
        dtype="uint8",
        meaning="digits, 28x28 pixels, 0 is paper and 255 is ink, longer side of the ink 20 "
        "pixels, its centre of mass in the middle",
    ),
    hparams=MnistHparams,
    data_options=MnistOptions,
    load=load,
    network=network,
    build=build,
    recipes=RECIPES,
    suits=lambda _: "default",
    loss=loss,
    decide=decide,
    correct=correct,
    outputs=outputs,
    choose=choose,
    augment=augment,
    watch=watch,
    exhibits=exhibits,
    calibrate=calibrate,
    examine=examine,
    space={
        "lr": Range(0.03, 0.3, log=True),
        "weight_decay": Range(1e-4, 1e-2, log=True),
        "label_smoothing": Range(0.05, 0.2),
        "hidden": Choice((96, 128, 160)),
    },
    objective="val_accuracy",
    mixed_precision=True,
    limits="It reads single digits, upright, white on black, centred as MNIST's makers centred "
    "them (the drawing front end does that), in the hands of the American clerks and pupils who "
    "wrote MNIST. It reads no letters, signs or numbers of several digits; of what is no digit it "
    "refuses most, not all, and under damage unlike that measured above nothing is known.",
    licence="MNIST (Y. LeCun, C. Cortes, C. Burges) is distributed under CC BY-SA 3.0.",
    meanings={
        "logits": "float32 [batch, 10], of the ten digits, calibrated",
        "probabilities": "float32 [batch, 10], softmax of the logits",
        "score": "float32 [batch], logarithm of the odds that it is a digit at all; below "
        "score_threshold of the facts it is better called none",
    },
)

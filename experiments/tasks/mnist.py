"""Handwritten digits: 28x28 pixels to one of ten classes, or no digit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator
from pydantic.dataclasses import dataclass as checked_dataclass

from experiments.core.errors import DataError
from experiments.data import fitness, mnist
from experiments.data.split import CALIBRATION_SHARE, SPLIT_SEED, VAL_SHARE, stratified
from experiments.tasks.task import (
    Choice,
    DataOptions,
    Epochs,
    HeldOut,
    Hparams,
    Input,
    LabelSmoothing,
    LearningRate,
    Range,
    Split,
    Splits,
    Task,
    UpdateRule,
    WeightDecay,
    constant_answer,
)

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int64, Real
    from torch import Generator, Tensor, nn

    Images = Real[Tensor, "batch 28 28"]
    Targets = Int64[Tensor, " batch"]
    Logits = Float[Tensor, "batch 11"]

MIN_TRAIN_DIGITS = 24  # training digits that can be split: two for validation
ARCHITECTURE = (
    "base_channels", "num_stages", "convs_per_stage", "pixel_unshuffle", "hidden_dim", "activation"
)  # fmt: skip
AFFINE = ("rotation_deg", "scale_jitter", "shear", "translate_px")
LABELS = tuple("0123456789")
DIGITS = len(LABELS)  # the network's class of this number is "no digit"


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class DigitHparams(Hparams):
    """Hyper-parameters of the images that any network for digits is trained on."""

    rotation_deg: float = Field(default=10, ge=0, le=45, description="largest rotation, in degrees")
    scale_jitter: float = Field(default=0.1, ge=0, le=0.5, description="largest change of size")
    shear: float = Field(default=0.1, ge=0, le=0.5, description="largest shear, in pixels a row")
    translate_px: float = Field(default=1, ge=0, le=8, description="largest translation, in pixels")
    strong_affine_frac: float = Field(
        default=0.1, ge=0, le=1, description="fraction of digits with a strong affine transform"
    )
    strong_rotation_deg: float = Field(
        default=25, ge=0, le=45, description="largest rotation of these, in degrees"
    )
    strong_scale_jitter: float = Field(
        default=0.25, ge=0, le=0.5, description="largest relative change of their size"
    )
    strong_shear: float = Field(
        default=0.3, ge=0, le=0.5, description="largest shear of these, in pixels a row"
    )
    strong_translate_px: float = Field(
        default=5, ge=0, le=8, description="largest translation of these, in pixels"
    )
    corruption_prob: float = Field(default=0.3, ge=0, le=1, description="probability of corruption")
    pen_ratio: float = Field(
        default=0.15, ge=0, le=4, description="digits of simulated hands per digit"
    )
    outlier_ratio: float = Field(default=0.0625, ge=0, le=1, description="outlier images per digit")
    plain_frac: float = Field(
        default=0.2,
        ge=0,
        le=1,
        description="fraction of the steps, the last ones, without corruptions and strong affine "
        "transforms, and with few drawn digits and outliers",
    )


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class MnistHparams(DigitHparams):
    """Hyper-parameters of the digit network."""

    epochs: Epochs = 4
    optimizer: UpdateRule = "muon"
    lr: LearningRate = 0.1
    weight_decay: WeightDecay = 0.001
    label_smoothing: LabelSmoothing = 0.1
    base_channels: int = Field(default=16, ge=1, le=512, description="channels of the first stage")
    num_stages: int = Field(default=3, ge=1, le=3, description="stages, each followed by pooling")
    convs_per_stage: int = Field(
        default=2, ge=1, le=4, description="convolutions per stage; the first stage has one"
    )
    pixel_unshuffle: int = Field(
        default=1,
        ge=1,
        le=2,
        description="2 rearranges 28x28 pixels into 4 channels of 14x14; 1 leaves them",
    )
    hidden_dim: int = Field(default=128, ge=1, le=4096, description="units of the hidden layer")
    activation: Literal["relu", "gelu", "silu", "tanh"] = Field(
        default="relu", description="activation function"
    )


RECIPES = {
    "fast": MnistHparams(
        epochs=0.4,
        lr=0.2,
        rotation_deg=0,
        scale_jitter=0,
        shear=0,
        translate_px=0,
        strong_affine_frac=0,
        corruption_prob=0,
        pen_ratio=0,
        outlier_ratio=0,
        plain_frac=0,
        base_channels=32,
        num_stages=2,
        convs_per_stage=1,
        pixel_unshuffle=2,
        activation="gelu",
    ),
    "default": MnistHparams(),
    "accurate": MnistHparams(
        epochs=8, base_channels=24, rotation_deg=15, scale_jitter=0.15, shear=0.2, translate_px=2
    ),
}


@checked_dataclass(frozen=True, config={"extra": "forbid"})
class MnistOptions(DataOptions):
    """Where the images are."""

    data_dir: Path | None = Field(
        default=None,
        description="folder with the four IDX files; default: $MNIST_DIR, else downloaded once",
    )

    @field_validator("data_dir")
    @classmethod
    def _from_any_folder(cls, data_dir: Path | None) -> Path | None:
        return data_dir and data_dir.expanduser().resolve()


def load(options: MnistOptions) -> Splits:
    """Return MNIST, uint8 images [N, 28, 28].

    55,000 train, 3,000 val, 2,000 calibration (both stratified), 10,000 test.
    """
    data = mnist.load(options.data_dir)
    labels = data.train_labels.astype(np.int64)
    if len(labels) < MIN_TRAIN_DIGITS:
        expected = f"at least {MIN_TRAIN_DIGITS} training digits"
        fix = "Give a larger data set."
        raise DataError("data-too-few", data.source, expected, len(labels), fix)
    # train | held back; held back = val | calibration
    held_back = stratified(labels, VAL_SHARE, SPLIT_SEED)
    x, y = data.train_images[held_back], labels[held_back]
    calibration = stratified(y, CALIBRATION_SHARE, SPLIT_SEED)
    return Splits(
        train=Split(data.train_images[~held_back], labels[~held_back]),
        val=Split(x[~calibration], y[~calibration]),
        calibration=Split(x[calibration], y[calibration]),
        test=HeldOut(data.test_images, data.test_labels.astype(np.int64)),
        labels=LABELS,
        name="not canonical MNIST" if data.foreign else "MNIST",
        source=data.source,
        digest=data.digest,
        canonical=not data.foreign,
        unfit=_unfit(data) if data.foreign else (),
    )


def _unfit(data: mnist.Mnist) -> tuple[str, ...]:
    """Return what makes the images unlike those that a drawing becomes, or useless."""
    train, test = (data.train_images, data.train_labels), (data.test_images, data.test_labels)
    return fitness.findings(train, test)


def floor(splits: Splits) -> float:
    """Return the accuracy halfway between a constant answer's and all right."""
    return (1 + constant_answer(splits)) / 2


def network(**config: Any) -> nn.Module:
    """Return an untrained network; the keyword arguments are its `config`."""
    import torch

    from models.cnn import DigitCNN

    return DigitCNN(**config).to(memory_format=torch.channels_last)


def build(splits: Splits, hparams: MnistHparams) -> nn.Module:
    """Return the network to train."""
    return network(**{name: getattr(hparams, name) for name in ARCHITECTURE})


def loss(logits: Logits, y: Targets, label_smoothing: float) -> Float[Tensor, " batch"]:
    """Return the cross-entropy of each sample over ten digits and "no digit"."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, y, label_smoothing=label_smoothing, reduction="none")


def predict(logits: Logits) -> Targets:
    """Return the most likely digit; "no digit" does not count."""
    return logits[:, :DIGITS].argmax(1)


def is_correct(logits: Logits, y: Targets) -> Bool[Tensor, " batch"]:
    """Return whether the digit, or for an outlier the class "no digit", is predicted."""
    return (predict(logits) == y) | ((y == DIGITS) & (logits.argmax(1) == DIGITS))


def outputs(net: nn.Module, x: Images) -> dict[str, Tensor]:
    """Return logits and probabilities of the digits, and `score`, the log odds of any digit."""
    every = net(x)
    logits = every[:, :DIGITS]
    score = logits.logsumexp(1) - every[:, DIGITS]
    return {"logits": logits, "probabilities": logits.softmax(1), "score": score}


def augment_at(hparams: DigitHparams, done: float) -> DigitHparams:
    """Return the hyper-parameters of `augment` after the fraction `done` of the steps.

    The last steps, of low learning rates, see digits as they are: that is worth as much as a
    longer training, and costs little of the robustness learned before.
    """
    if done < 1 - hparams.plain_frac:
        return hparams
    pen_ratio, outlier_ratio = hparams.pen_ratio / 3, hparams.outlier_ratio / 2
    return replace(
        hparams,
        corruption_prob=0,
        strong_affine_frac=0,
        pen_ratio=pen_ratio,
        outlier_ratio=outlier_ratio,
    )


def augment(
    x: Images, y: Targets, hparams: DigitHparams, generator: Generator
) -> tuple[Real[Tensor, "more 28 28"], Int64[Tensor, " more"]]:
    """Return the batch with drawn digits, outliers (of label DIGITS), transforms and corruptions.

    Args:
        generator: on the CPU.
    """
    import torch

    from experiments.data.augment import random_affine, random_corruption
    from experiments.data.hands import training_digits
    from experiments.data.outlier_exposure import outliers

    # add drawn digits and outliers
    count = len(x)
    num_strong = round(count * hparams.strong_affine_frac)
    if num_drawn := round(count * hparams.pen_ratio):
        images, labels = training_digits(num_drawn, generator)
        x, y = torch.cat([x, images.to(x.device)]), torch.cat([y, labels.to(y.device)])
    if num_outliers := round(count * hparams.outlier_ratio):
        images = outliers(num_outliers, generator).to(x.device)
        x, y = torch.cat([x, images]), torch.cat([y, y.new_full((num_outliers,), DIGITS)])

    # affine transforms, strong for the first digits
    weak = {name: getattr(hparams, name) for name in AFFINE}
    strong = {name: getattr(hparams, f"strong_{name}") for name in AFFINE}
    if num_strong or any(weak.values()):
        parts = ((x[:num_strong], strong), (x[num_strong:], weak))
        x = torch.cat([random_affine(p, generator, **limits) for p, limits in parts if len(p)])
    return random_corruption(x, hparams.corruption_prob, generator), y


TASK = Task(
    name="mnist",
    input=Input(
        name="image",
        dtype="uint8",
        meaning="digits, 28x28 pixels, 0 is background and 255 is ink, longer side of the ink 20 "
        "pixels, its centre of mass in the middle",
    ),
    hparams=MnistHparams,
    data_options=MnistOptions,
    load=load,
    network=network,
    build=build,
    recipes=RECIPES,
    loss=loss,
    predict=predict,
    is_correct=is_correct,
    outputs=outputs,
    augment=augment,
    augment_at=augment_at,
    floor=floor,
    show=lambda x: x,
    space={
        "lr": Range(0.03, 0.3, log=True),
        "weight_decay": Range(1e-4, 1e-2, log=True),
        "label_smoothing": Range(0.05, 0.2),
        "hidden_dim": Choice((96, 128, 160)),
    },
    foreign_hparams={"pen_ratio": 0.0},  # other labels may mean anything but digits
    objective="val_accuracy",
    mixed_precision=True,
    trial_epochs=0.25,  # docs/experiments.md
    limitations="It reads single digits, upright, white on black, centred as in MNIST (the "
    "preprocessing of drawings does that), in the handwriting of MNIST's American writers and "
    "in shapes that others draw (slashed zeros, crossed sevens, ones with a flag and a foot). It "
    "reads no letters, signs or numbers of several digits; it rejects most images of no digit, not "
    "all. Damage unlike that measured above is untested.",
    licence="MNIST (Y. LeCun, C. Cortes, C. Burges) is distributed under CC BY-SA 3.0.",
    output_docs={
        "logits": "float32 [batch, 10], of the ten digits, calibrated",
        "probabilities": "float32 [batch, 10], softmax of the logits",
        "score": "float32 [batch], log odds of any digit; below score_threshold of the facts it "
        "is rejected as no digit",
    },
)

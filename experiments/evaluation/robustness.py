"""The evaluation of a digit network: corruptions, drawings, out-of-distribution data, calibration.

Everything is measured through a `Predictor`, so that a torch net, its ONNX graph and its int8
graph are evaluated by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from torch import Tensor, nn

from experiments.core.paths import DRAWINGS
from experiments.data import strokes
from experiments.evaluation import calibration, ood_data
from experiments.evaluation.arrays import Array, Images, Labels, Mask, SomeImages, Vector
from experiments.evaluation.calibration import Reliability
from experiments.evaluation.corruptions import CORRUPTIONS, corrupted
from experiments.training import threads
from experiments.training.metrics import EVAL_BATCH

Outputs = Mapping[str, np.ndarray]  # probabilities, float [N, 10], and score, float [N]
Predictor = Callable[[Images], Outputs]

PENS = (6, 10, 16, 24, 32, 40)  # pixels on a canvas of 400
MAX_IMAGES = 2000  # of each kind


@dataclass(frozen=True)
class Misclassified:
    """A misclassified image, and the probability of the predicted class."""

    kind: str
    image: UInt8[Array, "28 28"]
    label: int
    predicted: int
    probability: float


@dataclass(frozen=True)
class OODResult:
    """How the score separates one kind of out-of-distribution images from digits.

    Attributes:
        scores: of these images.
        auroc: how often a digit has a higher score than one of them.
        refused: fraction of them below the threshold.
    """

    scores: Vector
    auroc: float
    refused: float


@dataclass(frozen=True)
class RobustnessReport:
    """The result of an evaluation.

    Attributes:
        corruptions: kind -> accuracy on corrupted digits.
        misclassified: the most confident mistake of each kind.
        accuracy_after: kind -> fraction of the corrupted digits that is not refused.
        pens: diameters in pixels, on a canvas of 400.
        drawings: accuracy on drawings.
        drawings_accepted: fraction of all drawings that is not refused.
        scores: of the digits themselves.
        threshold: of the score.
        ood: kind of out-of-distribution images -> result.
        reliability: on the digits themselves.
    """

    corruptions: Mapping[str, float]
    misclassified: Sequence[Misclassified]
    accuracy_after: Mapping[str, float]
    pens: Sequence[int]
    drawings: Float[Array, "10 pens"]
    drawings_accepted: float
    scores: Vector
    threshold: float
    ood: Mapping[str, OODResult]
    reliability: Reliability

    def numbers(self) -> dict[str, float]:
        """Return the numbers that two networks are compared by, by names GROUP/NAME."""
        numbers = {f"corruption/{kind}": value for kind, value in self.corruptions.items()}
        numbers["corruption/mean"] = float(np.mean(list(self.corruptions.values())))
        numbers["corruption/least"] = min(self.corruptions.values())
        for pen, value in zip(self.pens, self.drawings.mean(0), strict=True):
            numbers[f"drawings/pen_{pen}"] = float(value)
        numbers["drawings/mean"] = float(self.drawings.mean())
        for kind, result in self.ood.items():
            name = kind.lower().replace(" ", "_").replace("-", "_")
            numbers[f"refused/{name}"] = result.refused
            numbers[f"auroc/{name}"] = result.auroc
        numbers["ece/validation"] = self.reliability.error
        return numbers


@dataclass(frozen=True)
class EvalSet:
    """The images that networks are evaluated on.

    Attributes:
        digits, y: digits that training has not seen, and their labels.
        corrupted: kind -> the first of the digits, corrupted.
        drawings, drawings_y: pen in pixels -> drawings of digits, and their labels.
        ood: kind -> images that are no digits.
    """

    digits: Images
    y: Labels
    corrupted: Mapping[str, SomeImages]
    drawings: Mapping[int, SomeImages]
    drawings_y: Integer[Array, " _"]
    ood: Mapping[str, SomeImages]

    @classmethod
    def prepare(
        cls,
        digits: Images,
        y: Labels,
        *,
        each: int = MAX_IMAGES,
        pens: Sequence[int] = PENS,
        test: bool = False,
    ) -> EvalSet:
        """Return the evaluation set with these digits, the same every time.

        Args:
            each: images of each kind at most.
            pens: to draw with.
            test: whether out-of-distribution images come from the test set of their source.
        """
        clean = torch.tensor(digits[:each])
        drawings = strokes.load(DRAWINGS / "drawings.json")
        ood = ood_data.ood_images(each, test=test)
        return cls(
            digits=digits,
            y=y,
            corrupted={kind: corrupted(kind, clean).numpy() for kind in CORRUPTIONS},
            drawings={pen: ood_data.draw(drawings, (pen,)).numpy() for pen in pens},
            drawings_y=np.array([int(drawing.label) for drawing in drawings]),
            ood={kind: images.numpy() for kind, images in ood.items()},
        )


@dataclass(frozen=True)
class Details:
    """The data of the figures.

    Attributes:
        report: on validation digits.
        test: title -> reliability on the test set, before and after temperature scaling.
        champion: the present champion's numbers, for comparison; may be empty.
    """

    report: RobustnessReport
    test: Mapping[str, Reliability]
    champion: Mapping[str, float]

    def champion_corruptions(self) -> dict[str, float]:
        """Return the champion's accuracy by kind of corruption, of those that it has."""
        names = {kind: f"corruption/{kind}" for kind in self.report.corruptions}
        return {kind: self.champion[n] for kind, n in names.items() if n in self.champion}


def evaluate(model: Predictor, eval_set: EvalSet, threshold: float) -> RobustnessReport:
    """Return the robustness of `model`, which refuses what has a score below `threshold`."""
    outputs = model(eval_set.digits)
    scores = outputs["score"]

    accuracy, accepted, misclassified = {}, {}, []
    answers = threads.mapped(model, eval_set.corrupted.values())
    for (kind, images), corrupt in zip(eval_set.corrupted.items(), answers, strict=True):
        y = eval_set.y[: len(images)]
        accuracy[kind] = float(_correct(corrupt, y).mean())
        accepted[kind] = float((corrupt["score"] >= threshold).mean())
        misclassified += _worst_mistake(kind, images, y, corrupt)

    drawn = threads.mapped(model, eval_set.drawings.values())
    correct = np.stack([_correct(each, eval_set.drawings_y) for each in drawn], 1)  # [N, pens]

    ood = {}
    answers = threads.mapped(model, eval_set.ood.values())
    for kind, other in zip(eval_set.ood, (each["score"] for each in answers), strict=True):
        auroc = calibration.auroc(scores, other)
        ood[kind] = OODResult(other, auroc, float((other < threshold).mean()))

    return RobustnessReport(
        corruptions=accuracy,
        misclassified=misclassified,
        accuracy_after=accepted,
        pens=list(eval_set.drawings),
        drawings=np.stack([correct[eval_set.drawings_y == digit].mean(0) for digit in range(10)]),
        drawings_accepted=float(np.mean([each["score"] >= threshold for each in drawn])),
        scores=scores,
        threshold=threshold,
        ood=ood,
        reliability=Reliability.of(outputs["probabilities"], eval_set.y),
    )


def _correct(outputs: Outputs, y: Labels) -> Mask:
    correct: Mask = outputs["probabilities"].argmax(1) == y
    return correct


def _worst_mistake(kind: str, images: Images, y: Labels, outputs: Outputs) -> list[Misclassified]:
    """Return the most confident mistake; empty if there is none."""
    pred = outputs["probabilities"].argmax(1)
    prob = np.where(pred == y, 0, outputs["probabilities"].max(1))
    index = int(prob.argmax())
    if prob[index] == 0:
        return []
    return [Misclassified(kind, images[index], int(y[index]), int(pred[index]), float(prob[index]))]


def predictor(
    outputs: Callable[[nn.Module, Tensor], Mapping[str, Tensor]], net: nn.Module
) -> Predictor:
    """Return a torch net as a predictor, by its task's `outputs`, in batches on its device."""
    device = next(net.parameters()).device

    @torch.inference_mode()
    def predict(x: Array) -> Outputs:
        net.eval()
        batches = torch.tensor(x).split(EVAL_BATCH)
        parts = [outputs(net, batch.to(device)) for batch in batches]
        return {name: torch.cat([part[name] for part in parts]).cpu().numpy() for name in parts[0]}

    return predict

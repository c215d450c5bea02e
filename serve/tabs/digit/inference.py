"""Predict the digit of a drawing, or the digits of several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from experiments.evaluation.calibration import is_refused
from serve.backends.onnx_backend import Predictor
from serve.tabs.digit import preprocess, segmentation
from serve.tabs.digit.segmentation import Segments

MAX_JOINED = 4  # parts of one digit
SMALL_GAP, MAX_GAP = 0.06, 0.25  # in heights, between parts that may be one digit
JOIN_PENALTY = 0.01  # nats for a gap that is not small
PENALTY = 5.0  # nats for a digit that is refused
MIN_ASPECT = 1.15  # width by height of two digits that touch
MIN_PROB = 0.95  # of each of them
MIN_EXTENT = 0.16  # of the canvas's shorter side; anything smaller is a dot, even of a wide pen


@dataclass(frozen=True)
class Prediction:
    """A model's outputs for the digits of one drawing, from left to right.

    Attributes:
        drawings: uint8 [H, W] each, of one digit.
        images: uint8 [N, 28, 28], the network's input.
        outputs: of the graph, by name, float32 [N, ...].
        predictor: the model.
        marks: kinds of the marks that were not read, of `segmentation`.
    """

    drawings: Sequence[np.ndarray]
    images: np.ndarray
    outputs: Mapping[str, np.ndarray]
    predictor: Predictor
    marks: tuple[str, ...] = ()

    @property
    def preds(self) -> list[str]:
        """Return the most probable label of each digit, refused or not."""
        return [self.predictor.labels[index] for index in self.outputs["probabilities"].argmax(1)]

    @property
    def probs(self) -> np.ndarray:
        """Return the probabilities of these labels, float32 [N]."""
        return self.outputs["probabilities"].max(1)

    @property
    def refused(self) -> np.ndarray:
        """Return which are no digit by the model's threshold, bool [N]."""
        return is_refused(self.outputs, self.predictor.facts)

    def take(self, indices: Sequence[int]) -> Prediction:
        """Return the prediction for these digits alone."""
        return replace(
            self,
            drawings=[self.drawings[index] for index in indices],
            images=self.images[indices],
            outputs={name: values[indices] for name, values in self.outputs.items()},
        )

    @property
    def focus(self) -> int:
        """Return the index of the least probable digit, a refused one before all others."""
        return int(np.argmin(self.probs - 2 * self.refused))


def is_too_small(drawing: np.ndarray) -> bool:
    """Return whether the ink of a drawing, uint8 [H, W], is too small to be a digit."""
    rows, columns = np.nonzero(drawing)
    extent = max(np.ptp(rows), np.ptp(columns)) + 1
    return bool(extent < MIN_EXTENT * min(drawing.shape))


def read(predictor: Predictor, drawing: np.ndarray) -> Prediction:
    """Return the prediction for a drawing, uint8 [H, W]; one that is blank is refused."""
    segments = segmentation.split(drawing)
    if segments.count > 1:
        prediction = _join(predictor, segments)
    else:
        prediction = _part(predictor, segments.cut())
    return replace(prediction, marks=segments.marks)


def _predict(predictor: Predictor, drawings: Sequence[np.ndarray]) -> Prediction:
    images = np.concatenate([preprocess.to_image(each) for each in drawings])
    return Prediction(drawings, images, predictor(images), predictor)


def _join(predictor: Predictor, segments: Segments) -> Prediction:
    """Return the prediction for the likeliest digits: parts that are near may be one digit."""
    count = segments.count
    spans = [
        (start, stop)
        for start in range(count)
        for stop in range(start + 1, min(start + MAX_JOINED, count) + 1)
        if max(segments.gaps[start : stop - 1], default=0) <= MAX_GAP
    ]
    prediction = _predict(predictor, [segments.cut(*span) for span in spans])
    scores = dict(zip(spans, _log_likelihood(prediction), strict=True))
    for start, stop in spans:
        wide = sum(gap > SMALL_GAP for gap in segments.gaps[start : stop - 1])
        scores[start, stop] -= JOIN_PENALTY * wide
    # best[n]: the score and the spans of the likeliest digits of the first n parts
    best: list[tuple[float, list[tuple[int, int]]]] = [(0.0, [])]
    for stop in range(1, count + 1):
        ends = [span for span in spans if span[1] == stop]
        best.append(
            max(
                (best[start][0] + scores[start, stop], [*best[start][1], (start, stop)])
                for start, _ in ends
            )
        )
    return prediction.take([spans.index(span) for span in best[-1][1]])


def _log_likelihood(prediction: Prediction) -> list[float]:
    """Return the log of each digit's probability, less a penalty if it is refused."""
    return (np.log(prediction.probs) - PENALTY * prediction.refused).tolist()


def _part(predictor: Predictor, drawing: np.ndarray) -> Prediction:
    """Return the prediction for digits that touch; for one, unless it is wide and refused."""
    whole = _predict(predictor, [drawing])
    if not drawing.any():
        return whole
    ink = segmentation.crop(drawing)
    if ink.shape[1] < MIN_ASPECT * ink.shape[0] or not whole.refused[0]:
        return whole
    for parts in segmentation.cuts(ink):
        prediction = _predict(predictor, parts)
        if not prediction.refused.any() and prediction.probs.min() >= MIN_PROB:
            return prediction
    return whole


def warm_up(predictor: Predictor) -> None:
    """Predict two strokes, which loads all that the first prediction needs."""
    drawing = np.zeros((40, 40), np.uint8)
    drawing[5:35, [10, 30]] = 255
    read(predictor, drawing)

"""Save corrected predictions on this machine's disk."""

from pathlib import Path

import numpy as np

from experiments.core import files
from experiments.data import feedback
from experiments.evaluation.calibration import NO_DIGIT
from serve.strings import digit as texts
from serve.tabs.digit.inference import Prediction


def save(folder: Path, drawing: np.ndarray, prediction: Prediction, label: str) -> str:
    """Save the correct label of a drawing; return a message.

    Args:
        drawing: uint8 [H, W], of one digit.
        label: a digit or NO_DIGIT.

    Raises:
        UserError: it cannot be saved.
    """
    predictor = prediction.predictor
    pred = NO_DIGIT if prediction.refused[0] else prediction.preds[0]
    score = prediction.outputs.get("score")
    feedback.save(
        drawing,
        predicted=feedback.NONE if pred == NO_DIGIT else pred,
        label=feedback.NONE if label == NO_DIGIT else label,
        probability=float(prediction.probs[0]),
        score=None if score is None else float(score[0]),
        model=predictor.title,
        graph=files.sha256_bytes(predictor.graph) if predictor.graph else "",
        folder=folder,
    )
    count = sum(1 for _ in folder.glob("*.png"))
    return texts.SAVED.format(pred=pred, label=label, count=count)

"""What the page shows of a network in training: losses, decisions, filters, confusion."""

from __future__ import annotations

import base64
import math
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from experiments.tasks.mnist import DIGITS
from experiments.tasks.task import Split
from experiments.training.device import autocast
from experiments.training.metrics import mean_loss_and_accuracy, predict
from serve.tabs.learn.worker import fits
from serve.tabs.learn.worker.fits import Fit

SAMPLE = 500  # digits of validation, and of training, in each frame
SHOWN = 25  # validation digits that are shown
HARD = 2  # of each class, among them: those least like the class's mean
HARD_QUANTILE = 0.98
SHOWN_SEED = 0
Message = dict[str, object]


def text(values: np.ndarray) -> str:
    """Return uint8 values in base64."""
    return base64.b64encode(np.asarray(values, np.uint8).tobytes()).decode()


@cache
def shown() -> np.ndarray:
    """Return which validation digits are shown, in the order of their labels: int [25].

    Two of each class are unusual: of the pixels' distance to the class's mean, only a fiftieth of
    the class has a larger one. The others are drawn at random.
    """
    split = fits.splits().val
    random = np.random.default_rng(SHOWN_SEED)
    rows: list[int] = []
    for label in range(DIGITS):
        members = np.flatnonzero(split.y == label)
        x = split.x[members].reshape(len(members), -1).astype(np.float32)
        ranked = members[np.argsort(np.linalg.norm(x - x.mean(0), axis=1))]
        start = int(HARD_QUANTILE * len(ranked)) - HARD
        rows += ranked[max(start, 0) :][:HARD].tolist()
    others = [row for row in random.permutation(len(split.y)).tolist() if row not in rows]
    rows = [*rows, *others[: SHOWN - len(rows)]]
    return np.array(sorted(rows, key=lambda row: (split.y[row], row)))


def confusion(y: np.ndarray, pred: np.ndarray) -> list[int]:
    """Return the counts of (label, prediction), row by row: 100 numbers."""
    return np.bincount(y * DIGITS + pred, minlength=DIGITS**2).tolist()


def filters(net: nn.Module) -> UInt8[np.ndarray, "filters side side"]:
    """Return the first layer's kernels as it sees the image; 128 is 0, 255 the largest weight.

    Unfolded, a 3x3 kernel on r^2 channels is one of 3r x 3r pixels.
    """
    weight = next(net.parameters()).detach().float().cpu()  # [filters, r^2, 3, 3]
    kernels = nn.functional.pixel_shuffle(weight, math.isqrt(weight.shape[1]))[:, 0]
    scaled = 128 + 127 * kernels / kernels.abs().max().clamp(min=1e-6)
    return scaled.round().to(torch.uint8).numpy()


class Observer:
    """Measures one net in training.

    Args:
        fit: the training.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        val, train = fits.on_device()["val"], fit.trainer.train
        generator = torch.Generator().manual_seed(SHOWN_SEED)
        rows = torch.randperm(len(val.y), generator=generator)[:SAMPLE].to(val.y.device)
        self.val = Split(val.x[rows], val.y[rows])
        rows = torch.randperm(len(train.y), generator=generator)[:SAMPLE].to(val.y.device)
        self.train = Split(train.x[rows], train.y[rows])
        self.shown = val.x[torch.as_tensor(shown(), device=val.x.device)]

    @property
    def device(self) -> torch.device:
        """The net's device."""
        return self.fit.trainer.device

    def _predict(self, x: Tensor) -> Float[Tensor, "batch classes"]:
        with autocast(self.device, self.fit.trainer.precision):
            return predict(self.fit.net, x)

    def _numbers(self, logits: Tensor, y: Tensor) -> list[float | None]:
        """Return loss and accuracy; None for what is not finite, which JSON cannot state."""
        numbers = mean_loss_and_accuracy(fits.task(), logits, y)
        return [round(each, 5) if math.isfinite(each) else None for each in numbers]

    def frame(self, drawing: np.ndarray | None) -> tuple[list[float | None], Message]:
        """Return [step, training loss and accuracy, validation loss and accuracy], and the rest.

        Args:
            drawing: uint8 [1, 28, 28], which the net reads, too.
        """
        parts = [self.val.x, self.train.x, self.shown]
        if drawing is not None:
            parts.append(torch.as_tensor(drawing, device=self.device))
        logits = self._predict(torch.cat(parts)).split([len(part) for part in parts])
        point = [
            float(self.fit.done),
            *self._numbers(logits[1], self.train.y),
            *self._numbers(logits[0], self.val.y),
        ]
        look = {**self._look(logits[2]), "confusion": self._confusion(logits[0], self.val.y)}
        if drawing is not None:
            look["drawing"] = _probabilities(logits[3])[0].round(4).tolist()
        return point, look

    def _look(self, logits: Tensor) -> Message:
        probs = _probabilities(logits)
        kernels = filters(self.fit.net)
        return {
            "preds": probs.argmax(1).tolist(),
            "probs": text((255 * probs.max(1)).round()),
            "filters": text(kernels),
            "side": kernels.shape[1],
        }

    def _confusion(self, logits: Tensor, y: Tensor) -> list[int]:
        pred = fits.task().predict(logits)
        return confusion(y.cpu().numpy(), pred.cpu().numpy())

    def final(self) -> Message:
        """Return accuracy, loss and confusion matrix on all validation digits."""
        val = fits.on_device()["val"]
        logits = self._predict(val.x)
        loss, accuracy = self._numbers(logits, val.y)
        matrix = self._confusion(logits, val.y)
        return {"loss": loss, "accuracy": accuracy, "confusion": matrix, "count": len(val.y)}


def _probabilities(logits: Tensor) -> np.ndarray:
    """Return the probabilities of the ten digits: float32 [B, 10]; of NaN, all the same."""
    probs = logits[:, :DIGITS].softmax(1).nan_to_num(1 / DIGITS)
    return probs.cpu().numpy()

"""A digit network's examination: corruptions, drawings, what is no digit, honest probabilities.

Everything is measured through a `Reader`, so that a torch net, its ONNX graph and its int8 graph
are examined by the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor

from experiments import calibration, nondigits
from experiments.calibration import Reliability
from experiments.corruptions import CORRUPTIONS, corrupted
from experiments.data import strokes
from experiments.metrics import EVAL_BATCH
from experiments.paths import DRAWINGS
from experiments.tasks.base import Examination, Exhibit

Reader = Callable[[np.ndarray], Mapping[str, np.ndarray]]  # uint8 [N, 28, 28] -> outputs by name
PENS = (6, 10, 16, 24, 32, 40)  # pixels on a canvas of 400
REFUSED = 0.01  # share of real digits that the threshold of `score` gives up
EACH = 2000  # pictures of each kind in a card


@dataclass(frozen=True)
class Tile:
    """A picture that was misread, uint8 [28, 28]; `share` is the probability of what was said."""

    kind: str
    image: np.ndarray
    truth: int
    said: int
    share: float


@dataclass(frozen=True)
class Refusal:
    """How the score tells one kind of picture that is no digit from digits.

    Attributes:
        scores: float [N], of these pictures.
        auroc: how often a digit has a higher score than one of them.
        refused: share of them below the threshold.
    """

    scores: np.ndarray
    auroc: float
    refused: float

    @classmethod
    def of(cls, digits: np.ndarray, theirs: np.ndarray, threshold: float) -> Refusal:
        """Compare `theirs` with the scores of digits, float [N]."""
        return cls(theirs, calibration.auroc(digits, theirs), float((theirs < threshold).mean()))


@dataclass(frozen=True)
class Card:
    """What an examination found.

    Attributes:
        corruptions: kind -> share of the digits read right.
        tiles: the surest mistake of each kind.
        kept: kind -> share of the corrupted digits that are not refused.
        pens: diameters in pixels, on a canvas of 400.
        drawings: share right, float [10, pens].
        drawings_kept: share of all drawings that are not refused.
        scores: float [N], of the digits themselves.
        threshold: of the score.
        refusals: kind of picture -> Refusal.
        reliability: of the digits themselves.
    """

    corruptions: Mapping[str, float]
    tiles: Sequence[Tile]
    kept: Mapping[str, float]
    pens: Sequence[int]
    drawings: np.ndarray
    drawings_kept: float
    scores: np.ndarray
    threshold: float
    refusals: Mapping[str, Refusal]
    reliability: Reliability

    def numbers(self) -> dict[str, float]:
        """Return what two cards are compared by, by names GROUP/WHAT."""
        bad = {f"corruption/{kind}": share for kind, share in self.corruptions.items()}
        means = self.drawings.mean(0).tolist()
        drawn = {f"drawings/pen_{p}": share for p, share in zip(self.pens, means, strict=True)}
        refused = {f"refused/{_plain(k)}": r.refused for k, r in self.refusals.items()}
        known = {f"auroc/{_plain(k)}": r.auroc for k, r in self.refusals.items()}
        shares = list(self.corruptions.values())
        bad |= {"corruption/mean": float(np.mean(shares)), "corruption/least": min(shares)}
        drawn["drawings/mean"] = float(self.drawings.mean())
        return {**bad, **drawn, **refused, **known, "ece/validation": self.reliability.error}


@dataclass(frozen=True)
class Exam:
    """The pictures that a network is examined by; all uint8 [N, 28, 28].

    Attributes:
        digits, y: digits that training has not seen, and what they are, int [N].
        corrupted: kind -> the first of the digits, corrupted.
        drawings, drawn: pen in pixels -> drawings of digits, and what they are.
        others: kind -> pictures that are no digits.
    """

    digits: np.ndarray
    y: np.ndarray
    corrupted: Mapping[str, np.ndarray]
    drawings: Mapping[int, np.ndarray]
    drawn: np.ndarray
    others: Mapping[str, np.ndarray]

    @classmethod
    def prepare(
        cls,
        digits: np.ndarray,
        y: np.ndarray,
        *,
        each: int = EACH,
        pens: Sequence[int] = PENS,
        test: bool = False,
    ) -> Exam:
        """Return the examination with these digits, the same every time.

        Args:
            each: pictures of each kind at most.
            pens: to draw with.
            test: whether what is no digit comes from the test set of where it is from.
        """
        clean = torch.tensor(digits[:each])
        drawings = strokes.load(DRAWINGS / "drawings.json")
        shapes = [drawing.strokes for drawing in drawings]
        others = nondigits.nondigits(each, test=test)
        return cls(
            digits=digits,
            y=y,
            corrupted={kind: corrupted(kind, clean).numpy() for kind in CORRUPTIONS},
            drawings={pen: nondigits.pictures(shapes, (pen,)).numpy() for pen in pens},
            drawn=np.array([int(drawing.label) for drawing in drawings]),
            others={kind: pictures.numpy() for kind, pictures in others.items()},
        )


def examine(read: Reader, exam: Exam, threshold: float) -> Card:
    """Return the card of what `read` reads; a score below `threshold` is a refusal."""
    outputs = read(exam.digits)
    scores = outputs["score"]
    right, kept, tiles = {}, {}, []
    for kind, pictures in exam.corrupted.items():
        bad = read(pictures)
        y = exam.y[: len(pictures)]
        right[kind] = float((_said(bad) == y).mean())
        kept[kind] = float((bad["score"] >= threshold).mean())
        tiles += _surest_mistake(kind, pictures, y, bad)
    drawn = {pen: read(pictures) for pen, pictures in exam.drawings.items()}
    others = {kind: read(pictures)["score"] for kind, pictures in exam.others.items()}
    return Card(
        corruptions=right,
        tiles=tiles,
        kept=kept,
        pens=list(drawn),
        drawings=_by_digit(exam.drawn, [_said(told) for told in drawn.values()]),
        drawings_kept=float(np.mean([told["score"] >= threshold for told in drawn.values()])),
        scores=scores,
        threshold=threshold,
        refusals={kind: Refusal.of(scores, theirs, threshold) for kind, theirs in others.items()},
        reliability=Reliability.of(outputs["probabilities"], exam.y),
    )


def threshold(scores: np.ndarray) -> float:
    """Return the score below which `REFUSED` of these digits' scores, float [N], are."""
    return float(np.quantile(scores, REFUSED))


def _said(outputs: Mapping[str, np.ndarray]) -> np.ndarray:
    return outputs["probabilities"].argmax(1)


def _surest_mistake(
    kind: str, pictures: np.ndarray, y: np.ndarray, outputs: Mapping[str, np.ndarray]
) -> list[Tile]:
    said = _said(outputs)
    share = np.where(said == y, 0, outputs["probabilities"].max(1))
    worst = int(share.argmax())
    tile = Tile(kind, pictures[worst], int(y[worst]), int(said[worst]), float(share[worst]))
    return [tile] if tile.share else []


def _by_digit(y: np.ndarray, said: Sequence[np.ndarray]) -> np.ndarray:
    """Return the share right, float [10, len(said)]."""
    return np.array(
        [[(column[y == digit] == digit).mean() for column in said] for digit in range(10)]
    )


def written(
    card: Card,
    y: np.ndarray,
    logits: np.ndarray,
    facts: Mapping[str, float],
    champion: Mapping[str, float],
) -> Examination:
    """Return the card as numbers, table and pictures.

    Args:
        y, logits: int [N] and float [N, 10] of the test set: its calibration is told, and nothing
            is chosen by it.
        facts: what the net's calibration gave.
        champion: the present champion's numbers, for comparison; may be empty.
    """
    before = Reliability.of(softmax(logits * facts["temperature"], 1), y)
    after = Reliability.of(softmax(logits, 1), y)
    numbers = card.numbers()
    told = {"test_ece": after.error, "test_ece_before_temperature": before.error}
    told |= {f"kept_{kind}": share for kind, share in card.kept.items()}
    return Examination(
        numbers=numbers,
        reported={**facts, "drawings_kept": card.drawings_kept, **told},
        table=_table(numbers, champion),
        exhibits=_exhibits(
            card,
            {"before temperature scaling": before, "after temperature scaling": after},
            champion,
        ),
    )


def _table(numbers: Mapping[str, float], champion: Mapping[str, float]) -> str:
    """Return the numbers beside the champion's as Markdown."""
    rows = (
        f"| {name} | {value:.4f} | {f'{champion[name]:.4f}' if name in champion else ''} |"
        for name, value in numbers.items()
    )
    return "\n".join(["| number | this network | present champion |", "|---|---|---|", *rows, ""])


def _exhibits(
    card: Card, test: Mapping[str, Reliability], champion: Mapping[str, float]
) -> Iterator[Exhibit]:
    from experiments.plots import robustness as plots
    from experiments.plots import trust

    theirs = {
        k: champion[name] for k in card.corruptions if (name := f"corruption/{k}") in champion
    }
    bins = {title: (r.counts, r.confidence, r.accuracy, r.error) for title, r in test.items()}
    others = {kind: (r.scores, r.auroc) for kind, r in card.refusals.items()}
    worst = [(t.kind, t.image, t.truth, t.said, t.share) for t in card.tiles]
    yield Exhibit(
        "robustness/reliability",
        lambda: trust.reliability(bins),
        "Look for orange sticks: there its probabilities mislead by more than chance.",
        "It cannot show single digits; hollow dots rest on too few digits to tell.",
        core=True,
    )
    yield Exhibit(
        "robustness/corruptions",
        lambda: plots.corruptions(card.corruptions, theirs or None),
        "Look for short bars: what the network reads badly"
        + (", and whether the champion did better." if theirs else "."),
        "It cannot show other kinds of damage, nor other strengths of these.",
    )
    yield Exhibit(
        "robustness/worst-tiles",
        lambda: plots.tiles(worst),
        "Look for what the network takes a damaged digit for, and how sure it is of that.",
        "It cannot show how often this happens: it is the single worst of each kind.",
    )
    yield Exhibit(
        "robustness/drawings",
        lambda: plots.drawings(card.drawings, card.pens),
        "Look for cells below 100 %: a digit misread with that pen; orange with ▼ is below 80 %.",
        "It cannot show hands other than those the drawings were made after.",
    )
    yield Exhibit(
        "robustness/refusals",
        lambda: trust.refusals(card.scores, others, card.threshold),
        "Look for boxes or whiskers past the threshold, and curves that stay high on the right.",
        "It cannot show kinds of picture that nobody thought of.",
    )


def of_net(outputs: Callable[[Any, Tensor], Mapping[str, Tensor]], net: Any) -> Reader:
    """Return the reader that a torch net is, by its task's `outputs`; on the net's device."""
    device = next(net.parameters()).device

    @torch.inference_mode()
    def read(images: np.ndarray) -> Mapping[str, np.ndarray]:
        told = outputs(net.eval(), torch.tensor(images).to(device))
        return {name: value.cpu().numpy() for name, value in told.items()}

    return in_batches(read)


def in_batches(read: Reader) -> Reader:
    """Return `read` for any number of pictures, given to it in batches."""

    def read_all(images: np.ndarray) -> Mapping[str, np.ndarray]:
        starts = range(0, len(images), EVAL_BATCH)
        parts = [read(images[start : start + EVAL_BATCH]) for start in starts]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    return read_all


def _plain(kind: str) -> str:
    return kind.lower().replace(" ", "_").replace("-", "_")

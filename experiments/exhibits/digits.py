"""The pictures of a trained digit network, in reading order, and what to tell of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from experiments.tasks.base import Exhibit, Film, Moment, Trained

NO_DIGIT = "no digit"
SEED = 0  # of the drawings that need chance: t-SNE, random weights
NEIGHBOURS = 3
SEARCHED = 20_000  # training digits among which neighbours are looked for


RAW = "Probabilities are those before the temperature is set."


class Digits:
    """What several pictures are made of, computed once and only if one of them is drawn."""

    def __init__(self, trained: Trained) -> None:
        self.net, self.splits = trained.net, trained.splits
        self.x, self.y = self.splits.test.x, self.splits.test.y
        self.logits = trained.logits[:, : len(self.splits.labels)]
        self.predicted = self.logits.argmax(1)
        self.trained = trained

    @cached_property
    def probabilities(self) -> np.ndarray:
        from experiments.plots.digits import softmax

        return softmax(self.logits)

    @cached_property
    def sample(self) -> int:
        """The first test digit that is read right; the first of all if none is."""
        return int((self.predicted == self.y).argmax())

    @property
    def moments(self) -> Sequence[Moment]:
        """Every other moment of the training, the first and the last among them."""
        every = self.trained.watched()
        return [*every[:-1:2], every[-1]]

    @cached_property
    def watched(self) -> tuple[np.ndarray, np.ndarray]:
        """The digits that were watched in training, and what they are."""
        from experiments.interpret.digits import watched

        chosen = watched(self.splits.val.y)
        return self.splits.val.x[chosen], self.splits.val.y[chosen]


def exhibits(trained: Trained) -> Iterator[Exhibit]:
    """Yield all of them; each draws itself when asked."""
    digits = Digits(trained)
    yield _architecture(digits)
    yield from _learning(digits)
    yield from _mistakes(digits)
    yield from _inside(digits)


def _architecture(digits: Digits) -> Exhibit:
    import torch

    from experiments.layers import describe
    from experiments.plots import architecture

    example = torch.tensor(digits.x[:2], device=next(digits.net.parameters()).device)
    layers = describe(digits.net, example)
    names = [*digits.splits.labels, NO_DIGIT]
    return Exhibit(
        "network/architecture",
        lambda: architecture.blocks(layers, "image", digits.x.shape[1:], names),
        "Look for where the picture shrinks as its channels grow, and where the parameters are.",
        "It cannot show what was learned, nor time: multiply-adds leave out normalisation, pooling "
        "and memory.",
        core=True,
        scalable=True,
        text=architecture.table(layers),
    )


def _learning(digits: Digits) -> Iterator[Exhibit]:
    from experiments.plots import replay

    def course() -> tuple[np.ndarray, np.ndarray]:
        """Return epochs, float [T], and probabilities, float [T, digits, 10]."""
        return (
            np.array([moment.epoch for moment in digits.moments]),
            np.stack([moment.seen["probabilities"] for moment in digits.moments]),
        )

    def film() -> Film:
        moments, said = course()
        shown, y = digits.watched
        return Film(replay.title(y, moments, said), replay.animation(shown, y, moments, said))

    def slides() -> Iterator[tuple[int, Any]]:
        for moment in digits.moments:
            said = moment.seen["probabilities"]
            yield moment.step, replay.frame(*digits.watched, moment.epoch, said)

    yield Exhibit(
        "learning/course",
        lambda: replay.course(*digits.watched, *course()),
        "Look for digits that are learned late, or lost again after having been right.",
        f"It cannot show what came between two moments; a few digits say little of all. {RAW}",
    )
    yield Exhibit(
        "learning/replay",
        film,
        "Look for the digits that stay wrong longest, and what they are taken for.",
        f"It cannot show the speed of learning: the moments are not equally far apart. {RAW}",
        slides=slides,
    )


def _mistakes(digits: Digits) -> Iterator[Exhibit]:
    from experiments.interpret import digits as numbers
    from experiments.plots import digits as plots
    from experiments.plots import mistakes, slices

    def surest() -> Any:
        chosen = numbers.surest(digits.logits, digits.y)
        x, y = digits.splits.train.x[:SEARCHED], digits.splits.train.y[:SEARCHED]
        found = numbers.features(digits.net, x)
        mine = numbers.features(digits.net, digits.x[chosen])
        near, _ = numbers.nearest(mine, found, NEIGHBOURS)
        said = digits.probabilities[chosen]
        return mistakes.surest(digits.x[chosen], digits.y[chosen], said, x[near], y[near])

    def sliced() -> Any:
        wrong = digits.predicted != digits.y
        measures = numbers.shapes(digits.x).items()
        return slices.slices({name: numbers.Slices.of(v, wrong) for name, v in measures})

    yield Exhibit(
        "decisions/predictions",
        lambda: plots.predictions(digits.x, digits.y, digits.logits),
        "Look for what the hardest digits have and the first ones lack: heavy ink, broken strokes.",
        "It cannot show how common such digits are: half of the places are chosen to be hard.",
        core=True,
    )
    yield Exhibit(
        "mistakes/confusion",
        lambda: plots.confusion(digits.y, digits.logits),
        "Look for dark cells, and whether a pair is confused in both directions.",
        "It cannot show which digits these are, nor whether one or two are more than chance.",
        core=True,
    )
    yield Exhibit(
        "mistakes/pairs",
        lambda: mistakes.pairs(digits.x, digits.y, digits.logits),
        "Look for whether you would have read these digits as their labels say.",
        "It cannot show digits read right by luck, and of a pair at most six.",
    )
    yield Exhibit(
        "mistakes/surest",
        surest,
        "Look for mistakes whose neighbours bear the network's answer: they look like that class, "
        "or their label is doubtful.",
        "It cannot show that a label is wrong: near is what the network's own last layer holds for "
        f"near, among the first {SEARCHED:,} training digits.",
    )
    yield Exhibit(
        "mistakes/slices",
        sliced,
        "Look for a bar that lies wholly above the dashed line, and whether the title confirms it.",
        "It cannot show causes: the classes differ in width, slant and size, too.",
    )


def _inside(digits: Digits) -> Iterator[Exhibit]:
    from experiments.interpret import maps
    from experiments.plots import inside

    def filters() -> Any:
        image = digits.x[digits.sample]
        found = maps.filters(digits.net, image)
        digit = int(digits.y[digits.sample])
        return inside.filters(
            image, digit, found.channels, found.kernels, found.responses, found.total
        )

    def feature_maps() -> Any:
        image = digits.x[digits.sample]
        way = maps.passage(digits.net, image)
        digit = int(digits.y[digits.sample])
        return inside.feature_maps(image, digit, way.blocks, way.hidden, way.probabilities)

    yield Exhibit(
        "inside/filters",
        filters,
        "Look for blue beside vermilion along a stroke: such a filter finds an edge.",
        "It cannot show what the network concludes: it is one linear step, on one digit.",
    )
    yield Exhibit(
        "inside/feature-maps",
        feature_maps,
        "Look for the digit dissolving into coarse maps, a few bright hidden units and one bar.",
        "It cannot show what a channel means: one digit, few channels, each column its own scale.",
    )
    yield Exhibit(
        "inside/attribution",
        lambda: _attribution(digits),
        "Look for the trained network's pictures to differ from those of random weights: where "
        "they do not, they tell of the digit's shape and not of what was learned.",
        "It cannot show why the network decides: all is relative to an empty page, for a few "
        "digits and one random network.",
    )
    yield Exhibit(
        "inside/embedding",
        lambda: _embedding(digits),
        "Look for ten islands, and for framed mistakes in the island of what they were read as.",
        "It cannot show distances between islands or their sizes, nor how rare mistakes are: up to "
        "50 of them are among the digits on purpose.",
    )


def _attribution(digits: Digits) -> Any:
    from experiments.interpret import attribution as numbers
    from experiments.plots import attribution as plots

    chosen = numbers.examples(digits.y, digits.logits)
    x, said = digits.x[chosen], digits.predicted[chosen]
    ours = numbers.attribute(digits.net, x, said)
    random = numbers.attribute(numbers.untrained(digits.net, SEED), x, said)
    alike = {name: numbers.similarity(ours[name], random[name], x > 0) for name in ours}
    return plots.attributions(
        x, digits.y[chosen], digits.probabilities[chosen], ours, random, alike
    )


def _embedding(digits: Digits) -> Any:
    from experiments.interpret import embedding as numbers
    from experiments.interpret.digits import features as penultimate
    from experiments.plots import embedding as plots

    chosen = numbers.select(digits.y, digits.predicted, SEED)
    features, y = penultimate(digits.net, digits.x[chosen]), digits.y[chosen]
    return plots.embedding(
        numbers.embed(features, SEED),
        y,
        digits.predicted[chosen],
        numbers.neighbours_agree(features, y),
        features.shape[1],
        numbers.perplexity(len(chosen)),
        SEED,
    )

"""The figures of a trained digit network, in reading order, with their captions."""

from collections.abc import Iterator
from functools import cached_property

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from experiments.core.stats import softmax
from experiments.evaluation.arrays import Images, Labels, Probabilities
from experiments.evaluation.calibration import NO_DIGIT
from experiments.evaluation.robustness import Details
from experiments.figures.analysis import attribution, embedding, feature_maps
from experiments.figures.analysis import digits as measures
from experiments.figures.analysis.layers import describe
from experiments.figures.plots import (
    architecture,
    calibration,
    error_by_shape,
    mistakes,
    ood,
    robustness,
    training_history,
)
from experiments.figures.plots import attribution as attribution_plot
from experiments.figures.plots import digits as digit_plots
from experiments.figures.plots import embedding as embedding_plot
from experiments.figures.plots import feature_maps as feature_plots
from experiments.figures.spec import Figures, FigureSpec, Trained
from experiments.tasks.mnist import DIGITS
from experiments.tasks.task import Split
from models.cnn import DigitCNN

SEED = 0  # of t-SNE and of random weights
NEIGHBORS = 3
MAX_NEIGHBOR_SEARCH = 20_000  # training digits among which neighbours are searched
MAX_CONFIDENT = 20  # mistakes with neighbours


class Digits:
    """What several figures need, computed once and only if one of them is drawn."""

    def __init__(self, trained: Trained) -> None:
        assert isinstance(trained.net, DigitCNN)
        self.trained, self.net, self.splits = trained, trained.net, trained.splits
        self.x, self.y = trained.test.x, trained.test.y

    @cached_property
    def probabilities(self) -> Probabilities:
        """Of the digits, without the class "no digit"."""
        return softmax(self.trained.logits[:, : len(self.splits.labels)])

    @cached_property
    def pred(self) -> Labels:
        """Predicted labels of the test split."""
        return self.probabilities.argmax(1)

    @cached_property
    def mistakes(self) -> Labels:
        """Indices of the misclassified test digits, the most confident first."""
        return measures.mistakes(self.probabilities, self.y)

    @cached_property
    def example(self) -> tuple[Images, int]:
        """The first test digit that is classified correctly, and its label."""
        index = int((self.pred == self.y).argmax())
        return self.x[index], int(self.y[index])


def figures(trained: Trained) -> Iterator[FigureSpec]:
    """Yield all figures of a trained digit network."""
    digits = Digits(trained)
    yield from _network(digits)
    yield from _predictions(digits)
    yield from _features(digits)
    if trained.evaluation.details is not None:
        yield from _robustness(trained.evaluation.details)


def _network(digits: Digits) -> Iterator[FigureSpec]:
    example = torch.tensor(digits.x[:2], device=next(digits.net.parameters()).device)
    layers = describe(digits.net, example)
    names = [*digits.splits.labels, NO_DIGIT]
    yield FigureSpec(
        "network/architecture",
        lambda: architecture.blocks(layers, "image", digits.x.shape[1:], names),
        "Look for where the resolution falls as channels grow, and where the parameters are.",
        "It cannot show what was learned, nor speed: multiply-adds leave out normalisation, "
        "pooling and memory.",
        core=True,
        scalable=True,
        text=architecture.table(layers),
    )
    yield FigureSpec(
        "learning/predictions",
        lambda: _history(digits),
        "Look for digits that are learned late, or misclassified again after being correct.",
        "It cannot show what happens between two snapshots, nor other digits.",
    )


def predictions(x: np.ndarray, y: np.ndarray, probabilities: np.ndarray) -> FigureSpec:
    """Return the figure of the first and the hardest digits."""
    return FigureSpec(
        "decisions/predictions",
        lambda: digit_plots.predictions(x, y, probabilities),
        "Look for what only the hardest digits have: thick ink, broken or missing strokes.",
        "It cannot show how common such digits are: half of those shown are the hardest.",
        core=True,
    )


def confusion(y: np.ndarray, pred: np.ndarray) -> FigureSpec:
    """Return the figure of the confusion matrix."""
    return FigureSpec(
        "mistakes/confusion",
        lambda: digit_plots.confusion(y, pred),
        "Look for dark cells, and whether a pair is confused in both directions.",
        "It cannot show which digits these are, nor whether one or two are more than chance.",
        core=True,
    )


def _predictions(digits: Digits) -> Iterator[FigureSpec]:
    yield predictions(digits.x, digits.y, digits.probabilities)
    yield confusion(digits.y, digits.pred)
    yield FigureSpec(
        "mistakes/pairs",
        lambda: _confused_pairs(digits),
        "Look for whether you would have read these digits as their labels say.",
        "It cannot show digits that are classified correctly only by chance; of a pair it shows "
        f"{mistakes.MAX_PER_PAIR} at most.",
    )
    yield FigureSpec(
        "mistakes/most-confident",
        lambda: _most_confident(digits),
        "Look for mistakes whose neighbours have the predicted label: they look like that class, "
        "or their label is doubtful.",
        "It cannot show that a label is wrong: distances are those of the network's last hidden "
        f"layer, among the first {MAX_NEIGHBOR_SEARCH:,} training digits.",
    )
    yield FigureSpec(
        "mistakes/error-by-shape",
        lambda: _error_by_shape(digits),
        "Look for an interval wholly above the dashed line, and whether the title confirms it.",
        "It cannot show causes: the classes differ in stroke width, slant and size, too.",
    )


def _features(digits: Digits) -> Iterator[FigureSpec]:
    net, example = digits.net, digits.example
    yield FigureSpec(
        "features/filters",
        lambda: feature_plots.filters(*example, feature_maps.filters(net, example[0])),
        "Look for responses of both signs along a stroke: such a filter is an edge detector.",
        "It cannot show how later layers use the filters; it is one linear layer, on one digit.",
    )
    yield FigureSpec(
        "features/feature-maps",
        lambda: feature_plots.feature_maps(*example, feature_maps.activations(net, example[0])),
        "Look for maps that get coarser block by block, a few active hidden units, and one bar.",
        "It cannot show what a channel means: one digit, few channels, a scale for each block.",
    )
    yield FigureSpec(
        "features/attribution",
        lambda: _attribution(digits),
        "Look for differences between trained and random weights: where there are none, the maps "
        "show the digit's shape and not what was learned.",
        "It cannot show why the network decides: the baseline is an empty image, the digits are "
        "few and the random network is one.",
    )
    yield FigureSpec(
        "features/embedding",
        lambda: _embedding(digits),
        "Look for ten clusters, and for framed mistakes inside the cluster of their prediction.",
        "It cannot show distances between clusters or their sizes, nor how rare mistakes are: up "
        f"to {embedding.MAX_MISTAKES} of them are included on purpose.",
    )


def _robustness(details: Details) -> Iterator[FigureSpec]:
    report, champion = details.report, details.champion_corruptions()
    others = {kind: (result.scores, result.auroc) for kind, result in report.ood.items()}
    look = "Look for short bars: the corruptions with the lowest accuracy"
    yield FigureSpec(
        "robustness/reliability",
        lambda: calibration.reliability(details.test),
        "Reliability diagram: accuracy per confidence bin. Look for intervals that miss the "
        "diagonal: there confidence and accuracy differ by more than chance.",
        "It cannot show single digits; bins of few digits have wide intervals.",
        core=True,
    )
    yield FigureSpec(
        "robustness/corruptions",
        lambda: robustness.corruptions(report.corruptions, champion),
        f"{look}, and the champion's." if champion else f"{look}.",
        "It cannot show other kinds of corruption, nor other strengths of these.",
    )
    yield FigureSpec(
        "robustness/misclassified",
        lambda: robustness.misclassified(report.misclassified),
        "Look for the prediction for a corrupted digit, and its confidence.",
        "It cannot show how often this happens: it is the most confident mistake of each kind.",
    )
    yield FigureSpec(
        "robustness/drawings",
        lambda: robustness.drawings(report.drawings, report.pens),
        "Look for cells below 100%: digits misclassified with that pen; orange and ▼: below 80%.",
        "It cannot show other handwriting than that of the recorded drawings.",
    )
    yield FigureSpec(
        "robustness/ood",
        lambda: ood.scores(report.scores, others, report.threshold),
        "Look for boxes or whiskers right of the threshold, and curves that stay high.",
        "It cannot show kinds of image that are not in the evaluation.",
    )


def _history(digits: Digits) -> Figure:
    every = digits.trained.watched()
    chosen, val = [*every[:-1:2], every[-1]], digits.splits.val
    tracked = measures.tracked(val.y)
    epochs = np.array([snapshot.epoch for snapshot in chosen])
    probabilities = np.stack([snapshot.arrays["probabilities"] for snapshot in chosen])
    return training_history.history(val.x[tracked], val.y[tracked], epochs, probabilities)


def _confused_pairs(digits: Digits) -> Figure:
    wrong = digits.mistakes
    prob = digits.probabilities[wrong].max(1)
    return mistakes.confused_pairs(digits.x[wrong], digits.y[wrong], digits.pred[wrong], prob)


def _most_confident(digits: Digits) -> Figure:
    wrong, train = digits.mistakes[:MAX_CONFIDENT], digits.splits.train
    x, y = train.x[:MAX_NEIGHBOR_SEARCH], train.y[:MAX_NEIGHBOR_SEARCH]
    queries, features = (measures.features(digits.net, each) for each in (digits.x[wrong], x))
    near = measures.nearest(queries, features, NEIGHBORS)
    prob = digits.probabilities[wrong]
    return mistakes.most_confident(digits.x[wrong], digits.y[wrong], prob, x[near], y[near])


def _error_by_shape(digits: Digits) -> Figure:
    wrong, shapes = digits.pred != digits.y, measures.shapes(digits.x)
    bins = {name: measures.ErrorBins.of(values, wrong) for name, values in shapes.items()}
    return error_by_shape.error_by_shape(bins)


def _attribution(digits: Digits) -> Figure:
    chosen = attribution.examples(digits.y, digits.probabilities)
    x, pred = digits.x[chosen], digits.pred[chosen]
    trained = attribution.attribute(digits.net, x, pred)
    random = attribution.attribute(attribution.untrained(digits.net, SEED), x, pred)
    similar = {name: attribution.similarity(trained[name], random[name], x > 0) for name in trained}
    prob = digits.probabilities[chosen]
    return attribution_plot.attributions(x, digits.y[chosen], prob, trained, random, similar)


def _embedding(digits: Digits) -> Figure:
    chosen = embedding.select(digits.y, digits.pred, SEED)
    hidden, y = measures.features(digits.net, digits.x[chosen]), digits.y[chosen]
    return embedding_plot.embedding(
        embedding.embed(hidden, SEED),
        y,
        digits.pred[chosen],
        embedding.neighbors_agree(hidden, y),
        hidden.shape[1],
        embedding.perplexity(len(chosen)),
        SEED,
    )


@torch.inference_mode()
def snapshot(net: nn.Module, val: Split) -> dict[str, Tensor]:
    """Return the probabilities of the tracked validation digits, float32 [25, 10]."""
    logits = net.eval()(val.x[measures.tracked(val.y.cpu().numpy())])
    return {"probabilities": logits[:, :DIGITS].softmax(1)}


FIGURES = Figures(snapshot=snapshot, figures=figures)

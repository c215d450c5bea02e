"""Figures of misclassified digits and of the training show what the numbers say."""

from math import comb

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from experiments.core.errors import DataError
from experiments.figures.analysis import digits
from experiments.figures.plots import error_by_shape, mistakes, training_history
from tests.expect import refused
from tests.figure_text import names, numbers, texts
from tests.nets import digit_net

PIXELS = np.indices((28, 28)) - 13.5  # rows and columns, from the middle


def marked(count: int) -> np.ndarray:
    """Images of which the n-th is a plain grey of n + 1."""
    return np.arange(1, count + 1, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)


def bar(width: float, lean: float = 0.0) -> np.ndarray:
    """A line of known width that leans to the right by `lean` degrees, its edge anti-aliased."""
    rows, columns = PIXELS
    angle = np.radians(lean)
    away = np.abs(columns * np.cos(angle) + rows * np.sin(angle))
    ink = np.clip(width / 2 - away + 0.5, 0, 1) * (np.abs(rows) < 10)
    return (255 * ink).astype(np.uint8)


def test_features_lead_to_the_logits() -> None:
    torch.manual_seed(0)
    net, x = (
        digit_net(base_channels=4, hidden_dim=8),
        torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8),
    )
    features = digits.features(net, x.numpy())
    assert features.shape == (3, 8) and features.dtype == np.float32
    with torch.inference_mode():
        logits = net.output(torch.tensor(features)).numpy()
        assert np.allclose(logits, net(x).numpy(), atol=0.05)
    assert not net.hidden._forward_hooks


def test_nearest_is_nearest() -> None:
    random = np.random.default_rng(0)
    queries, train = (random.normal(5, 1, (n, 7)).astype(np.float32) for n in (300, 90))
    assert (digits.nearest(queries, train, 40) == cdist(queries, train).argsort(1)[:, :40]).all()
    with refused("data-too-few", DataError, expected="3", found=2):
        digits.nearest(np.zeros((1, 2)), np.zeros((2, 2)), 3)


def test_mistakes_come_in_order_of_confidence() -> None:
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.6, 0.4]])
    assert digits.mistakes(probabilities, np.array([0, 0, 0, 1])).tolist() == [2, 1, 3]
    with refused("data-too-few", DataError, found="0 of 4"):
        digits.mistakes(probabilities, np.array([0, 1, 1, 0]))


def test_tracked_digits_are_balanced_and_the_same_each_time() -> None:
    y = np.random.default_rng(1).integers(0, 10, 2000)
    chosen = digits.tracked(y)
    assert len(set(chosen)) == 25 and set(np.bincount(y[chosen], minlength=10)) == {2, 3}
    assert (np.diff(y[chosen]) >= 0).all()
    assert (digits.tracked(y) == chosen).all() and (digits.tracked(y, seed=1) != chosen).any()
    few = np.array([0] * 40 + [1] * 2)
    assert np.bincount(few[digits.tracked(few)]).tolist() == [23, 2]


@pytest.mark.parametrize("width", [2, 4, 6])
@pytest.mark.parametrize("lean", [0, 30, -45])
def test_stroke_width_and_slant_are_those_of_drawn_lines(width: int, lean: int) -> None:
    shapes = digits.shapes(np.stack([bar(width, lean), np.full((28, 28), 255, np.uint8)]))
    length = 20 / np.cos(np.radians(lean))
    roof = width / 4 - width**2 / 12 / length  # the mean height of a hipped roof on a rectangle
    assert shapes["stroke width"][0] == pytest.approx(4 * roof, abs=0.6)
    if abs(lean) < 40:
        assert shapes["slant"][0] == pytest.approx(lean, abs=1.5)


def test_shapes_by_hand() -> None:
    x = np.zeros((4, 28, 28), np.uint8)
    x[0, 4:20, 5:7] = 90
    x[1, 4:8, 4:8] = 255  # twelve pixels at a distance of 1 and four at 2, less a half each
    x[2, 9, 3:20] = 255
    shapes = digits.shapes(x)
    expected = [2, 4 * (12 * 0.5 + 4 * 1.5) / 16, 2, 0]
    assert shapes["stroke width"] == pytest.approx(expected)
    assert shapes["size"].tolist() == [32, 16, 17, 0]
    assert shapes["slant"].tolist() == [0, 0, 0, 0]


def test_bins_count_and_bound_mistakes() -> None:
    values = np.random.default_rng(0).permutation(80).astype(float)
    bins = digits.ErrorBins.of(values, values >= 77)
    assert bins.counts.tolist() == [10] * 8 and bins.wrong.tolist() == [0] * 7 + [3]
    assert bins.edges[[0, -1]].tolist() == [0, 79]
    assert bins.low[-1] < 0.3 < bins.high[-1]
    assert bins.p_value[-1] == pytest.approx(comb(10, 3) / comb(80, 3))
    assert bins.p_value[0] == pytest.approx(1)


def test_equal_values_share_a_bin() -> None:
    values = np.repeat([1.0, 2, 3], [5, 50, 20])
    bins = digits.ErrorBins.of(values, values == 3)
    assert bins.edges.tolist() == [1, 2, 3]  # 1 to 2, and 2 to 3 without the 2
    assert bins.counts.tolist() == [55, 20] and bins.wrong.tolist() == [0, 20]
    alone = digits.ErrorBins.of(np.full(9, 4.0), np.arange(9) == 0)
    assert alone.edges.tolist() == [4, 4] and alone.counts.tolist() == [9]


def measured(wrong: np.ndarray) -> dict[str, digits.ErrorBins]:
    random = np.random.default_rng(0)
    values = {"slant": random.normal(0, 9, 800), "stroke width": np.arange(800.0)}
    return {name: digits.ErrorBins.of(value, wrong) for name, value in values.items()}


def test_the_hardest_bin_is_named() -> None:
    figure = error_by_shape.error_by_shape(measured(np.arange(800) >= 780))
    title = figure.get_suptitle()  # from, to (px); % wrong, times as often as all, their %
    assert numbers(title) == [699, 799, 20, 8, 2.5]
    assert names(title, ["slant", "stroke width"]) == ["stroke width"]
    points, overall = figure.axes[1].containers[0].lines[0], figure.axes[1].lines[0]
    assert list(points.get_ydata()) == [0] * 7 + [0.2] and set(overall.get_ydata()) == {0.025}
    assert [t.get_text() for t in figure.axes[1].texts] == ["0"] * 7 + ["20"]
    assert {100, 16} <= set(numbers(figure.get_supxlabel()))  # digits in a bin, bins


def test_no_bin_is_named_by_chance() -> None:
    by_chance = np.random.default_rng(3).random(800) < 0.05
    assert numbers(error_by_shape.title(measured(by_chance)))[0] == 16
    none = measured(np.zeros(800, bool))
    assert numbers(error_by_shape.title(none))[0] == 16
    error_by_shape.error_by_shape(none)


def test_pairs_are_counted_with_their_most_confident_digits() -> None:
    y, pred = np.array([4, 7, 4, 4]), np.array([9, 1, 9, 9])
    prob = np.array([0.99, 0.9, 0.7, 0.6])
    figure = mistakes.confused_pairs(marked(4), y, pred, prob)
    assert numbers(figure.get_suptitle()) == [4, 4, 9, 3]  # mistakes; label, prediction, times
    titles = [numbers(axes.get_title(loc="left")) for axes in figure.axes]
    assert titles == [[4, 9, 3], [7, 1, 1]]
    assert texts(figure) == ["99.0%", "70.0%", "60.0%", "90.0%"]
    first = np.asarray(figure.axes[0].images[0].get_array())
    assert first[0, [0, 37, 74]].tolist() == [1, 3, 4]


def test_ten_pairs_with_six_digits_are_enough() -> None:
    y = np.repeat(np.arange(10), 20)
    pred = (y + np.tile([1, 1, 2, 3], 50)) % 10
    figure = mistakes.confused_pairs(marked(200), y, pred, np.full(200, 0.9))
    assert numbers(figure.get_suptitle()) == [200, 0, 1, 10, 100, 10]
    assert len(texts(figure)) == 60 and len(figure.axes) == 10
    assert numbers(figure.axes[0].get_title(loc="left")) == [0, 1, 10, 6]


def test_most_confident_mistakes_are_followed_by_their_neighbours() -> None:
    y, labels = np.array([4, 7]), np.array([[9, 9, 4], [7, 1, 2]])
    probabilities = np.full((2, 10), 0.02)
    probabilities[0, 9], probabilities[1, 1] = 0.97, 0.9
    near = marked(8)[2:].reshape(2, 3, 28, 28)
    figure = mistakes.most_confident(marked(2), y, probabilities, near, labels)
    assert numbers(figure.get_suptitle())[:2] == [1, 2]  # those among the predicted class, all
    captions = texts(figure)
    assert numbers(captions[0]) == [4, 9, 97] and numbers(captions[4]) == [7, 1, 90]
    assert captions[1:4] == ["■ 9", "■ 9", "● 4"] and captions[5:] == ["● 7", "■ 1", "2"]
    (axes,) = figure.axes
    pitch = 28 + mistakes.GAP[1]
    shown = np.asarray(axes.images[0].get_array())[0, ::pitch]
    assert shown.tolist() == [1, 3, 4, 5, 2, 6, 7, 8]
    assert [frame.get_x() for frame in axes.patches] == [-1, 4 * pitch - 1]


Y = np.arange(25) % 10
EPOCHS = np.array([0, 0.1, 3])


def learned(preds: list[np.ndarray]) -> np.ndarray:
    return np.stack([np.eye(10)[each] * 0.9 + 0.01 for each in preds])


def test_the_history_shows_probabilities_and_wrong_predictions() -> None:
    late = np.where(np.arange(25) < 5, 8 - Y, Y)  # the fifth is a 4, and 8 - 4 is 4
    probabilities = learned([np.zeros(25, int), late, Y])
    figure = training_history.history(marked(25), Y, EPOCHS, probabilities)
    # correct, digits, epoch; the epoch from which on all are
    assert numbers(figure.get_suptitle()) == [21, 25, 0.1, 3]
    axes = figure.axes[0]
    strip = np.asarray(axes.images[0].get_array())
    assert strip == pytest.approx(probabilities[:, range(25), Y].T)
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "0.1", "3"]
    wrong = {text.get_position(): int(text.get_text()) for text in axes.texts}
    assert wrong == {(0, r): 0 for r in range(25) if Y[r]} | {(1, r): 8 - r for r in range(4)}


def test_the_title_says_what_was_not_learned() -> None:
    poor = learned([1 - Y % 2, np.where(np.arange(25) < 20, Y, 0), np.where(Y == 3, 5, Y)])
    assert numbers(training_history.title(Y, EPOCHS, poor)) == [21, 25, 0.1, 22]
    never = training_history.title(Y, EPOCHS[1:2] * 10, learned([(Y + 1) % 10]))
    assert numbers(never) == [0, 25, 1, 0]

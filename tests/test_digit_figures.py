"""Figures of training, predictions and robustness show what the numbers say."""

import numpy as np
import pytest
from matplotlib.container import ErrorbarContainer
from scipy.stats import binomtest

from benchmarks.pictures import adversaries
from experiments.evaluation.calibration import Reliability
from experiments.evaluation.robustness import Misclassified
from experiments.figures.plots import calibration, ood, robustness, style, training
from experiments.figures.plots import digits as digit_plots
from tests.figure_text import names, numbers, texts


def test_curves_show_the_history_and_the_selected_epoch() -> None:
    history = {
        "train_loss": [0.9, 0.5, 0.4],
        "val_loss": [0.8, 0.3, 0.35],
        "train_accuracy": [0.7, 0.8, 0.9],
        "val_accuracy": [0.75, 0.97, 0.96],
        "lr": [0.1, 0.05, 0.0],
    }
    figure = training.curves([1, 2, 3], history, kept=2)
    assert numbers(figure.get_suptitle()) == [2, 97]  # the selected epoch, % correct
    drawn = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert drawn["val"] == history["val_loss"] and drawn["train"] == history["train_loss"]
    assert list(figure.axes[2].lines[0].get_ydata()) == history["lr"]


def test_a_mosaic_has_every_tile_and_nothing_between() -> None:
    tiles = np.arange(12.0).reshape(3, 2, 2)
    laid = digit_plots.mosaic(tiles, 2, (1, 3))
    assert laid.shape == (2 * 3, 2 * 5)
    assert (laid[:2, 5:7] == tiles[1]).all() and (laid[3:5, :2] == tiles[2]).all()
    assert np.isnan(laid).sum() == laid.size - tiles.size


def test_confusion_counts_and_names_the_worst_pair() -> None:
    y, pred = np.array([4, 4, 4, 9, 9, 1]), np.array([4, 9, 9, 9, 4, 1])
    figure = digit_plots.confusion(y, pred)
    assert numbers(figure.get_suptitle()) == [3, 6, 4, 9]  # mistakes, digits; label, prediction
    colours = figure.axes[0].images[0].get_array()
    assert colours[4, 9] == 2 and colours[9, 4] == 1
    assert all(colours.mask[i, i] for i in range(10))
    assert sorted(texts(figure)) == ["1", "1", "1", "1", "2"]
    assert numbers(digit_plots.confusion(y, y).get_suptitle()) == [0, 6]


@pytest.mark.parametrize("count", [3, 40])
def test_predictions_show_the_first_and_the_hardest(count: int) -> None:
    x, y = np.zeros((count, 28, 28), np.uint8), np.zeros(count, int)
    probabilities = np.tile(np.eye(10)[0], (count, 1))
    probabilities[-1] = np.eye(10)[7] * 0.943
    x[-1] = 200
    first, hardest = digit_plots.predictions(x, y, probabilities).axes
    assert len(first.texts) == len(hardest.texts) == min(count, 16)
    caption = hardest.texts[0].get_text()
    assert numbers(caption) == [0, 7, 94.3] and "✓" not in caption  # label, prediction, %
    assert numbers(first.texts[0].get_text()) == [0, 99.9] and "✓" in first.texts[0].get_text()
    assert np.asarray(hardest.images[0].get_array())[0, 0] == 200


def test_corruptions_are_sorted_and_compared_with_the_champion() -> None:
    figure = robustness.corruptions({"fog": 0.5, "dotted_line": 0.9}, {"fog": 0.7})
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.9]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [numbers(label) for label in labels] == [[50, 70], [90]] and "–" in labels[1]
    assert 70 in numbers(figure.get_suptitle())  # % correct on average
    assert names(figure.get_suptitle(), ["fog", "dotted line"]) == ["fog"]
    assert axes.lines[0].get_xdata()[0] == 0.7 and len(figure.legends[0].get_texts()) == 2


def test_fractions_are_all_or_none_only_if_they_are() -> None:
    said = [style.percent(value) for value in (0.0, 0.0003, 0.9996, 1.0)]
    assert said == ["0%", "<0.1%", ">99.9%", "100%"]


def test_drawings_name_the_hardest_digit_and_pen() -> None:
    right = np.ones((10, 2))
    right[4, 1], right[5, 0], right[6, 0] = 0.75, 0.9996, np.nan
    figure = robustness.drawings(right, (6, 40))
    assert numbers(figure.get_suptitle())[-3:] == [75, 4, 40]  # %, digit, pen
    assert sorted(texts(figure)) == ["75.0% ▼", ">99.9%", "–"]  # 100 % stays empty
    right[4, 0] = right[1, 1] = 0.75
    assert numbers(robustness.drawings(right, (6, 40)).get_suptitle())[-4:] == [75, 1, 40, 2]
    assert numbers(robustness.drawings(np.ones((10, 2)), (6, 40)).get_suptitle()) == [100]


def test_numbers_of_drawings_are_legible_on_every_shade() -> None:
    (axes, _) = robustness.drawings(np.linspace(0.7, 1, 60).reshape(10, 6), range(6)).axes
    assert axes.images[0].get_clim() == (0.8, 1)
    grounds = axes.images[0].to_rgba(axes.images[0].get_array()).reshape(-1, 4)
    pairs = zip(axes.texts, grounds, strict=True)
    assert min(style.contrast(text.get_color(), ground) for text, ground in pairs) >= 4.5


def test_reliability_shows_each_bins_accuracy_and_interval() -> None:
    counts, line = np.array([0, 1, 40, 900]), np.array([0, 0.4, 0.7, 0.9])
    accuracy = np.array([0, 0, 0.5, 0.95])
    kinds = {"raw": Reliability(counts, line, accuracy), "cal": Reliability(counts, line, line)}
    figure = calibration.reliability(kinds)
    error = 100 * (1 * 0.4 + 40 * 0.2 + 900 * 0.05) / 941
    assert numbers(figure.get_suptitle()) == [pytest.approx(error, abs=0.005), 0]
    above, _, below, _ = figure.axes
    (bars,) = (c for c in above.containers if isinstance(c, ErrorbarContainer))
    assert bars.lines[0].get_xydata().tolist() == np.c_[line, accuracy][1:].tolist()
    ends = np.array([segment[:, 1] for segment in bars.lines[2][0].get_segments()])
    for (low, high), count, right in zip(ends, counts[1:], accuracy[1:], strict=True):
        interval = binomtest(round(count * right), count).proportion_ci(0.95, "wilson")
        assert (low, high) == pytest.approx(tuple(interval), abs=1e-6)
    figure.draw_without_rendering()
    assert above.bbox.width == pytest.approx(above.bbox.height)
    assert [bar.get_height() for bar in below.patches] == counts.tolist()


def test_ood_scores_show_both_error_rates() -> None:
    digits, others = np.arange(100.0), np.arange(-50.0, 50.0)
    kinds = {"noise": (others - 90, 0.99), "letters": (others, 0.875)}
    figure = ood.scores(digits, kinds, threshold=10.0)
    title = figure.get_suptitle()
    assert numbers(title) == [60, 10] and names(title, ["digits", "letters"])[0] == "letters"
    boxes, curves = figure.axes
    assert [label.get_text() for label in boxes.get_yticklabels()] == ["digits", "letters", "noise"]
    hardest = curves.lines[0]
    assert names(hardest.get_label(), ["letters", "0.8750"]) == ["letters", "0.8750"]
    accepted = hardest.get_ydata()
    assert accepted[0] == pytest.approx(0.49, abs=0.01)  # 1 to 49
    assert accepted[-1] == 0.005 and "0.5%" in curves.get_xlabel()


def test_misclassified_counts_the_confident_mistakes() -> None:
    image = np.full((28, 28), 200, np.uint8)
    worst = [
        Misclassified("fog", image, 4, 9, 0.9),
        Misclassified("dotted_line", image, 1, 7, 0.99),
        Misclassified("zigzag", image, 3, 5, 0.91),
    ]
    figure = robustness.misclassified(worst)
    title, kinds = figure.get_suptitle(), ["fog", "zigzag", "dotted line"]
    assert numbers(title)[:2] == [2, 3] and names(title, kinds) == ["dotted line"]
    captions = [(names(text, kinds), numbers(text)) for text in texts(figure)]
    assert captions == [
        (["dotted line"], [1, 7, 99]),  # label, prediction, %
        (["zigzag"], [3, 5, 91]),
        (["fog"], [4, 9, 90]),
    ]
    colors = [text.get_color() for text in figure.axes[0].texts]
    assert colors == [style.VERMILION] * 2 + [style.INK]


def test_adversaries_say_when_half_is_lost() -> None:
    shares = {"FGSM": np.array([[1, 0.9], [1, 0.8]]), "PGD": np.array([[1, 0.4], [1, 0.5]])}
    figure = adversaries((0.0, 0.1), shares)
    # from 1 to 0.45 over 0.1: a half at 0.1 * 0.5 / 0.55
    title = figure.get_suptitle()
    assert 0.091 in numbers(title) and names(title, shares) == ["PGD"]
    (axes,) = figure.axes
    (cross,) = (line for line in axes.lines if line.get_marker() == "x")
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (pytest.approx(1 / 11), 0.5)
    band = axes.collections[1].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.45 - np.sqrt(0.005))  # deviation of a sample
    assert 2 in numbers(figure.get_supxlabel())  # seeds
    mild = adversaries((0.0, 0.1), {"FGSM": np.array([[1, 0.8]])})
    assert 80 in numbers(mild.get_suptitle())
    assert not [line for line in mild.axes[0].lines if line.get_marker() == "x"]

"""Two networks on one test set: predictions counted one by one, and McNemar's test."""

import numpy as np
import pytest

from experiments import tasks
from experiments.evaluation.comparison import Comparison, compare, mcnemar
from experiments.figures.plots import comparison as plots
from experiments.figures.plots import style
from experiments.registry.versions import Version
from experiments.tasks.task import Split
from tests.expect import refused
from tests.stores import numbers


def test_mcnemar_is_the_binomial_by_hand() -> None:
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar(2, 10) == mcnemar(10, 2)
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1


def counts(result: Comparison) -> tuple[int, int, int, int]:
    only = result.only_first_correct, result.only_second_correct
    return result.both_correct, *only, result.none_correct


def test_predictions_are_counted_one_by_one(small) -> None:
    splits = small("mnist")
    test = Split(splits.test.open("test").x[:6], np.arange(6))
    preds = np.array([0, 1, 2, 9, 9, 9]), np.array([0, 1, 9, 3, 9, 8])
    result = Comparison.of(test, splits.labels, *preds)
    assert counts(result) == (2, 1, 1, 2)
    assert result.disagreements.tolist() == [[2], [3], [5]]
    samples = list(test.x[[2, 3, 5]])
    figure = plots.differing(
        samples, test.y, preds, result.disagreements, splits.labels, ("a", "b")
    )
    assert numbers(figure.get_suptitle()) == ["3"]
    (axes,) = figure.axes
    captions = [numbers(text.get_text()) for text in axes.texts]
    assert captions == [["2", "2", "9"], ["3", "9", "3"], ["5", "9", "8"]]
    colors = [text.get_color() for text in axes.texts]
    assert colors == [style.BLUE, style.VERMILION, style.VERMILION]
    pitch = 28 + plots.GAP[1]
    shown = np.asarray(axes.images[0].get_array())
    assert all((shown[:28, n * pitch :][:, :28] == x).all() for n, x in enumerate(samples))


def test_gates_differ_row_by_row(small) -> None:
    splits = small("gate")
    test = splits.test.open("test")
    worse, xor = test.y.copy(), splits.labels.index("xor")
    worse[3, xor] = 1
    result = Comparison.of(test, splits.labels, test.y, worse)
    assert counts(result)[1:3] == (1, 0) and result.disagreements.tolist() == [[3, xor]]
    bits = [tasks.get("gate").show(test.x[3])]
    figure = plots.differing(
        bits, test.y, result.predictions, result.disagreements, splits.labels, ("a", "b")
    )
    caption, sample = sorted(text.get_text() for text in figure.axes[0].texts)[::-1]
    assert splits.labels[xor] in caption and numbers(caption) == ["0", "0", "1"]
    assert numbers(sample) == ["11"]


def test_other_data_cannot_be_compared() -> None:
    first, second = (
        Version("mnist", n, "", {}, {"data_digest": digest, "data_name": "mine"})
        for n, digest in ((1, "a"), (2, "b"))
    )
    with refused("data-differ", expected=f"{first} (a)", found=f"{second}, trained on mine (b)"):
        compare(first, second)

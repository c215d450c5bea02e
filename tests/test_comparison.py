"""Two networks on one test set: counted answer by answer, and judged by McNemar's test."""

import dataclasses

import numpy as np
import pytest

from experiments.comparison import Comparison, compare, mcnemar
from experiments.errors import UserError
from experiments.plots import comparison as plots
from experiments.plots import style
from experiments.versions import Version


def test_mcnemar_is_the_binomial_by_hand() -> None:
    assert mcnemar(10, 2) == pytest.approx(2 * (1 + 12 + 66) / 2**12)
    assert mcnemar(2, 10) == mcnemar(10, 2)
    assert mcnemar(0, 0) == mcnemar(5, 5) == 1


def test_answers_are_counted_one_by_one(small) -> None:
    splits = small("mnist")
    splits = dataclasses.replace(
        splits, test=dataclasses.replace(splits.test, x=splits.test.x[:6], y=np.arange(6))
    )
    first, second = np.array([0, 1, 2, 9, 9, 9]), np.array([0, 1, 9, 3, 9, 8])
    found = Comparison.of(splits, first, second)
    assert (found.both, found.first, found.second, found.neither) == (2, 1, 1, 2)
    assert found.differing.tolist() == [[2], [3], [5]]
    figure = plots.differing(
        splits.test.x, splits.test.y, found.said, found.differing, splits.labels, ("a", "b")
    )
    assert "a and b differ on 3 answers" in figure.get_suptitle()
    (axes,) = figure.axes
    said = [text.get_text() for text in axes.texts]
    assert said == ["2 | 9", "is 2", "9 | 3", "is 3", "9 | 8", "is 5"]
    blue, *_ = (text.get_color() for text in axes.texts[::2])
    assert blue == style.BLUE and {t.get_color() for t in axes.texts[2::2]} == {style.VERMILION}
    shown = np.asarray(axes.images[0].get_array())
    pitch = 28 + plots.BESIDE
    for place, index in enumerate((2, 3, 5)):
        cell = shown[:28, place * pitch : place * pitch + 28]
        assert (cell == splits.test.x[index]).all()


def test_gates_differ_row_by_row(small) -> None:
    splits = small("gate")
    worse = splits.test.y.copy()
    xor = splits.labels.index("xor")
    worse[3, xor] = 1
    found = Comparison.of(splits, splits.test.y, worse)
    assert (found.first, found.second) == (1, 0) and found.differing.tolist() == [[3, xor]]
    x, y = splits.test.x, splits.test.y
    figure = plots.differing(x, y, found.said, found.differing, splits.labels, ("a", "b"))
    assert figure.get_suptitle() == "a and b differ on 1 answer"
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said == ["0 | 1", "xor", "11", "is 0"]


def test_other_data_cannot_be_compared() -> None:
    first, second = (
        Version("mnist", n, "", {}, {"data_digest": digest, "data_name": "mine"})
        for n, digest in ((1, "a"), (2, "b"))
    )
    with pytest.raises(UserError, match=r"version trained on the data of mnist version 1 \(a\)"):
        compare(None, first, second)

"""Pictures of misread digits, and of how digits were learned, say what the numbers say."""

from dataclasses import replace
from io import BytesIO
from math import comb, sqrt

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image
from scipy.spatial.distance import cdist

from experiments.errors import DataError
from experiments.interpret import digits
from experiments.plots import mistakes, replay, slices, style
from models.cnn import DigitCNN

PIXELS = np.indices((28, 28)) - 13.5  # rows and columns, from the middle


def texts(figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts if t.get_text()]


def sure(said: list[int], power: float = 5.0) -> np.ndarray:
    return np.eye(10)[said] * power


def bar(width: float, lean: float = 0.0) -> np.ndarray:
    """A line of known width that leans to the right by `lean` degrees, its rim anti-aliased."""
    rows, columns = PIXELS
    angle = np.radians(lean)
    away = np.abs(columns * np.cos(angle) + rows * np.sin(angle))
    ink = np.clip(width / 2 - away + 0.5, 0, 1) * (np.abs(rows) < 10)
    return (255 * ink).astype(np.uint8)


def test_features_lead_to_the_logits() -> None:
    torch.manual_seed(0)
    net, x = DigitCNN(width=4, hidden=8), torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8)
    features = digits.features(net, x.numpy())
    assert features.shape == (3, 8) and features.dtype == np.float32
    with torch.inference_mode():
        exact = net(x).numpy()
        from_features = net.output(torch.tensor(features)).numpy()
    assert np.allclose(from_features, exact, atol=0.05)
    assert not net.hidden._forward_hooks


def test_nearest_is_nearest() -> None:
    random = np.random.default_rng(0)
    queries, train = (random.normal(5, 1, (n, 7)).astype(np.float32) for n in (300, 90))
    found, gaps = digits.nearest(queries, train, 40)
    every = cdist(queries, train)
    assert (found == every.argsort(1)[:, :40]).all()
    assert np.allclose(gaps, np.sort(every, 1)[:, :40])


def test_nearest_of_all_there_are() -> None:
    found, gaps = digits.nearest(np.zeros((1, 2)), np.array([[3.0, 4], [0, 1]]), 2)
    assert found.tolist() == [[1, 0]] and gaps.tolist() == [[1, 5]]
    with pytest.raises(DataError, match="at least 3 training digits"):
        digits.nearest(np.zeros((1, 2)), np.zeros((2, 2)), 3)


def test_surest_are_mistakes_in_order() -> None:
    logits = np.array([[3.0, 0], [0, 2], [0, 4], [1, 0]])
    assert digits.surest(logits, np.array([0, 0, 0, 1])).tolist() == [2, 1, 3]
    assert digits.surest(logits, np.array([0, 0, 0, 1]), 1).tolist() == [2]


def test_without_mistakes_the_least_sure_come() -> None:
    logits = np.array([[3.0, 0], [0, 2], [1, 0]])
    assert digits.surest(logits, np.array([0, 1, 0])).tolist() == [2, 1, 0]


def test_no_digits_at_all_are_refused() -> None:
    none = np.zeros(0, int)
    for call in (
        lambda: digits.surest(np.zeros((0, 10)), none),
        lambda: digits.watched(none),
        lambda: digits.Slices.of(none, none.astype(bool)),
    ):
        with pytest.raises(DataError, match="found none"):
            call()


def test_watched_digits_are_balanced_and_the_same_each_time() -> None:
    y = np.random.default_rng(1).integers(0, 10, 2000)
    chosen = digits.watched(y)
    counts = np.bincount(y[chosen], minlength=10)
    assert len(set(chosen)) == 25 and set(counts) == {2, 3}
    assert (np.diff(y[chosen]) >= 0).all()
    assert (digits.watched(y) == chosen).all() and (digits.watched(y, seed=1) != chosen).any()


def test_watched_digits_make_do_with_what_there_is() -> None:
    y = np.array([0] * 40 + [1] * 2)
    assert np.bincount(y[digits.watched(y)]).tolist() == [23, 2]
    assert len(digits.watched(np.full(60, 7))) == 25
    assert sorted(digits.watched(np.array([3, 1, 3]))) == [0, 1, 2]


@pytest.mark.parametrize("width", [2, 4, 6])
@pytest.mark.parametrize("lean", [0, 30, -45])
def test_stroke_width_is_that_of_drawn_lines(width: int, lean: int) -> None:
    measured = digits.shapes(bar(width, lean)[None])["stroke width"]
    length = 20 / np.cos(np.radians(lean))
    roof = width / 4 - width**2 / 12 / length  # the mean height of a hipped roof on a rectangle
    assert measured == pytest.approx(4 * roof, abs=0.6)


def test_stroke_widths_by_hand() -> None:
    thin, square = np.zeros((2, 28, 28), np.uint8)
    thin[4:20, 5:7] = 90
    square[4:8, 4:8] = 255  # twelve pixels at a distance of 1 and four at 2, less a half each
    both = digits.shapes(np.stack([thin, square]))["stroke width"]
    assert both == pytest.approx([2, 4 * (12 * 0.5 + 4 * 1.5) / 16])


def test_pictures_do_not_touch_each_other_when_measured() -> None:
    full = np.full((28, 28), 255, np.uint8)
    one, several = (digits.shapes(np.stack([full] * n)) for n in (1, 3))
    assert (several["stroke width"] == one["stroke width"]).all()


@pytest.mark.parametrize("lean", [-30, 0, 20])
def test_slant_is_that_of_leaning_lines(lean: int) -> None:
    picture = bar(3, lean)
    top, foot = (PIXELS[1][r] @ picture[r] for r in (5, 22))
    assert np.sign(top - foot) == np.sign(lean)
    assert digits.shapes(picture[None])["slant"] == pytest.approx(lean, abs=1.5)


def test_size_is_that_of_the_box() -> None:
    x = np.zeros((2, 28, 28), np.uint8)
    x[0, 3:9, 10], x[0, 5, 10:14] = 200, 200
    x[1, 0, 0], x[1, 27, 27] = 255, 255
    assert digits.shapes(x)["size"].tolist() == [6 * 4, 28 * 28]


def test_empty_pictures_and_flat_lines_have_no_slant() -> None:
    x = np.zeros((2, 28, 28), np.uint8)
    x[1, 9, 3:20] = 255
    shapes = digits.shapes(x)
    assert shapes["slant"].tolist() == [0, 0]
    assert shapes["stroke width"][0] == shapes["size"][0] == 0


def test_slices_count_and_bound_mistakes() -> None:
    values = np.random.default_rng(0).permutation(80).astype(float)
    part = digits.Slices.of(values, values >= 77)
    assert part.counts.tolist() == [10] * 8 and part.wrong.tolist() == [0] * 7 + [3]
    assert part.edges[[0, -1]].tolist() == [0, 79]
    n, p, z = 10, 0.3, 1.959964  # Wilson's interval as he gave it
    middle, half = p + z * z / 2 / n, z * sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    bounds = [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]
    assert [part.low[-1], part.high[-1]] == pytest.approx(bounds)
    assert part.chance[-1] == pytest.approx(comb(10, 3) / comb(80, 3))
    assert part.chance[0] == pytest.approx(1)


def test_slices_never_part_equal_values() -> None:
    values = np.repeat([1.0, 2, 3], [5, 50, 20])
    part = digits.Slices.of(values, values == 3)
    assert part.edges.tolist() == [1, 2, 3]  # 1 to 2, and 2 to 3 without the 2
    assert part.counts.tolist() == [55, 20] and part.wrong.tolist() == [0, 20]
    alone = digits.Slices.of(np.full(9, 4.0), np.arange(9) == 0)
    assert alone.edges.tolist() == [4, 4] and alone.counts.tolist() == [9]
    assert digits.Slices.of(np.arange(5.0), np.arange(5) == 0).counts.min() > 0


def parts(wrong: np.ndarray) -> dict[str, digits.Slices]:
    random = np.random.default_rng(0)
    values = {"slant": random.normal(0, 9, 800), "stroke width": np.arange(800.0)}
    return {name: digits.Slices.of(value, wrong) for name, value in values.items()}


def test_slices_name_the_hardest_one() -> None:
    figure = slices.slices(parts(np.arange(800) >= 780))
    title = (
        "Digits of stroke width 699 to 799 px are misread\n"
        "8.0 times as often as all (20.00% against 2.50%)"
    )
    assert figure.get_suptitle() == title
    points, overall = figure.axes[1].containers[0].lines[0], figure.axes[1].lines[0]
    assert list(points.get_ydata()) == [0] * 7 + [0.2]
    assert set(overall.get_ydata()) == {0.025}
    assert [t.get_text() for t in figure.axes[1].texts] == ["0"] * 7 + ["20"]
    assert len(figure.axes[1].get_xticklabels()) == 9
    assert "100 digits in each slice" in figure.get_supxlabel()
    assert "of 16 intervals about one misses the line" in figure.get_supxlabel()


def test_slices_do_not_make_much_of_chance() -> None:
    by_chance = np.random.default_rng(3).random(800) < 0.05
    assert slices.title(parts(by_chance)).startswith("No slice of 16 is misread more often than")
    everyone = slices.title(parts(np.ones(800, bool)))
    assert everyone == "No slice of 16 is misread more often than chance allows"
    none = parts(np.zeros(800, bool))
    assert slices.title(none) == "No digit of 800 was misread: no slice differs"
    slices.slices(none)


@pytest.mark.parametrize(("chance", "named"), [(0.002, True), (0.01, False)])
def test_slices_count_how_often_they_looked(chance: float, named: bool) -> None:
    whole = parts(np.arange(800) % 40 == 0)
    low = np.append(np.ones(7), chance)  # a hundredth is not rare in sixteen looks
    looked = {name: replace(part, chance=low) for name, part in whole.items()}
    title = slices.title(looked)
    assert title.startswith("Digits of slant " if named else "No slice of 16 is")
    low, high = whole["slant"].edges[-2:]
    assert f"slant {low:.0f} to {high:.0f} degrees" in title
    assert named or ";\nclosest to it: slant" in title


def test_a_slice_in_the_middle_is_named_by_its_edges() -> None:
    assert slices.title(parts(abs(np.arange(800) - 250) < 30)).startswith(
        "Digits of stroke width 199 to 299 px are misread\n8.0 times"
    )


def marked(count: int) -> np.ndarray:
    """Pictures of which the n-th is a plain grey of n + 1."""
    return np.arange(1, count + 1, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)


def grey_at(axes, text) -> int:
    """The grey of the picture above `text`."""
    x, y = text.get_position()
    return int(np.asarray(axes.images[0].get_array())[round(y) - 14, round(x)])


def test_pairs_are_counted_and_the_surest_come_first() -> None:
    y, logits = np.array([4, 4, 4, 7, 1]), sure([9, 4, 9, 1, 1])
    logits[2] *= 2
    figure = mistakes.pairs(marked(5), y, logits)
    (axes,) = figure.axes
    assert figure.get_suptitle() == "3 mistakes in 5: 2 fall on one pair, a 4 read as 9"
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["4 read as 9:\n2 times"]  # 7 read as 1 is left out: once
    assert [grey_at(axes, text) for text in axes.texts] == [3, 1]
    assert texts(figure) == [">99.9%", "94.3%"]


def test_pairs_say_how_many_mistakes_they_hold() -> None:
    y = np.array([4, 4, 4, 3, 3, 7, 1])
    figure = mistakes.pairs(marked(7), y, sure([9, 9, 9, 5, 5, 1, 1]))
    assert figure.get_suptitle() == ("6 mistakes in 7: 5 fall on 2 pairs, 3 on a 4 read as 9")


def test_ten_pairs_with_six_pictures_are_enough() -> None:
    y = np.repeat(np.arange(10), 20)
    said = (y + np.tile([1, 1, 2, 3], 50)) % 10
    figure = mistakes.pairs(np.zeros((200, 28, 28), np.uint8), y, sure(said.tolist()))
    assert figure.get_suptitle().endswith("100 fall on the 10 commonest pairs, 10 on a 0 read as 1")
    assert len(texts(figure)) == 60 and len(figure.axes) == 2
    assert figure.axes[0].get_yticklabels()[0].get_text() == "0 read as 1:\n10 times\n6 shown"


def test_pairs_without_a_mistake_show_the_least_sure() -> None:
    logits = sure([3] * 12)
    logits[7] *= 0.5
    figure = mistakes.pairs(marked(12), np.full(12, 3), logits)
    assert figure.get_suptitle() == "No digit of 12 was misread; these are the least sure"
    (axes,) = figure.axes
    assert len(axes.texts) == 10 and grey_at(axes, axes.texts[0]) == 8


def test_one_mistake_is_one() -> None:
    figure = mistakes.pairs(marked(2), np.array([2, 5]), sure([2, 6]))
    assert figure.get_suptitle() == "1 mistake in 2: a 5 read as 6"
    figure = mistakes.pairs(marked(2), np.array([2, 5]), sure([1, 6]))
    assert figure.get_suptitle() == "2 mistakes in 2: no two alike"


def test_surest_stand_beside_their_neighbours() -> None:
    y, labels = np.array([4, 7]), np.array([[9, 9, 4], [7, 1, 2]])
    probabilities = np.full((2, 10), 0.02)
    probabilities[0, 9], probabilities[1, 1] = 0.97, 0.9
    figure = mistakes.surest(marked(2), y, probabilities, marked(6).reshape(2, 3, 28, 28), labels)
    title = "Of the 2 surest mistakes, 1 lie among training digits of the class that the network"
    assert figure.get_suptitle().startswith(title)
    assert texts(figure) == [
        *("is 4, said 9 (97.0%)", "■9", "■9", "●4"),
        *("is 7, said 1 (90.0%)", "●7", "■1", "2"),
    ]
    (axes,) = figure.axes
    ink = np.asarray(axes.images[0].get_array())
    size = mistakes.BIG**2, mistakes.SMALL**2
    assert (ink == 1).sum() == size[0] + size[1] and (ink == 6).sum() == size[1]
    frames = [path.get_extents() for path in axes.collections[0].get_paths()]
    assert all(
        (ink[round(f.y0 + 1) : round(f.y1), round(f.x0 + 1) : round(f.x1)] == n).all()
        for n, f in enumerate(frames, start=1)
    )


def test_neighbours_are_shown_upright_and_in_order() -> None:
    near = np.random.default_rng(0).integers(1, 256, (1, 3, 28, 28), dtype=np.uint8)
    blank, nine = np.zeros((1, 28, 28), np.uint8), np.array([9])
    figure = mistakes.surest(blank, nine, sure([4]), near, np.array([[4, 4, 4]]))
    ink = np.asarray(figure.axes[0].images[0].get_array())
    ink = ink[ink.any(1)][:, ink.any(0)]
    assert (ink[::2, ::2] == np.concatenate(near[0], 1)).all()


@pytest.mark.parametrize("count", [1, 3, 7, 25])
def test_surest_has_a_place_for_each(count: int) -> None:
    neighbours = np.zeros((count, 3, 28, 28), np.uint8)
    three = np.full((count, 3), 3)
    figure = mistakes.surest(marked(count), three[:, 0], sure([3] * count), neighbours, three)
    assert figure.get_suptitle() == f"No digit was misread; these {count} are the least sure"
    assert len(texts(figure)) == 4 * count
    figure = mistakes.surest(marked(count), three[:, 0] + 1, sure([3] * count), neighbours, three)
    assert ("The one mistake lies" if count == 1 else f"{count} lie") in figure.get_suptitle()


Y = np.arange(25) % 10
MOMENTS = np.array([0, 0.1, 3])


def learned(said: list[np.ndarray]) -> np.ndarray:
    return np.stack([np.eye(10)[each] * 0.9 + 0.01 for each in said])


def test_course_tells_when_the_digits_were_learned() -> None:
    late = np.where(np.arange(25) < 5, 8 - Y, Y)  # the fifth is a 4, and 8 - 4 is 4
    probabilities = learned([np.zeros(25, int), late, Y])
    figure = replay.course(marked(25), Y, MOMENTS, probabilities)
    found = "After 0.1 epochs 21 of 25 are right; the last one is right for good from epoch 3 on"
    assert figure.get_suptitle() == found
    left, right = figure.axes[:2]
    strip, ink = (np.asarray(image.get_array()) for image in left.images)
    assert strip.shape == (13, 3) and strip == pytest.approx(probabilities[:, range(13), Y[:13]].T)
    assert left.images[0].get_clim() == (0, 1)
    assert ink[::28, 0].tolist() == list(range(1, 14))
    assert np.asarray(right.images[0].get_array()).shape == (12, 3)
    assert [label.get_text() for label in left.get_xticklabels()] == ["0", "0.1", "3"]


def test_course_writes_every_digit_and_marks_the_wrong_ones() -> None:
    said = [np.zeros(25, int), np.full(25, 5), Y]
    axes = replay.course(marked(25), Y, MOMENTS, learned(said)).axes[0]
    written = {
        (round(x), round(y)): (int(part.get_label()), tuple(part.get_facecolor()[0, :3]))
        for part in axes.collections
        if part.get_label().isdigit()
        for x, y in part.get_offsets()
    }
    assert len(written) == 3 * 13
    (chips,) = (part for part in axes.collections if part.get_label() == "wrong")
    wrong = {(round(x), round(y)) for x, y in chips.get_offsets()}
    for (moment, row), (digit, color) in written.items():
        assert digit == said[moment][row]
        assert ((moment, row) in wrong) == (digit != Y[row])
        assert color == to_rgb(style.INK) or digit == Y[row]
    assert tuple(chips.get_facecolor()[0, :3]) == to_rgb(style.PAPER)
    assert tuple(chips.get_edgecolor()[0, :3]) == to_rgb(style.VERMILION)


def test_course_admits_what_was_not_learned() -> None:
    poor = learned([1 - Y % 2, np.where(np.arange(25) < 20, Y, 0), np.where(Y == 3, 5, Y)])
    found = replay.title(Y, MOMENTS, poor)
    assert found == "After 0.1 epochs 21 of 25 are right; 3 still wrong at the end"
    never = replay.title(Y, MOMENTS[1:2] * 10, learned([(Y + 1) % 10]))
    assert never == "After 1 epoch 0 of 25 are right at the end"
    assert replay.title(Y, MOMENTS, learned([Y] * 3)) == "All 25 are right from the first moment on"


@pytest.mark.parametrize("count", [1, 2, 7])
def test_course_of_few_digits(count: int) -> None:
    figure = replay.course(marked(count), Y[:count], MOMENTS[:1], learned([Y])[:, :count])
    drawn = [axes for axes in figure.axes[:2] if axes.images]
    assert sum(len(axes.images[0].get_array()) for axes in drawn) == count


def holds(picture: np.ndarray, color: str) -> bool:
    return bool((picture == np.round(255 * np.array(to_rgb(color)))).all(-1).any())


def test_frame_marks_each_digit() -> None:
    picture = replay.frame(marked(25), Y, 0.1, learned([np.where(Y == 1, 7, Y)])[0])
    assert picture.shape == (582, 500, 3) and picture.dtype == np.uint8
    for place, digit in enumerate(Y):
        row, column = divmod(place, 5)
        top, left = replay.HEAD + 104 * row, 100 * column
        cell = picture[top - 2 : top + 102, left : left + 100]
        assert (cell[44, 50] == 255 - (place + 1)).all()
        assert holds(cell, style.VERMILION) == (digit == 1) != holds(cell, style.BLUE)


def test_frame_of_few_digits_is_lower() -> None:
    assert replay.frame(marked(7), Y[:7], 2, learned([Y])[0, :7]).shape == (270, 500, 3)


def test_animation_plays_the_frames_and_rests_on_the_last() -> None:
    shown = np.random.default_rng(0).integers(0, 256, (25, 28, 28), dtype=np.uint8)
    said = learned([np.zeros(25, int), np.full(25, 5), Y])
    played = replay.animation(shown, Y, MOMENTS, said)
    assert len(played) < 400_000
    with Image.open(BytesIO(played)) as gif:
        assert gif.n_frames == 3 and gif.info["loop"] == 0
        for index, rest in enumerate([500, 500, 2000]):
            gif.seek(index)
            assert gif.info["duration"] == rest
            drawn = np.asarray(gif.convert("RGB")).astype(int)
            frame = replay.frame(shown, Y, MOMENTS[index], said[index])
            assert np.abs(drawn - frame).max() < 24 and np.abs(drawn - frame).mean() < 4


@pytest.mark.parametrize(("wrong", "played"), [([], 5), ([1], 7), ([9], 10)])
def test_an_animation_stops_soon_after_the_last_digit_is_learned(
    wrong: list[int], played: int
) -> None:
    said = [np.full(3, 9) if moment in wrong else Y[:3] for moment in range(10)]
    drawn = replay.animation(marked(3), Y[:3], np.arange(10.0), learned(said))
    with Image.open(BytesIO(drawn)) as gif:
        assert gif.n_frames == played  # four with all right, and the last one

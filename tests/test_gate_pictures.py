"""The pictures of the gates: their numbers against independent ones, their figures against both."""

import resource
from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from PIL import Image

from experiments.data import truth_table
from experiments.errors import DataError
from experiments.interpret import gate_slices, gate_spaces, gates
from experiments.plots import (
    gate_film,
    gate_hidden,
    gate_insight,
    gate_learning,
    gate_network,
    gate_planes,
    gate_starts,
)
from experiments.plots import gates as older
from models.mlp import GateBank

XOR = np.array([0.0, 1, 1, 0])
ROWS = truth_table.inputs(2)
# relu, by hand: xor = relu(a - b) + relu(b - a); as a logit 20 xor - 10
SOLVED = {
    "weight1": np.array([[1.0, -1], [-1, 1]]),
    "bias1": np.zeros(2),
    "weight2": np.array([20.0, 20]),
    "bias2": np.array(-10.0),
}


def random_weights(*nets: int, hidden: int = 3, inputs: int = 2) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"weight1": (hidden, inputs), "bias1": (hidden,), "weight2": (hidden,), "bias2": ()}
    return {name: random.normal(size=(*nets, *shape)) for name, shape in shapes.items()}


def path(steps: int = 5) -> dict[str, np.ndarray]:
    """From no weights to `SOLVED`, straight, of shape (steps,)."""
    along = np.linspace(0, 1, steps)
    return {name: np.multiply.outer(along, value) for name, value in SOLVED.items()}


def texts(figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts if t.get_text()]


def png(figure) -> None:
    figure.savefig(BytesIO(), format="png")


def test_logits_are_the_networks_and_no_random_number_is_drawn() -> None:
    before = torch.get_rng_state()
    weights = random_weights(2, 4)
    raw = gates.logits(weights, "tanh", ROWS)
    assert torch.equal(before, torch.get_rng_state())
    one = gates.take(weights, (1, 2))
    by_hand = np.tanh(ROWS @ one["weight1"].T + one["bias1"]) @ one["weight2"] + one["bias2"]
    assert raw.shape == (4, 2, 4) and np.allclose(raw[:, 1, 2], by_hand)
    with torch.inference_mode():
        bank = GateBank(2, (3,), 5, "sigmoid")
        theirs = {name: p.detach().numpy() for name, p in bank.named_parameters()}
        assert np.allclose(
            gates.logits(theirs, "sigmoid", ROWS), bank(torch.from_numpy(ROWS)), atol=1e-6
        )


def test_margins_and_losses_are_the_cross_entropy() -> None:
    weights, y = random_weights(3, 2), np.stack([XOR, 1 - XOR], 1)
    margin = gates.margins(weights, "tanh", ROWS, y)
    raw = torch.from_numpy(gates.logits(weights, "tanh", ROWS))
    target = torch.from_numpy(y)[:, None].expand(4, 3, 2)
    theirs = torch.nn.functional.binary_cross_entropy_with_logits(raw, target, reduction="none")
    assert np.allclose(gates.losses(margin), theirs.mean(0))
    assert gates.margins(SOLVED, "relu", ROWS, XOR).tolist() == [10, 10, 10, 10]


def test_right_from_is_the_step_after_the_last_mistake() -> None:
    margin = np.ones((2, 4, 3))
    margin[0, 1, 0] = margin[1, 3, 1] = -1
    since = gates.right_from([0, 1, 10, 100], margin)
    assert since == [10, None, 0]
    assert gates.focus(since, np.array([0.1, 0.2, 0.3])) == [1, 0, 2]
    assert gates.focus([5, 5, 7], np.array([0.1, 0.2, 0.0]), most=2) == [2, 1]


def test_picks_keep_both_ends() -> None:
    assert gates.picks(33, 8)[0] == 0 and gates.picks(33, 8)[-1] == 32
    assert len(gates.picks(33, 8)) == 8 and gates.picks(1) == [0]


def test_surface_is_the_sigmoid_with_a_along_the_columns() -> None:
    weights, line = random_weights(3, 2), np.array([-0.5, 0.0, 2.0])
    surface = gates.surfaces(weights, "tanh", line)
    there = gates.logits(weights, "tanh", np.array([[2.0, -0.5]]))[0]
    assert surface.shape == (3, 2, 3, 3)
    assert np.allclose(surface[:, :, 0, 2], 1 / (1 + np.exp(-there)))
    with pytest.raises(DataError, match="2 inputs, found 3"):
        gates.surfaces(random_weights(1, inputs=3), "tanh")


def test_hidden_space_measures_the_distance_to_the_boundary() -> None:
    weights = random_weights(1, hidden=4)
    space = gate_spaces.hidden_space(weights, "tanh", ROWS)
    raw = gates.logits(weights, "tanh", ROWS)
    assert np.allclose(space.distance, raw / np.linalg.norm(weights["weight2"]))
    one = gates.take(SOLVED, None)
    solved = gate_spaces.hidden_space(one, "relu", ROWS)
    # rows 00 and 11 in the origin, 01 and 10 on the two axes: apart along (1, -1) / sqrt(2)
    assert np.allclose(solved.distance[:, 0], np.array([-1, 1, 1, -1]) * 0.5 / np.sqrt(2))
    assert np.allclose(sorted(solved.rest[:, 0]), np.array([-1, 0, 0, 1]) / np.sqrt(2))
    assert solved.share[0] == pytest.approx(1)
    with pytest.raises(DataError, match="other than 0"):
        gate_spaces.hidden_space({**one, "weight2": np.zeros((1, 2))}, "relu", ROWS)


def test_fourteen_of_the_sixteen_gates_can_be_parted_by_a_line() -> None:
    table = truth_table.parse("all")
    y = truth_table.outputs(table)
    hard = {name for i, name in enumerate(table) if not gate_spaces.parted(ROWS, y[:, i])}
    assert hard == {"xor", "xnor"}


def test_landscape_has_the_path_and_its_losses() -> None:
    weights = path(6)
    random = np.random.default_rng(1)
    weights = {name: v + 0.2 * random.normal(size=v.shape) for name, v in weights.items()}
    found = gate_spaces.landscape(weights, "relu", ROWS, XOR)
    assert np.allclose(found.path[-1], 0) and found.loss.shape == (41, 41)
    from sklearn.decomposition import PCA

    theta = np.concatenate([v.reshape(6, -1) for v in weights.values()], 1)
    pca = PCA(2).fit(theta)
    assert np.allclose(found.share, pca.explained_variance_ratio_)
    theirs = (theta - theta[-1]) @ pca.components_.T
    sign = np.sign((found.path * theirs).sum(0))
    assert np.allclose(found.path, theirs * sign)
    row, column = 7, 30
    place = sign * (found.first[column], found.second[row]) @ pca.components_ + theta[-1]
    one = {"weight1": place[:4].reshape(2, 2), "bias1": place[4:6], "weight2": place[6:8]}
    one["bias2"] = place[8]
    expected = gates.losses(gates.margins(one, "relu", ROWS, XOR))
    assert found.loss[row, column] == pytest.approx(float(expected))


def test_a_landscape_needs_a_path() -> None:
    with pytest.raises(DataError, match="found 2 steps"):
        gate_spaces.landscape(path(2), "relu", ROWS, XOR)
    still = {name: np.stack([value] * 4) for name, value in SOLVED.items()}
    with pytest.raises(DataError, match="without a move"):
        gate_spaces.landscape(still, "relu", ROWS, XOR)


def test_slices_take_the_setting_with_most_changes() -> None:
    x = truth_table.inputs(4)
    y = ((x[:, 0] != x[:, 1]) & (x[:, 2] == 1) & (x[:, 3] == 0)).astype(float)
    cuts = gate_slices.slices(x, y, np.ones(16))
    assert len(cuts) == 6
    assert cuts[0].name == "a, b | c=1, d=0" and cuts[0].changes == 4
    assert cuts[0].target.tolist() == [False, True, True, False]
    three = gate_slices.slices(truth_table.inputs(3), np.ones(8), np.ones(8))
    assert [cut.name for cut in three[:3]] == ["a, b | c=0", "a, b | c=1", "a, c | b=0"]
    assert len(gate_slices.slices(truth_table.inputs(6), np.ones(64), np.ones(64))) == 15
    with pytest.raises(DataError, match="2 to 6 inputs, found 7"):
        gate_slices.slices(truth_table.inputs(7), np.ones(128), np.ones(128))


def test_a_plane_is_the_network_with_inputs_held_still() -> None:
    weights, x = random_weights(2, inputs=4), truth_table.inputs(4)
    cut = gate_slices.Slice((1, 3), ((0, 1), (2, 0)), np.zeros(4, bool))
    flat = gates.logits(gate_slices.plane(weights, cut), "tanh", ROWS)
    rows = [int(f"1{a}0{b}", 2) for a in (0, 1) for b in (0, 1)]
    assert np.allclose(flat, gates.logits(weights, "tanh", x)[rows])


def test_zero_lines_are_zero_and_end_at_the_edge() -> None:
    weight1 = np.array([[1.0, -2], [0, 1], [1, 1], [0, 0]])
    bias1 = np.array([0.2, -0.5, -9, 1])
    lines, ticks = gate_planes.zero_lines(weight1, bias1, -0.25, 1.25)
    assert len(lines) == len(ticks) == 2  # one passes by, one has no direction
    for unit in (0, 1):
        assert np.allclose(lines[unit] @ weight1[unit] + bias1[unit], 0)
        assert (np.isclose(lines[unit], -0.25) | np.isclose(lines[unit], 1.25)).any(1).all()
        assert ticks[unit, 1] @ weight1[unit] + bias1[unit] > 0


def through(since: list[int | None]):
    weights = {name: value[:, None].repeat(2, 1) for name, value in path(3).items()}
    line = np.linspace(-0.25, 1.25, 7)
    surface = gates.surfaces(weights, "relu", line)
    y = np.stack([XOR, XOR], 1)
    figure = gate_learning.through_training(
        ["xor", "twin"], [0, 4, 9], y, surface, weights, since, line
    )
    return figure, surface


def test_training_is_shown_gate_by_gate_and_step_by_step() -> None:
    figure, surface = through([4, None])
    png(figure)
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (2 * 7 + 6, 3 * 7 + 2 * 6)
    assert np.allclose(image[13:20, 13:20], surface[1, 0])  # the upper row is the first gate
    assert np.allclose(image[:7, 26:], surface[2, 1]) and image.mask[8].all()
    assert figure.get_suptitle() == "twin: not every row right at the end"
    assert through([4, 2])[0].get_suptitle() == (
        "Of these 2, xor is learned last: right from epoch 4 on (the first: 2)"
    )
    assert [t for t in texts(figure) if t.startswith("epoch")] == ["epoch 0", "epoch 4", "epoch 9"]
    assert "twin\nnot every row\nright at the end" in texts(figure)
    one, zero = figure.axes[0].collections[-2:]
    assert len(one.get_offsets()) == len(zero.get_offsets()) == 2 * 3 * 2
    assert gate_learning.finding("or", 0) == "or: right from the start"


def test_a_replay_is_a_small_looping_film() -> None:
    weights = path(45)
    steps = list(range(45))
    surface = gates.surfaces(weights, "relu")
    loss = gates.losses(gates.margins(weights, "relu", ROWS, XOR))
    raw = gate_learning.replay("xor", steps, loss, XOR, surface, weights, 3, gates.LINE)
    film = Image.open(BytesIO(raw))
    assert film.n_frames == 40 and film.info["loop"] == 0 and film.width == 902
    durations, middles = [], []
    for frame in range(film.n_frames):
        film.seek(frame)
        durations.append(film.info["duration"])
        middles.append(np.asarray(film.convert("RGB"), int)[:, :300])
    assert set(durations[:-1]) == {100} and durations[-1] == 1500
    assert all((a != b).any() for a, b in pairwise(middles))
    assert len(raw) < 600_000 and len(np.unique(middles[-1].reshape(-1, 3), axis=0)) <= 128


def test_a_replay_of_more_inputs_is_on_a_plane() -> None:
    weights, x = random_weights(2, hidden=9, inputs=3), truth_table.inputs(3)
    cut = gate_slices.slices(x, np.ones(8), np.ones(8))[1]
    plane = gate_slices.plane(weights, cut)
    surface = gates.surfaces(plane, "tanh")
    loss = np.array([0.7, 0.1])
    raw = gate_learning.replay(
        "t", [0, 1], loss, cut.target, surface, weights, None, gates.LINE, plane, cut.name
    )
    assert Image.open(BytesIO(raw)).n_frames == 2


def test_a_film_too_large_leaves_frames_out(monkeypatch) -> None:
    random = np.random.default_rng(0)
    frames = list(random.integers(0, 255, (9, 20, 30, 3), np.uint8))
    whole = len(gate_film.gif(frames))
    monkeypatch.setattr(gate_film, "MOST_BYTES", whole - 1)
    raw = gate_film.gif(frames)
    film = Image.open(BytesIO(raw))
    assert len(raw) < whole and film.n_frames == 5 and film.info["duration"] == 200


def test_hidden_space_says_whether_a_line_parts() -> None:
    one = gates.take(SOLVED, None)
    space = gate_spaces.hidden_space(one, "relu", ROWS)
    figure = gate_hidden.hidden_space(["xor"], ROWS, XOR[:, None], *space, [False])
    png(figure)
    said = "xor: a line parts its rows in hidden space, but no line parts the inputs"
    assert figure.get_suptitle() == said
    inputs, hidden = figure.axes
    ones = hidden.collections[0].get_offsets()
    assert np.allclose(np.sort(ones[:, 0]), 0.5 / np.sqrt(2)) and len(ones) == 2
    assert sorted(map(tuple, inputs.collections[0].get_offsets())) == [(0, 1), (1, 0)]
    assert hidden.lines[0].get_xdata() == [0, 0]
    assert "00, 11" in texts(figure)  # both in the origin: one label
    failed = gate_hidden.hidden_space(
        ["xor"], ROWS, XOR[:, None], -space.distance, space.rest, space.share, [False]
    )
    assert "fails on 4 of 4 rows" in failed.get_suptitle()


def test_hidden_spaces_name_the_gates_that_no_line_parts() -> None:
    two = {name: np.stack([value, value]) for name, value in SOLVED.items()}
    space = gate_spaces.hidden_space(two, "relu", ROWS)
    y = np.stack([XOR, XOR], 1)
    figure = gate_hidden.hidden_space(["xor", "or"], ROWS, y, *space, [False, True])
    said = "xor: no line parts the inputs, a line parts the hidden space"
    assert figure.get_suptitle() == said
    simple = gate_hidden.hidden_space(["xor", "or"], ROWS, y, *space, [True, True])
    assert "A line parts the inputs of all 2 gates" in simple.get_suptitle()
    failed = gate_hidden.hidden_space(["xor", "or"], ROWS, 1 - y, *space, [False, True])
    assert failed.get_suptitle().startswith("xor and or: no line parts the hidden space")


def test_neighbours_in_the_input_space_differ_in_one_input() -> None:
    x = truth_table.inputs(3)
    order = np.argsort(gate_hidden._gray(x))
    assert sorted(order) == list(range(8))
    assert all(abs(x[a] - x[b]).sum() == 1 for a, b in pairwise(order))


def test_margins_name_and_frame_the_smallest() -> None:
    margin = np.array([[3.0, 2], [1, 4], [5, -0.5], [6, 7]])
    figure = gate_insight.margins(["or", "xor"], ROWS, margin)
    png(figure)
    assert figure.get_suptitle() == "1 of 8 rows wrong; the worst is xor at 10, −0.5 nats"
    axes = figure.axes[0]
    assert np.array_equal(axes.images[0].get_array(), margin)
    frames = [(round(p.get_x() + 0.46), round(p.get_y() + 0.45)) for p in axes.patches]
    assert frames == [(0, 1), (1, 2)]
    assert texts(figure) == ["3.0", "2.0", "1.0", "4.0", "5.0", "−0.5 ✗", "6.0", "7.0"]
    solved = gate_insight.margins(["or", "xor"], ROWS, abs(margin))
    assert solved.get_suptitle() == "All 8 rows right; the closest call is xor at 10, 0.5 nats"
    assert solved.axes[0].images[0].get_clim() == (0.5, 7)
    assert solved.axes[0].images[0].get_cmap().name == "viridis"
    assert axes.images[0].get_clim() == (-gate_insight.REACH, gate_insight.REACH)


def test_many_margins_are_dots() -> None:
    margin = np.linspace(-1, 9, 64)[:, None]
    figure = gate_insight.margins(["parity6"], truth_table.inputs(6), margin)
    png(figure)
    right, wrong, least = figure.axes[0].collections
    assert np.allclose(right.get_offsets()[:, 0], margin[margin > 0])
    assert len(wrong.get_offsets()) == 7 and least.get_offsets()[0, 0] == -1
    assert "57 of 64 right" in texts(figure)


def test_slices_show_each_plane_and_count_its_corners() -> None:
    line = np.array([-1.0, 0, 1, 2])
    probability = np.full((6, 4, 4), 0.1)
    probability[0, 2, 1] = 0.9  # a = 0, b = 1
    target = np.zeros((6, 4), bool)
    target[0, 1] = target[5, 3] = True
    names = ["a, b | c=0", "a, b | c=1", "a, c | b=0", "a, c | b=1", "b, c | a=0", "b, c | a=1"]
    figure = gate_insight.slices("odd", names, target, probability, line)
    png(figure)
    assert figure.get_suptitle() == "odd: 23 of 24 corners right on 6 slices"
    assert set(names) <= set(texts(figure)) and texts(figure).count("a →") == 4
    image = figure.axes[0].images[0].get_array()
    assert image[-2, 1] == 0.9  # the first slice is above, on the left


def test_the_landscape_is_drawn_with_its_path() -> None:
    found = gate_spaces.landscape(path(5), "relu", ROWS, XOR)
    figure = gate_starts.landscape("xor", [0, 1, 2, 3, 4], *found)
    png(figure)
    assert figure.get_suptitle().startswith("xor: from 0.69 to 0.0")
    exact = gate_starts.landscape("xor", [0, 1, 2, 3, 4], *found, ends=(0.69314, 4.2e-6))
    assert exact.get_suptitle() == "xor: from 0.69 to 0.000004 nats"
    assert figure.get_supxlabel().startswith("this plane holds 100.0% of the path's variance")
    axes = figure.axes[0]
    assert np.allclose(axes.lines[1].get_xydata(), found.path)
    assert "100.0% of the path's variance" in axes.get_xlabel()
    assert {"start", "end, epoch 4"} <= set(texts(figure))


def test_luck_sorts_the_starts_and_names_the_unluckiest_gate() -> None:
    loss = np.array([[0.1, 1e-3, np.nan, 0.01], [0.5, 0.6, 0.4, 1e-4]])
    solved = np.array([[True, True, False, True], [False, False, False, True]])
    figure = gate_starts.luck_of_starts(["or", "xor"], loss, solved)
    png(figure)
    assert figure.get_suptitle() == "xor fails from 3 of 4 starts, 1 other gate from fewer"
    assert figure.get_supxlabel().startswith("right of the vermilion mark")
    cells = figure.axes[0].images[0].get_array()
    assert np.allclose(cells[0, :3], [-3, -2, -1]) and cells.mask[0, 3]
    assert np.allclose(cells[1], np.log10([1e-4, 0.4, 0.5, 0.6]))
    assert [line.get_xdata()[0] for line in figure.axes[0].lines[::2]] == [2.5, 0.5]
    assert {"3 of 4, 75%", "1 of 4, 25%"} <= set(texts(figure))
    every = gate_starts.luck_of_starts(["or", "xor"], loss, np.ones((2, 4), bool))
    assert every.get_suptitle() == "All 4 starts learn all 2 gates"
    assert every.get_supxlabel() == ""


@pytest.mark.parametrize(
    ("failed", "title"),
    [
        ((2, 0, 2, 0), "a and c fail from 2 of 4 starts; the other 2 gates always learn"),
        ((2, 1, 0, 0), "a fails from 2 of 4 starts, 1 other gate from fewer; 2 gates always learn"),
        ((4, 4, 4, 4), "a, b, c and d fail from 4 of 4 starts"),
        ((1, 0, 1, 1), "a, c and d fail from 1 of 4 starts; 1 gate always learns"),
        ((3,), "1 of 4 starts learn a, 25%"),
    ],
)
def test_luck_names_ties(failed: tuple[int, ...], title: str) -> None:
    solved = np.arange(4) >= np.array(failed)[:, None]
    figure = gate_starts.luck_of_starts("abcd"[: len(failed)], np.full(solved.shape, 0.1), solved)
    assert figure.get_suptitle() == title


def test_the_network_has_every_number() -> None:
    figure = gate_network.network("xor", SOLVED, "relu")
    png(figure)
    edges = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    assert len(edges.get_segments()) == 2 * 2 + 2
    assert np.allclose(edges.get_linewidths()[4:], gate_network.THICKEST)
    said = texts(figure)
    assert said.count("1.00") == said.count("−1.00") == said.count("20.00") == 2
    assert said.count("+0.00") == 2 and "−10.00" in said
    assert figure.get_suptitle() == "xor: 9 parameters, greatest weight 20.0"


def test_a_wide_network_shows_its_strongest_units_and_says_so() -> None:
    weights = random_weights(hidden=30)
    figure = gate_network.network("xor", weights, "tanh")
    assert "8 of 30 hidden units" in figure.get_suptitle()
    strongest = np.argsort(-abs(weights["weight2"]))[:8]
    for unit in strongest:
        assert f"{weights['weight2'][unit]:.2f}".replace("-", "−") in texts(figure)


def test_small_networks_have_their_numbers_beside_the_lines() -> None:
    weights = gates.take(SOLVED, None)
    assert {"1.0", "−1.0", "20.0"} <= set(texts(older.networks(["xor"], weights, "relu")))
    wide = random_weights(1, hidden=5)
    assert texts(older.networks(["xor"], wide, "tanh")) == ["a", "b"]


def test_the_landscape_of_a_wide_net_of_ten_inputs_stays_small() -> None:
    random, hidden = np.random.default_rng(0), 256
    shapes = {"weight1": (hidden, 10), "bias1": (hidden,), "weight2": (hidden,), "bias2": ()}
    path = {
        name: random.normal(size=(4, *shape)).astype(np.float32) for name, shape in shapes.items()
    }
    x = (np.arange(1024)[:, None] >> np.arange(10) & 1).astype(np.float32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = gate_spaces.landscape(path, "tanh", x, x[:, 0])
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024  # MB on Linux
    assert found.loss.shape == (41, 41) and grown < 700


def test_many_networks_have_no_numbers_and_mirrored_ones_look_mirrored() -> None:
    one = random_weights(hidden=3)
    other = {k: v[[2, 0, 1]] if v.ndim else v for k, v in one.items()}  # the units, reordered
    five = {name: np.stack([one[name], *[other[name]] * 4]) for name in one}
    figure = older.networks(list("abcde"), five, "tanh")
    assert set(texts(figure)) == {"a", "b"}  # the inputs' letters alone
    first, second = ([(e.get_linewidth(), e.get_ydata()[1]) for e in axes.lines]
                     for axes in figure.axes[:2])  # fmt: skip
    assert first == second
    for line in figure.axes[0].lines:
        blue = line.get_color() == older.style.BLUE
        assert (line.get_linestyle() == "--") == blue


def test_the_title_of_networks_names_those_that_ignore_an_input() -> None:
    weights = random_weights(2)
    weights["weight1"][:] = 1.0
    assert "ignore" not in older.networks(["or", "a"], weights, "tanh").get_suptitle()
    weights["weight1"][1, :, 1] = 0.05
    weights["weight2"][0, 0] = -8.1
    said = "a all but ignores an input; or has the largest weight, 8.1"
    assert older.networks(["or", "a"], weights, "tanh").get_suptitle() == said


def test_surfaces_count_the_lines_that_cross_them() -> None:
    a, b = older.grid().T
    both = np.stack([1.0 * ((a > 0.5) != (b > 0.5)), 1.0 * (a + b > 1.5), 0 * a + 0.9], 1)
    square = both.reshape(older.GRID_SIDE, older.GRID_SIDE, -1)
    assert [older._lines(square[..., gate]) for gate in range(3)] == [2, 1, 0]
    y = np.array([[0, 0, 1], [1, 0, 1], [1, 0, 1], [0, 1, 1.0]])
    figure = older.surfaces(["xor", "and", "true"], y, both)
    assert figure.get_suptitle() == "3 of 3 gates right at all corners; xor uses two lines"
    plain = older.surfaces(["and", "true"], y[:, 1:], both[:, 1:])
    assert plain.get_suptitle().endswith("; none with more than one line")
    marks = {(line.get_marker(), line.get_markerfacecolor()) for line in figure.axes[0].lines}
    assert marks == set(gate_planes.LOOKS.values())
    assert [axes.get_ylabel() for axes in figure.axes[:3]] == ["input b", "", ""]


def test_many_weights_have_the_greatest_numbers_only() -> None:
    weights = random_weights(hidden=8, inputs=6)
    figure = gate_network.network("parity6", weights, "tanh")
    bold = [t for t in figure.axes[0].texts if t.get_fontweight() == "bold"]
    assert len(bold) == gate_network.GREATEST + 8
    assert "16 greatest" in figure.get_supxlabel()

"""The figures of the gates: their numbers against independent ones, their drawings against both."""

from io import BytesIO
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from PIL import Image

from experiments.core.errors import DataError
from experiments.data import truth_table
from experiments.figures.analysis import gate_slices, gate_spaces, gates
from experiments.figures.plots import (
    gate_animation,
    hidden_space,
    init_success,
    loss_landscape,
    mlp_diagram,
    style,
    surface_grid,
    truth_tables,
)
from tests.expect import refused
from tests.figure_text import names, numbers, texts
from tests.nets import random_weights

XOR = np.array([0.0, 1, 1, 0])
ROWS = truth_table.inputs(2)
SQUARE = gate_slices.Slice((0, 1), (), XOR > 0.5)
# relu, by hand: xor = relu(a - b) + relu(b - a); as a logit 20 xor - 10
SOLVED = {
    "weight1": np.array([[1.0, -1], [-1, 1]]),
    "bias1": np.zeros(2),
    "weight2": np.array([20.0, 20]),
    "bias2": np.array(-10.0),
}


def path(epochs: int = 5) -> dict[str, np.ndarray]:
    """From no weights to `SOLVED`, straight, of shape (epochs,)."""
    along = np.linspace(0, 1, epochs)
    return {name: np.multiply.outer(along, value) for name, value in SOLVED.items()}


def test_logits_are_the_networks_and_no_random_number_is_drawn() -> None:
    before = torch.get_rng_state()
    weights = random_weights(2, 4)
    raw = gates.logits(weights, "tanh", ROWS)
    assert torch.equal(before, torch.get_rng_state())
    one = gates.take(weights, (1, 2))
    by_hand = np.tanh(ROWS @ one["weight1"].T + one["bias1"]) @ one["weight2"] + one["bias2"]
    assert raw.shape == (4, 2, 4) and np.allclose(raw[:, 1, 2], by_hand)


def test_margins_and_losses_are_the_cross_entropy() -> None:
    weights, y = random_weights(3, 2), np.stack([XOR, 1 - XOR], 1)
    margin = gates.margins(weights, "tanh", ROWS, y)
    raw = torch.from_numpy(gates.logits(weights, "tanh", ROWS))
    target = torch.from_numpy(y)[:, None].expand(4, 3, 2)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(raw, target, reduction="none")
    assert np.allclose(gates.losses(margin), expected.mean(0))
    assert gates.margins(SOLVED, "relu", ROWS, XOR).tolist() == [10, 10, 10, 10]


def test_correct_from_is_the_epoch_after_the_last_mistake() -> None:
    margin = np.ones((2, 4, 3))
    margin[0, 1, 0] = margin[1, 3, 1] = -1
    assert gates.correct_from([0, 1, 10, 100], margin) == [10, None, 0]
    texts = [surface_grid.learned(since) for since in (0, 7, None)]
    assert len(set(texts)) == 3 and [numbers(t) for t in texts] == [[], [7], []]


def test_a_surface_is_the_sigmoid_with_a_along_the_columns() -> None:
    weights, line = random_weights(3, 2), np.array([-0.5, 0.0, 2.0])
    surface = gates.surfaces(weights, "tanh", line)
    logit = gates.logits(weights, "tanh", np.array([[2.0, -0.5]]))[0]
    assert surface.shape == (3, 2, 3, 3)
    assert np.allclose(surface[:, :, 0, 2], 1 / (1 + np.exp(-logit)))
    with refused("gate-inputs-out-of-range", DataError, expected="2", found=3):
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
    assert np.allclose(sorted(solved.component[:, 0]), np.array([-1, 0, 0, 1]) / np.sqrt(2))
    assert solved.explained[0] == pytest.approx(1)
    with refused("weights-zero", DataError, what="hidden space"):
        gate_spaces.hidden_space({**one, "weight2": np.zeros((1, 2))}, "relu", ROWS)


def test_fourteen_of_the_sixteen_gates_are_linearly_separable() -> None:
    table = truth_table.parse("all")
    y = truth_table.outputs(table)
    hard = {name for i, name in enumerate(table) if not gate_spaces.separable(ROWS, y[:, i])}
    assert hard == {"xor", "xnor"}


def test_a_landscape_has_the_trajectory_and_its_losses() -> None:
    random = np.random.default_rng(1)
    weights = {name: v + 0.2 * random.normal(size=v.shape) for name, v in path(6).items()}
    plane = gate_spaces.landscape(weights, "relu", ROWS, XOR)
    assert np.allclose(plane.path[-1], 0) and plane.loss.shape == (41, 41)
    from sklearn.decomposition import PCA

    theta = np.concatenate([v.reshape(6, -1) for v in weights.values()], 1)
    pca = PCA(2).fit(theta)
    assert np.allclose(plane.explained, pca.explained_variance_ratio_)
    expected = (theta - theta[-1]) @ pca.components_.T
    sign = np.sign((plane.path * expected).sum(0))
    assert np.allclose(plane.path, expected * sign)
    row, column = 7, 30
    point = sign * (plane.first[column], plane.second[row]) @ pca.components_ + theta[-1]
    one = {"weight1": point[:4].reshape(2, 2), "bias1": point[4:6], "weight2": point[6:8]}
    one["bias2"] = point[8]
    loss = gates.losses(gates.margins(one, "relu", ROWS, XOR))
    assert plane.loss[row, column] == pytest.approx(float(loss))


def test_a_landscape_needs_a_trajectory() -> None:
    with refused("trajectory-too-short", DataError, expected="3", found="2 "):
        gate_spaces.landscape(path(2), "relu", ROWS, XOR)
    constant = {name: np.stack([value] * 4) for name, value in SOLVED.items()}
    with refused("trajectory-too-short", DataError, found="4 ") as caught:
        gate_spaces.landscape(constant, "relu", ROWS, XOR)
    assert numbers(caught.value.found) == [4, 0]  # epochs, and the largest change


def test_slices_take_the_setting_with_most_changes() -> None:
    x = truth_table.inputs(4)
    y = ((x[:, 0] != x[:, 1]) & (x[:, 2] == 1) & (x[:, 3] == 0)).astype(float)
    cuts = gate_slices.slices(x, y)
    assert len(cuts) == 6
    assert cuts[0].title("g") == "g (c=1, d=0)" and cuts[0].changes == 4
    assert cuts[0].target.tolist() == [False, True, True, False]
    three = gate_slices.slices(truth_table.inputs(3), np.ones(8))
    assert [cut.others for cut in three[:3]] == [((2, 0),), ((2, 1),), ((1, 0),)]
    assert len(gate_slices.slices(truth_table.inputs(6), np.ones(64))) == 15
    with refused("gate-inputs-out-of-range", DataError, expected="2 to 6", found=7):
        gate_slices.slices(truth_table.inputs(7), np.ones(128))


def test_a_restricted_network_is_the_network_with_inputs_fixed() -> None:
    weights, x = random_weights(2, inputs=4), truth_table.inputs(4)
    cut = gate_slices.Slice((1, 3), ((0, 1), (2, 0)), np.zeros(4, bool))
    flat = gates.logits(gate_slices.restrict(weights, cut), "tanh", ROWS)
    rows = [int(f"1{a}0{b}", 2) for a in (0, 1) for b in (0, 1)]
    assert np.allclose(flat, gates.logits(weights, "tanh", x)[rows])


def test_zero_lines_are_where_the_sum_is_zero() -> None:
    weight1, bias1 = np.array([[1.0, -2], [0, 1], [0, 0]]), np.array([0.2, -0.5, 1])
    lines, ticks = surface_grid.zero_lines(weight1, bias1)
    assert len(lines) == len(ticks) == 2  # one has no direction
    for unit in (0, 1):
        assert np.allclose(lines[unit] @ weight1[unit] + bias1[unit], 0)
        assert ticks[unit, 1] @ weight1[unit] + bias1[unit] > 0


def test_surfaces_have_the_inputs_on_their_axes_and_count_correct_corners() -> None:
    a = np.tile(gates.LINE, (len(gates.LINE), 1))
    first = gate_slices.Slice((0, 1), (), np.array([False, False, True, True]))  # the gate `a`
    both = np.stack([a > 0.5, a > 0.5]).astype(float)
    figure = surface_grid.surfaces("2 gates", ["a", "xor"], [first, SQUARE], both)
    assert numbers(figure.get_suptitle()) == [2, 6, 8]
    image = np.asarray(figure.axes[0].images[0].get_array())
    assert image[0, 0] == 0 and image[0, -1] == 1 and image[-1, 0] == 0
    dots = {
        (line.get_xdata()[0], line.get_ydata()[0]): to_hex(line.get_markerfacecolor())
        for line in figure.axes[0].lines
    }
    assert dots[1, 0] == dots[1, 1] == style.VERMILION.lower()
    assert dots[0, 0] == dots[0, 1] == style.BLUE.lower()


@pytest.mark.parametrize("inputs", [2, 3])
def test_an_animation_is_a_small_looping_gif(inputs: int) -> None:
    weights, x = random_weights(6, hidden=9, inputs=inputs), truth_table.inputs(inputs)
    cut = gate_slices.slices(x, np.ones(len(x)))[-1]
    plane = gate_slices.restrict(weights, cut)
    surface, loss = gates.surfaces(plane, "tanh"), np.geomspace(0.7, 0.001, 6)
    film = gate_animation.animate("xor", range(6), loss, cut, surface, weights, plane, 3)
    assert numbers(film.title) == [3]
    gif = Image.open(BytesIO(film.gif))
    assert gif.n_frames == 6 and gif.info["loop"] == 0 and gif.width == 902
    durations, surfaces = [], []
    for frame in range(gif.n_frames):
        gif.seek(frame)
        durations.append(gif.info["duration"])
        surfaces.append(np.asarray(gif.convert("RGB"), int)[:, :300])
    assert durations == [100] * 5 + [1500]
    assert all((a != b).any() for a, b in pairwise(surfaces))


def test_hidden_space_names_the_gates_that_are_not_separable() -> None:
    two = {name: np.stack([value, value]) for name, value in SOLVED.items()}
    space = gate_spaces.hidden_space(two, "relu", ROWS)
    y, labels = np.stack([XOR, XOR], 1), ["xor", "nor"]
    figure = hidden_space.hidden_space(labels, ROWS, y, space, [False, True])
    hard = figure.get_suptitle()
    inputs, _, hidden, _ = figure.axes
    ones = hidden.collections[0].get_offsets()
    assert np.allclose(np.sort(ones[:, 0]), 0.5 / np.sqrt(2)) and len(ones) == 2
    assert sorted(map(tuple, inputs.collections[0].get_offsets())) == [(0, 1), (1, 0)]
    assert hidden.lines[0].get_xdata() == [0, 0]
    assert "00, 11" in texts(figure)  # both in the origin: one label
    easy = hidden_space.hidden_space(labels, ROWS, y, space, [True, True]).get_suptitle()
    failed = hidden_space.hidden_space(labels, ROWS, 1 - y, space, [False, True]).get_suptitle()
    assert names(hard, labels) == ["xor"]
    assert names(easy, labels) == names(failed, labels) == labels and easy != failed


def test_neighbours_in_the_input_space_differ_in_one_input() -> None:
    x = truth_table.inputs(3)
    order = np.argsort(hidden_space.gray_order(x))
    assert sorted(order) == list(range(8))
    assert all(abs(x[a] - x[b]).sum() == 1 for a, b in pairwise(order))


def test_predictions_mark_wrong_rows() -> None:
    x, y = np.array([[0.0], [1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    logits = np.array([[-3.0, 3.0], [3.0, 3.0]])
    logits[1, 0] = 2
    figure = truth_tables.predictions(["a", "not_a"], x, y, logits)
    title = figure.get_suptitle()
    assert numbers(title) == [1, 2, -3, 1]  # learned, gates; smallest margin, at the row 1
    assert names(title, ["a", "not_a"]) == ["not_a"]
    assert texts(figure) == ["0.05", "0.95", "0.88", "0.95 ✗"]
    many = np.linspace(1, 9, 64)[:, None]
    figure = truth_tables.predictions(["a"], truth_table.inputs(6), np.ones((64, 1)), many)
    assert texts(figure) == [] and numbers(figure.get_suptitle()) == [64, 64, 1, 0]


def test_the_landscape_is_drawn_with_its_trajectory() -> None:
    plane = gate_spaces.landscape(path(5), "relu", ROWS, XOR)
    figure = loss_landscape.landscape("xor", [0, 1, 2, 3, 4], plane, (0.69314, 4.2e-6))
    assert names(figure.get_suptitle(), ["0.69", "0.0000042"]) == ["0.69", "0.0000042"]
    assert numbers(figure.get_supxlabel())[0] == 100.0  # % of the variance
    axes = figure.axes[0]
    assert np.allclose(axes.lines[1].get_xydata(), plane.path)
    assert [numbers(text) for text in texts(figure)] == [[], [4]]  # the start; the end, an epoch


@pytest.mark.parametrize(
    ("failed", "worst", "counts"),
    [
        ((2, 0, 2, 0), ["xor", "nor"], [2, 4, 2, 4]),  # 2 of 4 fail; 2 of 4 gates never fail
        ((2, 1, 0, 0), ["xor"], [2, 4, 2, 4]),
        ((0, 0), [], [4]),  # restarts
        ((3,), ["xor"], [3, 4]),
    ],
)
def test_failed_initialisations_are_counted(
    failed: tuple[int, ...], worst: list[str], counts: list[int]
) -> None:
    labels = ["xor", "nand", "nor", "xnor"][: len(failed)]
    solved = np.arange(4) >= np.array(failed)[:, None]
    loss = np.where(solved, 0.01, 0.5)
    figure = init_success.restarts(labels, loss, solved)
    assert (
        names(figure.get_suptitle(), labels) == worst and numbers(figure.get_suptitle()) == counts
    )
    right, wrong = figure.axes[0].collections
    assert (right.get_offsets()[:, 0] == 0.01).all() and len(right.get_offsets()) == solved.sum()
    assert len(wrong.get_offsets()) == sum(failed)
    ticks = [numbers(label.get_text())[-1] for label in figure.axes[0].get_yticklabels()]
    assert ticks == [4] * len(failed)


def test_the_network_has_every_number() -> None:
    figure = mlp_diagram.weights("xor", SOLVED, "relu")
    edges = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    assert len(edges.get_segments()) == 2 * 2 + 2
    assert np.allclose(edges.get_linewidths()[4:], mlp_diagram.MAX_WIDTH)
    said = texts(figure)
    assert said.count("1.00") == said.count("−1.00") == said.count("20.00") == 2
    assert said.count("0.00") == 2 and "−10.00" in said
    assert numbers(figure.get_suptitle()) == [20]


def test_a_large_network_shows_its_strongest_units_and_says_so() -> None:
    weights = random_weights(hidden=30, inputs=6)
    figure = mlp_diagram.weights("parity6", weights, "tanh")
    strongest = np.argsort(-abs(weights["weight2"]))[:8]
    for unit in strongest:
        assert f"{weights['weight2'][unit]:.2f}".replace("-", "−") in texts(figure)
    bold = [t for t in figure.axes[0].texts if t.get_fontweight() == "bold"]
    assert len(bold) == mlp_diagram.MAX_NUMBERS + 8
    assert mlp_diagram.MAX_NUMBERS in numbers(figure.get_supxlabel())
    assert [30, 8, 210] in [numbers(text) for text in texts(figure)]  # units, shown, parameters


def test_an_architecture_draws_every_connection() -> None:
    figure = mlp_diagram.architecture(2, 4, "tanh", 16)
    net = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    count = sum(p.numel() for p in net.parameters())
    assert numbers(figure.get_suptitle()) == [count, 12, 16]  # parameters, multiply-adds, gates
    edges = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    assert len(edges.get_segments()) == 2 * 4 + 4 and {"a", "b"} <= set(texts(figure))


@pytest.mark.parametrize("kind", list(mlp_diagram.CURVES))
def test_activations_are_drawn_as_torch_computes_them(kind: str) -> None:
    line = np.linspace(-3, 3, 41)
    expected = getattr(torch.nn.functional, kind)(torch.from_numpy(line)).numpy()
    np.testing.assert_allclose(mlp_diagram.CURVES[kind](line), expected, atol=1e-12)


def test_networks_of_all_gates_have_widths_and_signs() -> None:
    weights, labels = random_weights(2), ["xor", "nor"]
    weights["weight1"][:] = 1.0
    weights["weight1"][1, :, 1] = 0.05
    weights["weight2"][0, 0] = -8.1
    figure = mlp_diagram.all_weights(labels, weights, "tanh")
    assert names(figure.get_suptitle(), labels) == ["xor"]
    assert numbers(figure.get_suptitle()) == [8.1, 1, 2]  # largest weight; gates ignoring an input
    edges = figure.axes[0].collections[0]
    colors = [to_hex(color) for color in edges.get_colors()[6:]]  # of the output weights
    signs = [weight > 0 for weight in sorted(weights["weight2"][0], reverse=True)]
    assert colors == [(style.VERMILION if sign else style.BLUE).lower() for sign in signs]
    assert edges.get_linewidths().argmax() == 8  # the last: the most negative output weight

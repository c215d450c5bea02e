"""Figures say what the numbers say."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from scipy.stats import binomtest
from torch import nn

from experiments.layers import describe
from experiments.plots import (
    architecture,
    gates,
    luck,
    neurons,
    robustness,
    search,
    style,
    training,
    trust,
)
from experiments.plots import digits as digit_plots
from models.cnn import DigitCNN


def texts(figure) -> list[str]:
    return [t.get_text() for axes in figure.axes for t in axes.texts if t.get_text()]


def test_curves_show_the_history_and_the_kept_epoch() -> None:
    history = {
        "train_loss": [0.9, 0.5, 0.4],
        "val_loss": [0.8, 0.3, 0.35],
        "train_accuracy": [0.7, 0.8, 0.9],
        "val_accuracy": [0.75, 0.97, 0.96],
        "lr": [0.1, 0.05, 0.0],
    }
    figure = training.curves([1, 2, 3], history, kept=2)
    assert figure.get_suptitle() == "Kept epoch 2: 97.00% right on validation"
    drawn = {line.get_label(): list(line.get_ydata()) for line in figure.axes[0].lines}
    assert drawn["val"] == history["val_loss"] and drawn["train"] == history["train_loss"]
    assert list(figure.axes[2].lines[0].get_ydata()) == history["lr"]


def test_confusion_counts_and_names_the_worst_pair() -> None:
    y = np.array([4, 4, 4, 9, 9, 1])
    said = np.array([4, 9, 9, 9, 4, 1])
    figure = digit_plots.confusion(y, np.eye(10)[said])
    assert figure.get_suptitle() == "3 mistakes in 6: most often a 4 read as 9"
    colours = figure.axes[0].images[0].get_array()
    assert colours[4, 9] == 2 and colours[9, 4] == 1
    assert all(colours.mask[i, i] for i in range(10))
    assert sorted(texts(figure)) == ["1", "1", "1", "1", "2"]


def test_confusion_without_mistakes() -> None:
    figure = digit_plots.confusion(np.arange(10), np.eye(10))
    assert figure.get_suptitle() == "0 mistakes in 10: no digit confused"


def test_predictions_show_the_hardest() -> None:
    x, y = np.zeros((40, 28, 28), np.uint8), np.zeros(40, int)
    logits = np.tile(np.eye(10)[0] * 9, (40, 1))
    logits[39] = np.eye(10)[7] * 5
    x[39] = 200
    (axes,) = digit_plots.predictions(x, y, logits).axes
    captions = [text.get_text() for text in axes.texts]
    assert len(captions) == 32
    assert captions[16] == "7 ✗ is 0\n94.3%"
    assert captions[0] == "0 ✓\n99.9%"
    ink = np.asarray(axes.images[0].get_array())
    rows, columns = np.nonzero(ink)
    place = axes.texts[16].get_position()
    assert columns.min() < place[0] < columns.max() and rows.max() < place[1]
    assert len(rows) == 28 * 28


def test_predictions_of_few_digits_leave_places_empty() -> None:
    figure = digit_plots.predictions(np.zeros((3, 28, 28), np.uint8), np.arange(3), np.eye(10)[:3])
    assert len(texts(figure)) == 6


def test_truth_tables_mark_wrong_rows() -> None:
    x, y = np.array([[0.0], [1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    logits = np.array([[-3.0, 3.0], [3.0, 3.0]])
    figure = gates.truth_tables(["a", "not_a"], x, y, logits)
    assert figure.get_suptitle() == "1 of 2 gates solved"
    assert texts(figure) == ["0.05", "0.95", "0.95", "0.95 ✗"]


def test_surface_has_the_inputs_on_their_axes() -> None:
    points = gates.grid()
    first = (points[:, 0] > 0.5).astype(float)[:, None]  # the gate `a`
    figure = gates.surfaces(["a"], np.array([[0.0], [0], [1], [1]]), first)
    image = np.asarray(figure.axes[0].images[0].get_array())
    assert image[0, 0] == 0 and image[0, -1] == 1 and image[-1, 0] == 0
    dots = {
        (line.get_xdata()[0], line.get_ydata()[0]): to_hex(line.get_markerfacecolor())
        for line in figure.axes[0].lines
    }
    assert dots[1, 0] == dots[1, 1] == style.VERMILION.lower()
    assert dots[0, 0] == dots[0, 1] == style.BLUE.lower()


def test_networks_draw_every_weight() -> None:
    weights = {
        "weight1": np.array([[[1.0, -2.0], [0.5, 0.1], [3.0, 1.0]]]),
        "bias1": np.array([[1.0, -1.0, 0.5]]),
        "weight2": np.array([[1.0, -1.0, 2.0]]),
        "bias2": np.array([0.1]),
    }
    lines = gates.networks(["xor"], weights, "tanh").axes[0].lines
    assert len(lines) == 3 * 2 + 3
    assert [to_hex(line.get_color()) for line in lines].count(style.BLUE.lower()) == 2
    assert max(lines[:6], key=lambda line: line.get_linewidth()) is lines[4]


def test_layers_and_their_parameters_are_the_nets() -> None:
    net = DigitCNN()
    layers = describe(net, torch.zeros(2, 28, 28, dtype=torch.uint8))
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in net.parameters())
    names = ["normalize", "stages.0.conv", "stages.0.pool", "stages.0.norm", "stages.0.gelu"]
    assert [layer.name for layer in layers][:5] == names
    assert next(layer for layer in layers if layer.name == "stages.2.pool").shape == (64, 3, 3)


def test_architecture_shows_layers_shapes_and_activations() -> None:
    layers = describe(DigitCNN(), torch.zeros(2, 28, 28, dtype=torch.uint8))
    figure = architecture.blocks(layers, "image", (28, 28))
    said = "\n".join(texts(figure))
    totals = "98,811 parameters, 1,614,784 multiply-adds for one image"
    assert figure.axes[0].get_title() == totals
    finding = "Linear layers hold 76% of the parameters, convolutions do 95% of the multiply-adds"
    assert figure.get_suptitle() == finding
    for part in ("28 × 28", "32 × 6 × 6", "conv 3×3, 32 → 64", "GELU", "linear 576 → 128"):
        assert part in said


def test_architecture_of_a_gate_draws_every_connection() -> None:
    figure = neurons.neurons([2, 4, 1], ["tanh", "sigmoid"], "")
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    count = sum(p.numel() for p in net.parameters())
    assert figure.get_suptitle() == f"One network: {count} parameters, 12 multiply-adds"
    connections = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert len(connections) == 2 * 4 + 4 * 1
    assert "4 hidden units\ntanh\n12 parameters" in texts(figure)


def test_wide_nets_are_abridged_and_say_so() -> None:
    figure = neurons.neurons([2, 100, 1], ["relu", "sigmoid"], "")
    assert "100 hidden units (12 shown)\nrelu\n300 parameters" in texts(figure)


@pytest.mark.parametrize(("maximise", "best"), [(True, 3), (False, 0)])
def test_search_history_finds_the_best(maximise: bool, best: int) -> None:
    values = [0.1, 0.9, float("nan"), 0.5]
    states = ["complete", "pruned", "pruned", "complete"]
    figure = search.history(values, states, "val_accuracy", maximise)
    assert f"number {best}, {values[best]:.2%} right" in figure.get_suptitle()


def test_importances_admit_how_rough_they_are() -> None:
    figure = search.importances({"lr": 0.7, "width": 0.3}, "val_accuracy", trials=6)
    assert figure.get_suptitle() == "6 trials are too few to say what matters (lr 70%, width 30%)"
    assert {to_hex(bar.get_facecolor()) for bar in figure.axes[0].patches} == {style.GREY}
    enough = search.importances({"lr": 0.7, "width": 0.3}, "val_accuracy", trials=20)
    assert enough.get_suptitle() == "lr mattered most (fANOVA, 20 trials)"
    assert [bar.get_width() for bar in figure.axes[0].patches] == [0.3, 0.7]


def test_pareto_marks_the_front_in_every_panel() -> None:
    values = [[0.9, 100.0, 2.0], [0.8, 200.0, 3.0], [float("nan")] * 3, [0.7, 50.0, 1.0]]
    figure = search.pareto(values, ("val_accuracy", "parameters", "latency_ms"), [0, 3])
    assert figure.get_suptitle().startswith("2 of 3 trials")
    for index, axes in enumerate(figure.axes, start=1):
        _, marked = axes.collections
        assert sorted(map(tuple, marked.get_offsets())) == [
            (values[3][index], 0.7),
            (values[0][index], 0.9),
        ]


def test_corruptions_are_sorted_and_stand_beside_the_champions() -> None:
    figure = robustness.corruptions({"fog": 0.5, "dotted_line": 0.9}, {"fog": 0.7})
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.9]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["fog", "dotted line"]
    assert "70.0% right" in figure.get_suptitle() and "fog is the hardest" in figure.get_suptitle()
    assert axes.lines[0].get_xdata()[0] == 0.7
    said = {(round(t.get_position()[1]), t.get_text()) for t in axes.texts}
    assert {(0, "50.0%"), (1, "90.0%"), (0, "70.0%"), (1, "–")} <= said
    assert all(t.get_position()[0] > 1 for t in axes.texts)  # beyond the bars
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["this network", "present champion"]


def test_shares_are_all_or_none_only_if_they_are() -> None:
    shares = {"a": 0.0, "b": 0.0003, "c": 0.9996, "d": 1.0}
    said = texts(robustness.corruptions(shares, None))
    assert said == ["0%", "<0.1%", ">99.9%", "100%"]


def test_drawings_name_the_hardest_digit_and_pen() -> None:
    right = np.ones((10, 2))
    right[4, 1], right[5, 0], right[6, 0] = 0.75, 0.9996, np.nan
    figure = robustness.drawings(right, (6, 40))
    assert "hardest: 4 with a pen of 40 px (75.0%)" in figure.get_suptitle()
    assert sorted(texts(figure)) == ["75.0% ▼", ">99.9%", "–"]  # what is all right is left empty
    right[4, 0] = right[1, 1] = 0.75
    title = robustness.drawings(right, (6, 40)).get_suptitle()
    assert "hardest: 1 with a pen of 40 px, 4 with pens of 6 and 40 px (75.0%)" in title
    right[7, 1] = 0.75
    assert "4 pairs of a digit and a pen" in robustness.drawings(right, (6, 40)).get_suptitle()
    assert "hardest" not in robustness.drawings(np.ones((10, 2)), (6, 40)).get_suptitle()


@pytest.mark.parametrize("least", [0.2, 0.81, 1.0])
def test_the_scale_of_drawings_is_the_same_in_every_run(least: float) -> None:
    image = robustness.drawings(np.linspace(least, 1, 60).reshape(10, 6), range(6)).axes[0].images
    assert image[0].get_clim() == (0.8, 1)


def test_numbers_of_drawings_are_read_on_every_shade() -> None:
    figure = robustness.drawings(np.linspace(0.7, 1, 60).reshape(10, 6), range(6))
    axes = figure.axes[0]
    grounds = axes.images[0].to_rgba(axes.images[0].get_array()).reshape(-1, 4)
    pairs = zip(axes.texts, grounds[:-1], strict=True)  # the last is 100 % and stays empty
    assert min(style.contrast(text.get_color(), ground) for text, ground in pairs) >= 4.5


def test_bins_of_reliability_have_wilsons_intervals_and_a_true_diagonal() -> None:
    counts, line = np.array([0, 1, 40, 900]), np.array([0, 0.4, 0.7, 0.9])
    share = np.array([0, 0, 0.5, 0.95])
    figure = trust.reliability({"now": (counts, line, share, 0.1)})
    above, below = figure.axes
    (bars,) = (c for c in above.containers if isinstance(c, ErrorbarContainer))
    ends = np.array([segment[:, 1] for segment in bars.lines[2][0].get_segments()])
    for (low, high), count, right in zip(ends, counts[1:], share[1:], strict=True):
        interval = binomtest(round(count * right), count).proportion_ci(0.95, "wilson")
        assert (low, high) == pytest.approx(tuple(interval), abs=1e-6)
    figure.draw_without_rendering()
    assert above.get_xlim() == above.get_ylim()
    assert above.bbox.width == pytest.approx(above.bbox.height)
    assert below.bbox.width == pytest.approx(above.bbox.width)
    assert [bar.get_height() for bar in below.patches] == counts.tolist()
    sticks = above.collections[0].get_segments()
    np.testing.assert_allclose([s[:, 1] for s in sticks], np.c_[line, share][2:])
    (hollow,) = (part for part in above.lines if str(part.get_label()).startswith("hollow"))
    assert list(hollow.get_xdata()) == [0.4]  # of one digit there is no telling


def test_reliability_says_by_how_many_points_it_is_off() -> None:
    counts, line = np.array([10, 900]), np.array([0.4, 0.9])
    kinds = {
        f"{when} temperature scaling": (counts, line, line, error)
        for when, error in (("before", 0.0835), ("after", 0.0008))
    }
    assert trust.reliability(kinds).get_suptitle() == (
        "After temperature scaling, probabilities are off by 0.08 points\non average; "
        "before, by 8.35"
    )


def test_refusals_cost_what_they_cost() -> None:
    digits, others = np.arange(100.0), np.arange(-50.0, 50.0)
    figure = trust.refusals(digits, {"letters": (others, 0.875)}, threshold=10.0)
    curve = figure.axes[1].lines[0]
    title = "The threshold refuses 60.0% of letters\nand 10.0% of digits"
    assert figure.get_suptitle() == title and curve.get_label() == "letters, AUROC 0.8750"
    accepted = curve.get_ydata()
    assert accepted[0] == pytest.approx(0.49, abs=0.01)  # 1 to 49
    assert accepted[-1] == 0.005 and "0.5%: none accepted" in figure.axes[1].get_xlabel()
    assert figure.axes[1].get_yscale() == "log"
    assert all(axes.texts[0].get_text().strip().startswith("threshold") for axes in figure.axes)


def test_refusals_rank_every_kind_with_a_look_of_its_own() -> None:
    kinds = {f"kind {i}": (np.arange(9.0), 0.5 + (7 * i % 13) / 30) for i in range(13)}
    figure = trust.refusals(np.arange(9.0), kinds, -5.0)
    spread, curves = figure.axes
    ranked = sorted(kinds, key=lambda kind: kinds[kind][1])
    places = {
        t.get_text(): at
        for t, at in zip(spread.get_yticklabels(), spread.get_yticks(), strict=True)
    }
    assert sorted(places, key=places.__getitem__, reverse=True) == ["digits", *ranked]
    drawn = [line for line in curves.lines if "AUROC" in str(line.get_label())]
    assert [str(line.get_label()).split(",")[0] for line in drawn] == ranked
    assert len({(line.get_color(), line.get_linestyle()) for line in drawn}) == 13
    assert "left of the scale" in curves.texts[0].get_text()


def test_tiles_count_what_fools_it_surely_and_name_the_surest() -> None:
    image = np.full((28, 28), 200, np.uint8)
    worst = [
        ("fog", image, 4, 9, 0.9),
        ("dotted_line", image, 1, 7, 0.99),
        ("zigzag", image, 3, 5, 0.91),
    ]
    figure = robustness.tiles(worst)
    assert figure.get_suptitle().startswith("2 of 3 corruptions that fool it")
    assert figure.get_suptitle().endswith("surest: dotted line (99.0%)")
    said = texts(figure)
    assert said[:3] == [
        "dotted line\nis 1, said 7 (99.0%)",
        "zigzag\nis 3, said 5 (91.0%)",
        "fog\nis 4, said 9 (90.0%)",
    ]
    assert said[3:] == ["no further kind\nwas misread"] * 2
    edges = [to_hex(frame.get_edgecolor()) for frame in figure.axes[0].patches]
    assert edges == [style.VERMILION.lower()] * 2 + [style.GREY]
    (paper,) = figure.axes[0].images
    rows, columns = np.nonzero(paper.get_array())
    assert len(rows) == 3 * 28 * 28
    left, _, _, top = paper.get_extent()
    first = figure.axes[0].patches[0].get_bbox()  # around its picture
    assert (first.x0 + 0.5, first.y0 + 0.5) == (columns.min() + left, rows.min() + top)
    assert robustness.tiles([]).get_suptitle() == "No corruption made it misread a digit"
    assert len(texts(robustness.tiles(worst * 6))) == 20  # more than fifteen: none is lost


def test_adversaries_say_when_half_is_lost() -> None:
    shares = {"FGSM": np.array([[1, 0.9], [1, 0.8]]), "PGD": np.array([[1, 0.4], [1, 0.5]])}
    figure = robustness.adversaries((0.0, 0.1), shares)
    # from 1 to 0.45 over 0.1: a half at 0.1 * 0.5 / 0.55
    assert figure.get_suptitle().startswith("PGD: a change of 0.091 of full ink fools it")
    (axes,) = figure.axes
    assert axes.get_ylim()[0] < 0 and axes.get_ylim()[1] > 1.01
    (cross,) = (line for line in axes.lines if line.get_marker() == "x")
    assert (cross.get_xdata()[0], cross.get_ydata()[0]) == (pytest.approx(1 / 11), 0.5)
    band = axes.collections[1].get_paths()[0].vertices
    deviation = np.sqrt(0.005)  # of 0.4 and 0.5, of a sample
    assert band[:, 1].min() == pytest.approx(0.45 - deviation)
    assert "one standard deviation over 2 seeds" in figure.get_supxlabel()


def test_adversaries_that_do_not_fool_it_are_said_not_to() -> None:
    figure = robustness.adversaries((0.0, 0.1), {"FGSM": np.array([[1, 0.8]])})
    assert (
        figure.get_suptitle().startswith("No attack shown fools it")
        and "80.0%" in figure.get_suptitle()
    )
    assert figure.get_supxlabel().startswith("one seed: no band")


def cell(activation: str, width: int, solved: int, optimizer: str = "sgd") -> SimpleNamespace:
    share = solved / 100
    kind = {"activation": activation, "optimizer": optimizer, "width": width}
    return SimpleNamespace(**kind, starts=100, solved=solved, low=share * 0.9, high=share)


@pytest.mark.parametrize(
    ("solved", "title"),
    [
        ((1, 60, 80), "xor: 2 hidden units (tanh, sgd) learn it in 60% of 100 starts; narrower"),
        ((70, 90, 99), "xor: 1 hidden unit (tanh, sgd) learns it in 70% of 100 starts"),
        ((1, 20, 30), "half of its starts; best: 3 hidden units (tanh, sgd), 30.0% of 100"),
        ((0, 0, 0), "No start learned xor"),
    ],
)
def test_luck_names_the_narrowest_that_half_of_the_starts_learn(solved, title) -> None:
    cells = [cell("tanh", width, count) for width, count in zip((1, 2, 3), solved, strict=True)]
    assert title in luck.luck("xor", cells).get_suptitle()


def test_luck_draws_every_activation_a_little_aside() -> None:
    kinds = [f"act{i}" for i in range(6)]
    cells = [cell(kind, w, 10 * w, o) for kind in kinds for w in (1, 2) for o in ("sgd", "adamw")]
    figure = luck.luck("xor", cells)
    assert [axes.get_title() for axes in figure.axes] == ["optimiser: sgd", "optimiser: adamw"]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == kinds
    lines = [bars.lines[0] for bars in figure.axes[1].containers]
    looks = {(line.get_color(), line.get_marker(), line.get_linestyle()) for line in lines}
    assert len(looks) == 6
    assert len({line.get_xdata()[0] for line in lines}) == 6
    assert all(abs(line.get_xdata() - (1, 2)).max() < 0.25 for line in lines)
    assert all(line.get_ydata().tolist() == [0.1, 0.2] for line in lines)

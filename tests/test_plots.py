"""Figures say what the numbers say."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from torch import nn

from experiments.layers import describe
from experiments.plots import architecture, gates, robustness, search, style, training
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
    titles = [axes.get_title() for axes in digit_plots.predictions(x, y, logits).axes]
    assert titles[16] == "7  94%  ✗ is 0"
    assert titles[0] == "0  100%  ✓"


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
    assert figure.get_suptitle() == "98,811 parameters in 5 weighted layers"
    for part in ("28 × 28", "32 × 6 × 6", "conv 3×3, 32 → 64", "GELU", "linear 576 → 128"):
        assert part in said


def test_architecture_of_a_gate_draws_every_connection() -> None:
    figure = architecture.neurons([2, 4, 1], ["tanh", "sigmoid"], "")
    net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    count = sum(p.numel() for p in net.parameters())
    assert figure.get_suptitle() == f"One network: {count} parameters"
    connections = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert len(connections) == 2 * 4 + 4 * 1
    assert "4 hidden units\ntanh" in texts(figure)


def test_wide_nets_are_abridged_and_say_so() -> None:
    figure = architecture.neurons([2, 100, 1], ["relu", "sigmoid"], "")
    assert "100 hidden units (12 shown)\nrelu" in texts(figure)


@pytest.mark.parametrize(("maximise", "best"), [(True, 3), (False, 0)])
def test_search_history_finds_the_best(maximise: bool, best: int) -> None:
    values = [0.1, 0.9, float("nan"), 0.5]
    states = ["complete", "pruned", "pruned", "complete"]
    figure = search.history(values, states, "val_accuracy", maximise)
    assert f"number {best}, {values[best]:.4g}" in figure.get_suptitle()


def test_importances_admit_how_rough_they_are() -> None:
    figure = search.importances({"lr": 0.7, "width": 0.3}, "val_accuracy", trials=6)
    assert figure.get_suptitle() == "lr mattered most (fANOVA, 6 trials; a rough guess)"
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


def test_drawings_name_the_hardest_digit_and_pen() -> None:
    right = np.ones((10, 2))
    right[4, 1] = 0.75
    figure = robustness.drawings(right, (6, 40))
    assert "hardest: 4 with a pen of 40 px" in figure.get_suptitle()
    assert "75.0%" in {text.get_text() for text in figure.axes[0].texts}


def test_refusals_cost_what_they_cost() -> None:
    digits, others = np.arange(100.0), np.arange(-50.0, 50.0)
    figure = robustness.refusals(digits, {"letters": (others, 0.875)}, threshold=10.0)
    curve = figure.axes[1].lines[0]
    assert "letters" in figure.get_suptitle()
    assert curve.get_ydata()[-1] == 1 and curve.get_ydata()[0] == pytest.approx(0.51, abs=0.01)


def test_adversaries_say_when_half_is_lost() -> None:
    shares = {"FGSM": np.array([[1, 0.9], [1, 0.8]]), "PGD": np.array([[1, 0.4], [1, 0.5]])}
    assert "0.1 of full ink" in robustness.adversaries((0.0, 0.1), shares).get_suptitle()

"""Pictures of a network's shape, of a search and of a training say what the numbers say."""

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch
from matplotlib.text import Text
from torch import nn

from experiments.corruptions import CORRUPTIONS
from experiments.layers import dense, describe
from experiments.plots import (
    architecture,
    gates,
    luck,
    neurons,
    parallel,
    robustness,
    search,
    style,
    training,
    trust,
)
from experiments.plots import digits as digit_plots
from models.cnn import DigitCNN

NAMES = [*"0123456789", "no digit"]
RANDOM = np.random.default_rng(0)


def digit_net(**config: int) -> Figure:
    with torch.device("meta"):  # shapes alone
        layers = describe(DigitCNN(**config), torch.zeros(2, 28, 28, dtype=torch.uint8))
    return architecture.blocks(layers, "image", (28, 28), NAMES)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def out_of_view(figure: Figure) -> Iterator[Text]:
    """Yield the labels of ticks beyond the ends of their axes, which are not drawn."""
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Return the pairs of texts whose boxes overlap, and the texts that are cut off."""
    figure.draw_without_rendering()
    unseen = {id(label) for label in out_of_view(figure)}
    seen = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    seen = [t for t in seen if id(t) not in unseen]
    boxes = [(t.get_text(), t.get_window_extent()) for t in seen]
    pairs = [
        (one, two)
        for (one, a), (two, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    width, height = figure.bbox.size
    cut = [(t, "edge") for t, b in boxes if b.x0 < -1 or b.x1 > width + 1 or b.y1 > height + 1]
    return pairs + cut


def history(epochs: int, level: float = 0.0) -> dict[str, list[float]]:
    line = np.arange(1, epochs + 1)
    loss, share = np.exp(-line / 20.0), 1 - 0.1 / line - level
    named = {"train_loss": loss, "val_loss": loss / 2, "train_accuracy": share, "lr": 0.1 / line}
    return {name: values.tolist() for name, values in (named | {"val_accuracy": share}).items()}


# --- layers and architecture


def test_multiply_adds_are_those_counted_by_hand() -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3, bias=False),
        nn.Conv2d(3, 6, (1, 2), groups=3),
        nn.Tanh(),
        nn.MaxPool2d(2),
    )
    first, second, tanh, pool = describe(net, torch.zeros(1, 2, 6, 6))
    assert first.macs == 3 * 4 * 4 * (2 * 3 * 3) and first.kernel == (3, 3)
    assert second.macs == 6 * 4 * 3 * (1 * 1 * 2) and second.kernel == (1, 2)
    assert (tanh.macs, tanh.activation) == (0, "Tanh")
    assert (pool.macs, pool.kernel, pool.activation, pool.shape) == (0, (2, 2), "", (6, 2, 1))


def test_a_dense_nets_layers_are_its_modules() -> None:
    modules = describe(nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)), torch.ones(1, 2))
    named = dense([2, 4, 1], ["tanh", "sigmoid"])
    weighted = [layer for layer in modules if layer.kind == "Linear"]
    for said, is_ in zip(named, weighted, strict=True):
        assert (said.parameters, said.macs, said.shape) == (is_.parameters, is_.macs, is_.shape)
    assert [layer.activation for layer in named] == ["tanh", "sigmoid"]


def test_the_table_lists_every_layer_and_adds_up() -> None:
    layers = describe(DigitCNN(), torch.zeros(2, 28, 28, dtype=torch.uint8))
    head, _, *rows, total = architecture.table(layers).splitlines()
    assert head.split(" | ")[-1] == "multiply-adds |" and len(rows) == len(layers)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert cells[1] == ["stages.0.conv", "conv", "3×3, 1 → 16", "16 × 26 × 26", "", "144", "97,344"]
    assert cells[4][1:5] == ["activation", "", "16 × 13 × 13", "GELU"]
    sums = [sum(int(row[column].replace(",", "")) for row in cells) for column in (5, 6)]
    assert [f"**{s:,}**" for s in sums] == [cell.strip() for cell in total.split("|")[-3:-1]]


def test_blocks_name_every_output_and_give_each_block_its_cost() -> None:
    figure = digit_net(depth=2)
    said = texts(figure)
    assert set(NAMES) <= set(said)
    cards = [p for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    assert len(cards) == 1 + 5 + 2  # the input's, five convolutions', two linear layers'
    costs = [int(t.split()[0].replace(",", "")) for t in said if t.endswith("multiply-adds")]
    totals = figure.axes[0].get_title()
    assert len(costs) == 7 and f"{sum(costs):,} multiply-adds" in totals
    assert said.count("GELU") == 6
    assert "convolutions do 98% of the multiply-adds" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("config", "rows"),
    [({"depth": 2}, 2), ({"width": 32, "stages": 1, "fold": 2}, 1), ({"depth": 4}, 3)],
)
def test_blocks_are_joined_fit_the_page_and_overlap_nowhere(
    config: dict[str, int], rows: int
) -> None:
    figure = digit_net(**config)
    axes = figure.axes[0]
    cards = [p for p in axes.patches if isinstance(p, FancyBboxPatch)]
    arrows = [t for t in axes.texts if getattr(t, "arrow_patch", None)]
    assert len(arrows) == len(cards) - 1
    bends = [line for line in axes.lines if len(line.get_xdata()) == 5]
    assert len(bends) == rows - 1
    assert figure.get_size_inches()[0] <= 13
    assert overlapping(figure) == []
    assert all(t.get_fontsize() >= 9 for t in axes.texts)


def test_costs_of_huge_nets_fit_their_cards() -> None:
    figure = digit_net(width=512, depth=2, hidden=4096)
    assert "1.59 G multiply-adds" in texts(figure) and "75.5 M parameters" in texts(figure)
    assert overlapping(figure) == []


@pytest.mark.parametrize("kind", ["relu", "gelu", "silu", "tanh", "sigmoid"])
def test_activations_are_drawn_as_torch_computes_them(kind: str) -> None:
    line = np.linspace(-3, 3, 41)
    theirs = getattr(torch.nn.functional, kind)(torch.from_numpy(line)).numpy()
    np.testing.assert_allclose(neurons.CURVES[kind](line), theirs, atol=1e-12)


def test_neurons_hold_their_activations_and_inputs_their_letters() -> None:
    figure = neurons.neurons([2, 4, 1], ["relu", "sigmoid"], "")
    axes = figure.axes[0]
    circles = [p for p in axes.patches if isinstance(p, Circle)]
    curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
    assert len(circles) == 7 and len(curves) == 5
    for curve in curves:  # inside its circle
        points = np.column_stack([curve.get_xdata(), curve.get_ydata()])
        assert min(np.hypot(*(points - c.center).T).max() - c.radius for c in circles) < 0
    assert {"a", "b"} <= set(texts(figure))
    assert "⋮" in texts(neurons.neurons([2, 100, 1], ["relu", "sigmoid"], ""))


# --- search


def searched(trials: int, lr_decides: bool) -> tuple[list[dict[str, object]], list[float]]:
    settings: list[dict[str, object]] = [
        {"lr": 10 ** -(3 * i / trials), "width": (7 * i) % trials, "activation": "ab"[i % 2]}
        for i in range(trials)
    ]
    values = [-abs(i - 4) if lr_decides else (11 * i) % trials for i in range(trials)]
    return settings, [float(v) for v in values]


def test_parallel_draws_each_complete_trial_where_its_values_are() -> None:
    settings = [{"lr": 0.001, "width": 2}, {"lr": 0.01, "width": 4}, {"lr": 0.1, "width": 3}]
    states, values = ["complete", "pruned", "complete"], [0.5, float("nan"), 0.9]
    figure = parallel.parallel(settings, values, states, "val_accuracy", True)
    (axes,) = figure.axes
    bundle = next(c for c in axes.collections if isinstance(c, LineCollection))
    worse, better = (segment[:, 1] for segment in bundle.get_segments())
    np.testing.assert_allclose(worse, [0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(better, [1, 0.5, 1])
    assert np.asarray(bundle.get_array()).tolist() == [0, 1] and bundle.get_clim() == (0, 1)
    (cut,) = (line for line in axes.lines if line.get_linestyle() == "--" and len(line.get_xdata()))
    np.testing.assert_allclose(cut.get_ydata(), [0.5, 1])  # lr is logarithmic; no objective
    best = next(line for line in axes.lines if line.get_label() == "best: trial 2")
    assert to_hex(best.get_color()) == style.VERMILION.lower()
    np.testing.assert_allclose(best.get_ydata(), better)
    assert "lr\n(log)" in texts(figure) and "width" in texts(figure)


def test_parallel_finds_the_best_when_less_is_better() -> None:
    figure = parallel.parallel(
        [{"a": 1}, {"a": 2}], [0.3, 0.1], ["complete"] * 2, "val_loss", False
    )
    assert figure.get_suptitle() == "Best of 2 complete trials: number 1, loss (validation) 0.1"


def test_brighter_is_better_also_when_less_is() -> None:
    values = [1e-2, 1e-6, 1e-4]  # the middle one of a logarithmic axis is half as bright
    figure = parallel.parallel([{"a": i} for i in range(3)], values, DONE[:3], "val_loss", False)
    bundle = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    assert np.asarray(bundle.get_array()).tolist() == pytest.approx([0, 0.5, 1])  # best last
    dots = next(c for c in figure.axes[0].collections if not isinstance(c, LineCollection))
    assert np.asarray(dots.get_array()).tolist() == pytest.approx([0, 0.5, 1])


def test_accuracies_within_chance_have_a_band_and_a_title_that_says_so() -> None:
    values, error = [0.9962, 0.9968, 0.9955], math.sqrt(0.9968 * 0.0032 / 5000)
    figure = search.history(values, DONE[:3], "val_accuracy", True, count=5000)
    chance = "Best of 3 trials: number 1, 99.68% right; all within chance of it"
    assert figure.get_suptitle() == chance
    (band,) = figure.axes[0].patches
    low, high = band.get_bbox().intervaly
    assert (low, high) == pytest.approx((0.9968 - error, 0.9968 + error))
    apart = search.history([*values[:2], 0.99], DONE[:3], "val_accuracy", True, count=5000)
    assert apart.get_suptitle() == "Best of 3 trials: number 1, 99.68% right"
    loss = search.history([1e-3, 1.3e-6], DONE[:2], "val_loss", False, count=5000)
    assert loss.get_suptitle() == "Best of 2 trials: number 1, loss 1.3e-06"
    assert not loss.axes[0].patches and loss.axes[0].get_ylabel() == "loss (validation)"
    assert not search.history([1.0, 1.0], DONE[:2], "val_accuracy", True, count=4).axes[0].patches


def test_parallel_claims_only_what_chance_does_not_give() -> None:
    settings, values = searched(40, lr_decides=True)
    claim = parallel.parallel(settings, values, ["complete"] * 40, "val_loss", True)
    # the best are trials 4, 3, 5 and 2; lr falls with the number
    expected = f"between {10 ** -(3 * 5 / 40):.3g} and {10 ** -(3 * 2 / 40):.3g}"
    assert claim.get_suptitle() == f"The best 4 of 40 trials have lr {expected}"
    settings, values = searched(40, lr_decides=False)
    none = parallel.parallel(settings, values, ["complete"] * 40, "val_loss", True)
    assert none.get_suptitle().startswith("Best of 40 complete trials: number ")


def test_agreement_is_the_share_of_all_sets_that_are_as_close() -> None:
    places = RANDOM.random(12)
    reach = np.ptp(places[-3:])
    sets = [np.ptp(some) <= reach + 1e-9 for some in combinations(places, 3)]
    assert parallel._agreed(places) == pytest.approx(np.mean(sets))
    assert parallel._agreed(np.full(9, 0.5)) == 1


ODD = [
    {"lr": 0.1, "w": 3, "flag": True, "opt": "adamw", "same": 5, "rare": None},
    {"lr": 1, "w": 3.5, "flag": False, "opt": 2, "same": 5, "rare": 0.5},
    {"lr": math.nan, "w": -1, "flag": True, "opt": "a_long_name", "same": 5, "rare": 0.7},
    {"lr": 3.0},
]


@pytest.mark.parametrize(
    ("settings", "values", "states"),
    [
        ([{"lr": 0.1}], [0.99], ["complete"]),
        ([{"lr": 0.1}], [math.nan], ["pruned"]),
        ([{}], [0.9], ["complete"]),
        (ODD, [0.99, 0.98, math.nan, 0.97], ["complete", "complete", "pruned", "fail"]),
        (
            [{f"a_parameter_{i}": i * j for i in range(12)} for j in range(9)],
            range(9),
            ["complete"] * 9,
        ),
    ],
)
def test_parallel_draws_odd_searches_without_overlap(settings, values, states) -> None:
    figure = parallel.parallel(settings, values, states, "val_accuracy", True)
    assert figure.get_size_inches()[0] <= 13
    assert overlapping(figure) == []


def test_parallel_puts_names_on_levels_and_constants_in_the_middle() -> None:
    figure = parallel.parallel(ODD, [3, 2, 1, 0], ["complete"] * 4, "val_accuracy", True)
    places = {t.get_text(): t.get_position()[1] for t in figure.axes[0].texts}
    assert places["False"] == 0.25 and places["True"] == 0.75
    assert places["5"] == 0.5
    twos = [t.get_position()[1] for t in figure.axes[0].texts if t.get_text() == "2"]
    assert pytest.approx(1 / 6) in twos and places["adamw"] == pytest.approx(5 / 6)


def test_pruned_counts_what_was_saved() -> None:
    full, states = {e: e / 10 for e in range(1, 6)}, ["complete"] * 18 + ["pruned"] * 2
    curves = [full] * 18 + [{1: 0.0, 2: 0.1}, {1: 0.05}]
    figure = search.pruned(curves, states, "val_accuracy", True, planned=5)
    assert figure.get_suptitle() == (
        "2 of 20 trials were pruned, after 30% of their epochs on average: "
        "they saved 7% of all epochs"  # (3 + 4) of 100
    )
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in crosses] == [(2, 0.1), (1, 0.05)]


def test_pruned_marks_the_best_and_uses_a_log_scale_over_decades() -> None:
    curves = [{10: 1.0, 20: 0.1}, {10: 1.0, 20: 0.001}, {10: 2.0}]
    states = ["complete", "complete", "pruned"]
    figure = search.pruned(curves, states, "val_loss", False, planned=20)
    (axes,) = figure.axes
    best = next(line for line in axes.lines if to_hex(line.get_color()) == style.VERMILION.lower())
    assert list(best.get_ydata()) == [1.0, 0.001] and axes.get_yscale() == "log"
    assert "best: trial 1" in [t.get_text() for t in axes.get_legend().get_texts()]


@pytest.mark.parametrize(
    ("curves", "states", "planned", "title"),
    [
        ([{}, {}], ["complete"] * 2, 5, "None of 2 trials was pruned"),
        ([{1: 0.9}, {}], ["complete", "fail"], 0.4, "None of 1 trials was pruned"),
        (
            [{1: 0.9}, {}],
            ["complete", "pruned"],
            5,
            "1 of 2 trials was pruned, after 20% of its epochs: it saved 40% of all epochs",
        ),
    ],
)
def test_pruned_draws_odd_searches(curves, states, planned, title) -> None:
    figure = search.pruned(curves, states, "val_accuracy", True, planned)
    assert figure.get_suptitle() == title and overlapping(figure) == []


# --- training


def test_other_seeds_are_thin_and_their_spread_is_in_the_title() -> None:
    mine, other = history(4), history(3, level=0.01)
    figure = training.curves([1, 2, 3, 4], mine, 4, [([1, 2, 3], other)])
    kept = 100 * np.array([max(mine["val_accuracy"]), max(other["val_accuracy"])])
    spread = f"2 seeds: {kept.mean():.2f} ± {kept.std(ddof=1):.2f} %"
    assert figure.get_suptitle() == f"Kept epoch 4: {kept[0]:.2f}% right on validation; {spread}"
    thin = [line for line in figure.axes[1].lines if line.get_linewidth() < 1]
    assert [list(line.get_ydata()) for line in thin] == [other["train_accuracy"]] * 2
    assert {to_hex(line.get_color()) for line in thin} == {
        style.SKY.lower(),
        style.VERMILION.lower(),
    }
    assert "1 other seed" in [t.get_text() for t in figure.axes[0].get_legend().get_texts()]


def test_the_kept_epoch_is_marked_on_its_values_in_every_panel() -> None:
    mine = history(6)
    figure = training.curves([1, 2, 3, 4, 5, 6], mine, 3)
    names = ("val_loss", "val_accuracy", "lr")
    for axes, name in zip(figure.axes, names, strict=True):
        dots = [line for line in axes.lines if line.get_markersize() == 9]
        assert [(d.get_xdata()[0], d.get_ydata()[0]) for d in dots] == [(3, mine[name][2])]


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_no_tick_of_accuracy_is_above_all_right(level: float) -> None:
    epochs = list(range(10, 201, 10))
    flat = history(20) | {name: [1.0 - level] * 20 for name in ("train_accuracy", "val_accuracy")}
    axes = training.curves(epochs, flat, 200).axes[1]
    low, high = axes.get_ylim()
    assert low < 1 - level < high and max(axes.get_yticks()) <= 1 + 1e-9
    assert len(axes.get_yticks()) >= 2


def test_the_words_of_a_training_are_the_tasks() -> None:
    words = {"note": "train: all starts", "right": "of the rows right"}
    figure = training.curves([1, 2], history(2), 2, **words)
    assert figure.get_suptitle() == "Kept epoch 2: 95.00% of the rows right"
    assert figure.get_supxlabel() == "train: all starts\ndotted line and dot: weights kept"
    assert "augmented" in training.curves([1, 2], history(2), 2).get_supxlabel()


def test_a_single_epoch_stands_in_the_middle() -> None:
    figure = training.curves([1], history(1), 1)
    for axes in figure.axes:
        assert axes.get_xlim() == (0, 2) and list(axes.get_xticks()) == [1]
    assert overlapping(figure) == []


def test_losses_over_decades_have_plain_ticks() -> None:
    epochs = list(range(1, 201))
    figure = training.curves(epochs, history(200), 200)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    said = [t.get_text() for t in axes.get_yticklabels() if t.get_text()]
    assert axes.get_yscale() == "log" and {"0.1", "0.001"} <= set(said)
    assert overlapping(figure) == []


# --- files and the dark look


def test_files_are_the_same_each_time_and_leave_settings_alone() -> None:
    before = dict(mpl.rcParams)
    one, two = (digit_net(depth=1) for _ in range(2))
    assert style.png(one) == style.png(two) and style.png(one).startswith(b"\x89PNG")
    assert style.svg(one) == style.svg(two) and "<svg" in style.svg(one)
    assert "<dc:date>" not in style.svg(one) and "<text" not in style.svg(one)
    assert dict(mpl.rcParams) == before


def test_contrast_is_that_of_the_guidelines() -> None:
    assert style.contrast("#000", "#fff") == pytest.approx(21)
    assert style.contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)  # W3C's example
    assert style.contrast(style.GREY, style.PAPER) >= style.LEGIBLE  # notes are written in it


def of_luck() -> Figure:
    kinds = [(a, o) for a in ("tanh", "relu", "sigmoid") for o in ("adamw", "sgd")]
    cells = [
        SimpleNamespace(
            activation=a, optimizer=o, width=w, starts=100, solved=20 * w, low=0.2 * w, high=0.2 * w
        )
        for a, o in kinds
        for w in (1, 2, 3)
    ]
    return luck.luck("xor", cells)


def of_reliability() -> Figure:
    counts, line = np.array([0, 3, 90, 900]), np.linspace(0.1, 0.95, 4)
    return trust.reliability({"before": (counts, line, line**2, 0.1)})


def of_networks() -> Figure:
    shapes = {"weight1": (2, 3, 2), "bias1": (2, 3), "weight2": (2, 3), "bias2": (2,)}
    weights = {name: RANDOM.normal(size=shape) for name, shape in shapes.items()}
    return gates.networks(["xor", "and"], weights, "tanh")


SETTINGS, VALUES = searched(12, lr_decides=True)
DONE = ["complete"] * 12
IMAGES, TRUTH = RANDOM.integers(0, 255, (40, 28, 28), np.uint8), np.arange(40) % 10
LOGITS = np.eye(10)[TRUTH] * 3 + RANDOM.normal(size=(40, 10))
ROWS = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
GATES = np.array([[0.0, 1], [1, 0], [1, 0], [0, 1]])
SURFACE = gates.grid()[:, :1].repeat(2, 1).clip(0, 1)
FIGURES: dict[str, Callable[[], Figure]] = {
    "blocks": lambda: digit_net(depth=2),
    "neurons": lambda: neurons.neurons([2, 100, 1], ["tanh", "sigmoid"], ""),
    "curves": lambda: training.curves([1, 2, 3], history(3), 2, [([1, 2, 3], history(3))]),
    "history": lambda: search.history(VALUES, [*DONE[:-1], "pruned"], "val_accuracy", True),
    "importances": lambda: search.importances({"lr": 0.7, "w": 0.3}, "val_accuracy", 20),
    "pareto": lambda: search.pareto([[0.9, 9], [0.8, 2]], ("val_accuracy", "parameters"), [0]),
    "parallel": lambda: parallel.parallel(SETTINGS, VALUES, DONE, "val_accuracy", True),
    "pruned": lambda: search.pruned([{1: 0.1, 2: 0.3}] * 12, DONE, "val_accuracy", True, 2),
    "truth_tables": lambda: gates.truth_tables(["xor", "not"], ROWS, GATES, 9 * GATES - 4),
    "surfaces": lambda: gates.surfaces(["xor", "not"], GATES, SURFACE),
    "networks": of_networks,
    "predictions": lambda: digit_plots.predictions(IMAGES, TRUTH, LOGITS),
    "confusion": lambda: digit_plots.confusion(TRUTH, LOGITS),
    "luck": of_luck,
    "corruptions": lambda: robustness.corruptions({"fog": 0.5, "shear": 0.9}, {"fog": 0.7}),
    "drawings": lambda: robustness.drawings(np.linspace(0.5, 1, 20).reshape(10, 2), (6, 40)),
    "reliability": of_reliability,
    "refusals": lambda: trust.refusals(np.arange(9.0), {"noise": (np.arange(9.0) - 3, 0.9)}, 1),
    "tiles": lambda: robustness.tiles([("fog", IMAGES[0], 4, 9, 0.9)]),
    "adversaries": lambda: robustness.adversaries((0, 0.1), {"FGSM": np.array([[1, 0.4]])}),
}


KINDS = {f"a kind of picture {i}": (np.arange(9.0) - i, 0.9 + i / 200) for i in range(13)}
TILES = [("impulse_noise", IMAGES[i], 4, 9, 0.99999 - i / 20) for i in range(17)]
ONE_SIDED = np.array([[1.0, 0.4, 0.0]])
FULL: dict[str, Callable[[], Figure]] = {
    "luck": of_luck,
    "corruptions": lambda: robustness.corruptions(
        dict.fromkeys(CORRUPTIONS, 0.9999), dict.fromkeys(CORRUPTIONS, 1.0)
    ),
    "no champion": lambda: robustness.corruptions({"fog": 0.0}, None),
    "drawings": lambda: robustness.drawings(np.linspace(0, 1, 110).reshape(10, 11), range(11)),
    "reliability": of_reliability,
    "refusals": lambda: trust.refusals(np.arange(99.0), KINDS, 1),
    "nothing refused": lambda: trust.refusals(np.arange(99.0), KINDS, -90),
    "tiles": lambda: robustness.tiles(TILES),
    "no tiles": lambda: robustness.tiles([]),
    "adversaries": lambda: robustness.adversaries((0, 0.1, 0.2), {"PGD, 20 steps": ONE_SIDED}),
}


@pytest.mark.parametrize("name", FULL)
def test_no_words_overlap_when_there_is_much_or_little(name: str) -> None:
    figure = FULL[name]()
    assert figure.get_size_inches()[0] <= 13 and overlapping(figure) == []
    assert min(t.get_fontsize() for t in figure.findobj(Text) if t.get_text()) >= 9


def ground(pixels: np.ndarray, text: Text) -> tuple[float, ...] | None:
    """Return the median colour under a text, if it lies within the picture."""
    box = text.get_window_extent()
    height = len(pixels)
    rows = slice(max(0, round(height - box.y1)), max(0, round(height - box.y0)))
    part = pixels[rows, max(0, round(box.x0)) : max(0, round(box.x1))].reshape(-1, 4)
    return tuple(np.median(part, 0) / 255) if len(part) else None


@pytest.mark.parametrize("name", FIGURES)
def test_a_dark_figure_is_dark_and_legible(name: str) -> None:
    figure = FIGURES[name]()
    figure.set_dpi(60)  # quicker; sizes in points stay
    style.dark(figure)
    seen = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    colors = [t.get_color() for t in seen]
    for text in seen:
        text.set_alpha(0)
    figure.set_layout_engine("none")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    assert to_hex(pixels[0, 0] / 255) == style.DARK.lower()
    for text, color in zip(seen, colors, strict=True):
        if (under := ground(pixels, text)) is not None:
            ratio = style.contrast(color, under)
            assert ratio >= 4.5, f"{text.get_text()!r} {to_hex(color)} on {to_hex(under)}: {ratio}"


def test_the_dark_look_keeps_the_colours_of_data() -> None:
    figure = search.history(VALUES, DONE, "val_accuracy", True)
    (axes,) = figure.axes
    before = [to_hex(line.get_color()) for line in axes.lines]
    dots = axes.collections[0].get_facecolor().copy()
    style.dark(figure)
    assert [to_hex(line.get_color()) for line in axes.lines] == before == [style.ORANGE.lower()]
    assert np.array_equal(axes.collections[0].get_facecolor(), dots)
    assert to_rgba(axes.get_facecolor()) == to_rgba(style.DARK)
    assert style.contrast(axes.spines["left"].get_edgecolor(), style.DARK) > 10


def test_the_dark_look_leaves_what_stands_on_an_image() -> None:
    figure = gates.surfaces(["a"], GATES[:, :1], SURFACE[:, :1])
    axes = figure.axes[0]
    undecided = next(c for c in axes.collections if len(c.get_edgecolor()))
    style.dark(figure)
    assert to_hex(undecided.get_edgecolor()[0]) == style.INK.lower()  # on white
    assert {to_hex(dot.get_markeredgecolor()) for dot in axes.lines} == {style.PAPER.lower()}


def test_lines_coloured_by_value_are_seen_on_both_grounds() -> None:
    figure = parallel.parallel(SETTINGS, VALUES, DONE, "val_accuracy", True)
    bundle = next(c for c in figure.axes[0].collections if isinstance(c, LineCollection))
    for paper in (style.PAPER, style.DARK):
        ends = bundle.get_cmap()([0.0, 0.5, 1.0])
        assert min(style.contrast(end, paper) for end in ends) > 1.65
        style.dark(figure)

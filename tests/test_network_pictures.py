"""Pictures of a network's shape, of a search and of a training say what the numbers say."""

import re
from collections.abc import Callable, Iterator
from itertools import combinations

import matplotlib as mpl
import numpy as np
import optuna
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import nn

from benchmarks.pictures import adversaries
from experiments.evaluation.calibration import Reliability
from experiments.evaluation.corruptions import CORRUPTIONS
from experiments.evaluation.robustness import Misclassified
from experiments.figures.analysis.layers import dense, describe
from experiments.figures.plots import (
    architecture,
    calibration,
    init_success,
    mlp_diagram,
    ood,
    robustness,
    style,
    training,
)
from experiments.figures.spec import InitResult
from experiments.search import figures as search
from tests.figure_text import numbers
from tests.nets import digit_net, random_weights

NAMES = [*"0123456789", "no digit"]
RANDOM = np.random.default_rng(0)


def architecture_of(**config: int) -> Figure:
    with torch.device("meta"):  # shapes alone
        layers = describe(digit_net(**config), torch.zeros(2, 28, 28, dtype=torch.uint8))
    return architecture.blocks(layers, "image", (28, 28), NAMES)


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
    net = digit_net()
    layers = describe(net, torch.zeros(2, 28, 28, dtype=torch.uint8))
    head, _, *rows, total = architecture.table(layers).splitlines()
    assert head.count("|") == rows[0].count("|") and len(rows) == len(layers)
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert cells[1] == [
        "stages.0.conv",
        "Conv2d",
        "3×3, 1 → 16",
        "16 × 26 × 26",
        "",
        "144",
        "97,344",
    ]
    assert cells[4][2:5] == ["", "16 × 13 × 13", "ReLU"]
    sums = [sum(int(row[column].replace(",", "")) for row in cells) for column in (5, 6)]
    assert sums[0] == sum(p.numel() for p in net.parameters())
    assert [f"**{s:,}**" for s in sums] == [cell.strip() for cell in total.split("|")[-3:-1]]


def test_blocks_name_every_output_and_give_each_block_its_cost() -> None:
    figure = architecture_of(convs_per_stage=2)
    parameters, macs = figure.axes
    labels = [label.get_text() for label in parameters.get_yticklabels()]
    assert len(labels) == 1 + 5 + 2  # the input's, convolutions', linear layers'
    assert labels[-1].endswith(", ".join(NAMES)) and sum("ReLU" in label for label in labels) == 6
    assert "576 → 128" in labels[-2]
    for axes in (parameters, macs):
        costs = [bar.get_width() for bar in axes.patches]
        assert numbers(axes.get_title()) == [sum(costs)] and min(costs[1:]) > 0 == costs[0]
        assert [numbers(text.get_text())[0] for text in axes.texts] == costs
    # % of parameters in linear layers, of multiply-adds in convolutions
    assert numbers(figure.get_suptitle()) == [52, 98]


@pytest.mark.parametrize(
    "config",
    [
        {"convs_per_stage": 2},
        {"base_channels": 32, "num_stages": 1, "pixel_unshuffle": 2},
        {"convs_per_stage": 4},
        {"base_channels": 512, "convs_per_stage": 2, "hidden_dim": 4096},
    ],
)
def test_blocks_of_any_network_fit_the_page_and_overlap_nowhere(config: dict[str, int]) -> None:
    figure = architecture_of(**config)
    assert figure.get_size_inches()[0] <= 13 and overlapping(figure) == []


# --- search


def study_of(trials: int, **params: float) -> optuna.Study:
    """A study of one objective, the trials' values 1, 1/10, 1/100, ..."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def objective(trial: optuna.Trial) -> float:
        for name, high in params.items():
            trial.suggest_float(name, high / 100, high, log=True)
        if params:
            trial.suggest_categorical("activation", ["relu", "tanh", "sigmoid"])
        for epoch in (1, 2):
            trial.report(10.0 ** (2 - epoch - trial.number), epoch)
        return 10.0**-trial.number

    study.optimize(objective, n_trials=trials)
    return study


def drawn(study: optuna.Study, *objectives: str) -> dict[str, Figure]:
    before = dict(mpl.rcParams)
    result = {spec.name: spec.draw() for spec in search.exhibits(study, objectives)}
    assert dict(mpl.rcParams) == before and not plt.get_fignums()  # Optuna's pyplot left no trace
    return result


def test_all_plots_of_optuna_are_drawn_of_a_search() -> None:
    figures = drawn(study_of(5, lr=0.1, decay=0.3), "val_loss")
    assert {name.removeprefix("search/") for name in figures} == {
        "history", "importances", "parallel-coordinates", "slice", "contour", "rank", "edf",
        "timeline", "intermediate-values",
    }  # fmt: skip
    for name, figure in figures.items():
        assert figure.get_suptitle() and overlapping(figure) == [], name
        assert figure.get_size_inches()[0] <= 15, name
        assert any(axes.get_ylabel() for axes in figure.axes), name
    small = [axes for axes in figures["search/rank"].axes if axes.get_xscale() == "log"]
    assert small
    for axes in small:  # its labels are few, and next to each other
        boxes = [t.get_window_extent() for t in axes.get_xticklabels() if t.get_text()]
        low, high = axes.bbox.x0 - 1, axes.bbox.x1 + 1
        shown = [box for box in boxes if low < (box.x0 + box.x1) / 2 < high]
        assert 1 <= len(shown) <= 4
        assert not any(t.get_text() for t in axes.get_xticklabels(minor=True))
    (axes,) = figures["search/history"].axes
    values = axes.collections[0].get_offsets()[:, 1].tolist()
    assert values == pytest.approx([1, 0.1, 0.01, 1e-3, 1e-4])
    assert list(axes.lines[0].get_ydata()) == pytest.approx([1, 0.1, 0.01, 1e-3, 1e-4])
    assert axes.get_yscale() == "log"  # the values span decades


def test_a_short_search_is_drawn_briefly() -> None:
    specs = search.exhibits(study_of(5, lr=0.1), ["val_loss"], brief=True)
    assert [spec.name for spec in specs] == ["search/history"]


def test_a_search_of_one_trial_or_without_parameters_is_drawn() -> None:
    few = {f"search/{name}" for name in ("history", "edf", "timeline", "intermediate-values")}
    assert drawn(study_of(1, lr=0.1), "val_loss").keys() == few
    assert drawn(study_of(2), "val_accuracy").keys() == few


def test_several_objectives_have_a_pareto_front_each() -> None:
    study = optuna.create_study(directions=["maximize", "minimize", "minimize"])
    rows = [[0.9, 100.0, 2.0], [0.8, 200.0, 3.0], [0.7, 50.0, 1.0]]
    for row in rows:
        study.add_trial(optuna.create_trial(values=row))
    figures = drawn(study, "val_accuracy", "parameters", "latency_ms")
    for index, name in ((1, "parameters"), (2, "latency_ms")):
        (axes,) = figures[f"search/pareto-front-{name}"].axes
        beaten, best = (points.get_offsets().tolist() for points in axes.collections)
        assert beaten == [[0.8, rows[1][index]]]
        assert sorted(best) == [[0.7, rows[2][index]], [0.9, rows[0][index]]]


# --- training


def test_other_seeds_are_thin_and_their_spread_is_in_the_title() -> None:
    mine, other = history(4), history(3, level=0.01)
    figure = training.curves([1, 2, 3, 4], mine, 4, [([1, 2, 3], other)])
    kept = 100 * np.array([max(mine["val_accuracy"]), max(other["val_accuracy"])])
    expected = [4, kept[0], 2, kept.mean(), kept.std(ddof=1)]  # epoch, % right; seeds, their spread
    assert numbers(figure.get_suptitle()) == pytest.approx(expected, abs=0.0051)
    thin = [line for line in figure.axes[1].lines if line.get_linewidth() < 1]
    assert [list(line.get_ydata()) for line in thin] == [other["train_accuracy"]] * 2
    legend = figure.axes[0].get_legend().get_texts()
    assert [1] in [numbers(text.get_text()) for text in legend]  # other seeds


@pytest.mark.parametrize("level", [0.0, 0.25])
def test_no_tick_of_accuracy_is_above_all_right(level: float) -> None:
    epochs = list(range(10, 201, 10))
    flat = history(20) | {name: [1.0 - level] * 20 for name in ("train_accuracy", "val_accuracy")}
    axes = training.curves(epochs, flat, 200).axes[1]
    low, high = axes.get_ylim()
    assert low < 1 - level < high and max(axes.get_yticks()) <= 1 + 1e-9
    assert len(axes.get_yticks()) >= 2


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
    one, two = (architecture_of(convs_per_stage=1) for _ in range(2))
    assert style.png(one) == style.png(two) and style.png(one).startswith(b"\x89PNG")
    assert style.svg(one) == style.svg(two) and "<svg" in style.svg(one)
    assert "<dc:date>" not in style.svg(one) and "<text" not in style.svg(one)
    assert dict(mpl.rcParams) == before


def test_contrast_is_that_of_the_guidelines() -> None:
    assert style.contrast("#000", "#fff") == pytest.approx(21)
    assert style.contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)  # W3C's example
    assert style.contrast(style.GREY, style.PAPER) >= 4.5  # texts are written in it


def of_init_success() -> Figure:
    kinds = [(a, o) for a in ("tanh", "relu", "sigmoid") for o in ("adamw", "sgd")]
    cells = [
        InitResult(*kind, w, 100, 20 * w, 0.2 * w, 0.2 * w) for kind in kinds for w in (1, 2, 3)
    ]
    return init_success.by_width("xor", cells)


def of_reliability() -> Figure:
    counts, line = np.array([0, 3, 90, 900]), np.linspace(0.1, 0.95, 4)
    return calibration.reliability({"before": Reliability(counts, line, line**2)})


IMAGES = RANDOM.integers(0, 255, (40, 28, 28), np.uint8)
KINDS = {f"a kind of picture {i}": (np.arange(9.0) - i, 0.9 + i / 200) for i in range(13)}
TILES = [Misclassified("impulse_noise", IMAGES[i], 4, 9, 0.99999 - i / 20) for i in range(17)]
ONE_SIDED = np.array([[1.0, 0.4, 0.0]])
FULL: dict[str, Callable[[], Figure]] = {
    "init_success": of_init_success,
    "corruptions": lambda: robustness.corruptions(
        dict.fromkeys(CORRUPTIONS, 0.9999), dict.fromkeys(CORRUPTIONS, 1.0)
    ),
    "no champion": lambda: robustness.corruptions({"fog": 0.0}, {}),
    "drawings": lambda: robustness.drawings(np.linspace(0, 1, 110).reshape(10, 11), range(11)),
    "reliability": of_reliability,
    "scores": lambda: ood.scores(np.arange(99.0), KINDS, 1),
    "nothing rejected": lambda: ood.scores(np.arange(99.0), KINDS, -90),
    "misclassified": lambda: robustness.misclassified(TILES),
    "adversaries": lambda: adversaries((0, 0.1, 0.2), {"PGD, 20 steps": ONE_SIDED}),
}


@pytest.mark.parametrize("name", FULL)
def test_no_words_overlap_when_there_is_much_or_little(name: str) -> None:
    figure = FULL[name]()
    assert figure.get_size_inches()[0] <= 13 and overlapping(figure) == []
    assert min(t.get_fontsize() for t in figure.findobj(Text) if t.get_text()) >= 9


SCALABLE: dict[str, Callable[[], Figure]] = {
    "blocks": lambda: architecture_of(convs_per_stage=2),
    "architecture": lambda: mlp_diagram.architecture(2, 100, "tanh", 16),
    "weights": lambda: mlp_diagram.weights("xor", random_weights(), "tanh"),
}


@pytest.mark.parametrize("name", SCALABLE)
def test_the_dark_picture_differs_in_colours_alone_which_are_legible(name: str) -> None:
    light = style.svg(SCALABLE[name]())
    dark = style.dark(light)
    color = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
    assert color.sub("", dark).replace(' fill=""', "", 1) == color.sub("", light)
    assert color.findall(dark)[1] == style.DARK.lower()  # the background, after text's colour
    others = {other.lower() for other in color.findall(dark)} - {style.DARK.lower()}
    assert min(style.contrast(other, style.DARK) for other in others) >= 4.5

"""The contract that every task keeps."""

from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

from experiments import figures, tasks
from experiments.core.errors import DataError
from experiments.figures.spec import Animation, FigureSpec, Trained
from experiments.tasks.mnist import CALIBRATION_SHARE, SPLIT_SEED, VAL_SHARE, stratified
from experiments.tasks.task import Choice, HeldOut, Hparams, Split, Splits, Task
from experiments.training.device import to_device
from experiments.training.loop import fit, initialise
from experiments.training.metrics import EpochMetrics, evaluate, predict
from experiments.training.snapshots import SnapshotRecorder
from tests import iris

CPU = torch.device("cpu")
AUGMENTATIONS = ("rotation_deg", "scale_jitter", "shear", "translate_px", "strong_affine_frac")
AUGMENTATIONS += ("corruption_prob", "outlier_ratio", "pen_ratio")
Small = Callable[[str], Splits]


@pytest.fixture(params=[*tasks.names(), "iris"])
def task(request: pytest.FixtureRequest) -> Task:
    return iris.TASK if request.param == "iris" else tasks.get(request.param)


def quick(task: Task, **changes: object) -> Hparams:
    """Default hyper-parameters with fewer epochs and a smaller bank."""
    default = task.hparams()
    values = {"epochs": 3, "eval_every": 1, "batch_size": 128, "num_restarts": 3}
    values |= {"hidden_gates": 500, "class_votes": 200, **changes}
    return replace(default, **{name: v for name, v in values.items() if hasattr(default, name)})


def trained(
    task: Task, splits: Splits, hparams: Hparams, seed: int = 0
) -> tuple[nn.Module, list[EpochMetrics]]:
    """Return the net with all restarts, and its history."""
    net = initialise(task, splits, hparams, seed)
    train, val = to_device(splits.train, CPU), to_device(splits.val, CPU)
    return net, list(fit(task, net, train, val, hparams, seed=seed))


def test_data_and_outputs_have_the_documented_shapes(task: Task, small: Small) -> None:
    splits = small(task.name)
    test = splits.test.open("test")
    for split in (splits.train, splits.val, test):
        assert split.x.dtype == np.dtype(task.input.dtype)
        assert len(split.x) == len(split.y) > 0
    assert len(splits.digest) <= 36 and splits.labels and splits.source and splits.canonical
    net = task.select_model(initialise(task, splits, quick(task), 0), to_device(splits.val, CPU))
    x = torch.tensor(test.x[:3])
    outputs = task.outputs(net.eval(), x)
    assert list(outputs)[:2] == ["logits", "probabilities"]
    assert list(outputs) == list(task.output_docs)
    assert outputs["logits"].shape == (len(x), len(splits.labels))
    assert torch.equal(outputs["logits"], net(x)[:, : len(splits.labels)])
    assert outputs["probabilities"].min() >= 0 and outputs["probabilities"].max() <= 1


def test_splits_are_disjoint_or_exhaustive_and_the_same_every_time(task: Task) -> None:
    splits, again = (task.load(task.data_options()) for _ in range(2))
    assert np.array_equal(splits.val.x, again.val.x) and splits.digest == again.digest
    rows = [{x.tobytes() for x in s.x} for s in (splits.train, splits.val, splits.test.open("t"))]
    if splits.exhaustive:
        assert rows[0] == rows[1] == rows[2]
    else:
        assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


def test_one_batch_can_be_overfitted(task: Task, small: Small) -> None:
    splits = small(task.name)
    batch = Split(splits.train.x[:64], splits.train.y[:64])
    hparams = quick(
        task, epochs=150, eval_every=150, weight_decay=0, label_smoothing=0, num_restarts=32
    )
    hparams = replace(hparams, **{n: 0 for n in AUGMENTATIONS if hasattr(hparams, n)})
    net, _ = trained(task, replace(splits, train=batch, val=batch), hparams)
    batch = to_device(batch, CPU)
    loss, accuracy = evaluate(task, task.select_model(net, batch), batch)
    assert accuracy == 1 and loss < 0.02


def test_weights_depend_on_the_seed_alone(task: Task, small: Small) -> None:
    splits, results = small(task.name), []
    for global_seed, seed in ((1, 7), (2, 7), (2, 8)):
        torch.manual_seed(global_seed)
        results.append(trained(task, splits, quick(task), seed))
    (first, history), (second, same_history), (other, _) = results
    assert history == same_history
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
    assert not any(map(torch.equal, first.parameters(), other.parameters()))


def test_the_best_epochs_weights_are_selected(task: Task, small: Small) -> None:
    splits = small(task.name)
    net, history = trained(task, splits, quick(task), 3)
    best = max(history, key=lambda metrics: metrics.rank)
    val = to_device(splits.val, CPU)
    result = evaluate(task, task.select_model(net, val), val)
    assert result == pytest.approx((best.val_loss, best.val_accuracy), rel=1e-5)


def test_loss_is_cross_entropy(task: Task, small: Small) -> None:
    splits = small(task.name)
    net = initialise(task, splits, quick(task), 0).eval()
    x, y = torch.tensor(splits.val.x), torch.tensor(splits.val.y)
    logits, outputs = predict(net, x), task.outputs(net, x)
    probabilities = outputs["probabilities"]
    if y.is_floating_point():
        target = y.reshape(*y.shape, *[1] * (logits.ndim - y.ndim))
        expected = -(target * probabilities.log() + (1 - target) * (1 - probabilities).log())
    else:
        expected = -probabilities[torch.arange(len(y)), y].log()
        if "score" in outputs:  # the log odds of any of the labels
            expected -= torch.nn.functional.logsigmoid(outputs["score"])
    torch.testing.assert_close(task.loss(logits, y, 0.0), expected, rtol=1e-4, atol=1e-5)


def test_the_search_space_contains_the_default_and_valid_values(task: Task) -> None:
    for name, dimension in task.space.items():
        values = (
            dimension.options if isinstance(dimension, Choice) else (dimension.low, dimension.high)
        )
        for value in values:
            assert getattr(task.hparams(**{name: value}), name) == value
        assert getattr(task.hparams(), name) in dimension


def test_recipes_are_hyper_parameters_that_may_be_given_as_text(task: Task) -> None:
    assert task.recipes["default"] == task.hparams()
    assert task.default_recipe(task.data_options()) == "default"
    for recipe in task.recipes.values():
        assert (
            task.hparams(**{name: str(value) for name, value in asdict(recipe).items()}) == recipe
        )


def test_mnist_split_is_stratified() -> None:
    splits = tasks.get("mnist").load(tasks.get("mnist").data_options())
    sizes = {"train": 55_000, "val": 3_000, "calibration": 2_000, "test": 10_000}
    assert splits.sizes() == sizes
    train, val, calibration = (
        np.bincount(part.y) for part in (splits.train, splits.val, splits.calibration)
    )
    held_back = val + calibration
    assert np.abs(held_back / (held_back + train) - VAL_SHARE).max() < 1e-4
    assert np.abs(calibration / held_back - CALIBRATION_SHARE).max() < 2e-3
    assert stratified(np.zeros(12, int), 0.25, SPLIT_SEED).sum() == 3


@pytest.mark.parametrize(
    ("gate", "recipe", "seeds"),
    [
        ("all", "default", 3),
        ("parity4", "default", 3),
        ("majority3", "default", 3),
        ("01101001", "default", 3),
        ("a", "default", 3),
        ("random6", "large", 1),
        pytest.param("parity8", "large", 1, marks=pytest.mark.slow),
        pytest.param("majority9", "xlarge", 1, marks=pytest.mark.slow),
    ],
)
def test_gates_are_solved(gate: str, recipe: str, seeds: int) -> None:
    task = tasks.get("gate")
    if gate == "random6":
        gate = "".join(map(str, np.random.default_rng(5).integers(0, 2, 64)))
    options = task.data_options(gate=gate)
    assert task.default_recipe(options) == recipe
    splits = task.load(options)
    table = to_device(splits.train, CPU)
    for seed in range(seeds):
        net = task.select_model(trained(task, splits, task.recipes[recipe], seed)[0], table)
        probabilities = task.outputs(net, table.x)["probabilities"]
        assert (probabilities - table.y).abs().max() < 0.05, (gate, seed)


def drawn(task: Task, splits: Splits) -> dict[FigureSpec, object]:
    """Return the figures of a net after a short training, or why they cannot be drawn."""
    hparams, recorder = quick(task), SnapshotRecorder()
    train, val = (to_device(part, CPU) for part in (splits.train, splits.val))
    net = initialise(task, splits, hparams, 0)

    def watch(done: int, steps: int) -> None:
        recorder.record(done, steps, lambda: figures.get(task.name).snapshot(net, val))

    list(fit(task, net, train, val, hparams, watch=watch))
    net = task.select_model(net, val)
    test = splits.test.open("test")
    logits = predict(net, torch.tensor(test.x)).numpy()
    result: dict[FigureSpec, object] = {}
    snapshots = recorder.snapshots(hparams.epochs)
    for spec in figures.get(task.name).figures(Trained(net, splits, test, logits, snapshots)):
        try:
            result[spec] = spec.draw()
        except DataError as error:
            assert error.what and error.expected, spec.name
            result[spec] = error
    return result


def test_every_figure_can_be_drawn(task: Task, small: Small) -> None:
    result = drawn(task, small(task.name))
    if find_spec(f"{figures.__name__}.{task.name}") is None:
        assert not result
        return
    core = {spec.name for spec in result if spec.core}
    assert {"network/architecture", "decisions/predictions"} <= core
    for spec, fig in result.items():
        assert spec.caption and spec.caveat, spec.name
        if isinstance(fig, Animation):
            assert fig.gif.startswith(b"GIF8") and len(fig.gif) < 1_000_000 and fig.title
        else:
            assert fig.get_suptitle(), spec.name
            fig.canvas.draw()


def test_a_test_set_of_one_class_can_be_drawn(small: Small) -> None:
    def sevens(split: Split) -> Split:
        return Split(split.x[split.y == 7], split.y[split.y == 7])

    splits = small("mnist")
    test = sevens(splits.test.open("test"))
    splits = replace(
        splits, train=sevens(splits.train), val=sevens(splits.val), test=HeldOut(test.x, test.y)
    )
    assert not all(isinstance(fig, DataError) for fig in drawn(tasks.get("mnist"), splits).values())


@pytest.mark.parametrize("gate", ["parity1", "a", "majority3", "parity10", "01" * 512])
def test_figures_of_any_number_of_inputs(gate: str) -> None:
    task = tasks.get("gate")
    splits = task.load(task.data_options(gate=gate))
    inputs, names = splits.train.x.shape[1], set()
    for spec, fig in drawn(task, splits).items():
        if isinstance(fig, DataError):
            continue
        names.add(spec.name)
        if not isinstance(fig, Animation):
            fig.canvas.draw()
            assert max(fig.get_size_inches()) < 20
            title = fig._suptitle.get_window_extent()
            assert title.x0 >= 0 and title.x1 <= fig.bbox.width, fig.get_suptitle()
    assert {"network/architecture", "decisions/predictions"} <= names
    assert ("decisions/surfaces" in names) is (inputs == 2)
    assert ("decisions/slices" in names) is (2 < inputs <= 6)

"""The contract that every task keeps, whatever it is about."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from experiments import tasks
from experiments.album import Album
from experiments.device import to_device
from experiments.errors import DataError
from experiments.fit import fit, initialise
from experiments.metrics import evaluate, predict
from experiments.tasks.base import Choice, Exhibit, Film, Split, Splits, Task, Trained
from experiments.tasks.mnist import SPLIT_SEED, VAL_SHARE, stratified

CPU = torch.device("cpu")
CHANGES = {"rotate", "scale", "shear", "shift", "far", "degrade", "strangers"}
Small = Callable[[str], Splits]


@pytest.fixture(params=tasks.names())
def task(request: pytest.FixtureRequest) -> Task:
    return tasks.get(request.param)


def quick(task: Task, **more):
    """Default hyper-parameters with fewer epochs and a smaller bank."""
    names = {field.name for field in dataclasses.fields(task.hparams)}
    wanted = {"epochs": 3, "eval_every": 1, "batch_size": 128, "restarts": 3} | more
    return task.hparams(**{name: value for name, value in wanted.items() if name in names})


def still(task: Task) -> dict[str, int]:
    """Settings that leave the samples as they are."""
    return dict.fromkeys(CHANGES & set(vars(task.hparams())), 0)


def trained(task: Task, splits: Splits, seed: int):
    net, hparams = initialise(task, splits, quick(task), seed), quick(task)
    train, val = to_device(splits.train, CPU), to_device(splits.val, CPU)
    history = list(fit(task, net, train, val, hparams, seed=seed))
    return net, history


def test_shapes(task: Task, small: Small) -> None:
    splits = small(task.name)
    for split in (splits.train, splits.val, splits.test):
        assert split.x.dtype == np.dtype(task.input.dtype)
        assert len(split.x) == len(split.y) > 0
    assert len(splits.digest) <= 36 and splits.labels and splits.source and splits.canonical
    net = task.choose(initialise(task, splits, quick(task), 0), to_device(splits.val, CPU))
    x = torch.tensor(splits.test.x[:3])
    outputs = task.outputs(net.eval(), x)
    assert list(outputs)[:2] == ["logits", "probabilities"]
    assert outputs["logits"].shape == (len(x), len(splits.labels))
    assert torch.equal(outputs["logits"], net(x)[:, : len(splits.labels)])
    assert outputs["probabilities"].min() >= 0 and outputs["probabilities"].max() <= 1


def test_splits_are_disjoint_or_say_they_are_not(task: Task) -> None:
    splits = task.load(task.data_options())
    rows = [{x.tobytes() for x in s.x} for s in (splits.train, splits.val, splits.test)]
    if splits.exhaustive:
        assert rows[0] == rows[1] == rows[2]
    else:
        assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]


def test_splits_do_not_depend_on_the_run(task: Task) -> None:
    first, second = (task.load(task.data_options()) for _ in range(2))
    assert np.array_equal(first.val.x, second.val.x) and first.digest == second.digest


def test_one_batch_can_be_learned_by_heart(task: Task, small: Small) -> None:
    batch = small(task.name).train
    batch = to_device(dataclasses.replace(batch, x=batch.x[:64], y=batch.y[:64]), CPU)
    hparams = quick(
        task,
        epochs=150,
        eval_every=150,
        weight_decay=0,
        label_smoothing=0,
        restarts=32,
        **still(task),
    )
    net = initialise(task, small(task.name), hparams, 0)
    list(fit(task, net, batch, batch, hparams))
    loss, accuracy = evaluate(task, task.choose(net, batch), batch)
    assert accuracy == 1 and loss < 0.02


def test_same_seed_same_weights(task: Task, small: Small) -> None:
    splits = small(task.name)
    (first, a), (second, b), (other, _) = (trained(task, splits, seed) for seed in (7, 7, 8))
    assert a == b
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(x, y) for x, y in pairs)
    parameters = zip(first.parameters(), other.parameters(), strict=True)
    assert not any(torch.equal(x, y) for x, y in parameters)


def test_seed_is_not_taken_from_outside(task: Task, small: Small) -> None:
    torch.manual_seed(1)
    first = initialise(task, small(task.name), quick(task), 0)
    torch.manual_seed(2)
    second = initialise(task, small(task.name), quick(task), 0)
    assert all(map(torch.equal, first.parameters(), second.parameters()))


def test_kept_weights_are_the_best_epochs(task: Task, small: Small) -> None:
    splits = small(task.name)
    net, history = trained(task, splits, 3)
    best = max(history, key=lambda metrics: metrics.rank)
    val = to_device(splits.val, CPU)
    loss, accuracy = evaluate(task, task.choose(net, val), val)
    assert (loss, accuracy) == pytest.approx((best.val_loss, best.val_accuracy), rel=1e-5)


def test_loss_is_cross_entropy(task: Task, small: Small) -> None:
    splits = small(task.name)
    net = initialise(task, splits, quick(task), 0).eval()
    y = torch.tensor(splits.val.y)
    logits = predict(net, torch.tensor(splits.val.x))
    told = task.outputs(net, torch.tensor(splits.val.x))
    outputs = told["probabilities"]
    if y.is_floating_point():
        target = y.reshape(*y.shape, *[1] * (logits.ndim - y.ndim))
        expected = -(target * outputs.log() + (1 - target) * (1 - outputs).log())
    else:
        expected = -outputs[torch.arange(len(y)), y].log()
        if "score" in told:  # the odds of its being any of the labels at all
            expected -= torch.nn.functional.logsigmoid(told["score"])
    torch.testing.assert_close(task.loss(logits, y, 0.0), expected, rtol=1e-4, atol=1e-5)


def test_space_is_within_the_hyper_parameters(task: Task) -> None:
    for name, dimension in task.space.items():
        ends = (
            dimension.options if isinstance(dimension, Choice) else (dimension.low, dimension.high)
        )
        for end in ends:
            assert getattr(task.hparams(**{name: end}), name) == end
        default = getattr(task.hparams(), name)
        assert default in ends or ends[0] <= default <= ends[1], name


def test_every_default_may_be_given_as_text(task: Task) -> None:
    for recipe in task.recipes.values():
        assert task.hparams(**{name: str(value) for name, value in vars(recipe).items()}) == recipe


def shown(task: Task, splits: Splits) -> list[Exhibit]:
    """Return the exhibits of a net after a short training."""
    hparams, album = quick(task), Album()
    train, val = (to_device(part, CPU) for part in (splits.train, splits.val))
    net = initialise(task, splits, hparams, 0)

    def watch(done: int, steps: int) -> None:
        album.take(done, steps, lambda: task.watch(net, val))

    list(fit(task, net, train, val, hparams, watch=watch))
    net = task.choose(net, val)
    logits = predict(net, torch.tensor(splits.test.x)).numpy()
    return list(task.exhibits(Trained(net, splits, logits, album.moments(hparams.epochs))))


def test_every_exhibit_can_be_drawn(task: Task, small: Small) -> None:
    exhibits = shown(task, small(task.name))
    core = {exhibit.name for exhibit in exhibits if exhibit.core}
    assert {"network/architecture", "decisions/predictions"} <= core
    for exhibit in exhibits:
        assert exhibit.look.startswith("Look for") and "cannot show" in exhibit.limit, exhibit.name
        drawn = exhibit.draw()
        if isinstance(drawn, Film):
            assert drawn.gif.startswith(b"GIF8") and len(drawn.gif) < 1_000_000 and drawn.title
        else:
            assert drawn.get_suptitle(), exhibit.name
            drawn.canvas.draw()
        steps = [step for step, _ in exhibit.slides()] if exhibit.slides else []
        assert steps == sorted(set(steps)), exhibit.name


def only_sevens(splits: Splits) -> Splits:
    parts = {n: getattr(splits, n) for n in ("train", "val", "test")}
    sevens = {n: Split(part.x[part.y == 7], part.y[part.y == 7]) for n, part in parts.items()}
    return dataclasses.replace(splits, **sevens)


def test_exhibits_of_a_test_set_of_one_class(small: Small) -> None:
    for exhibit in shown(tasks.get("mnist"), only_sevens(small("mnist"))):
        try:
            drawn = exhibit.draw()
        except DataError as reason:
            assert "expected" in str(reason), exhibit.name
        else:
            assert drawn.title if isinstance(drawn, Film) else drawn.get_suptitle(), exhibit.name


def test_mnist_split_is_stratified() -> None:
    splits = tasks.get("mnist").load(tasks.get("mnist").data_options())
    assert (len(splits.train.x), len(splits.val.x), len(splits.test.x)) == (55000, 5000, 10000)
    share = np.bincount(splits.val.y) / np.bincount(np.r_[splits.train.y, splits.val.y])
    assert np.abs(share - VAL_SHARE).max() < 1e-4
    assert stratified(np.zeros(12, int), 0.25, SPLIT_SEED).sum() == 3


@pytest.mark.parametrize("gate", ["all", "parity4", "majority3", "01101001", "a"])
def test_gates_are_solved(gate: str) -> None:
    task = tasks.get("gate")
    splits = task.load(task.data_options(gate=gate))
    table = to_device(splits.train, CPU)
    for seed in range(3):
        net = initialise(task, splits, task.hparams(), seed)
        list(fit(task, net, table, table, task.hparams(), seed=seed))
        net = task.choose(net, table)
        probabilities = task.outputs(net, table.x)["probabilities"]
        assert (probabilities - table.y).abs().max() < 0.05, (gate, seed)
        assert math.isclose(evaluate(task, net, table)[1], 1)


@pytest.mark.parametrize(
    ("gate", "recipe"), [("parity8", "wide"), ("random6", "wide"), ("majority9", "widest")]
)
def test_larger_tables_are_solved(gate: str, recipe: str) -> None:
    task = tasks.get("gate")
    if gate == "random6":
        gate = "".join(map(str, np.random.default_rng(5).integers(0, 2, 64)))
    data = task.data_options(gate=gate)
    assert task.suits(data) == recipe
    splits, hparams = task.load(data), task.recipes[recipe]
    table, net = to_device(splits.train, CPU), initialise(task, splits, hparams, 0)
    list(fit(task, net, table, table, hparams))
    probabilities = task.outputs(task.choose(net, table), table.x)["probabilities"]
    assert (probabilities - table.y).abs().max() < 0.05


def test_recipes_suit_their_data(task: Task) -> None:
    assert task.recipes["default"] == task.hparams()
    assert task.suits(task.data_options()) == "default"
    for recipe in task.recipes.values():
        assert isinstance(recipe, task.hparams)


def test_recipe_grows_with_the_table() -> None:
    task = tasks.get("gate")
    suited = [task.suits(task.data_options(gate=f"parity{n}")) for n in (1, 4, 5, 8, 9, 10)]
    assert suited == ["default", "default", "wide", "wide", "widest", "widest"]


@pytest.mark.parametrize("gate", ["parity1", "a", "majority3", "parity10", "01" * 512])
def test_exhibits_of_any_number_of_inputs(gate: str) -> None:
    task = tasks.get("gate")
    splits = task.load(task.data_options(gate=gate))
    inputs, drawn, why = splits.test.x.shape[1], set(), {}
    for exhibit in shown(task, splits):
        try:
            figure = exhibit.draw()
        except DataError as reason:
            why[exhibit.name] = str(reason)
            continue
        drawn.add(exhibit.name)
        if not isinstance(figure, Film):
            figure.canvas.draw()
            assert max(figure.get_size_inches()) < 20
            title = figure._suptitle.get_window_extent()
            assert title.x0 >= 0 and title.x1 <= figure.bbox.width, figure.get_suptitle()
    assert {"network/architecture", "decisions/predictions", "decisions/margins"} <= drawn
    assert ("decisions/surfaces" in drawn) is (inputs == 2)
    assert ("decisions/slices" in drawn) is (2 < inputs <= 6)
    assert all("expected" in reason for reason in why.values())

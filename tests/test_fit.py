"""The training loop's own rules: schedule, divergence, augmentation, precision."""

import copy
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Generator, nn

from experiments import optim, tasks
from experiments.augment import warped
from experiments.device import choose_device, choose_precision, to_device
from experiments.errors import UserError
from experiments.fit import Diverged, fit, initialise, seeds
from experiments.metrics import EpochMetrics
from experiments.optim import Optimizer
from experiments.tasks.base import Hparams, Split
from models.mlp import GateBank

CPU = torch.device("cpu")


@pytest.mark.parametrize("rule", ["adamw", "sgd", "muon"])
def test_learning_rate_rises_and_falls(rule: str) -> None:
    net = nn.Linear(1, 1)
    optimizer, rates = Optimizer(net, Hparams(lr=0.5, warmup=0.25, optimizer=rule), steps=8), []
    for _ in range(8):
        rates.append(optimizer.lr)
        net(torch.ones(2, 1)).sum().backward()
        optimizer.step()
        assert net.weight.grad is None
    assert rates == pytest.approx([0.25, 0.5, 0.5, 5 / 12, 4 / 12, 3 / 12, 2 / 12, 1 / 12])


def trainers(rule: str) -> tuple[nn.Module, nn.Module, Optimizer, torch.optim.Optimizer]:
    """Two equal nets, one with our rule, one with PyTorch's own; constant rate."""
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    theirs = copy.deepcopy(ours)
    hparams = Hparams(lr=0.02, warmup=0, weight_decay=0.1, optimizer=rule)
    kinds = {
        "adamw": partial(torch.optim.AdamW, betas=optim.ADAM_BETAS, lr=0.02, weight_decay=0.1),
        # of PyTorch, SGD's decay is not decoupled: none here, and none there
        "sgd": partial(torch.optim.SGD, momentum=optim.SGD_MOMENTUM, nesterov=True, lr=0.02),
    }
    if rule == "sgd":
        hparams = replace(hparams, weight_decay=0)
    return ours, theirs, Optimizer(ours, hparams, steps=10**9), kinds[rule](theirs.parameters())


@pytest.mark.parametrize("rule", ["adamw", "sgd"])
def test_rules_are_pytorchs(rule: str) -> None:
    ours, theirs, mine, its = trainers(rule)
    for _ in range(10):
        x = torch.randn(8, 5)
        ours(x).square().mean().backward()
        mine.step()
        its.zero_grad()
        theirs(x).square().mean().backward()
        its.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (32, 6), (6, 32)])
def test_muon_steps_have_singular_values_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = nn.Module()
    net.hidden, net.last = (nn.Parameter(torch.randn(s)) for s in (shape, (2, 3)))
    before = net.hidden.detach().clone()
    optimizer = Optimizer(net, Hparams(lr=1, warmup=0, weight_decay=0, optimizer="muon"), 10**9)
    gradient = torch.randn(shape)
    net.hidden.grad, net.last.grad = gradient.clone(), torch.ones(2, 3)
    optimizer.step()
    step = (before - net.hidden.detach()).flatten(1)
    step = step / max(1, step.shape[0] / step.shape[1]) ** 0.5
    values = torch.linalg.svdvals(step)
    left, _, right = torch.linalg.svd(gradient.flatten(1), full_matrices=False)
    assert (step * (left @ right)).sum() / values.norm() / min(step.shape) ** 0.5 > 0.95
    assert values.min() > 0.3 and values.max() < 1.3


def test_muon_leaves_the_last_matrix_and_vectors_to_adamw() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    optimizer = Optimizer(net, Hparams(optimizer="muon"), steps=5)
    rules = [(rule.__name__, scale) for rule, scale in optimizer.rules]
    assert rules == [("_muon", 1.0)] + 3 * [("_adamw", optim.OTHERS_LR_SCALE)]


@pytest.mark.parametrize("rule", ["adamw", "sgd"])
def test_weight_decay_is_decoupled(rule: str) -> None:
    net = nn.Linear(3, 2)
    before = net.weight.detach().clone()
    hparams = Hparams(lr=0.5, warmup=0, weight_decay=0.1, optimizer=rule)
    optimizer = Optimizer(net, hparams, steps=10**9)
    net.weight.grad, net.bias.grad = torch.zeros(2, 3), torch.zeros(2)
    optimizer.step()
    torch.testing.assert_close(net.weight.detach(), before * (1 - 0.5 * 0.1))


def test_divergence_is_told_with_its_epoch(small) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    hparams = task.hparams(optimizer="sgd", lr=100, warmup=0, epochs=3)
    net = initialise(task, splits, hparams, 0)
    with torch.no_grad():
        net.output.weight.fill_(float("inf"))
    train = to_device(splits.train, CPU)
    with pytest.raises(Diverged, match=r"in epoch 1; try a smaller lr than 100"):
        list(fit(task, net, train, train, hparams))


def test_evaluation_happens_every_so_many_epochs_and_at_the_end(small) -> None:
    task, splits = tasks.get("gate"), small("gate")
    hparams = task.hparams(epochs=25, eval_every=10, restarts=2)
    table = to_device(splits.train, CPU)
    net = initialise(task, splits, hparams, 0)
    assert [m.epoch for m in fit(task, net, table, table, hparams)] == [10, 20, 25]


@pytest.mark.parametrize("batch_size", [50, 51, 100, 101, 200])
def test_no_batch_of_a_single_sample(small, batch_size: int) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    train = to_device(Split(splits.train.x[:101], splits.train.y[:101]), CPU)
    hparams = task.hparams(epochs=2, batch_size=batch_size)
    history = list(fit(task, initialise(task, splits, hparams, 0), train, train, hparams))
    assert [metrics.epoch for metrics in history] == [1, 2]


def test_rank_prefers_accuracy_then_loss() -> None:
    def metrics(accuracy: float, loss: float) -> EpochMetrics:
        return EpochMetrics(1, 0, 0, loss, accuracy, 0)

    assert metrics(0.9, 2.0).rank > metrics(0.8, 0.1).rank
    assert metrics(0.9, 0.1).rank > metrics(0.9, 0.2).rank


def test_restarts_do_not_touch_each_other(small) -> None:
    task, splits = tasks.get("gate"), small("gate")
    table = to_device(splits.train, CPU)
    hparams = task.hparams(epochs=30, eval_every=30, restarts=3)
    whole = initialise(task, splits, hparams, 0)
    alone = GateBank(**{**whole.config, "nets": (16, 1)})
    for name, value in whole.named_parameters():
        alone.get_parameter(name).data = value.data[:, 1:2].clone()
    list(fit(task, whole, table, table, hparams))
    list(fit(task, alone, table, table, hparams))
    torch.testing.assert_close(whole(table.x)[..., 1:2], alone(table.x), rtol=1e-3, atol=1e-3)


def test_streams_of_a_seed_differ() -> None:
    assert len({*seeds(0), *seeds(1)}) == 6


def picture() -> torch.Tensor:
    """A smooth blob off the middle, [1, 28, 28]."""
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    return (255 * torch.exp(-((y - 10) ** 2 / 8 + (x - 16) ** 2 / 20)))[None]


def middle(images: torch.Tensor) -> torch.Tensor:
    """Centres of mass (row, column) of [N, 28, 28]."""
    at = torch.arange(28.0)
    mass = images.sum((1, 2))
    return torch.stack([(images.sum(2) @ at) / mass, (images.sum(1) @ at) / mass], 1)


def test_no_warp_is_no_change() -> None:
    images = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    torch.testing.assert_close(
        warped(images, Generator().manual_seed(0)), images.float(), atol=1e-2, rtol=1e-4
    )


def test_shift_moves_by_at_most_its_limit_in_every_direction() -> None:
    images = picture().expand(300, 28, 28)
    moved = middle(warped(images, Generator().manual_seed(0), shift=2)) - middle(images)
    assert 1.8 < moved.abs().max() < 2.05
    assert (moved.min(0).values < -1.5).all() and (moved.max(0).values > 1.5).all()


@pytest.mark.parametrize("limit", [{"rotate": 20}, {"scale": 0.2}, {"shear": 0.2}])
def test_each_warp_changes_the_picture_by_its_own_amount(limit: dict[str, float]) -> None:
    images = picture().expand(200, 28, 28)
    changed = warped(images, Generator().manual_seed(0), **limit)
    small = warped(images, Generator().manual_seed(0), **{k: v / 10 for k, v in limit.items()})
    assert (changed - images).abs().mean() > 3 * (small - images).abs().mean() > 0
    assert len(changed.flatten(1).unique(dim=0)) == 200
    again = warped(images, Generator().manual_seed(0), **limit)
    assert torch.equal(changed, again)


def spreads(images: torch.Tensor) -> torch.Tensor:
    """Standard deviations (down, across) and slope (columns a row) of [N, 28, 28]."""
    at, mass = torch.arange(28.0), images.sum((1, 2))
    row, column = middle(images).T
    down, across = at - row[:, None], at - column[:, None]
    yy = (images.sum(2) * down**2).sum(1) / mass
    xx = (images.sum(1) * across**2).sum(1) / mass
    xy = torch.einsum("nij,ni,nj->n", images, down, across) / mass
    return torch.stack([yy.sqrt(), xx.sqrt(), xy / yy], 1)


def test_scale_is_a_share_of_each_axis() -> None:
    images = picture().expand(400, 28, 28)
    sizes = spreads(warped(images, Generator().manual_seed(0), scale=0.2)) / spreads(images)
    for axis in (0, 1):
        assert sizes[:, axis].min() == pytest.approx(1 / 1.2, abs=0.03)
        assert sizes[:, axis].max() == pytest.approx(1 / 0.8, abs=0.03)
    assert sizes[:, :2].T.corrcoef()[0, 1].abs() < 0.2


def test_shear_is_pixels_a_row() -> None:
    images = picture().expand(400, 28, 28)
    lean = spreads(warped(images, Generator().manual_seed(0), shear=0.3))[:, 2]
    assert lean.min() == pytest.approx(-0.3, abs=0.03)
    assert lean.max() == pytest.approx(0.3, abs=0.03)


def test_rotation_turns_about_the_middle() -> None:
    images = picture().expand(200, 28, 28)
    arm = (middle(images) - 13.5)[0]
    arms = middle(warped(images, Generator().manual_seed(0), rotate=30)) - 13.5
    torch.testing.assert_close(arms.norm(dim=1), arm.norm().expand(200), rtol=0.02, atol=0.05)
    angles = torch.atan2(arms[:, 0], arms[:, 1]) - torch.atan2(arm[0], arm[1])
    assert 27 < angles.abs().max().rad2deg() < 31


def test_a_part_of_an_epoch_is_that_many_steps(small) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    train = to_device(splits.train, CPU)
    seen = []
    counting = replace(task, augment=lambda x, y, *_: seen.append(len(x)) or (x, y))
    for epochs, sizes in ((0.5, [128, 128]), (1.25, [128] * 5), (0.001, [128])):
        hparams = task.hparams(epochs=epochs, batch_size=128)
        net = initialise(task, splits, hparams, 0)
        history = list(fit(counting, net, train, train, hparams))
        assert seen == sizes and [m.epoch for m in history] == list(range(1, len(history) + 1))
        assert len(history) == math.ceil(epochs) and not net.training
        seen.clear()


@pytest.mark.parametrize("recipe", ["flash", "default", "best"])
def test_same_seed_same_weights_in_every_recipe(small, recipe: str) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    train, hparams = to_device(splits.train, CPU), replace(task.recipes[recipe], epochs=1.5)
    precision = choose_precision("auto", task, CPU)
    nets = [initialise(task, splits, hparams, 3) for _ in range(2)]
    for net in nets:
        list(fit(task, net, train, train, hparams, seed=3, precision=precision))
    for a, b in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_device_that_is_not_there() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match="cuda is not to be had here; this machine has cpu"):
        choose_device("cuda")
    assert choose_device("auto").type in ("cpu", "mps")


def test_precision_follows_task_and_wish() -> None:
    assert choose_precision("auto", tasks.get("gate"), CPU) == "fp32"
    assert choose_precision("bf16", tasks.get("gate"), CPU) == "bf16"
    assert choose_precision("auto", tasks.get("mnist"), CPU) in ("fp32", "bf16")


def test_bf16_learns_too(small) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    train = to_device(splits.train, CPU)
    hparams = task.hparams(epochs=8, far=0, degrade=0, strangers=0)
    net = initialise(task, splits, hparams, 0)
    history = list(fit(task, net, train, train, hparams, precision="bf16"))
    assert history[-1].train_accuracy > 0.9 > history[0].train_accuracy
    assert all(p.dtype == torch.float32 for p in net.parameters())

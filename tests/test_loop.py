"""The training loop: update rules, schedule, evaluation, divergence, augmentation, precision."""

import copy
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jaxtyping
import pytest
import torch
from torch import Generator, nn

from experiments import tasks
from experiments.data.augment import random_affine
from experiments.tasks.task import Hparams, Split, Splits
from experiments.training import optim, threads
from experiments.training.batches import AHEAD, Batch, ahead
from experiments.training.device import choose_device, choose_precision, to_device
from experiments.training.loop import DivergedError, fit, initialise, seeds
from experiments.training.metrics import EpochMetrics
from experiments.training.optim import Optimizer
from models.mlp import GateBank
from tests.expect import refused

Small = Callable[[str], Splits]
CPU = torch.device("cpu")


@pytest.mark.parametrize("rule", ["adamw", "sgd", "muon"])
def test_learning_rate_rises_and_falls(rule: str) -> None:
    net, rates = nn.Linear(1, 1), []
    optimizer = Optimizer(net, Hparams(lr=0.5, warmup_frac=0.25, optimizer=rule), steps=8)
    for _ in range(8):
        rates.append(optimizer.lr)
        net(torch.ones(2, 1)).sum().backward()
        optimizer.step()
        assert net.weight.grad is None
    assert rates == pytest.approx([0.25, 0.5, 0.5, 5 / 12, 4 / 12, 3 / 12, 2 / 12, 1 / 12])


@pytest.mark.parametrize(
    ("rule", "decay", "reference"),
    [
        ("adamw", 0.1, partial(torch.optim.AdamW, betas=optim.ADAM_BETAS, weight_decay=0.1)),
        # PyTorch's weight decay of SGD is not decoupled, so there is none here
        ("sgd", 0.0, partial(torch.optim.SGD, momentum=optim.SGD_MOMENTUM, nesterov=True)),
    ],
)
def test_rules_equal_pytorchs(rule: str, decay: float, reference) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    other = copy.deepcopy(net)
    hparams = Hparams(lr=0.02, warmup_frac=0, weight_decay=decay, optimizer=rule)
    optimizer = Optimizer(net, hparams, steps=10**9)  # so many that the rate is constant
    other_optimizer = reference(other.parameters(), lr=0.02)
    for _ in range(10):
        x = torch.randn(8, 5)
        net(x).square().mean().backward()
        optimizer.step()
        other_optimizer.zero_grad()
        other(x).square().mean().backward()
        other_optimizer.step()
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("rule", ["adamw", "sgd"])
def test_weight_decay_is_decoupled(rule: str) -> None:
    net = nn.Linear(3, 2)
    before = net.weight.detach().clone()
    hparams = Hparams(lr=0.5, warmup_frac=0, weight_decay=0.1, optimizer=rule)
    optimizer = Optimizer(net, hparams, steps=10**9)
    net.weight.grad, net.bias.grad = torch.zeros(2, 3), torch.zeros(2)
    optimizer.step()
    torch.testing.assert_close(net.weight.detach(), before * (1 - 0.5 * 0.1))


@pytest.mark.parametrize("shape", [(8, 4, 3, 3), (32, 6), (6, 32)])
def test_muon_steps_have_singular_values_near_one(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = nn.Module()
    net.hidden, net.last = (nn.Parameter(torch.randn(s)) for s in (shape, (2, 3)))
    before = net.hidden.detach().clone()
    hparams = Hparams(lr=1, warmup_frac=0, weight_decay=0, optimizer="muon")
    optimizer = Optimizer(net, hparams, 10**9)
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
    assert rules == [("_muon", 1.0)] + 3 * [("_adamw", optim.ADAMW_LR_SCALE)]


def test_a_loss_of_another_shape_is_caught(small: Small) -> None:
    """Labels [B, 1] instead of [B] broadcast to losses [B, B]: PyTorch trains on without a word."""
    task, splits = tasks.get("mnist"), small("mnist")
    train = to_device(splits.train, CPU)

    def broadcast(logits: torch.Tensor, y: torch.Tensor, smoothing: float) -> torch.Tensor:
        return (logits.argmax(1) - y[:, None]).float().square() + 0 * logits.sum()

    net = initialise(task, splits, task.hparams(), 0)
    with pytest.raises(jaxtyping.TypeCheckError, match="correct"):
        list(fit(replace(task, loss=broadcast), net, train, train, task.hparams(epochs=1)))


def test_divergence_is_an_error(small: Small) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    hparams = task.hparams(optimizer="sgd", lr=100, warmup_frac=0, epochs=3)
    net = initialise(task, splits, hparams, 0)
    with torch.no_grad():
        net.output.weight.fill_(float("inf"))
    train = to_device(splits.train, CPU)
    with refused("training-diverged", DivergedError, what="epoch 1", fix="100"):
        list(fit(task, net, train, train, hparams))


def test_evaluations_are_periodic_and_at_the_end(small: Small) -> None:
    task, splits = tasks.get("gate"), small("gate")
    hparams = task.hparams(epochs=25, eval_every=10, num_restarts=2)
    table = to_device(splits.train, CPU)
    net = initialise(task, splits, hparams, 0)
    assert [m.epoch for m in fit(task, net, table, table, hparams)] == [10, 20, 25]


@pytest.mark.parametrize(
    ("epochs", "count", "batch_size", "batches"),
    [
        (0.5, 512, 128, [128] * 2),
        (1.25, 512, 128, [128] * 5),
        (0.001, 512, 128, [128]),
        (2, 101, 50, [50] * 4),  # a last batch of one is left out
        (2, 101, 51, [51, 50] * 2),
        (2, 101, 101, [101] * 2),
        (2, 101, 200, [101] * 2),
    ],
)
def test_batches(
    small: Small, epochs: float, count: int, batch_size: int, batches: list[int]
) -> None:
    task, splits, sizes = tasks.get("mnist"), small("mnist"), []
    train = to_device(Split(splits.train.x[:count], splits.train.y[:count]), CPU)
    counting = replace(task, augment=lambda x, y, *_: sizes.append(len(x)) or (x, y))
    hparams = task.hparams(epochs=epochs, batch_size=batch_size)
    net = initialise(task, splits, hparams, 0)
    history = list(fit(counting, net, train, train, hparams))
    assert sizes == batches and not net.training
    assert [m.epoch for m in history] == list(range(1, math.ceil(epochs) + 1))


def test_the_augmentation_gets_the_fraction_of_the_steps_done(small: Small) -> None:
    splits, task, seen = small("mnist"), tasks.get("mnist"), []
    task = replace(task, augment_at=lambda hparams, done: seen.append(done) or hparams)
    hparams = task.hparams(epochs=2, batch_size=256, base_channels=2, hidden_dim=4)
    train, val = (to_device(part, CPU) for part in (splits.train, splits.val))
    list(fit(task, initialise(task, splits, hparams, 0), train, val, hparams))
    assert seen == [0, 0.25, 0.5, 0.75]


def test_rank_prefers_accuracy_then_loss() -> None:
    ranks = [EpochMetrics(1, 0, 0, *val, 0).rank for val in ((0.1, 0.8), (2.0, 0.9), (0.1, 0.9))]
    assert ranks == sorted(ranks)


def test_restarts_are_independent(small: Small) -> None:
    task, splits = tasks.get("gate"), small("gate")
    table = to_device(splits.train, CPU)
    hparams = task.hparams(epochs=30, eval_every=30, num_restarts=3)
    bank = initialise(task, splits, hparams, 0)
    single = GateBank(**{**bank.config, "nets": (16, 1)})
    for name, value in bank.named_parameters():
        single.get_parameter(name).data = value.data[:, 1:2].clone()
    for net in (bank, single):
        list(fit(task, net, table, table, hparams))
    torch.testing.assert_close(bank(table.x)[..., 1:2], single(table.x), rtol=1e-3, atol=1e-3)


def test_streams_of_seeds_differ() -> None:
    assert len({*seeds(0), *seeds(1)}) == 6


@pytest.mark.parametrize("recipe", ["fast", "default", "accurate"])
def test_same_seed_same_weights_in_every_recipe(small: Small, recipe: str) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    train, hparams = to_device(splits.train, CPU), replace(task.recipes[recipe], epochs=1.5)
    precision = choose_precision("auto", task, CPU)
    nets = [initialise(task, splits, hparams, 3) for _ in range(2)]
    for net in nets:
        list(fit(task, net, train, train, hparams, seed=3, precision=precision))
    for a, b in zip(nets[0].state_dict().values(), nets[1].state_dict().values(), strict=True):
        assert torch.equal(a, b)


def blobs(count: int) -> torch.Tensor:
    """A smooth blob away from the middle, float32 [count, 28, 28]."""
    y, x = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    image = 255 * torch.exp(-((y - 10) ** 2 / 8 + (x - 16) ** 2 / 20))
    return image.expand(count, 28, 28)


def moments(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres of mass (row, column) and spreads (rows, columns, columns per row) of each image."""
    pixel, mass = torch.arange(28.0), images.sum((1, 2))
    row, column = (images.sum(2) @ pixel) / mass, (images.sum(1) @ pixel) / mass
    down, across = pixel - row[:, None], pixel - column[:, None]
    yy = (images.sum(2) * down**2).sum(1) / mass
    xx = (images.sum(1) * across**2).sum(1) / mass
    xy = torch.einsum("nij,ni,nj->n", images, down, across) / mass
    return torch.stack([row, column], 1), torch.stack([yy.sqrt(), xx.sqrt(), xy / yy], 1)


def moved(count: int = 400, **limits: float) -> torch.Tensor:
    return random_affine(blobs(count), Generator().manual_seed(0), **limits)


def test_affine_transforms_without_limits_change_nothing() -> None:
    torch.testing.assert_close(moved(5), blobs(5), atol=1e-2, rtol=1e-4)
    assert torch.equal(moved(9, shear=0.2), moved(9, shear=0.2))


def test_translation_is_in_pixels_and_in_every_direction() -> None:
    shift = moments(moved(translate_px=2))[0] - moments(blobs(400))[0]
    assert 1.8 < shift.abs().max() < 2.05
    assert (shift.min(0).values < -1.5).all() and (shift.max(0).values > 1.5).all()


def test_scale_is_a_fraction_of_each_axis() -> None:
    sizes = (moments(moved(scale_jitter=0.2))[1] / moments(blobs(400))[1])[:, :2]
    assert sizes.amin(0).tolist() == pytest.approx([1 / 1.2] * 2, abs=0.03)
    assert sizes.amax(0).tolist() == pytest.approx([1 / 0.8] * 2, abs=0.03)
    assert sizes.T.corrcoef()[0, 1].abs() < 0.2


def test_shear_is_in_pixels_per_row() -> None:
    slope = moments(moved(shear=0.3))[1][:, 2]
    assert [slope.min(), slope.max()] == pytest.approx([-0.3, 0.3], abs=0.03)


def test_rotation_is_about_the_middle() -> None:
    arm = (moments(blobs(1))[0] - 13.5)[0]
    arms = moments(moved(rotation_deg=30))[0] - 13.5
    torch.testing.assert_close(arms.norm(dim=1), arm.norm().expand(400), rtol=0.02, atol=0.05)
    angles = torch.atan2(arms[:, 0], arms[:, 1]) - torch.atan2(arm[0], arm[1])
    assert 27 < angles.abs().max().rad2deg() < 31


def test_unavailable_devices_are_an_error() -> None:
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    assert choose_device("auto").type == next((n for n, there in present.items() if there), "cpu")
    for name in (name for name, there in present.items() if not there):
        with refused("device-unavailable", what="device", expected="cpu", found=name):
            choose_device(name)


def test_precision_follows_task_and_option() -> None:
    assert choose_precision("auto", tasks.get("gate"), CPU) == "fp32"
    assert choose_precision("bf16", tasks.get("gate"), CPU) == "bf16"
    assert choose_precision("auto", tasks.get("mnist"), CPU) in ("fp32", "bf16")


def test_bf16_learns_too(small: Small) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    train = to_device(splits.train, CPU)
    hparams = task.hparams(epochs=8, strong_affine_frac=0, corruption_prob=0, outlier_ratio=0)
    net = initialise(task, splits, hparams, 0)
    history = list(fit(task, net, train, train, hparams, precision="bf16"))
    assert history[-1].train_accuracy > 0.9 > history[0].train_accuracy
    assert all(p.dtype == torch.float32 for p in net.parameters())


def test_batches_are_made_in_order_a_few_ahead_by_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "AVAILABLE", torch.get_num_threads() + 1)
    made: list[int] = []
    makers = set()

    def make(step: int) -> Batch:
        made.append(step)
        makers.add(threading.get_ident())
        return Batch(torch.tensor(step), torch.tensor(-step), {})

    last = 3 * AHEAD
    for step, batch in enumerate(ahead(make, 2, last), 2):
        assert batch.x == step == -batch.y
        assert len(made) <= step - 1 + AHEAD
    assert step == last and made == list(range(2, last + 1))
    assert len(makers) == 1 and threading.get_ident() not in makers


def test_without_a_spare_processor_each_batch_is_made_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "AVAILABLE", torch.get_num_threads())
    made: list[int] = []

    def make(step: int) -> Batch:
        made.append(step)
        return Batch(torch.tensor(step), torch.tensor(step), {})

    for step, batch in enumerate(ahead(make, 2, 5), 2):
        assert batch.x == step and made == list(range(2, step + 1))
    assert made == [2, 3, 4, 5]


@pytest.mark.parametrize("spare", [0, 1])
def test_an_error_of_the_augmentation_ends_the_training(
    spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "AVAILABLE", torch.get_num_threads() + spare)

    def make(step: int) -> Batch:
        if step == 2:
            raise RuntimeError("no batch")
        return Batch(torch.tensor(step), torch.tensor(step), {})

    batches = ahead(make, 1, 9)
    assert next(batches).x == 1
    with pytest.raises(RuntimeError, match="no batch"):
        next(batches)

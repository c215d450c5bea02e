"""The training loop's own rules: schedule, divergence, augmentation, precision."""

import numpy as np
import pytest
import torch
from torch import nn

from experiments import optim, tasks
from experiments.augment import shifted
from experiments.device import choose_device, choose_precision, to_device
from experiments.errors import UserError
from experiments.fit import Diverged, fit, initialise, seeds
from experiments.metrics import EpochMetrics
from experiments.tasks.base import Hparams, Split
from models.mlp import GateBank

CPU = torch.device("cpu")


@pytest.mark.parametrize("rule", ["adamw", "sgd"])
def test_learning_rate_rises_and_falls(rule: str) -> None:
    hparams = Hparams(lr=0.5, warmup=0.25, optimizer=rule)
    optimizer, schedule = optim.build(nn.Linear(1, 1), hparams, steps=8)
    rates = []
    for _ in range(8):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.25, 0.5, 0.5, 5 / 12, 4 / 12, 3 / 12, 2 / 12, 1 / 12])


def test_divergence_is_told_with_its_epoch(small) -> None:
    task, splits = tasks.get("mnist"), small("mnist")
    hparams = task.hparams(optimizer="sgd", lr=100, warmup=0, epochs=3)
    net = initialise(task, splits, hparams, 0)
    with torch.no_grad():
        net.linear2.weight.fill_(float("inf"))
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


def test_shift_is_a_roll_of_the_padded_image() -> None:
    noise = torch.Generator().manual_seed(0)
    images = torch.randint(1, 256, (200, 9, 9), dtype=torch.uint8)
    moved, seen = shifted(images, 2, noise), set()
    for before, after in zip(images.numpy(), moved.numpy(), strict=True):
        padded = np.pad(before, 2)
        windows = {(dy, dx): padded[dy : dy + 9, dx : dx + 9] for dy in range(5) for dx in range(5)}
        match = [at for at, window in windows.items() if np.array_equal(window, after)]
        assert len(match) == 1
        seen.add(match[0])
    assert len(seen) == 25 and moved.dtype == torch.uint8


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
    train, hparams = to_device(splits.train, CPU), tasks.get("mnist").hparams(epochs=8)
    net = initialise(task, splits, hparams, 0)
    history = list(fit(task, net, train, train, hparams, precision="bf16"))
    assert history[-1].train_accuracy > 0.9 > history[0].train_accuracy
    assert all(p.dtype == torch.float32 for p in net.parameters())

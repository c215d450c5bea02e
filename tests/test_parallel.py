"""One training divided among processes: torchrun, really started, on the CPU."""

import os
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from experiments import parallel
from experiments.data import mnist
from experiments.metrics import Meter
from experiments.parallel import Group
from tests.conftest import BIN, copy_project, environment, free_port, write_digits
from tests.test_survival import finish, runs, start, weights

# Largest difference of a weight, of weights around 0.1, after four steps of SGD: sums in another
# order. AdamW and Muon blow differences of tiny gradients up, so they drift apart further.
ROUNDING = 5e-3


@pytest.fixture(scope="module")
def some_digits(tmp_path_factory: pytest.TempPathFactory, digits: mnist.Mnist) -> Path:
    """A folder with a thousand digits, and one more, so that the last batch is an odd one."""
    return write_digits(tmp_path_factory.mktemp("some"), digits, 1001)


def together(line: str, project: Path, processes: int = 2) -> subprocess.Popen[str]:
    """Start `line` under torchrun on a free port."""
    command = [str(BIN / "torchrun"), "--standalone", f"--nproc_per_node={processes}", "-m"]
    return subprocess.Popen(
        [*command, *line.split()],
        cwd=project,
        env=environment(OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def gradients(rank: int, port: int, answers: str) -> None:
    """One of two processes: the gradients of a net with batch normalisation, in float64."""
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_PORT": str(port)}
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    group = parallel.join(torch.device("cpu"))
    net, x = net_and_batch()
    mine = x[group.share(len(x))]
    with group.normalising(net):
        (net(mine).square().sum() / len(x)).backward()
    group.add_gradients(net)
    total = group.total(metered(mine))
    found = {name: p.grad for name, p in net.named_parameters()} | dict(net.named_buffers())
    torch.save(found | {"means": torch.tensor(total.means())}, f"{answers}/{rank}")


def net_and_batch() -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.GELU(), nn.Flatten()]
    net = nn.Sequential(*layers, nn.Linear(48, 4), nn.BatchNorm1d(4)).double()
    return net, torch.randn(7, 1, 6, 6, dtype=torch.float64)


def metered(x: torch.Tensor) -> Meter:
    meter = Meter()
    meter.add(x.flatten(), x.flatten() > 0)
    return meter


def test_gradients_and_statistics_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    port = free_port()
    torch.multiprocessing.spawn(gradients, (port, str(tmp_path)), nprocs=2)
    net, x = net_and_batch()
    (net(x).square().sum() / len(x)).backward()
    expected = {name: p.grad for name, p in net.named_parameters()} | dict(net.named_buffers())
    for rank in (0, 1):
        found = torch.load(tmp_path / str(rank), weights_only=True)
        means = found.pop("means")
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12, msg=name)
        torch.testing.assert_close(means, torch.tensor(metered(x).means()))


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [1, 4, 7, 256])
def test_shares_are_the_whole_batch(size: int, count: int) -> None:
    taken = [i for rank in range(size) for i in range(count)[Group(rank, size).share(count)]]
    assert taken == list(range(count))


@pytest.mark.parametrize("task", ["mnist", "gate"])
def test_two_processes_learn_what_one_does(tmp_path: Path, some_digits: Path, task: str) -> None:
    settings = {
        "mnist": f"--epochs 1 --optimizer sgd --precision fp32 --trials 0 --data_dir {some_digits}",
        "gate": "--trials 2 --epochs 5 --eval_every 1 --optimizer sgd --lr 0.1",
    }
    line = f"experiments.train --task {task} --seed 1 {settings[task]}"
    one, two = (copy_project(tmp_path / name) for name in ("one", "two"))
    finish(start(line, one))
    finish(together(line, two))
    alone, shared = weights(one, task), weights(two, task)
    assert alone.keys() == shared.keys()
    for name, value in alone.items():
        torch.testing.assert_close(shared[name], value, rtol=0, atol=ROUNDING, msg=name)
    assert any(not torch.equal(shared[name], value) for name, value in alone.items())
    (parent,), (other,) = runs(one, parents=True), runs(two, parents=True)
    assert parent.info.status == other.info.status == "FINISHED"
    assert len(runs(one, parents=False)) == len(runs(two, parents=False))
    for name in ("train_loss", "val_loss", "train_accuracy"):
        assert other.data.metrics[name] == pytest.approx(parent.data.metrics[name], rel=1e-2)


def test_a_dying_rank_ends_all_and_the_same_command_goes_on(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    line = "experiments.train --task gate --trials 0 --epochs 4000 --seed 2"
    process = together(line, project)
    deadline = time.monotonic() + 120
    while not list(project.glob("state/runs/*/fit-*/*.safetensors")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    ranks = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "experiments.train" in child.cmdline()
    ]
    next(child for child in ranks if child.environ()["RANK"] == "1").kill()
    said = finish(process, code=1)
    assert "The same command goes on from here" in said
    (dead,) = runs(project, parents=True)
    assert dead.info.status in ("FAILED", "KILLED")
    assert list(project.glob("state/runs/*/fit-*/*.safetensors"))
    finish(together(line, project))
    (whole,) = runs(project, parents=True)
    assert whole.info.run_id == dead.info.run_id and whole.info.status == "FINISHED"

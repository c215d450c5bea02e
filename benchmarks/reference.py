"""The recipe that most people start from: PyTorch's well-known MNIST example, as a yardstick.

    python -m benchmarks.reference --seeds 5 --epochs 4

Written from its description: two unpadded 3x3 convolutions of 32 and 64 channels with ReLU, one
max pooling, dropout of 0.25, a hidden layer of 128 with dropout of 0.5; Adadelta from 1.0, times
0.7 an epoch; batches of 64 from a DataLoader that decodes and normalises picture by picture; all
60,000 training images, fp32. It has no validation set: the test set is read after each epoch.
Writes benchmarks/results/reference.json.
"""

import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import click
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks import record
from experiments import cli
from experiments.data import mnist
from models.cnn import MNIST_MEAN, MNIST_STD

BATCH, LR, DECAY = 64, 1.0, 0.7
PROCESSES = 2  # seeds at a time: accuracies alone are kept, seconds are measured by the race


class Pictures(Dataset[tuple[Tensor, int]]):
    """Pictures decoded and normalised one at a time."""

    def __init__(self, images: Any, labels: Any) -> None:
        self.images, self.labels = images, labels
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize((MNIST_MEAN,), (MNIST_STD,))]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


def network() -> nn.Module:
    """Return the example's net: [B, 1, 28, 28] to logits [B, 10]."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(64 * 12 * 12, 128),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Linear(128, 10),
    )


def epochs(seed: int) -> Iterator[tuple[float, float]]:
    """Yield seconds of training and test accuracy (share) of each epoch, for ever."""
    data = mnist.load()
    torch.manual_seed(seed)
    train = DataLoader(Pictures(data.train_images, data.train_labels), BATCH, shuffle=True)
    test = DataLoader(Pictures(data.test_images, data.test_labels), 1000)
    net = network()
    optimizer = torch.optim.Adadelta(net.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, DECAY)
    while True:
        started = time.perf_counter()
        net.train()
        for x, y in train:
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        schedule.step()
        seconds = time.perf_counter() - started
        net.eval()
        with torch.inference_mode():
            right = sum(int((net(x).argmax(1) == y).sum()) for x, y in test)
        yield seconds, right / len(data.test_images)


def course(seed: int, most: int, threads: int) -> list[float]:
    """Return the test accuracy after each of the first `most` epochs."""
    torch.set_num_threads(threads)
    accuracies = []
    for number, (_, accuracy) in zip(range(1, most + 1), epochs(seed), strict=False):
        click.echo(f"example, seed {seed}, epoch {number}: {accuracy:.2%}", err=True)
        accuracies.append(accuracy)
    return accuracies


@click.command("benchmarks.reference")
@click.option("--seeds", type=click.IntRange(2, 100), default=5, show_default=True)
@click.option("--epochs", "most", type=click.IntRange(1, 100), default=4, show_default=True)
def command(seeds: int, most: int) -> None:
    """Train the well-known example over several seeds, two at a time, and keep its course."""
    threads = max(1, torch.get_num_threads() // PROCESSES)
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        courses = list(pool.map(course, range(seeds), [most] * seeds, [threads] * seeds))
    by_epoch = [record.spread(accuracies) for accuracies in zip(*courses, strict=True)]
    line = f"python -m benchmarks.reference --seeds {seeds} --epochs {most}"
    record.save("reference", line, {"test_accuracy": by_epoch})


if __name__ == "__main__":
    cli.main(command)

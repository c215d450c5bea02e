"""The baseline: PyTorch's well-known MNIST example.

    python -m benchmarks.reference --seeds 5 --epochs 4

Written from its description: two unpadded 3x3 convolutions of 32 and 64 channels with ReLU, one
max pooling, dropout of 0.25, a hidden layer of 128 with dropout of 0.5; Adadelta from 1.0, times
0.7 an epoch; batches of 64 from a DataLoader that decodes and normalises picture by picture; all
60,000 training images, fp32. It has no validation set: the test set is read after each epoch.
Writes benchmarks/results/reference.json.
"""

import itertools
import time
from collections.abc import Iterator
from typing import Any

import click
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from benchmarks import record
from experiments.core import cli
from experiments.data import mnist
from models.cnn import MNIST_MEAN, MNIST_STD

BATCH, LR, DECAY = 64, 1.0, 0.7


@click.command("benchmarks.reference")
@click.option("--seeds", type=click.IntRange(2, 100), default=5, show_default=True)
@click.option("--epochs", "count", type=click.IntRange(1, 100), default=4, show_default=True)
def command(seeds: int, count: int) -> None:
    """Measure the example's test accuracy after each epoch, over several seeds."""
    accuracies = []
    for seed in range(seeds):
        history = [accuracy for _, accuracy in itertools.islice(epochs(seed), count)]
        click.echo(f"seed {seed}: {', '.join(f'{accuracy:.2%}' for accuracy in history)}", err=True)
        accuracies.append(history)
    by_epoch = [record.spread(each) for each in zip(*accuracies, strict=True)]
    line = f"python -m benchmarks.reference --seeds {seeds} --epochs {count}"
    record.save("reference", line, {"test_accuracy": by_epoch})


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
    """Yield seconds of training and test accuracy (0 to 1) of each epoch, without end."""
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
            correct = sum(int((net(x).argmax(1) == y).sum()) for x, y in test)
        yield seconds, correct / len(data.test_images)


if __name__ == "__main__":
    cli.main(command)

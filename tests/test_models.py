"""The networks and the canvas, against plain PyTorch layers and against MNIST itself."""

import numpy as np
import pytest
import torch
from torch import nn

from models.canvas import Canvas
from models.cnn import DIGITS, MNIST_MEAN, MNIST_STD, DigitCNN
from models.mlp import ACTIVATIONS, GateBank


def test_digit_net_is_small() -> None:
    assert sum(p.numel() for p in DigitCNN().parameters()) <= 500_000


def test_normalisation_is_inside_and_from_the_training_images(digits) -> None:
    net = DigitCNN().eval()
    pixels = torch.tensor(digits.train_images)
    assert pixels.float().mean().item() / 255 == pytest.approx(MNIST_MEAN, abs=1e-4)
    assert pixels.float().std().item() / 255 == pytest.approx(MNIST_STD, abs=1e-4)
    normal = net.normalize(pixels)
    assert abs(normal.mean().item()) < 1e-3 and abs(normal.std().item() - 1) < 1e-3


@pytest.mark.parametrize(("fold", "stages"), [(1, 1), (1, 3), (2, 1), (2, 2)])
@pytest.mark.parametrize("depth", [1, 2])
def test_digit_net_of_any_shape(fold: int, stages: int, depth: int) -> None:
    net = DigitCNN(width=4, stages=stages, depth=depth, fold=fold).eval()
    assert net(torch.zeros(2, 28, 28)).shape == (2, DIGITS + 1)
    kinds = [type(module).__name__ for module in net.modules()]
    assert kinds.count("Conv2d") == 1 + depth * (stages - 1)
    assert kinds.count("PixelUnshuffle") == fold - 1 and kinds.count("MaxPool2d") == stages


def test_digit_net_takes_bytes_and_floats_alike() -> None:
    net, image = DigitCNN().eval(), torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8)
    assert torch.equal(net(image), net(image.float()))
    assert net(image).shape == (3, DIGITS + 1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_bank_is_its_networks_one_by_one(activation: str) -> None:
    bank = GateBank(inputs=3, nets=(2, 5), hidden=4, activation=activation)
    x = torch.rand(7, 3)
    logits = bank(x)
    assert logits.shape == (7, 2, 5)
    for gate, restart in np.ndindex(2, 5):
        first, second = nn.Linear(3, 4), nn.Linear(4, 1)
        first.weight.data, first.bias.data = bank.weight1[gate, restart], bank.bias1[gate, restart]
        second.weight.data = bank.weight2[gate, restart][None]
        second.bias.data = bank.bias2[gate, restart][None]
        single = nn.Sequential(first, ACTIVATIONS[activation](), second)
        torch.testing.assert_close(logits[:, gate, restart], single(x)[:, 0])


def test_bank_starts_as_pytorch_would() -> None:
    bank, linear = GateBank(inputs=2, nets=(1, 4000), hidden=4), nn.Linear(2, 4000 * 4)
    assert bank.weight1.abs().max() <= 2**-0.5
    assert bank.weight1.std().item() == pytest.approx(linear.weight.std().item(), rel=0.03)


def test_bank_chooses_restarts() -> None:
    bank, x = GateBank(inputs=2, nets=(3, 5)), torch.rand(4, 2)
    chosen = bank.choose(torch.tensor([4, 0, 2]))
    expected = torch.stack(
        [bank(x)[:, gate, restart] for gate, restart in ((0, 4), (1, 0), (2, 2))], 1
    )
    torch.testing.assert_close(chosen(x), expected)


def test_canvas_gives_normalised_digits_back(digits) -> None:
    canvas = Canvas()
    images = torch.tensor(digits.test_images)
    changed = [i for i, image in enumerate(images) if not torch.equal(canvas(image)[0][0], image)]
    assert changed == [4530, 9300, 9302]  # whose longer side has 19 pixels, not MNIST's 20
    for index in changed:
        _, (top, left, bottom, right), _ = canvas(images[index])
        assert max(bottom - top, right - left) == 19


@pytest.mark.parametrize("factor", [2, 5, 10])
def test_canvas_ignores_size_and_place(digits, factor: int) -> None:
    canvas, block = Canvas(), np.ones((factor, factor), np.uint8)
    for index, image in enumerate(digits.test_images[:20]):
        page = np.pad(np.kron(image, block), ((index, 31 * factor), (60 - index, 0)))
        again, box, ink = canvas(torch.from_numpy(page))
        assert torch.equal(again[0], torch.tensor(image))
        top, left, bottom, right = box.tolist()
        assert page[top:bottom, left:right].sum() == page.sum()
        assert max(bottom - top, right - left) == 20 * factor
        assert ink.item() == pytest.approx(page.mean() / 255, rel=1e-4)


def test_canvas_keeps_the_aspect() -> None:
    page = torch.zeros(300, 500, dtype=torch.uint8)
    page[40:240, 100:140] = 255  # a bar of 200x40: 20x4 in the picture
    image = Canvas()(page)[0][0]
    rows, columns = image.amax(1).nonzero(), image.amax(0).nonzero()
    assert len(rows) == 20 and len(columns) == 4
    assert image.max() == 255


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (280, 280)])
def test_blank_canvas(shape: tuple[int, int]) -> None:
    image, box, ink = Canvas()(torch.zeros(shape, dtype=torch.uint8))
    assert not image.any() and not box.any() and not ink.any()


def test_temperature_divides_the_logits() -> None:
    net, image = DigitCNN().eval(), torch.randint(0, 256, (3, 28, 28))
    before = net(image)
    net.temperature.fill_(0.5)
    torch.testing.assert_close(net(image), 2 * before)

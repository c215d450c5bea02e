"""The networks and the canvas, against plain PyTorch layers and against MNIST itself."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from experiments.data import mnist, strokes
from models.canvas import Canvas
from models.cnn import DIGITS, MNIST_MEAN, MNIST_STD
from models.mlp import ACTIVATIONS, GateBank
from tests.nets import digit_net


def test_normalisation_is_that_of_the_training_images(digits: mnist.Mnist) -> None:
    net = digit_net().eval()
    pixels = torch.tensor(digits.train_images)
    assert pixels.float().mean().item() / 255 == pytest.approx(MNIST_MEAN, abs=1e-4)
    assert pixels.float().std().item() / 255 == pytest.approx(MNIST_STD, abs=1e-4)
    normal = net.normalize(pixels)
    assert abs(normal.mean().item()) < 1e-3 and abs(normal.std().item() - 1) < 1e-3


@pytest.mark.parametrize(("fold", "stages"), [(1, 1), (1, 3), (2, 1), (2, 2)])
@pytest.mark.parametrize("convs", [1, 2])
def test_digit_net_of_any_shape(fold: int, stages: int, convs: int) -> None:
    shape = {"num_stages": stages, "convs_per_stage": convs, "pixel_unshuffle": fold}
    net = digit_net(base_channels=4, **shape).eval()
    assert net(torch.zeros(2, 28, 28)).shape == (2, DIGITS + 1)
    kinds = [type(module).__name__ for module in net.modules()]
    assert kinds.count("Conv2d") == 1 + convs * (stages - 1)
    assert kinds.count("PixelUnshuffle") == fold - 1 and kinds.count("MaxPool2d") == stages


def test_digit_net_is_small_and_accepts_bytes_and_floats() -> None:
    net, image = digit_net().eval(), torch.randint(0, 256, (3, 28, 28), dtype=torch.uint8)
    assert sum(p.numel() for p in net.parameters()) <= 500_000
    logits = net(image)
    assert torch.equal(logits, net(image.float()))
    net.temperature.fill_(0.5)
    torch.testing.assert_close(net(image), 2 * logits)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_bank_equals_its_networks(activation: str) -> None:
    bank = GateBank(inputs=3, nets=(2, 5), hidden_dim=4, activation=activation)
    x = torch.rand(7, 3)
    logits = bank(x)
    for gate, restart in np.ndindex(2, 5):
        first, second = nn.Linear(3, 4), nn.Linear(4, 1)
        first.weight.data, first.bias.data = bank.weight1[gate, restart], bank.bias1[gate, restart]
        second.weight.data = bank.weight2[gate, restart][None]
        second.bias.data = bank.bias2[gate, restart][None]
        single = nn.Sequential(first, ACTIVATIONS[activation](), second)
        torch.testing.assert_close(logits[:, gate, restart], single(x)[:, 0])
    expected = torch.stack([logits[:, 0, 4], logits[:, 1, 2]], 1)
    torch.testing.assert_close(bank.select(torch.tensor([4, 2]))(x), expected)


def test_a_bank_is_initialised_as_linear_layers() -> None:
    bank, linear = GateBank(inputs=2, nets=(1, 4000), hidden_dim=4), nn.Linear(2, 4000 * 4)
    assert bank.weight1.abs().max() <= 2**-0.5
    assert bank.weight1.std().item() == pytest.approx(linear.weight.std().item(), rel=0.03)


def test_the_canvas_does_not_change_normalised_digits(digits: mnist.Mnist) -> None:
    canvas, images = Canvas(), torch.tensor(digits.test_images)
    small = [4530, 9300, 9302]  # the only ones whose longer side has 19 pixels, not MNIST's 20
    indices = sorted({*range(0, len(images), 7), *small})
    changed = [i for i in indices if not torch.equal(canvas(images[i])[0][0], images[i])]
    assert changed == small
    for index in small:
        _, (top, left, bottom, right), _ = canvas(images[index])
        assert max(bottom - top, right - left) == 19


@pytest.mark.parametrize("factor", [2, 5, 10])
def test_the_canvas_ignores_size_and_position(digits: mnist.Mnist, factor: int) -> None:
    canvas, block = Canvas(), np.ones((factor, factor), np.uint8)
    for index, image in enumerate(digits.test_images[:20]):
        drawing = np.pad(np.kron(image, block), ((index, 31 * factor), (60 - index, 0)))
        again, box, ink = canvas(torch.from_numpy(drawing))
        assert torch.equal(again[0], torch.tensor(image))
        top, left, bottom, right = box.tolist()
        assert drawing[top:bottom, left:right].sum() == drawing.sum()
        assert max(bottom - top, right - left) == 20 * factor
        assert ink.item() == pytest.approx(drawing.mean() / 255, rel=1e-4)


def test_the_canvas_keeps_the_aspect() -> None:
    drawing = torch.zeros(300, 500, dtype=torch.uint8)
    drawing[40:240, 100:200] = 255
    drawing[60:220, 120:180] = 0  # a box of 200x100 with a pen of 20: 20x10 in the image
    image = Canvas()(drawing)[0][0]
    assert len(image.amax(1).nonzero()) == 20 and len(image.amax(0).nonzero()) == 10


@pytest.mark.parametrize("ink", [80, 255])
def test_strokes_of_any_pen_and_size_reach_the_network_alike(ink: int) -> None:
    def image(pen: int, side: int) -> np.ndarray:
        """The four strokes of a five, 0.6 of `side` high."""
        points = np.array([(0.7, 0.2), (0.35, 0.2), (0.33, 0.45), (0.7, 0.6), (0.3, 0.8)])
        drawing = strokes.render(strokes.Drawing("5", "", (points,)), pen, side)
        drawing = (drawing * (ink / 255)).astype(np.uint8)
        return Canvas()(torch.from_numpy(drawing))[0][0].numpy() / 255

    expected = image(20, 400)
    for pen, side in [(2, 500), (1, 400), (8, 400), (60, 400), (30, 200), (12, 100)]:
        result = image(pen, side)
        assert result.max() > 0.8 and 0.7 < result.sum() / expected.sum() < 1.8, (pen, side)
        for one, other in ((result, expected), (expected, result)):
            reach = ndimage.maximum_filter(other > 0.3, 3)
            assert one[reach].sum() > 0.9 * one.sum(), (pen, side)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (280, 280)])
def test_a_blank_canvas(shape: tuple[int, int]) -> None:
    image, box, ink = Canvas()(torch.zeros(shape, dtype=torch.uint8))
    assert not image.any() and not box.any() and not ink.any()

"""A small convolutional network for handwritten digits."""

import torch
from torch import Tensor, nn

# Mean and standard deviation of the pixels of MNIST's 60,000 training images, as 0..1.
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081


class Normalize(nn.Module):
    """Pixels 0..255 to zero mean and unit variance; part of the net, so it is written once."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean * 255))
        self.register_buffer("std", torch.tensor(std * 255))

    def forward(self, image: Tensor) -> Tensor:
        return (image.float() - self.mean) / self.std


class DigitCNN(nn.Module):
    """Two convolutions and two linear layers on an image folded to half its side.

    Folding (pixel unshuffle) turns 28x28 pixels into 14x14 cells of 4 channels: the first
    convolution costs a quarter. Pooling stands before the normalisation and the activation,
    which then touch a quarter of the values.

    Args:
        width: channels of the first convolution; the second has twice as many.
        hidden: units of the hidden linear layer.
    """

    def __init__(self, width: int = 32, hidden: int = 128) -> None:
        super().__init__()
        self.config = {"width": width, "hidden": hidden}
        self.normalize = Normalize(MNIST_MEAN, MNIST_STD)
        self.fold = nn.PixelUnshuffle(2)
        self.conv1 = nn.Conv2d(4, width, 3, padding=1, bias=False)
        self.pool1 = nn.MaxPool2d(2)
        self.norm1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        self.pool2 = nn.MaxPool2d(2)
        self.norm2 = nn.BatchNorm2d(2 * width)
        self.relu2 = nn.ReLU()
        self.linear1 = nn.Linear(2 * width * 3 * 3, hidden, bias=False)
        self.norm3 = nn.BatchNorm1d(hidden)
        self.relu3 = nn.ReLU()
        self.linear2 = nn.Linear(hidden, 10)

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits, float32 [B, 10], of `image`, uint8 or float [B, 28, 28], 0..255."""
        x = self.fold(self.normalize(image).unsqueeze(1))  # [B, 4, 14, 14]
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.relu1(self.norm1(self.pool1(self.conv1(x))))  # [B, width, 7, 7]
        x = self.relu2(self.norm2(self.pool2(self.conv2(x))))  # [B, 2 width, 3, 3]
        x = self.relu3(self.norm3(self.linear1(x.flatten(1))))  # [B, hidden]
        return self.linear2(x)

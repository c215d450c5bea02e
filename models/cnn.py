"""A small convolutional network for handwritten digits."""

import torch
from torch import Tensor, nn

# Mean and standard deviation of the pixels of MNIST's 60,000 training images, as 0..1.
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081
SIDE = 28  # pixels of a digit's picture
DIGITS = 10  # classes 0 to 9; one more, of this number, says that it is none
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}


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
    """Stages of convolutions, each pooled to half its side, and two linear layers.

    `temperature` divides the logits: 1 in training, and what makes the probabilities honest after
    it (C. Guo et al., "On Calibration of Modern Neural Networks", 2017).

    Pooling stands before the normalisation and the activation, which then touch a quarter of
    the values. The first convolution is not padded: the rim of an MNIST picture is empty.

    Args:
        width: channels of the first stage; each stage has twice as many as the one before.
        stages: how many there are, 1 to 3.
        depth: convolutions in each stage but the first, which has one.
        fold: 2 folds the picture to 14x14 cells of 4 channels (pixel unshuffle), so that all that
            follows has a quarter of the places; 1 leaves it as it is.
        hidden: units of the hidden linear layer.
        activation: relu, gelu or silu.
    """

    temperature: Tensor

    def __init__(
        self,
        width: int = 16,
        stages: int = 3,
        depth: int = 1,
        fold: int = 1,
        hidden: int = 128,
        activation: str = "gelu",
    ) -> None:
        super().__init__()
        self.config = {
            "width": width,
            "stages": stages,
            "depth": depth,
            "fold": fold,
            "hidden": hidden,
            "activation": activation,
        }
        self.normalize = Normalize(MNIST_MEAN, MNIST_STD)
        self.fold = nn.PixelUnshuffle(fold) if fold > 1 else None
        channels, side = fold**2, SIDE // fold - 2
        self.stages = nn.Sequential()
        for stage in range(stages):
            wide = width * 2**stage
            for again in range(depth if stage else 1):
                last = again + 1 == (depth if stage else 1)
                conv = nn.Conv2d(channels, wide, 3, padding=min(1, len(self.stages)), bias=False)
                self.stages.append(_block(conv, nn.BatchNorm2d(wide), activation, pool=last))
                channels = wide
            side //= 2
        inner = nn.Linear(channels * side**2, hidden, bias=False)
        self.hidden = _block(inner, nn.BatchNorm1d(hidden), activation)
        self.output = nn.Linear(hidden, DIGITS + 1)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits, float32 [B, 11], of `image`, uint8 or float [B, 28, 28], 0..255.

        The first ten are the digits'; the last says that it is none.
        """
        x = self.normalize(image).unsqueeze(1)
        if self.fold is not None:
            x = self.fold(x)  # [B, fold^2, 28 / fold, 28 / fold]
        x = self.stages(x.contiguous(memory_format=torch.channels_last))
        return self.output(self.hidden(x.flatten(1))) / self.temperature


def _block(weighted: nn.Module, norm: nn.Module, activation: str, pool: bool = False) -> nn.Module:
    """Return the layer with what follows it, each part under its name."""
    parts = nn.Sequential()
    parts.add_module(type(weighted).__name__.lower().removesuffix("2d"), weighted)
    if pool:
        parts.add_module("pool", nn.MaxPool2d(2))
    parts.add_module("norm", norm)
    parts.add_module(activation, ACTIVATIONS[activation]())
    return parts

"""A small convolutional network for handwritten digits."""

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

# Mean and standard deviation of the pixels of MNIST's 60,000 training images, as 0..1.
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081
SIDE = 28  # pixels of an image
DIGITS = 10  # classes 0 to 9; the class of this number is "no digit"
ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU, "tanh": nn.Tanh}


class Normalize(nn.Module):
    """Pixels 0..255 to zero mean and unit variance."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean * 255))
        self.register_buffer("std", torch.tensor(std * 255))

    def forward(self, image: Real[Tensor, "*batch 28 28"]) -> Float[Tensor, "*batch 28 28"]:
        return (image.float() - self.mean) / self.std


class DigitCNN(nn.Module):
    """Stages of convolutions, each pooled to half its side, and two linear layers.

    `temperature` divides the logits: 1 in training, then fitted by calibration (C. Guo et al.,
    "On Calibration of Modern Neural Networks", 2017).

    Pooling precedes normalisation and activation, which then process a quarter of the values.
    The first convolution is not padded: the border of an MNIST image is empty.

    Args:
        base_channels: of the first stage; each stage has twice as many as the one before.
        num_stages: 1 to 3.
        convs_per_stage: convolutions in each stage but the first, which has one.
        pixel_unshuffle: 2 rearranges the image into 4 channels of 14x14 pixels, so that all
            following layers have a quarter of the positions; 1 leaves it.
        hidden_dim: units of the hidden linear layer.
        activation: relu, gelu, silu or tanh.
    """

    temperature: Tensor

    def __init__(
        self,
        *,
        base_channels: int,
        num_stages: int,
        convs_per_stage: int,
        pixel_unshuffle: int,
        hidden_dim: int,
        activation: str,
    ) -> None:
        super().__init__()
        self.config = {
            "base_channels": base_channels,
            "num_stages": num_stages,
            "convs_per_stage": convs_per_stage,
            "pixel_unshuffle": pixel_unshuffle,
            "hidden_dim": hidden_dim,
            "activation": activation,
        }
        self.normalize = Normalize(MNIST_MEAN, MNIST_STD)
        self.fold = nn.PixelUnshuffle(pixel_unshuffle) if pixel_unshuffle > 1 else None
        channels, side = pixel_unshuffle**2, SIDE // pixel_unshuffle - 2
        self.stages = nn.Sequential()
        for stage in range(num_stages):
            out_channels = base_channels * 2**stage
            convs = convs_per_stage if stage else 1
            for index in range(convs):
                padding = min(1, len(self.stages))
                conv = nn.Conv2d(channels, out_channels, 3, padding=padding, bias=False)
                norm = nn.BatchNorm2d(out_channels)
                self.stages.append(_block(conv, norm, activation, pool=index == convs - 1))
                channels = out_channels
            side //= 2
        inner = nn.Linear(channels * side**2, hidden_dim, bias=False)
        self.hidden = _block(inner, nn.BatchNorm1d(hidden_dim), activation)
        self.output = nn.Linear(hidden_dim, DIGITS + 1)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, image: Real[Tensor, "batch 28 28"]) -> Float[Tensor, "batch 11"]:
        """Return the logits of `image`, 0..255: of the ten digits, then of "no digit"."""
        x = self.normalize(image).unsqueeze(1)  # [B, 1, 28, 28]
        if self.fold is not None:
            x = self.fold(x)  # [B, fold^2, 28 / fold, 28 / fold]
        x = self.stages(x.contiguous(memory_format=torch.channels_last))  # [B, C, side, side]
        logits: Tensor = self.output(self.hidden(x.flatten(1)))
        return logits / self.temperature


def _block(
    weighted: nn.Module, norm: nn.Module, activation: str, pool: bool = False
) -> nn.Sequential:
    """Return the layer, then pooling, normalisation and activation, each under its name."""
    parts = nn.Sequential()
    parts.add_module(type(weighted).__name__.lower().removesuffix("2d"), weighted)
    if pool:
        parts.add_module("pool", nn.MaxPool2d(2))
    parts.add_module("norm", norm)
    parts.add_module(activation, ACTIVATIONS[activation]())
    return parts

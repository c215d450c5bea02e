"""A digit reader made of two-input logic gates: relaxed to be trained, hard to be used.

Sources: F. Petersen et al., "Deep Differentiable Logic Gate Networks", 2022 (relaxed gates, votes
of groups); K. Fojcik et al., "LILogicNet", 2025 (learned wires); Y. Bengio et al., "Estimating or
Propagating Gradients Through Stochastic Neurons", 2013 (straight-through rounding).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64, Real
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

SIDE = 28  # pixels of an image
DIGITS = 10
CLASSES = 11  # the digits, and "no digit"
THRESHOLDS = (51, 127, 204)  # a pixel is three bits: whether it is brighter than each
PARTS = ("first", "second", "c0", "c1", "c2", "c3")  # of a layer, see Circuit
INPUTS = len(THRESHOLDS) * SIDE**2


class Circuit(nn.Module):
    """Layers of logic gates; each gate of the last layer is a vote for one class.

    A gate of inputs a and b is c0 ^ (c1 & a) ^ (c2 & b) ^ (c3 & a & b). The parameters `first_N`
    and `second_N`, int64 [gates], are where layer N's gates find a and b in the layer before;
    `c0_N` to `c3_N` are bool [gates]. `temperature` divides the logits: 1, then fitted by
    calibration.

    Args:
        sizes: gates of each layer; of the last, a multiple of 11.
        votes_per_logit: votes that make a logit of 1.
    """

    temperature: Tensor
    thresholds: Tensor

    def __init__(self, *, sizes: Sequence[int], votes_per_logit: float) -> None:
        super().__init__()
        self.config: dict[str, Any] = {"sizes": [*sizes], "votes_per_logit": votes_per_logit}
        thresholds = torch.tensor(THRESHOLDS, dtype=torch.uint8).view(-1, 1, 1)
        self.register_buffer("thresholds", thresholds)
        self.register_buffer("temperature", torch.tensor(1.0))
        for layer, size in enumerate(sizes):
            for name in PARTS:
                dtype = torch.bool if name.startswith("c") else torch.int64
                value = nn.Parameter(torch.zeros(size, dtype=dtype), requires_grad=False)
                self.register_parameter(f"{name}_{layer}", value)

    def layer(self, index: int) -> tuple[Tensor, ...]:
        """Return `first`, `second`, `c0`, `c1`, `c2` and `c3` of a layer."""
        return tuple(self.get_parameter(f"{name}_{index}") for name in PARTS)

    def functions(self, index: int) -> Int64[Tensor, " gates"]:
        """Return the truth tables of a layer's gates as numbers of four bits, 00 first."""
        _, _, c0, c1, c2, c3 = self.layer(index)
        rows = (c0, c0 ^ c2, c0 ^ c1, c0 ^ c1 ^ c2 ^ c3)  # ab = 00, 01, 10, 11
        return torch.stack([row.long() << 3 - place for place, row in enumerate(rows)]).sum(0)

    def signals(self, image: Real[Tensor, "batch 28 28"]) -> list[Bool[Tensor, "batch _"]]:
        """Return the bits of the pixels, threshold by threshold, then those of each layer."""
        signals = [(image[:, None] > self.thresholds).flatten(1)]
        for index in range(len(self.config["sizes"])):
            first, second, c0, c1, c2, c3 = self.layer(index)
            a, b = (signals[-1].index_select(1, wire) for wire in (first, second))
            signals.append(c0 ^ (a & (c1 ^ (c3 & b))) ^ (c2 & b))
        return signals

    def forward(self, image: Real[Tensor, "batch 28 28"]) -> Float[Tensor, "batch 11"]:
        """Return the logits of images in 0 (background) to 255 (ink): scaled counts of votes."""
        votes = self.signals(image)[-1].unflatten(1, (CLASSES, -1)).sum(2).float()
        logits: Tensor = votes / (self.config["votes_per_logit"] * self.temperature)
        return logits


class Readers(NamedTuple):
    """A layer's candidates the other way round: by signal, the wires that may read it.

    Attributes:
        places: of the candidates, signal by signal, in the flattened `sources`.
        wires: of these candidates.
        starts: of each signal in `places`.
    """

    places: Int64[Tensor, " candidates"]
    wires: Int64[Tensor, " candidates"]
    starts: Int64[Tensor, " signals"]


class _PassBack(torch.autograd.Function):
    """Gives the gradient of weighted sums of `values` to `values`.

    embedding_bag does so as well, but sorts the candidates in each step, which takes longer than
    all else.
    """

    @staticmethod
    def forward(
        ctx: Any, sums: Tensor, values: Tensor, weights: Tensor, readers: Readers
    ) -> Tensor:
        ctx.save_for_backward(weights.flatten()[readers.places])
        ctx.readers = readers
        return sums.view_as(sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        (gradient,), (weights,), readers = gradients, ctx.saved_tensors, ctx.readers
        by_signal = embedding_bag(
            readers.wires, gradient, readers.starts, per_sample_weights=weights, mode="sum"
        )
        return gradient, by_signal, None, None


class SoftCircuit(nn.Module):
    """A circuit in training: gates of real numbers in 0..1, and wires that are weighted means.

    A gate's truth table is four numbers, the sigmoids of `tables`. An input of a gate is the mean
    of outputs of the layer before, its candidates, weighted by the softmax of `wires`.
    In evaluation, and in the second part of a training, the forward pass is that of the hard
    circuit, and the gradient is the soft one's (straight-through).

    Args:
        sizes, votes_per_logit: as of `Circuit`.
        candidates: from which each wire is chosen, drawn at random.
        pixels: numbers of the pixels that the first layer may read.
        radius: standard deviation, in pixels, of a first-layer gate's candidates around its place.
        soft_steps: training steps before the forward pass is hard.
    """

    step: Tensor
    pixels: Tensor
    thresholds: Tensor

    def __init__(
        self,
        *,
        sizes: Sequence[int],
        votes_per_logit: float,
        candidates: int,
        pixels: Int64[Tensor, " pixels"],
        radius: float,
        soft_steps: int,
    ) -> None:
        super().__init__()
        self.sizes, self.votes_per_logit, self.soft_steps = sizes, votes_per_logit, soft_steps
        self.register_buffer("step", torch.tensor(0))
        self.register_buffer("pixels", pixels)
        self.wires, self.tables = nn.ParameterList(), nn.ParameterList()
        for layer, size in enumerate(sizes):
            if layer:
                sources = torch.randint(sizes[layer - 1], (2 * size, candidates))
            else:
                sources = _nearby(pixels, size, candidates, radius)
            self.register_buffer(f"sources_{layer}", sources)
            self.wires.append(torch.randn(2 * size, candidates))
            self.tables.append(torch.randn(4, size))
        thresholds = torch.tensor(THRESHOLDS, dtype=torch.uint8).view(-1, 1)
        self.register_buffer("thresholds", thresholds)
        self.readers: dict[int, Readers] = {}  # by layer, made when they are needed

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load values as any module does; the candidates may be others."""
        self.readers.clear()
        return super().load_state_dict(*args, **kwargs)

    def forward(self, image: Real[Tensor, "batch 28 28"]) -> Float[Tensor, "batch 11"]:
        """Return the logits of images in 0 (background) to 255 (ink)."""
        hard = not self.training or int(self.step) >= self.soft_steps
        if self.training:
            self.step += 1
        return self.logits(image, hard)

    def logits(self, image: Real[Tensor, "batch 28 28"], hard: bool) -> Float[Tensor, "batch 11"]:
        """Return the logits of the hard circuit, with the soft one's gradient, or of the soft."""
        flat = image.flatten(1)[:, self.pixels].T  # wires are rows: their sums are then fast
        values = (flat > self.thresholds[:, None]).flatten(0, 1).float()
        for layer, size in enumerate(self.sizes):
            weights, table = self.wires[layer].softmax(1), self.tables[layer].sigmoid()
            if hard:
                weights = _straight_through(_one_hot(weights), weights)
                table = _straight_through((table > 0.5).float(), table)
            a, b = self._mixed(layer, values, weights).split(size)
            values = _gate(a, b, table)
        votes: Tensor = values.unflatten(0, (CLASSES, -1)).sum(1).T
        return votes / self.votes_per_logit

    def _mixed(
        self, layer: int, values: Float[Tensor, "signals batch"], weights: Tensor
    ) -> Float[Tensor, "wires batch"]:
        """Return what a layer's wires carry."""
        sources, inputs = self.get_buffer(f"sources_{layer}"), values.detach()
        mixed = embedding_bag(sources, inputs, per_sample_weights=weights, mode="sum")
        if not values.requires_grad:
            return mixed
        if layer not in self.readers:
            self.readers[layer] = _readers(sources, len(values))
        passed: Tensor = _PassBack.apply(mixed, values, weights.detach(), self.readers[layer])
        return passed

    @torch.no_grad()
    def harden(self) -> Circuit:
        """Return the circuit of the heaviest wires and the rounded truth tables."""
        circuit = Circuit(sizes=self.sizes, votes_per_logit=self.votes_per_logit)
        for layer, size in enumerate(self.sizes):
            heaviest = self.wires[layer].argmax(1, keepdim=True)
            chosen = self.get_buffer(f"sources_{layer}").gather(1, heaviest)[:, 0]
            if not layer:
                level, pixel = chosen // len(self.pixels), chosen % len(self.pixels)
                chosen = level * SIDE**2 + self.pixels[pixel]
            off, b, a, both = self.tables[layer] > 0
            learned = (*chosen.split(size), off, off ^ a, off ^ b, off ^ a ^ b ^ both)
            for parameter, value in zip(circuit.layer(layer), learned, strict=True):
                parameter.copy_(value)
        return circuit.to(self.step.device)


def _gate(
    a: Float[Tensor, "gates batch"],
    b: Float[Tensor, "gates batch"],
    table: Float[Tensor, "4 gates"],
) -> Float[Tensor, "gates batch"]:
    """Return what gates compute whose outputs for ab = 00, 01, 10, 11 are `table`."""
    off, only_b, only_a, both = table[:, :, None]
    c1, c2, c3 = only_a - off, only_b - off, off - only_a - only_b + both
    return torch.addcmul(off + c1 * a, b, c2 + c3 * a)


def _one_hot(weights: Float[Tensor, "wires candidates"]) -> Float[Tensor, "wires candidates"]:
    """Return 1 at the largest weight of each wire, else 0."""
    return torch.zeros_like(weights).scatter_(1, weights.argmax(1, keepdim=True), 1.0)


def _straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """Return `hard` with the gradient of `soft`."""
    return hard + (soft - soft.detach())


def _readers(sources: Int64[Tensor, "wires candidates"], signals: int) -> Readers:
    """Return who may read each of `signals` signals."""
    flat = sources.flatten()
    counts = flat.bincount(minlength=signals)
    places = flat.argsort(stable=True)
    return Readers(places, places // sources.shape[1], counts.cumsum(0) - counts)


def _nearby(
    pixels: Int64[Tensor, " pixels"], size: int, candidates: int, radius: float
) -> Int64[Tensor, "wires candidates"]:
    """Return sources of the first layer: for each gate, bits of pixels around a random one.

    The bit of pixel p (of `pixels`) at threshold t has the number t * len(pixels) + p.
    """
    place = torch.stack([pixels // SIDE, pixels % SIDE], 1).float()
    centers = place[torch.randint(len(pixels), (size,))].repeat(2, 1)
    points = centers[:, None] + radius * torch.randn(2 * size, candidates, 2)
    nearest = torch.cat([torch.cdist(part, place).argmin(-1) for part in points.split(512)])
    return nearest + len(pixels) * torch.randint(len(THRESHOLDS), nearest.shape)

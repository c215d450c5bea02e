"""The page's state as JSON: what a link carries and a lesson's step sets, with its limits.

The browser checks links by the JSON schema of `State`, so that limits are written here alone.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field, model_validator

from experiments.data import truth_table
from serve.strings import digit
from serve.tabs.digit.tab import SIDE_PX
from serve.tabs.gate import numpy_training
from serve.tabs.gate.api import MAX_HIDDEN
from serve.tabs.gate.circuits import CIRCUITS
from serve.tabs.gate.tab import ACTIVATION, HIDDEN_DIM

VERSION: Literal[1] = 1  # of the form; it increases when old links can no longer be read
PREFIX = "#state="
TABS = ("mnist", "gate", "learn", "model")
MAX_FRAGMENT = 4096  # characters of a link that the page makes
MAX_READ = 16_384  # characters of a link that the page reads
MAX_JSON = 200_000  # bytes of a link's state once it is unpacked
MAX_UNITS, MAX_STROKES, MAX_POINTS, MAX_ROWS = 256, 100, 2000, 112
LOW, HIGH = -0.25, 1.25  # of an input, as the decision surface shows


def _one_of(names: object) -> object:
    return Field(pattern=f"^({'|'.join(map(re.escape, names))})$")  # type: ignore[call-overload]


Weight = Annotated[float, Field(ge=-1e6, le=1e6)]
Units = Annotated[list[Weight], Field(min_length=1, max_length=MAX_UNITS)]
Coordinate = Annotated[float, Field(ge=-SIDE_PX, le=3 * SIDE_PX)]  # a pen may leave the canvas
Point = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]


class Form(BaseModel):
    """A part of the state; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Network(Form):
    """A gate's network with one hidden layer."""

    activation: numpy_training.Activation
    weight1: Annotated[
        list[Annotated[list[Weight], Field(min_length=1, max_length=truth_table.MAX_INPUTS)]],
        Field(min_length=1, max_length=MAX_UNITS),
    ]  # [hidden][inputs]
    bias1: Units
    weight2: Units
    bias2: Weight

    @model_validator(mode="after")
    def _check_shapes(self) -> Network:
        if not len(self.weight1) == len(self.bias1) == len(self.weight2):
            raise ValueError("as many hidden units in weight1, bias1 and weight2")
        return self


class Gate(Form):
    """The gate playground."""

    bits: Annotated[str, Field(pattern=f"^[01]{{2,{2**truth_table.MAX_INPUTS}}}$")]  # by row
    source: Literal["served", "trained"] = "served"
    hidden: Annotated[int, Field(ge=1, le=MAX_HIDDEN)] = HIDDEN_DIM
    activation: numpy_training.Activation = ACTIVATION
    start: Annotated[int, Field(ge=1, le=numpy_training.STARTS)] = 1
    frame: Annotated[int, Field(ge=0, le=numpy_training.FRAMES)] = numpy_training.FRAMES
    x: Annotated[list[Annotated[float, Field(ge=LOW, le=HIGH)]], Field(max_length=10)] = []
    network: Network | None = None  # shown instead of the one that is served or trained
    edited: bool = False  # `network` is the user's own
    stale: bool = False  # `network` was not trained on `bits`
    weight: Annotated[str, Field(pattern=r"^[a-z]+[12]( \d{1,3}){0,2}$")] = "weight1 0 0"

    @model_validator(mode="after")
    def _check_inputs(self) -> Gate:
        inputs = len(self.bits).bit_length() - 1
        if len(self.bits) != 2**inputs:
            raise ValueError(f"2, 4, 8, ... bits, one a row, not {len(self.bits)}")
        if self.x and len(self.x) != inputs:
            raise ValueError(f"{inputs} numbers in x, one an input, not {len(self.x)}")
        if self.network and any(len(row) != inputs for row in self.network.weight1):
            raise ValueError(f"{inputs} numbers a hidden unit in weight1")
        return self


class Circuit(Form):
    """The circuit of gates; `row` counts the values of its inputs as a binary number."""

    name: Annotated[str, _one_of([circuit.name for circuit in CIRCUITS])]
    row: Annotated[int, Field(ge=0, le=15)] = 0


class Stroke(Form):
    """A stroke on the canvas, in its pixels."""

    width: Annotated[float, Field(ge=1, le=100)]
    erase: bool = False
    points: Annotated[list[Point], Field(min_length=1, max_length=MAX_POINTS)]


class Drawing(Form):
    """What is on the pad: strokes, or a picture as rows of hexadecimal digits, 0 is black."""

    wide: bool = False
    strokes: Annotated[list[Stroke], Field(max_length=MAX_STROKES)] = []
    picture: Annotated[
        list[Annotated[str, Field(pattern=f"^[0-9a-f]{{1,{2 * MAX_ROWS}}}$")]],
        Field(max_length=MAX_ROWS),
    ] = []


class Layers(Form):
    """The network under the pen: a step of the walk, or a pinned map; without both, nothing."""

    step: Annotated[int, Field(ge=0, le=50)] | None = None
    layer: Annotated[int, Field(ge=0, le=50)] | None = None  # 0 is the input
    map: Annotated[int, Field(ge=0, le=5000)] | None = None  # None: the strongest
    pixel: Annotated[int, Field(ge=0, le=5000)] | None = None  # None: its largest


class State(Form):
    """The page's state; what it lacks stays as it is."""

    version: Literal[1] = VERSION
    tab: Annotated[str, _one_of(TABS)] | None = None
    gate: Gate | None = None
    circuit: Circuit | None = None
    reader: Literal["network", "circuit"] | None = None  # of the Digit tab's drawing
    drawing: Drawing | None = None
    network: Layers | None = None
    view: Annotated[str, _one_of(digit.VIEWS)] | None = None  # of the Digit tab
    model: Annotated[str, Field(pattern="^[a-z_]{1,40}$")] | None = None  # a task's panel


def unpack(link: str) -> bytes:
    """Return the JSON that a link, or its part from "#" on, carries.

    Raises:
        ValueError: the link carries no state, or is cut off.
    """
    _, found, body = link.partition(PREFIX)
    if not found:
        raise ValueError(f"a link with {PREFIX}")
    if body.lower().startswith(("{", "%7b")):
        return unquote(body).encode()
    try:
        packed = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, MAX_JSON)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("a link that is neither cut off nor changed") from error

"""What a visitor may train: the options of a run, checked before the worker gets them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from serve.refusals import refusal

MAX_RUNS = 2  # side by side
MAX_CHANNELS = 64  # of the first stage: more takes minutes
MIN_DIGITS, MAX_DIGITS = 20, 55_000
MAX_NOISE_PERCENT = 90
RECIPES = ("fast", "default")
ACTIVATIONS = ("relu", "gelu", "silu", "tanh")
Speed = Literal["slow", "normal", "full"]


class RunOptions(BaseModel):
    """One run: a recipe of the task mnist and what differs from it.

    Attributes:
        lr: peak learning rate; the task checks its range.
        digits: how many training digits, the same number of each class.
        noise_percent: of the training digits, how many get a wrong label.
        augment: whether to train on the recipe `default`'s augmentation; False trains on none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Literal["fast", "default"] = "fast"
    base_channels: Annotated[int, Field(ge=1, le=MAX_CHANNELS)] = 32
    activation: Annotated[str, Field(max_length=20)] = "gelu"
    lr: Annotated[float, Field(allow_inf_nan=False)] = 0.2
    digits: Annotated[int, Field(ge=MIN_DIGITS, le=MAX_DIGITS)] = MAX_DIGITS
    noise_percent: Annotated[float, Field(ge=0, le=MAX_NOISE_PERCENT)] = 0
    augment: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class TrainRequest(BaseModel):
    """One or two runs to train at the same time.

    Attributes:
        paused: whether to stop before the first step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: Annotated[list[RunOptions], Field(min_length=1, max_length=MAX_RUNS)]
    paused: bool = False
    speed: Speed = "normal"


def checked(request: object) -> TrainRequest:
    """Return the request, or raise UserError: value-invalid, in one sentence."""
    try:
        return TrainRequest.model_validate(request)
    except ValidationError as error:
        first = error.errors()[0]
        name = next((str(part) for part in reversed(first["loc"]) if isinstance(part, str)), "runs")
        found = repr(first["input"])
        found = found if len(found) <= 40 else f"{found[:37]}..."
        expected = first["msg"].removeprefix("Input should be ")
        if expected.startswith(("greater", "less")):
            expected = f"a value {expected}"
        raise refusal("value-invalid", found, name=name, expected=expected) from None

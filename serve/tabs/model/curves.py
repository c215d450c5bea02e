"""Training curves as Gradio line plots: loss and accuracy over the epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import gradio as gr
import pandas as pd

from serve.strings import model as say

Points = Sequence[Sequence[float]]  # (epoch, value)

SPLITS = {"train": say.TRAIN, "val": say.VALIDATION}
# Readable on light and on dark; blue and orange are values.
COLORS = {say.TRAIN: "#7D838E", say.VALIDATION: "#1F9D78"}
METRICS = {"loss": (say.LOSS, 1), "accuracy": (say.ACCURACY, 100)}  # title, factor


def plots() -> list[gr.LinePlot]:
    """Add an empty plot per metric to the open Gradio context."""
    return [
        gr.LinePlot(
            x=say.EPOCH,
            y=title,
            color=say.SPLIT,
            color_map=COLORS,
            title=title,
            height=280,
            min_width=300,
            buttons=[],
            visible=False,
        )
        for title, _ in METRICS.values()
    ]


def tables(curves: Mapping[str, Points]) -> list[pd.DataFrame]:
    """Return the data of `plots`: one row per finite value, with its epoch and its split.

    Args:
        curves: train_loss, val_loss (nats), train_accuracy, val_accuracy (0 to 1) -> points.
    """
    return [
        pd.DataFrame(
            [
                (epoch, factor * value, name)
                for split, name in SPLITS.items()
                for epoch, value in curves.get(f"{split}_{metric}", ())
                if math.isfinite(value)
            ],
            columns=[say.EPOCH, title, say.SPLIT],
        )
        for metric, (title, factor) in METRICS.items()
    ]

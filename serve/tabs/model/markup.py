"""HTML of the Model tab: a version's facts, its architecture, its card."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path

from serve.backends.onnx_backend import Predictor
from serve.strings import model as say
from serve.tabs import templates

html = templates.macros(Path(__file__).with_name("markup.html"), say)
# In the ONNX file for programs, or part of the title.
HIDDEN = {"task", "labels", "facts", "outputs", "torch_model", "normalisation"}
ACCURACIES = ("test_accuracy", "val_accuracy")  # in large type, the first one largest


def facts(predictor: Predictor) -> str:
    """Return a version's accuracies in large type, and all its other metadata as a table."""
    size = say.BYTES.format(count=len(predictor.graph)) if predictor.graph else say.TORCH_PROGRAM
    values = {**predictor.metadata, "title": predictor.title, "key": predictor.key, "size": size}
    for name in ACCURACIES:
        if name in values:
            values[name] = f"{float(values[name]):.2%}"
    others = sorted(values.keys() - say.ROWS - HIDDEN)
    titles = say.ROWS | {name: name.replace("_", " ").capitalize() for name in others}
    pairs = {name: (titles[name], values[name]) for name in titles if values.get(name)}
    figures = [pairs.pop(name) for name in ACCURACIES if name in pairs]
    return html("facts", figures, list(pairs.values()))


def sanitize(card: str) -> str:
    """Return Markdown without pictures and HTML."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", re.sub(r"!+\[", "[", card))


def architecture(pictures: Mapping[str, bytes]) -> str:
    """Return the SVG of the network on a light and on a dark background."""
    encoded = [(name, base64.b64encode(svg).decode()) for name, svg in pictures.items()]
    return html("architecture", encoded)


def link(title: str, url: str) -> str:
    """Return a paragraph with the address at which Netron shows a graph."""
    before, after = say.NETRON_AT.format(title=title, link="\0").split("\0")
    return html("link", before, url, after)

"""The network under the pen: the component that shows what each layer computes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from string import Template

import gradio as gr
import numpy as np

from experiments.core.errors import UserError
from serve.backends.onnx_backend import Predictor
from serve.models.store import ModelStore
from serve.refusals import refusal
from serve.strings import network as texts
from serve.tabs.digit import markup, views
from serve.tabs.digit.activations import ActivationModel, activation_model
from serve.tabs.digit.circuit import CIRCUITS
from serve.tabs.digit.inference import Prediction
from serve.tabs.digit.network import payload
from serve.tabs.digit.network.blocks import SIDE
from serve.tabs.digit.network.payload import Json
from serve.tabs.digit.views import TASK, graph_of

FOLDER = Path(__file__).parent
# In this order.
SCRIPTS = ("values", "layout", "stage", "arithmetic", "walk", "network", "network_link")
EXACT = ("fp32", None)  # precisions whose sums the page can repeat


def build(store: ModelStore) -> gr.HTML:
    """Add the component to the open Gradio context; its value is that of `value`."""
    template = Template((FOLDER / "network.html").read_text("utf-8"))
    scripts = [FOLDER.parents[1] / "dom.js", *(FOLDER / f"{name}.js" for name in SCRIPTS)]
    return gr.HTML(
        value(store.defaults.get(TASK, ""), None),
        html_template=template.substitute({f"t_{key}": t for key, t in texts.FRAME.items()}),
        css_template=(FOLDER / "network.css").read_text("utf-8"),
        js_on_load="\n".join(path.read_text("utf-8") for path in scripts),
        server_functions=functions(store),
        words=texts.WORDS,
        walk=texts.FRAME["walk"],
        next=texts.FRAME["next"],
        apply_default_css=False,
        elem_id="digit-network",
    )


def value(key: str, prediction: Prediction | None) -> str:
    """Return what the network computes for the digit that the page shows, as JSON.

    Without a prediction, or for a network that cannot be drawn, it is the model's key alone.
    """
    result: Json = {"model": key}
    if prediction is None or not prediction.predictor.graph or _is_circuit(prediction.predictor):
        return json.dumps(result)
    model = activation_model(prediction.predictor.graph)
    if not model.blocks:
        return json.dumps(result)
    focus = prediction.focus
    image = prediction.images[focus : focus + 1]
    classes = len(model.blocks[-1].kernel)
    target = int(prediction.outputs["probabilities"][focus].argmax())
    if prediction.refused[focus] and classes > len(prediction.predictor.labels):
        target = classes - 1  # no digit
    return json.dumps({**result, **payload.values(model, image, target)})


def functions(store: ModelStore) -> list[Callable[..., Json]]:
    """Return what the page's script calls; each returns a sentence in `error` if it fails."""

    def describe(key: str) -> Json:
        """Return the layers and kernels of a model, once a page."""
        return _or_error(lambda: _described(store.load(key, TASK)))

    def paths(request: dict[str, object]) -> Json:
        """Return the strongest paths to a class for an image that the page has."""
        return _or_error(lambda: _paths(store, request))

    def exciting(request: dict[str, object]) -> Json:
        """Return the test digits that excite a hidden unit most."""
        return _or_error(lambda: _exciting(store, request))

    return [describe, paths, exciting]


def _or_error(answer: Callable[[], Json]) -> Json:
    try:
        return answer()
    except UserError as error:
        return {"error": str(error), "code": error.code}


def _is_circuit(predictor: Predictor) -> bool:
    """Return whether the model is a circuit of gates, which another component shows."""
    return predictor.task == CIRCUITS


def _described(predictor: Predictor) -> Json:
    if _is_circuit(predictor):
        return {"hidden": True}
    model = activation_model(graph_of(predictor))
    described = payload.describe(model, predictor.labels, predictor.title)
    precision = predictor.metadata.get("precision")
    note = "" if precision in EXACT else texts.ROUNDED.format(precision=precision)
    return {**described, "note": note}


def _paths(store: ModelStore, request: dict[str, object]) -> Json:
    model = _model(store, request)
    target = _index(request, "target", len(model.blocks[-1].kernel))
    try:
        pixels = base64.b64decode(str(request.get("image")), validate=True)
        image = np.frombuffer(pixels, np.uint8).reshape(1, SIDE, SIDE)
    except ValueError as error:
        expected = f"{SIDE**2} bytes in base64"
        raise refusal("value-invalid", "others", name="image", expected=expected) from error
    return payload.lit(model, image, target)


def _exciting(store: ModelStore, request: dict[str, object]) -> Json:
    unit = _index(request, "unit", _model(store, request).blocks[-1].kernel.shape[1])
    index = views.index_of(graph_of(store.load(str(request["model"]), TASK)))
    done = index.build()
    if done < 1:
        return {"progress": texts.PROGRESS.format(done=done)}
    digits = index.exciting(unit)
    if not digits:
        return {"error": texts.SILENT, "code": "unit-silent"}
    return {"digits": [{**vars(each), "image": markup.png(each.image)} for each in digits]}


def _model(store: ModelStore, request: dict[str, object]) -> ActivationModel:
    predictor = store.load(str(request.get("model")), TASK)
    model = activation_model(graph_of(predictor))
    if not model.blocks:
        raise refusal("layers-unreadable", "another graph", model=predictor.title)
    return model


def _index(request: dict[str, object], name: str, count: int) -> int:
    """Return an index below `count` of a request, or raise UserError."""
    index = request.get(name)
    if not isinstance(index, int) or not 0 <= index < count:
        expected = f"a whole number from 0 to {count - 1}"
        raise refusal("value-invalid", repr(index)[:40], name=name, expected=expected)
    return index

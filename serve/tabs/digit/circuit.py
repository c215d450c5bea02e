"""The view Circuit: the gates that read the drawing, from a class's votes back to the pixels.

The browser has the whole circuit, once for each model, and computes all gates from the image.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from string import Template

import gradio as gr
import numpy as np

from experiments.core import cli, files
from experiments.core.errors import UserError
from serve.backends.onnx_backend import Predictor
from serve.models.store import ModelStore
from serve.refusals import refusal
from serve.strings import circuit as texts
from serve.tabs.digit import circuit_graph
from serve.tabs.digit.circuit_graph import Circuit
from serve.tabs.digit.inference import Prediction
from serve.tabs.digit.network.payload import Json
from serve.web.gradio_patches import QUIET

TASK, CIRCUITS = "mnist", "logic"  # of the tab; of the models that are circuits
MAX_GATES = 200_000  # in the browser; the default recipe has 9,950
FOLDER = Path(__file__).parent
PARTS = ("net", "map", "tree")
SCRIPTS = ("../dom.js", *(f"circuit_{part}.js" for part in PARTS), "circuit.js", "circuit_link.js")


def build_circuit(store: ModelStore, model: gr.Dropdown) -> gr.HTML:
    """Add the component to the open Gradio context; its value is that of `contents`.

    Args:
        model: has the key of the model; a button switches it to a circuit, and back.
    """

    def netlist(key: str) -> Json:
        return packed(store, key)

    component = gr.HTML(
        contents(store, store.defaults.get(TASK, ""), None),
        html_template=Template(_text("circuit.html")).substitute(
            {f"t_{name}": text for name, text in texts.FRAME.items()}
        ),
        css_template=_text("circuit.css"),
        js_on_load=_text(*SCRIPTS),
        server_functions=[netlist],
        words=texts.WORDS,
        functions=texts.FUNCTIONS,
        apply_default_css=False,
        elem_id="digit-circuit",
    )

    def switch(value: Mapping[str, str]) -> str:
        key = str(value["wanted"])
        store.load(key, TASK)
        return key

    component.submit(switch, component, model, **QUIET)
    return component


def contents(store: ModelStore, key: str, prediction: Prediction | None) -> Json:
    """Return what the component shows for a prediction, without one for blank paper.

    `key` and `id` name the circuit, and `image` is the network's input as base64 of 784 bytes. A
    network of numbers has none of them. `offer` is a model of the other kind to switch to, and
    `note` why a circuit cannot be shown.
    """
    shown: Json = {"key": key, "id": "", "image": "", "note": "", "offer": None}
    try:
        predictor = store.load(key, TASK)
        shown["offer"] = _offer(store, predictor)
    except UserError:  # the answer shows it
        return shown
    if predictor.task != CIRCUITS:
        return shown
    try:
        _circuit(predictor)
        image = np.zeros((28, 28), np.uint8)
        if prediction is not None:
            image = prediction.images[prediction.focus]
        shown["id"] = files.sha256_bytes(predictor.graph)
        shown["image"] = base64.b64encode(image.tobytes()).decode()
    except UserError as error:
        shown["note"] = str(error)
    return shown


def packed(store: ModelStore, key: str) -> Json:
    """Return the circuit of a model as `Circuit.packed`, or an error's facts and sentence."""
    try:
        predictor = store.load(key, TASK)
        return {**_circuit(predictor).packed(), "id": files.sha256_bytes(predictor.graph)}
    except UserError as error:
        return {"error": str(error), **error.facts()}


def _circuit(predictor: Predictor) -> Circuit:
    """Return the circuit of a model.

    Raises:
        UserError: circuit-missing or circuit-too-large, or graph-missing, it is a torch program.
    """
    if not predictor.graph:
        raise refusal("graph-missing", "a torch program", model=predictor.title)
    circuit = circuit_graph.read(predictor.graph)
    if circuit is None:
        command = cli.HOW_TO_TRAIN.format(task=CIRCUITS)
        raise refusal(
            "circuit-missing", "a network of numbers", model=predictor.title, command=command
        )
    if circuit.gates > MAX_GATES:
        found = f"{circuit.gates:,}"
        raise refusal("circuit-too-large", found, model=predictor.title, limit=f"{MAX_GATES:,}")
    return circuit


def _offer(store: ModelStore, predictor: Predictor) -> Json | None:
    """Return key, short title and kind of a served model of the other kind, if there is one."""
    kind = TASK if predictor.task == CIRCUITS else CIRCUITS
    key = store.defaults.get(kind, predictor.key)
    other = store.load(key, TASK)
    if other.task == predictor.task:
        return None
    return {"key": key, "title": other.title.partition(",")[0], "kind": other.task}


def _text(*names: str) -> str:
    return "\n".join((FOLDER / name).read_text("utf-8") for name in names)

"""The Gate tab: a network to look at, move, edit and train in the page; circuits of gates."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import gradio as gr
import numpy as np

from experiments.core.errors import UserError
from experiments.data import truth_table
from serve.backends.onnx_backend import Predictor
from serve.refusals import refusal
from serve.strings import gate as texts
from serve.tabs.gate import circuits, numpy_training, onnx_weights
from serve.tabs.gate.api import MAX_HIDDEN, MAX_INPUTS, tables, train
from serve.web.gradio_patches import QUIET, Event

if TYPE_CHECKING:
    from serve.models.store import ModelStore

DEFAULT_GATE = "xor"
HIDDEN_DIM = 4  # the defaults
ACTIVATION: numpy_training.Activation = "tanh"
MAX_WEIGHT = 100  # of an edited weight
ONE_INPUT = {"false": "00", "a": "01", "not_a": "10", "true": "11"}
FOLDER = Path(__file__).parent
PARTS = ("_net", "_surface", "_diagram", "_table", "_history", "_draw", "", "_link")
PLAYGROUND = ("../dom.js", *(f"playground{part}.js" for part in PARTS))  # in this order
CIRCUIT = ("../dom.js", "circuits.js", "circuits_link.js")


def build(store: "ModelStore", chosen: gr.Dropdown) -> list[Event]:
    """Add the tab to the open Gradio context; return the events that follow a change of the model.

    Args:
        store: the models; without a gate model, networks can still be trained.
        chosen: has the key of the gate model.
    """

    def show(key: str) -> tuple[dict[str, object], dict[str, object]]:
        return contents(store, key)

    css = _text("playground.css")
    playground = gr.HTML(
        {},
        html_template=_html("playground.html", texts.FRAME),
        css_template=css,
        js_on_load=_text(*PLAYGROUND),
        server_functions=[train],
        words=texts.WORDS,
        catalogue=catalogue(),
        default_gate=DEFAULT_GATE,
        max_inputs=MAX_INPUTS,
        max_weight=MAX_WEIGHT,
        apply_default_css=False,
        elem_id="gate-playground",
    )
    circuit = gr.HTML(
        {},
        html_template=_html("circuits.html", texts.CIRCUIT_FRAME),
        css_template=css,
        js_on_load=_text(*CIRCUIT),
        words=texts.CIRCUIT_WORDS,
        names=texts.CIRCUIT_NAMES,
        apply_default_css=False,
        elem_id="gate-circuits",
    )
    # Without triggers: when the page is opened, and at each change of the choice.
    gr.on(fn=show, inputs=chosen, outputs=[playground, circuit], **QUIET)
    return [(show, [chosen], [playground, circuit])]


def _text(*names: str) -> str:
    return "\n".join((FOLDER / name).read_text() for name in names)


def _html(name: str, words: dict[str, str]) -> str:
    """Return an HTML file of this folder, with texts and limits filled in."""
    limits = {"starts": numpy_training.STARTS, "max_hidden": MAX_HIDDEN}
    limits |= {"hidden_dim": HIDDEN_DIM, "max_weight": MAX_WEIGHT}
    options = "".join(f"<option>{name}</option>" for name in numpy_training.ACTIVATIONS)
    filled = {f"t_{key}": text.format(**limits) for key, text in words.items()}
    return Template(_text(name)).substitute(filled, **limits, activations=options)


def catalogue() -> Sequence[Mapping[str, object]]:
    """Return the gates to choose from, in groups; `bits` are the outputs in counting order."""
    tables = {1: ONE_INPUT, 2: truth_table.TWO_INPUT_GATES}
    for inputs in range(3, MAX_INPUTS + 1):
        families = [name for name in truth_table.FAMILIES if name not in ("xor", "xnor")]
        parsed = [truth_table.parse(f"{name}{inputs}") for name in families]  # parity is xor
        tables[inputs] = {name: bits for each in parsed for name, bits in each.items()}
    groups = []
    for inputs, gates in tables.items():
        members = [{"bits": bits, "label": texts.NAMES.get(g, g)} for g, bits in gates.items()]
        groups.append({"label": texts.GROUPS[inputs], "gates": members})
    return groups


def contents(store: "ModelStore", key: str) -> tuple[dict[str, object], dict[str, object]]:
    """Return the values of the playground and of the circuits for the model with this key.

    If it cannot be drawn, `note` and `code` have the error; everything else still works.
    """
    shown: dict[str, object] = {"title": "", "note": "", "code": "", "gates": {}}
    predictor = None
    try:
        candidate = store.load(key, "gate")
        known = tables(candidate)
        predictor = candidate
        shown["title"] = predictor.title
        networks = onnx_weights.networks(predictor, _graph(store, key, predictor))
        shown["gates"] = {gate: {"bits": bits, **networks[gate]} for gate, bits in known.items()}
    except UserError as error:
        shown |= {"note": str(error), "code": error.code}
    return shown, verified_circuits(predictor)


def _graph(store: "ModelStore", key: str, predictor: Predictor) -> bytes:
    """Return the ONNX file's bytes: the model's own, or those of its export if it runs on torch."""
    if predictor.graph:
        return predictor.graph
    for sibling in store.siblings(key).values():
        if graph := store.load(sibling).graph:
            return graph
    raise refusal("graph-missing", "a torch program", model=predictor.title)


def verified_circuits(predictor: Predictor | None) -> dict[str, object]:
    """Return every circuit with all its rows, and a sentence that names the gates' model."""
    known = predictor.facts["truth_tables"] if predictor else {}
    missing = [g for g in circuits.GATES if known.get(g) != truth_table.TWO_INPUT_GATES[g]]

    def predict(gate: str, x: np.ndarray) -> np.ndarray:
        if predictor is None or gate in missing:
            return numpy_training.forward(_trained_here(gate), x, ACTIVATION)[1][0] > 0
        return predictor(x)["probabilities"][:, predictor.labels.index(gate)] > 0.5

    note = texts.ALL_TRAINED
    if predictor:
        text = texts.SOME_TRAINED if missing else texts.ALL_SERVED
        note = text.format(title=predictor.title, gates=", ".join(missing))
    return {"note": note, "circuits": [circuits.verify(c, predict) for c in circuits.CIRCUITS]}


@lru_cache
def _trained_here(gate: str) -> numpy_training.Bank:
    return numpy_training.best(truth_table.TWO_INPUT_GATES[gate], HIDDEN_DIM, ACTIVATION)

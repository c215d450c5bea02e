"""The Gate tab: a gate's network drawn, dragged, edited and trained in the page; circuits."""

from functools import lru_cache
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from experiments.data import truth_table
from experiments.errors import UserError
from serve.gate import bank as gate_bank
from serve.gate import circuits
from serve.gate import net as gate_net
from serve.gate.calls import MOST_HIDDEN, MOST_INPUTS, tables, train
from serve.predictor import Predictor
from serve.texts import gate as texts
from serve.web.tamed import QUIET, Event

if TYPE_CHECKING:
    from serve.model.shelf import Shelf

FAVOURITE = "xor"
WIDTH, ACTIVATION = 4, "tanh"  # with which the page begins
MOST_WEIGHT = 100  # that can be given by hand
ONE_INPUT = {"false": "00", "a": "01", "not_a": "10", "true": "11"}
FOLDER = Path(__file__).parent
LAB = (  # one after the other
    "dom.js",
    "lab_net.js",
    "lab_surface.js",
    "lab_diagram.js",
    "lab_table.js",
    "lab_course.js",
    "lab_draw.js",
    "lab.js",
)
WIRED = ("dom.js", "circuits.js")


def build(shelf: "Shelf", chosen: gr.Dropdown) -> list[Event]:
    """Put the tab's components into the open Gradio context; return what follows another model.

    Args:
        shelf: the models; without one of gates, networks can still be trained.
        chosen: holds the key of the gate model; each change of it is followed.
    """

    def show(key: str) -> tuple[dict[str, Any], dict[str, Any]]:
        return contents(shelf, key)

    lab = gr.HTML(
        {},
        html_template=_filled("lab.html", texts.FRAME),
        css_template=(FOLDER / "lab.css").read_text(),
        js_on_load=_joined(LAB),
        server_functions=[train],
        words=texts.WORDS,
        catalogue=catalogue(),
        favourite=FAVOURITE,
        most_inputs=MOST_INPUTS,
        most_weight=MOST_WEIGHT,
        apply_default_css=False,
        elem_id="gate-lab",
    )
    wired = gr.HTML(
        {},
        html_template=_filled("circuits.html", texts.CIRCUIT_FRAME),
        css_template=(FOLDER / "lab.css").read_text(),
        js_on_load=_joined(WIRED),
        words=texts.CIRCUIT_WORDS,
        names=texts.CIRCUIT_NAMES,
        apply_default_css=False,
        elem_id="gate-circuits",
    )
    # without triggers: when the page is opened, and at each change of the choice
    gr.on(fn=show, inputs=chosen, outputs=[lab, wired], **QUIET)
    return [(show, [chosen], [lab, wired])]


def _joined(names: tuple[str, ...]) -> str:
    return "\n".join((FOLDER / name).read_text() for name in names)


def _filled(name: str, words: dict[str, str]) -> str:
    """Return an HTML file of this folder with the words and the settings' limits in it."""
    limits = {"starts": gate_net.STARTS, "most_hidden": MOST_HIDDEN, "hidden_now": WIDTH}
    limits["most_weight"] = MOST_WEIGHT
    options = "".join(
        f"<option{' selected' if name == ACTIVATION else ''}>{name}</option>"
        for name in gate_net.ACTIVATIONS
    )
    said = {f"t_{key}": text.format(**limits) for key, text in words.items()}
    titles = {"t_circuits": texts.CIRCUITS, "t_intro": texts.INTRO}
    titles |= {"t_circuits_intro": texts.CIRCUITS_INTRO}
    page = Template((FOLDER / name).read_text())
    return page.substitute(titles, **said, **limits, activations=options)


def catalogue() -> list[dict[str, Any]]:
    """Return the gates to choose from: groups of name, bits (the outputs in counting order)."""
    groups = []
    for inputs in range(1, MOST_INPUTS + 1):
        gates = {1: ONE_INPUT, 2: truth_table.TWO_INPUT_GATES}.get(inputs) or {
            name: bits
            for family in truth_table.FAMILIES
            for name, bits in truth_table.parse(f"{family}{inputs}").items()
            if family not in ("xor", "xnor")  # xor is parity
        }
        members = [
            {"name": name, "bits": bits, "label": texts.NAMES.get(name, name)}
            for name, bits in gates.items()
        ]
        groups.append({"label": texts.GROUPS[inputs], "gates": members})
    return groups


def contents(shelf: "Shelf", key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the lab and the circuits show of the model with this key.

    A model that is missing or cannot be drawn leaves a sentence in `note`; all else still works.
    """
    try:
        predictor = shelf.get(key, "gate")
        known = tables(predictor)
    except UserError as error:
        return {"title": "", "note": str(error), "gates": {}}, wirings(None)
    lab: dict[str, Any] = {"title": predictor.title, "note": "", "gates": {}}
    try:
        nets = gate_bank.networks(predictor, _graph(shelf, key, predictor))
        lab["gates"] = {gate: {"bits": bits, **nets[gate]} for gate, bits in known.items()}
    except UserError as error:
        lab["note"] = str(error)
    return lab, wirings(predictor)


def _graph(shelf: "Shelf", key: str, predictor: Predictor) -> bytes:
    """Return the ONNX file's bytes: the model's own, or those of its sister if it runs on torch.

    Raises:
        UserError: it has no ONNX version at hand.
    """
    if predictor.graph:
        return predictor.graph
    for sibling in shelf.siblings(key).values():
        if graph := shelf.get(sibling).graph:
            return graph
    raise UserError(texts.NO_GRAPH.format(title=predictor.title))


def wirings(predictor: Predictor | None) -> dict[str, Any]:
    """Return every circuit, verified, and a sentence on whose gates they are."""
    labels = predictor.labels if predictor else []
    lacking = [gate for gate in sorted(circuits.GATES) if not _has_pair(predictor, gate)]

    def decide(gate: str, pairs: np.ndarray) -> np.ndarray:
        if predictor is None or gate in lacking:
            return _trained_here(gate, pairs)
        return predictor(pairs)["probabilities"][:, labels.index(gate)] > 0.5

    note = texts.ALL_TRAINED
    if predictor:
        text = texts.SOME_TRAINED if lacking else texts.ALL_SERVED
        note = text.format(title=predictor.title, gates=", ".join(lacking))
    return {"note": note, "circuits": [circuits.verified(c, decide) for c in circuits.CIRCUITS]}


def _has_pair(predictor: Predictor | None, gate: str) -> bool:
    """Return whether the model has this gate, with two inputs."""
    tables = predictor.facts["truth_tables"] if predictor else {}
    return tables.get(gate) == truth_table.TWO_INPUT_GATES[gate]


def _trained_here(gate: str, pairs: np.ndarray) -> np.ndarray:
    """Return what the best start of a gate trained in numpy decides: bool [B]."""
    bank = _best(gate)
    return gate_net.forward(bank, pairs, ACTIVATION)[1][0] > 0


@lru_cache
def _best(gate: str) -> gate_net.Bank:
    return gate_net.best(truth_table.TWO_INPUT_GATES[gate], WIDTH, ACTIVATION)

"""The Gate tab: choose a gate, switch its inputs, see what its network says everywhere."""

from typing import Any

import gradio as gr
import numpy as np

from serve import markup
from serve.predictor import Predictor

FAVOURITE = "xor"
GRID_SIDE, LOW, HIGH = 61, -0.25, 1.25  # of the decision surface, in units of the inputs


def build(predictor: Predictor) -> None:
    """Put the tab's components into the open Gradio context."""
    inputs = len(next(iter(predictor.facts["truth_tables"].values()))).bit_length() - 1
    names = [chr(ord("a") + index) for index in range(inputs)]
    first = FAVOURITE if FAVOURITE in predictor.labels else predictor.labels[0]

    def show(gate: str, *switches: bool) -> tuple[str, str, str]:
        return render(predictor, gate, names, [bool(switch) for switch in switches])

    start = show(first, *[False] * inputs)
    with gr.Row():
        with gr.Column():
            gate = gr.Dropdown(predictor.labels, value=first, label="Gate", elem_id="gate")
            switches = [
                gr.Checkbox(label=f"Input {name}", elem_id=f"switch-{name}") for name in names
            ]
            answer = gr.HTML(start[0], elem_id="gate-answer")
            table = gr.HTML(start[1], elem_id="gate-table")
        with gr.Column():
            surface = gr.HTML(start[2], elem_id="gate-surface")
    for component in (gate, *switches):
        component.change(
            show,
            [gate, *switches],
            [answer, table, surface],
            show_progress="hidden",
            api_visibility="private",
            trigger_mode="always_last",
        )


def render(
    predictor: Predictor, gate: str, names: list[str], switches: list[bool]
) -> tuple[str, str, str]:
    """Return answer, truth table and decision surface of `gate` with these switches, as HTML."""
    column = predictor.labels.index(gate)
    rows = _rows(len(names))
    probabilities = predictor(rows)["probabilities"][:, column]
    present = int("".join("1" if switch else "0" for switch in switches), 2)
    truth = [int(bit) for bit in predictor.facts["truth_tables"][gate]]
    return (
        markup.gate_answer(gate, names, switches, float(probabilities[present])),
        markup.truth_table(gate, names, rows.astype(int), truth, probabilities, present),
        _surface(predictor, column, gate, names, switches, truth),
    )


def _surface(
    predictor: Predictor,
    column: int,
    gate: str,
    names: list[str],
    switches: list[bool],
    truth: list[int],
) -> str:
    """Return the surface over the first two inputs, the others held at their switches."""
    if len(names) < 2:
        return ""
    line = np.linspace(LOW, HIGH, GRID_SIDE, dtype=np.float32)
    points = np.empty((GRID_SIDE, GRID_SIDE, len(names)), np.float32)
    points[..., 0], points[..., 1] = line[None, :], line[::-1, None]  # a to the right, b upwards
    points[..., 2:] = switches[2:]
    flat: dict[str, Any] = predictor(points.reshape(-1, len(names)))
    surface = flat["probabilities"][:, column].reshape(GRID_SIDE, GRID_SIDE)
    rest = "".join("1" if switch else "0" for switch in switches[2:])
    corners = {(a, b): truth[int(f"{a}{b}{rest}", 2)] for a in (0, 1) for b in (0, 1)}
    return markup.surface(gate, names, surface, (LOW, HIGH), corners, switches)


def _rows(inputs: int) -> np.ndarray:
    """Return all rows of the truth table in counting order: float32 [2^n, n]."""
    return (np.arange(2**inputs)[:, None] >> np.arange(inputs)[::-1] & 1).astype(np.float32)

"""The Digit tab: draw or open a digit, see the prediction and views of the network, correct it."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from string import Template

import gradio as gr
from PIL import Image

from experiments.core.errors import UserError
from experiments.evaluation.calibration import NO_DIGIT
from serve.models.store import ModelStore
from serve.refusals import refusal
from serve.strings import digit as texts
from serve.tabs.digit import circuit, feedback, markup, views
from serve.tabs.digit.inference import Prediction, is_too_small, read
from serve.tabs.digit.network import component
from serve.tabs.digit.network.payload import Json
from serve.tabs.digit.preprocess import from_pad
from serve.tabs.digit.views import TASK, View
from serve.tabs.templates import error_message, fill, paragraph
from serve.web.gradio_patches import QUIET, Event
from serve.web.limits import MAX_FILE_BYTES, MEGABYTE

HERE = Path(__file__).parent
PAD_SCRIPTS = ("pad.js", "pad_link.js")
SIDE_PX, PEN_PX = 400, 30  # of the canvas, and a pen as wide on it as MNIST's
DIGITS = list("0123456789")
Pad = Mapping[str, str] | None  # as `from_pad` takes it


def build(
    store: ModelStore, model: gr.Dropdown, corrections: Path | None
) -> tuple[gr.HTML, list[Event]]:
    """Add the tab's components to the open Gradio context.

    Args:
        model: its value is the key of the model.
        corrections: folder to save them in; None offers none.

    Returns:
        The pad, and the events to repeat when another model is open.
    """
    with gr.Row(elem_id="digit-stage"):
        with gr.Column(elem_id="digit-draw"):
            pad = gr.HTML(
                html_template=_pad_template(),
                js_on_load="".join((HERE / name).read_text("utf-8") for name in PAD_SCRIPTS),
                elem_id="pad",
            )
            gr.HTML(f"<h3>{texts.EXAMPLES}</h3>{_examples()}", elem_id="digit-examples")
        with gr.Column(elem_id="digit-read"):
            answer = gr.HTML(
                markup.no_prediction(fill(texts.EMPTY), DIGITS, "empty"), elem_id="digit-answer"
            )
            if corrections is not None:
                _build_feedback(store, model, pad, corrections)
    network = component.build(store)
    gates = circuit.build_circuit(store, model)
    with gr.Column(elem_id="digit-views", elem_classes="card"):
        with gr.Row(elem_id="digit-view-bar"):
            view = gr.Radio(
                _view_choices(store),
                value="input",
                label=texts.VIEW,
                elem_id="digit-view",
                elem_classes="glyphs",
            )
            list_mistakes = gr.Button(
                texts.MISTAKES, size="sm", elem_classes="glyph glyph-mistakes quiet"
            )
        mistakes = gr.HTML(elem_id="digit-mistakes")
        output = gr.HTML(f"<p>{texts.VIEW_EMPTY}</p>", elem_id="digit-view-output")
    view_timer = gr.Timer(1, active=False)  # ticks while the view waits for the neighbour index
    mistakes_timer = gr.Timer(1, active=False)

    def show_answer(value: Pad, key: str) -> tuple[str, str, Json]:
        text, prediction = predict(store, value, key)
        return text, component.value(key, prediction), circuit.contents(store, key, prediction)

    def show_view(value: Pad, key: str, name: str) -> tuple[str, gr.Timer]:
        text, is_waiting = _or_error(lambda: render_view(store, value, key, name))
        return text, gr.Timer(active=is_waiting)

    def show_mistakes(key: str, event: gr.EventData) -> tuple[str, gr.Timer]:
        if event.target is model:  # the mistakes of another model are shown on demand
            return "", gr.Timer(active=False)
        text, is_waiting = _or_error(lambda: views.mistakes(store.load(key, TASK)))
        return text, gr.Timer(active=is_waiting)

    # One gr.on for each output: with trigger_mode="always_last" its calls run one after the other,
    # the last one with the latest values, so that a late answer cannot replace a newer one. The
    # pad has an event for each, because Gradio repeats all calls of an event that was deferred.
    answering: Event = (show_answer, [pad, model], [answer, network, gates])
    viewing: Event = (show_view, [pad, model, view], [output, view_timer])
    gr.on([pad.input, model.change], *answering, **QUIET)
    gr.on([pad.submit, model.change, view.change, view_timer.tick], *viewing, **QUIET)
    gr.on(
        [list_mistakes.click, mistakes_timer.tick, model.change],
        show_mistakes,
        [model],
        [mistakes, mistakes_timer],
        **QUIET,
    )
    return pad, [answering, viewing]


def _or_error(render: Callable[[], View]) -> View:
    """Return the result of `render`, or its error as HTML."""
    try:
        return render()
    except UserError as error:
        return error_message(error), False


def predict(store: ModelStore, value: Pad, key: str) -> tuple[str, Prediction | None]:
    """Return the prediction for the pad's value as HTML and as it is, or why there is none."""
    try:
        predictor = store.load(key, TASK)
        drawing = from_pad(value)
        if not value:
            return markup.no_prediction(fill(texts.EMPTY), predictor.labels, "empty"), None
        if not drawing.any():
            return markup.no_prediction(fill(texts.BLANK), predictor.labels, "blank"), None
        if value.get("kind") == "pen" and is_too_small(drawing):
            text = markup.no_prediction(fill(texts.TOO_SMALL), predictor.labels, "too-small")
            return text, None
        prediction = read(predictor, drawing)
        return markup.prediction(prediction), prediction
    except UserError as error:
        return markup.no_prediction(str(error), DIGITS, error.code), None


def render_view(store: ModelStore, value: Pad, key: str, name: str) -> View:
    """Return a view of the pad's value as HTML, and whether to ask again in a second."""
    drawing = from_pad(value)
    if not drawing.any():
        return f"<p>{texts.VIEW_EMPTY}</p>", False
    return views.VIEWS[name](store, key, drawing)


def _build_feedback(store: ModelStore, model: gr.Dropdown, pad: gr.HTML, corrections: Path) -> None:
    with gr.Accordion(texts.CORRECTION, open=False, elem_id="digit-correction"):
        label = gr.Radio([*DIGITS, NO_DIGIT], label=texts.CORRECT_LABEL, elem_id="digit-label")
        save = gr.Button(texts.SAVE, size="sm", elem_id="digit-save")
    saved = gr.HTML(elem_id="digit-saved")

    def save_correction(value: Pad, key: str, label: str | None) -> tuple[str, None]:
        try:
            text = paragraph(correct(store, corrections, value, key, label))
        except UserError as error:
            text = error_message(error)
        return text, None  # clears the choice, so that it is not saved twice

    save.click(save_correction, [pad, model, label], [saved, label], **QUIET)
    pad.input(None, None, [label, saved], js="() => [null, '']", **QUIET)


def correct(store: ModelStore, corrections: Path, value: Pad, key: str, label: str | None) -> str:
    """Save the correct label of the pad's value; return a message.

    Raises:
        UserError: nothing is drawn or chosen, there are several digits, or it cannot be saved.
    """
    drawing = from_pad(value)
    if label is None or not drawing.any():
        raise refusal("correction-incomplete", "no drawing" if label else "no label")
    prediction = read(store.load(key, TASK), drawing)
    if len(prediction.preds) > 1:
        raise refusal("correction-ambiguous", f"{len(prediction.preds)} digits")
    return feedback.save(corrections, drawing, prediction, label)


def _view_choices(store: ModelStore) -> list[tuple[str, str]]:
    """Return (label, name) of the views; torch is offered on this machine alone."""
    names = dict(texts.VIEWS)
    if not (store.local and find_spec("torch")):
        del names["torch"]
    return [(label, name) for name, label in names.items()]


def _pad_template() -> str:
    megabytes = MAX_FILE_BYTES // MEGABYTE
    words = {name: html.escape(t.format(megabytes=megabytes)) for name, t in texts.PAD.items()}
    template = Template((HERE / "pad.html").read_text("utf-8"))
    return template.substitute(words, side=SIDE_PX, pen_width=PEN_PX, largest=MAX_FILE_BYTES)


def _examples() -> str:
    files = sorted((HERE / "examples").glob("*.png"))
    return markup.examples(
        [(texts.EXAMPLE.format(label=file.stem), Image.open(file)) for file in files]
    )

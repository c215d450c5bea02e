"""The Digit tab: draw or upload a digit, see what the network says and what goes on inside it."""

from __future__ import annotations

import html
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

import gradio as gr
import numpy as np

from experiments.errors import UserError
from serve.digit import ink as inks
from serve.digit import markup
from serve.digit import views as digit_views
from serve.digit.keeping import Keeper
from serve.digit.reading import Reading, read, too_little
from serve.model.shelf import Shelf
from serve.predictor import Predictor
from serve.texts import digit as say
from serve.web.limits import LARGEST_FILE, MEGABYTE
from serve.web.tamed import QUIET, Event

HERE = Path(__file__).parent
SIDE, PEN = 400, 30  # pixels of the paper; of the pen, as wide for it as MNIST's for its digits
TASK = "mnist"
DIGITS = list("0123456789")


def build(shelf: Shelf, chosen: gr.Dropdown, keeper: Keeper | None) -> tuple[gr.HTML, list[Event]]:
    """Put the tab's components into the open Gradio context.

    Returns:
        The pad, and what is to be done once another model is open.

    Args:
        chosen: holds the key of the model.
        keeper: keeps corrections; None keeps none.
    """
    with gr.Row():
        with gr.Column(min_width=320):
            pad = gr.HTML(
                html_template=_template(),
                js_on_load=(HERE / "pad.js").read_text("utf-8"),
                elem_id="pad",
            )
        with gr.Column(min_width=320):
            answer = gr.HTML(markup.nothing(say.NOTHING, DIGITS), elem_id="digit-answer")
            if keeper is not None:
                _corrections(shelf, chosen, pad, keeper)
    view = gr.Radio(_views(shelf), value="seen", label=say.VIEW, elem_id="digit-view")
    inside = gr.HTML(f"<p>{say.VIEW_NOTHING}</p>", elem_id="digit-inside")
    again = gr.Timer(1, active=False)  # while something that the view needs is in the making
    gr.HTML(f"<h3>{say.EXAMPLES}</h3>{markup.examples(_examples())}", elem_id="digit-examples")
    wanted = gr.Button(say.MISTAKES, size="sm")
    mistakes = gr.HTML(elem_id="digit-mistakes")

    def look(value: Any, key: str, which: str) -> tuple[str, Any]:
        text, waiting = told(lambda: _look(shelf, value, key, which))
        return text, gr.Timer(active=waiting)

    def errors(key: str) -> tuple[str, Any]:
        text, waiting = told(lambda: digit_views.mistakes(shelf.get(key, TASK)))
        return text, gr.Timer(active=waiting)

    def answered(value: Any, key: str) -> str:
        try:
            return _answer(shelf.get(key, TASK), value)
        except UserError as error:
            return markup.nothing(html.escape(str(error)), DIGITS)

    watch = gr.Timer(1, active=False)
    answering: Event = (answered, [pad, chosen], [answer])
    looking: Event = (look, [pad, chosen, view], [inside, again])
    for event in (pad.input, chosen.change):
        event(*answering, **QUIET)
    for event in (pad.input, chosen.change, view.change, again.tick):
        event(*looking, **QUIET)
    for event in (wanted.click, watch.tick):
        event(errors, chosen, [mistakes, watch], **QUIET)
    chosen.change(lambda: ("", gr.Timer(active=False)), None, [mistakes, watch], **QUIET)
    return pad, [answering, looking]


def told(view: Callable[[], tuple[str, bool]]) -> tuple[str, bool]:
    """Return what `view` returns, HTML and whether it waits; a mistake is its sentence."""
    try:
        return view()
    except UserError as error:
        return f'<p role="status">{html.escape(str(error))}</p>', False


def _answer(predictor: Predictor, value: Any) -> str:
    ink = inks.from_pad(value)
    if not ink.any():
        return markup.nothing(say.BLANK if value else say.NOTHING, predictor.labels)
    if value.get("kind") == "pen" and too_little(ink):
        return markup.nothing(say.TOO_LITTLE, predictor.labels)
    return markup.reading(read(predictor, ink), predictor.title)


def _look(shelf: Shelf, value: Any, key: str, which: str) -> tuple[str, bool]:
    ink = inks.from_pad(value)
    if not ink.any():
        return f"<p>{say.VIEW_NOTHING}</p>", False
    return digit_views.VIEWS[which](shelf, key, ink)


def _corrections(shelf: Shelf, chosen: gr.Dropdown, pad: gr.HTML, keeper: Keeper) -> None:
    with gr.Group():
        true = gr.Radio([*DIGITS, say.NO_DIGIT], label=say.CORRECT, elem_id="digit-true")
        keep = gr.Button(say.KEEP, size="sm", elem_id="digit-keep")
    kept = gr.HTML(elem_id="digit-kept")

    def correct(value: Any, key: str, truth: str | None) -> tuple[str, None]:
        def keeping() -> tuple[str, bool]:
            ink = inks.from_pad(value)
            if truth is None or not ink.any():
                raise UserError(say.KEEP_WHAT)
            predictor = shelf.get(key, TASK)
            return keeper.keep(ink, _alone(predictor, ink), truth, predictor), False

        return told(keeping)[0], None  # the choice is done with: it is not kept twice

    keep.click(correct, [pad, chosen, true], [kept, true], **QUIET)
    pad.input(None, None, [true, kept], js="() => [null, '']", **QUIET)


def _alone(predictor: Predictor, ink: np.ndarray) -> Reading:
    """Return what is read from ink that holds one digit.

    Raises:
        UserError: it holds several.
    """
    found = read(predictor, ink)
    if len(found.parts) > 1:
        raise UserError(say.KEEP_ONE)
    return found


def _views(shelf: Shelf) -> list[tuple[str, str]]:
    """Return (words, name) of the views; torch is loaded for this machine's own people only."""
    views = {name: words for name, words in say.VIEWS.items() if name != "torch"}
    if shelf.local and find_spec("torch"):
        views["torch"] = say.VIEWS["torch"]
    return [(words, name) for name, words in views.items()]


def _template() -> str:
    megabytes = LARGEST_FILE // MEGABYTE
    words = {name: html.escape(t.format(megabytes=megabytes)) for name, t in say.PAD.items()}
    page = Template((HERE / "pad.html").read_text("utf-8"))
    return page.substitute(words, side=SIDE, pen_width=PEN, largest=LARGEST_FILE)


def _examples() -> list[tuple[str, bytes]]:
    files = sorted((HERE / "examples").glob("*.png"))
    return [(say.EXAMPLE.format(digit=say.a(file.stem)), file.read_bytes()) for file in files]

"""The Learn tab: a digit network that is trained live, in a process of its own."""

from __future__ import annotations

from pathlib import Path
from string import Template

import gradio as gr

from serve.models.store import ModelStore
from serve.strings import layout
from serve.strings import learn as texts
from serve.tabs.learn import options
from serve.web.gradio_patches import QUIET

FOLDER = Path(__file__).parent
PARTS = ("_dom", "_charts", "_pictures", "_runs", "_drawing", "_player", "")  # in this order
# The pad's drawing, for the nets in training: kept until the tab is opened.
SEND_DRAWING = "(value) => { window.learnPad = value; window.learnDrawing?.(value); }"


def build(store: ModelStore, model: gr.Dropdown, pad: gr.HTML) -> None:
    """Add the tab to the open Gradio context.

    Args:
        model: its value is the key of the Digit tab's model.
        pad: the Digit tab's; its value is the drawing.
    """
    learn = gr.HTML(
        html_template=_html(),
        css_template=_text("learn.css"),
        js_on_load=_text(*(f"learn{part}.js" for part in PARTS)),
        words=texts.WORDS | {"digit_tab": layout.DIGIT},
        frame=texts.FRAME,
        experiments=texts.EXPERIMENTS,
        apply_default_css=False,
        elem_id="learn",
    )

    def serve(key: str) -> gr.Dropdown:
        return gr.Dropdown(choices=store.choices("mnist"), value=key)

    learn.submit(serve, learn, model, **QUIET)
    pad.input(None, pad, None, js=SEND_DRAWING, **QUIET)


def _text(*names: str) -> str:
    return "\n".join((FOLDER / name).read_text("utf-8") for name in names)


def _html() -> str:
    """Return learn.html with texts and limits filled in."""
    words = {f"t_{name}": text for name, text in texts.FRAME.items()}
    return Template(_text("learn.html")).substitute(
        words,
        recipes=_options(options.RECIPES),
        activations=_options(options.ACTIVATIONS),
        max_channels=options.MAX_CHANNELS,
        min_digits=options.MIN_DIGITS,
        max_digits=options.MAX_DIGITS,
        max_noise=options.MAX_NOISE_PERCENT,
    )


def _options(names: tuple[str, ...]) -> str:
    return "".join(f"<option>{name}</option>" for name in names)

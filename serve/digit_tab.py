"""The Digit tab: draw or upload a digit, see what the network saw and what it says."""

from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from experiments.errors import UserError
from serve import ink, markup
from serve.predictor import Predictor

SIDE, PEN = 320, 12  # pixels of the canvas on the page; the pen's radius
EXAMPLES = ink.CANVAS.with_name("examples")
NOTHING = np.zeros((1, 1), np.uint8)  # a page without ink


def build(predictor: Predictor) -> None:
    """Put the tab's components into the open Gradio context."""

    def answer(strokes: np.ndarray) -> tuple[str, str]:
        if not strokes.any():
            return markup.bars(predictor.labels, None), markup.picture(None)
        image = ink.to_image(strokes)
        told = predictor(image)
        refused = "score" in told and told["score"][0] < predictor.facts["score_threshold"]
        answered = markup.bars(predictor.labels, told["probabilities"][0], refused=refused)
        return answered, markup.picture(image[0])

    def drawn(drawing: dict[str, Any] | None) -> tuple[str, str]:
        return answer(ink.from_drawing(drawing))

    def uploaded(path: str | None, drawing: dict[str, Any] | None) -> tuple[str, str]:
        if path is None:  # taken away again
            return drawn(drawing)
        try:
            return answer(ink.from_file(Path(path)))
        except UserError as error:
            gr.Warning(str(error))
            return answer(NOTHING)

    with gr.Row():
        with gr.Column():
            pad = gr.Sketchpad(
                label="Draw a digit",
                type="numpy",
                image_mode="RGBA",
                canvas_size=(SIDE, SIDE),
                fixed_canvas=True,
                layers=False,
                brush=gr.Brush(default_size=PEN, colors=["#000000"], color_mode="fixed"),
                eraser=gr.Eraser(default_size=PEN),
                height=SIDE + 110,
                elem_id="pad",
            )
            upload = gr.Image(
                label="Or upload a picture of one",
                type="filepath",
                sources=["upload", "clipboard"],
                height=200,
                elem_id="upload",
            )
            gr.Examples(
                [str(path) for path in sorted(EXAMPLES.glob("*.png"))],
                inputs=upload,
                label="Or take one from MNIST's test set",
                examples_per_page=10,
            )
        with gr.Column():
            bars = gr.HTML(markup.bars(predictor.labels, None), elem_id="digit-answer")
            seen = gr.HTML(markup.picture(None), elem_id="digit-seen")
    # Handed on as a file, unopened: `uploaded` tells what cannot be read, Gradio would raise it.
    upload.preprocess = lambda payload: payload.path if payload else None
    quick: dict[str, Any] = {
        "outputs": [bars, seen],
        "show_progress": "hidden",
        "api_visibility": "private",
        "trigger_mode": "always_last",
    }
    pad.change(drawn, pad, **quick)
    upload.change(uploaded, [upload, pad], **quick)

"""The page's header: the project's name, the served models, and switches of the look."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import gradio as gr

from experiments.core.errors import UserError
from serve.models.store import ModelStore
from serve.state import tools
from serve.strings import layout as texts
from serve.strings.model import TEST_ACCURACY
from serve.tabs import templates
from serve.web.gradio_patches import QUIET

ICONS = {"gate": "gate"}  # task -> icon; other tasks have digits
_html = templates.macros(Path(__file__).with_name("header.html"), texts)


def build(store: ModelStore, dropdowns: Sequence[gr.Dropdown]) -> None:
    """Add the header to the open Gradio context.

    Args:
        dropdowns: of the tasks in the store's order; their values are the models' keys.
    """

    def show(*keys: str | None) -> str:
        return served(store, keys)

    defaults = [store.defaults.get(task) for task in store.tabs]
    with gr.Row(elem_id="header"):
        gr.HTML(_html("brand"), elem_id="header-brand")
        models = gr.HTML(served(store, defaults), elem_id="header-served")
        tools.build(store)
        gr.HTML(_html("switches"), elem_id="header-switches")
    gr.on([each.change for each in dropdowns], show, [*dropdowns], [models], **QUIET)


def served(store: ModelStore, keys: Sequence[str | None]) -> str:
    """Return the title and test accuracy of the models that can be opened, as HTML."""
    models = []
    for task, key in zip(store.tabs, keys, strict=True):
        with suppress(UserError):  # the tab shows the error
            predictor = store.load(key, task) if key else None
            if predictor is None:
                continue
            accuracy = predictor.metadata.get("test_accuracy")
            text = TEST_ACCURACY.format(accuracy=float(accuracy)) if accuracy else ""
            words, _, number = text.rpartition(" ")  # a phone shows the number alone
            models.append((ICONS.get(task, "digit"), predictor.title, number and (words, number)))
    return _html("served", models)

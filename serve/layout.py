"""The page: a tab for digits, one for gates, one for the served models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gradio as gr

from serve.look import header, icons
from serve.models.store import ModelStore
from serve.strings import layout as texts
from serve.strings import model as models
from serve.tabs.digit import tab as digit_tab
from serve.tabs.gate import tab as gate_tab
from serve.tabs.learn import tab as learn_tab
from serve.tabs.model import tab as model_tab
from serve.web import api
from serve.web.gradio_patches import QUIET

HERE = Path(__file__).parent
STYLES = (
    "look/tokens.css",
    "look/controls.css",
    "page.css",
    "tabs/digit/digit.css",
    "tabs/digit/activations.css",
    "tabs/model/model.css",
    "state/tools.css",
)
MAX_UPLOAD_AGE_S = 3600


def build(store: ModelStore, corrections: Path | None = None) -> gr.Blocks:
    """Return the page.

    Args:
        store: the models.
        corrections: folder to save them in; None offers none.
    """
    age = (MAX_UPLOAD_AGE_S, MAX_UPLOAD_AGE_S)
    with gr.Blocks(title=texts.TITLE, delete_cache=age, fill_width=True) as page:
        dropdowns = {task: _dropdown(store, task) for task in store.tabs}
        header.build(store, list(dropdowns.values()))
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap"):
            with gr.Tab(texts.DIGIT, id="mnist"):
                _note(store, "mnist", dropdowns["mnist"])
                pad, digits = digit_tab.build(store, dropdowns["mnist"], corrections)
            with gr.Tab(texts.GATE, id="gate"):
                _note(store, "gate", dropdowns["gate"])
                gates = gate_tab.build(store, dropdowns["gate"])
            with gr.Tab(texts.LEARN, id="learn"):
                learn_tab.build(store, dropdowns["mnist"], pad)
            with gr.Tab(texts.MODEL, id="model") as tab:
                model_tab.build(store, dropdowns, pad, tab, {"mnist": digits, "gate": gates})
        api.build(store)
        for task in store.tabs:
            if task not in store.defaults:  # a model may have been registered since
                page.load(_refresh(store, task), None, dropdowns[task], **QUIET)
    return page


def _refresh(store: ModelStore, task: str) -> Callable[[], gr.Dropdown]:
    return lambda: gr.Dropdown(choices=store.choices(task), value=store.defaults.get(task))


def behaviour() -> str:
    """Return the page's own JavaScript, a function without a closing semicolon."""
    return (HERE / "page.js").read_text("utf-8").rstrip().removesuffix(";")


def looks() -> str:
    """Return the page's CSS."""
    return "\n".join([icons.css(), *((HERE / name).read_text("utf-8") for name in STYLES)])


def _dropdown(store: ModelStore, task: str) -> gr.Dropdown:
    """Return the choice of the task's model; its value is the key, and the Model tab shows it."""
    return gr.Dropdown(
        store.choices(task),
        value=store.defaults.get(task),
        label=texts.SERVED_MODEL,
        allow_custom_value=True,
        render=False,
        elem_id=f"model-{task}",
    )


def _note(store: ModelStore, task: str, dropdown: gr.Dropdown) -> None:
    """Add a note that is visible when the task's model is missing or not the newest."""

    def note(key: str | None) -> gr.Markdown:
        text = str(store.notes.get(task, "" if key else models.NONE_SERVED))
        return gr.Markdown(text, visible=bool(text))

    dropdown.change(note, dropdown, note(store.defaults.get(task)), **QUIET)

"""The page's layout: a tab for digits, one for gates, one for the models behind them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from serve.digit import tab as digit_tab
from serve.digit.keeping import Keeper
from serve.gate import tab as gate_tab
from serve.model import tab as model_tab
from serve.model.shelf import Shelf
from serve.texts import model as models
from serve.texts import page as say
from serve.web import api
from serve.web.tamed import QUIET

HERE = Path(__file__).parent
LOOKS = ("page.css", "digit/inside.css", "model/model.css")  # the Gate tab has its own
HOUR = 3600  # seconds; uploads are deleted when they are older
LABELS = {"mnist": say.DIGIT_MODEL, "gate": say.GATE_MODEL}


def build(shelf: Shelf, keeper: Keeper | None = None) -> gr.Blocks:
    """Return the page.

    Args:
        shelf: the models.
        keeper: keeps corrections; None keeps none.
    """
    with gr.Blocks(title=say.TITLE, delete_cache=(HOUR, HOUR)) as page:
        gr.Markdown(f"# {say.TITLE}\n{say.LEAD}")
        chosen = {task: _choice(shelf, task, label) for task, label in LABELS.items()}
        with gr.Tab(say.DIGIT, id="mnist"):
            _note(shelf, "mnist", chosen["mnist"])
            pad, digits = digit_tab.build(shelf, chosen["mnist"], keeper)
        with gr.Tab(say.GATE, id="gate"):
            _note(shelf, "gate", chosen["gate"])
            gates = gate_tab.build(shelf, chosen["gate"])
        with gr.Tab(say.MODEL, id="model") as tab:
            model_tab.build(shelf, chosen, pad, tab, {"mnist": digits, "gate": gates})
        api.build(shelf)
        for task in LABELS:
            if task not in shelf.first:  # it may have come when somebody opens the page
                page.load(_present(shelf, task), None, chosen[task], **QUIET)
    return page


def _present(shelf: Shelf, task: str) -> Callable[[], Any]:
    return lambda: gr.Dropdown(choices=shelf.choices(task), value=shelf.first.get(task))


def behaviour() -> str:
    """Return the page's own JavaScript, a function without a closing semicolon."""
    return (HERE / "page.js").read_text("utf-8").rstrip().removesuffix(";")


def looks() -> str:
    """Return the page's CSS."""
    return "\n".join((HERE / name).read_text("utf-8") for name in LOOKS)


def _choice(shelf: Shelf, task: str, label: str) -> Any:
    """Return where the key of the task's model is chosen; the Model tab shows it."""
    return gr.Dropdown(
        shelf.choices(task),
        value=shelf.first.get(task),
        label=label,
        allow_custom_value=True,
        render=False,
        elem_id=f"model-{task}",
    )


def _note(shelf: Shelf, task: str, chosen: gr.Dropdown) -> None:
    """Show what there is to say of the task's model, if it is missing or not the newest."""

    def note(key: str | None) -> Any:
        text = shelf.notes.get(task, "" if key else models.NONE_SERVED)
        return gr.Markdown(text, visible=bool(text))

    chosen.change(note, chosen, note(shelf.first.get(task)), **QUIET)

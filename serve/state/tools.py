"""The page's tools: links that carry its state, saved views, lessons."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template

import gradio as gr

from serve.models.store import ModelStore
from serve.state import form, lessons, parts
from serve.strings import lessons as texts

HERE = Path(__file__).parent
DOM = HERE.parent / "tabs" / "dom.js"
SCRIPTS = ("link.js", "page_state.js", "view_picture.js", "tools.js", "lessons.js")


def build(store: ModelStore) -> gr.HTML:
    """Add the tools to the open Gradio context.

    Args:
        store: the models; lessons that need one of another task are not offered.

    Raises:
        UserError: lessons-invalid.
    """
    served = {store.load(key).task for key in store.defaults.values()}
    words = {f"t_{key}": escape(text) for key, text in texts.FRAME.items()}
    scripts = (DOM, *(HERE / name for name in SCRIPTS))
    return gr.HTML(
        {},
        html_template=Template((HERE / "tools.html").read_text("utf-8")).substitute(words),
        js_on_load="\n".join(path.read_text("utf-8") for path in scripts),
        words=texts.WORDS,
        schema=form.State.model_json_schema(),
        limits={
            "prefix": form.PREFIX,
            "max_fragment": form.MAX_FRAGMENT,
            "max_read": form.MAX_READ,
            "max_json": form.MAX_JSON,
        },
        parts=parts.described(),
        lessons=lessons.offered(lessons.load(), served),
        apply_default_css=False,
        elem_id="page-tools",
    )

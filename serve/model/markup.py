"""What the Model tab says of a version as HTML: its facts, its picture, sentences."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

from serve.predictor import Predictor
from serve.texts import model as say


def facts(predictor: Predictor, metadata: Mapping[str, str]) -> str:
    """Return what is served, as a table.

    Args:
        metadata: what the graph says of itself; empty for a torch program.
    """
    size = say.BYTES.format(count=len(predictor.graph)) if predictor.graph else say.TORCH_PROGRAM
    told = {**metadata, "title": predictor.title, "key": predictor.key, "size": size}
    for name in ("val_accuracy", "test_accuracy"):
        told[name] = _share(told.get(name, ""))
    rows = "".join(
        f'<tr><th scope="row">{html.escape(title)}</th><td>{html.escape(str(told[name]))}</td></tr>'
        for name, title in say.ROWS.items()
        if told.get(name)
    )
    return f'<div class="facts" aria-live="polite"><table>{rows}</table></div>'


def _share(text: str) -> str:
    try:
        return f"{float(text):.2%}"
    except ValueError:  # the file does not tell
        return ""


def sentence(text: str) -> str:
    """Return a sentence that stands where something is missing."""
    return f'<p class="said" aria-live="polite">{html.escape(text)}</p>' if text else ""


def harmless(card: str) -> str:
    """Return Markdown that shows no picture and holds no HTML, whatever it was."""
    return re.sub(r"<(?=[a-zA-Z/!?])", "&lt;", re.sub(r"!+\[", "[", card))


def architecture(pictures: Mapping[str, str]) -> str:
    """Return the picture of the network, for light and for dark ground; CSS shows one of both.

    Args:
        pictures: light, dark -> SVG in base64. As images they can run and fetch nothing.
    """
    images = "".join(
        f'<img class="on-{html.escape(ground)}" alt="{html.escape(say.PICTURE_ALT)}" '
        f'src="data:image/svg+xml;base64,{html.escape(raw)}">'
        for ground, raw in pictures.items()
    )
    return (
        f'<div class="architecture" tabindex="0" role="group" '
        f'aria-label="{html.escape(say.PICTURE)}">{images}</div>'
    )


def link(title: str, url: str) -> str:
    """Return where Netron shows a graph."""
    anchor = f'<a href="{html.escape(url)}" target="_blank" rel="noopener">{html.escape(url)}</a>'
    told = html.escape(say.NETRON_AT).format(title=html.escape(title), link=anchor)
    return f'<p aria-live="polite">{told}</p>'

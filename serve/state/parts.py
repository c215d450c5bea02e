"""The parts of the page that a lesson's step can outline, and that can be saved as a picture."""

from typing import NamedTuple

from serve.strings.lessons import PARTS as LABELS


class Part(NamedTuple):
    """Where a part is: the id of its tab, and a CSS selector."""

    tab: str
    selector: str


PARTS = {
    "surface": Part("gate", "#gate-playground .plot"),
    "diagram": Part("gate", "#gate-playground [data-diagram]"),
    "history": Part("gate", "#gate-playground [data-history]"),
    "table": Part("gate", "#gate-playground [data-rows]"),
    "circuit": Part("gate", "#gate-circuits .panel.wide"),
    "pad": Part("mnist", "#pad canvas"),
    "network": Part("mnist", "#digit-network [data-network]"),
    "arithmetic": Part("mnist", "#digit-network [data-detail]"),
    "gates": Part("mnist", "#digit-circuit [data-circuit]"),
    "answer": Part("mnist", "#digit-answer"),
    "view": Part("mnist", "#digit-view-output"),
    "architecture": Part("model", '[id^="model-picture-"] img'),
}


def described() -> dict[str, dict[str, str]]:
    """Return name -> label, tab and selector, for the page's scripts."""
    return {name: {"label": LABELS[name], **part._asdict()} for name, part in PARTS.items()}

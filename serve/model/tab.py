"""The Model tab: what is served, its card, curves and picture; choose, compare, open in Netron."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import gradio as gr

from experiments.errors import UserError
from serve.digit import ink
from serve.digit.reading import read
from serve.model import curves as model_curves
from serve.model import markup as model_markup
from serve.model import versus as model_versus
from serve.model.netrons import Netrons
from serve.model.shelf import FILE, Shelf
from serve.texts import model as say
from serve.web.tamed import QUEUED, QUIET, Event

DRAWN = "mnist"  # the task whose input the pad is


def build(
    shelf: Shelf,
    chosen: Mapping[str, gr.Dropdown],
    pad: gr.components.Component,
    tab: gr.Tab,
    after: Mapping[str, Sequence[Event]] = MappingProxyType({}),
) -> None:
    """Put the tab's components into the open Gradio context.

    Args:
        chosen: task -> what holds the key of its model; made with render=False.
        pad: holds the drawing, as `ink.from_pad` takes it.
        tab: that is built; card, curves and picture are read when it is first looked at.
        after: task -> what else is to be done once another model of it is open.
    """
    netrons = Netrons()
    with gr.Tabs():
        for task, dropdown in chosen.items():
            with gr.Tab(say.TASKS.get(task, task), id=f"model-{task}") as own:
                _Part(shelf, task, dropdown, netrons).build(pad, (tab, own), after.get(task, ()))


def _saying(words: str) -> str:
    """Return JavaScript that shows a sentence without asking the server."""
    return f"() => {json.dumps(model_markup.sentence(words))}"


class _Part:
    """What the tab shows of one task."""

    def __init__(self, shelf: Shelf, task: str, chosen: gr.Dropdown, netrons: Netrons) -> None:
        self.shelf, self.task, self.chosen, self.netrons = shelf, task, chosen, netrons

    def build(
        self, pad: gr.components.Component, tabs: Sequence[gr.Tab], after: Sequence[Event]
    ) -> None:
        first = self.shelf.first.get(self.task)
        served = gr.State(first)  # the last key that could be opened
        with gr.Row(equal_height=False):
            self.chosen.render()
            refresh = gr.Button(say.REFRESH, scale=0, min_width=220)
        said = gr.HTML(elem_id=f"model-said-{self.task}")
        facts = gr.HTML(self._facts(first), elem_id=f"model-facts-{self.task}")
        self._offer_netron()
        compared = [self._compared(pad, tabs)] if self.task == DRAWN else []
        about = self._about()
        outputs = [self.chosen, served, facts, said]
        for event, words, act, inputs in (
            (self.chosen.input, say.OPENING, self._choose, [self.chosen, served]),
            (refresh.click, say.LISTING, self._refresh, [served]),
        ):
            event(None, None, said, js=_saying(words), **QUIET)
            done = event(act, inputs, outputs, **QUIET)
            done.failure(None, None, said, js=_saying(say.NO_REPLY), **QUIET)
            done.then(self._read, self.chosen, about, **QUEUED)
            for more in (*after, *compared):
                done.then(*more, **QUIET)
        for tab in tabs:
            tab.select(self._listed, served, outputs, **QUIET)
            tab.select(self._read, self.chosen, about, **QUEUED)

    def _facts(self, key: str | None) -> str:
        if key is None:
            return model_markup.sentence(say.NONE_SERVED)
        predictor = self.shelf.get(key, self.task)
        return model_markup.facts(predictor, self.shelf.metadata(key))

    def _listed(self, key: str | None) -> tuple[Any, Any, Any, str]:
        """Return the choices as they are known by now, and what the registry lacks.

        Args:
            key: of what is served; None if nothing was when the page was opened.
        """
        lack = model_markup.sentence(self._lack())
        if key is not None:
            return self._choices(key), gr.skip(), gr.skip(), lack
        try:
            return *self._present(self.shelf.first.get(self.task)), lack
        except UserError as error:
            return gr.skip(), gr.skip(), gr.skip(), model_markup.sentence(str(error))

    def _present(self, key: str | None) -> tuple[Any, str | None, str]:
        """Return choices, key and facts of what is served from now on.

        Raises:
            UserError: it cannot be opened.
        """
        return self._choices(key), key, self._facts(key)

    def _lack(self) -> str:
        return self.shelf.problem or self.shelf.notes.get(self.task, "")

    def _choices(self, key: str | None) -> Any:
        return gr.Dropdown(choices=self.shelf.choices(self.task), value=key)

    def _choose(self, key: str, former: str | None) -> tuple[Any, str | None, Any, str]:
        try:
            predictor = self.shelf.choose(key, self.task)
            present = self._present(key)
        except UserError as error:
            return self._choices(former), former, gr.skip(), model_markup.sentence(str(error))
        return *present, model_markup.sentence(say.CHOSEN.format(title=predictor.title))

    def _refresh(self, key: str | None) -> tuple[Any, Any, Any, str]:
        """Read the file that is served and the list of versions anew; take what has come."""
        try:
            if key is not None and key.startswith(FILE):
                self.shelf.choose(key, self.task)
            said = self._relisted()
            present = self._present(key or self.shelf.first.get(self.task))
        except UserError as error:
            return gr.skip(), gr.skip(), gr.skip(), model_markup.sentence(str(error))
        return *present, model_markup.sentence(said)

    def _relisted(self) -> str:
        """Read the list of versions anew; return in words what has come of it."""
        try:
            self.shelf.refresh()
        except UserError as error:  # files are served without a registry, too
            return str(error)
        count = len(self.shelf.versions(self.task))
        return f"{say.REFRESHED.format(count=count)} {self._lack()}".strip()

    def _offer_netron(self) -> None:
        """Offer Netron where its address leads to this machine: on this machine."""
        offered = self.shelf.local and find_spec("netron") is not None
        button = gr.Button(say.NETRON, visible=offered)
        shown = gr.HTML(visible=offered, elem_id=f"model-netron-{self.task}")

        def show(key: str) -> str:
            try:
                if not offered:
                    raise UserError(say.NETRON_NOT_HERE)
                predictor = self.shelf.get(key, self.task)
                return model_markup.link(predictor.title, self.netrons.show(predictor))
            except UserError as error:
                return model_markup.sentence(str(error))

        button.click(show, self.chosen, shown, **QUIET)

    def _about(self) -> list[gr.components.Component]:
        gr.Markdown(f"### {say.CURVES}")
        curves = gr.HTML(model_markup.sentence(say.WAITING), elem_id=f"model-curves-{self.task}")
        gr.Markdown(f"### {say.PICTURE}")
        picture = gr.HTML(elem_id=f"model-picture-{self.task}")
        with gr.Accordion(say.CARD, open=False):
            card = gr.Markdown(elem_id=f"model-card-{self.task}", elem_classes="card")
        return [curves, picture, card]

    def _read(self, key: str) -> tuple[str, str, str]:
        """Return curves, picture and card; a sentence in the place of what is missing."""
        try:
            found = self.shelf.about(key)
        except UserError as error:
            return model_markup.sentence(str(error)), "", ""
        note = say.CURVE_NOTES.get(self.task, "")
        lacks = "".join(model_markup.sentence(problem) for problem in found["problems"])
        curves = model_curves.figure(found["curves"], note) if "curves" in found else ""
        picture = model_markup.architecture(found["pictures"]) if "pictures" in found else ""
        return curves + lacks, picture, model_markup.harmless(found.get("card", ""))

    def _compared(self, pad: gr.components.Component, tabs: Sequence[gr.Tab]) -> Event:
        """Build the comparison; return what brings it up to date."""
        with gr.Accordion(say.COMPARE, open=True):
            other = gr.Dropdown(
                self.shelf.choices(self.task),
                value=None,
                label=say.OTHER,
                allow_custom_value=True,
                elem_id=f"model-other-{self.task}",
            )
            result = gr.HTML(model_markup.sentence(say.NOTHING_CHOSEN), elem_id="model-versus")

        def compare(value: Any, *keys: str) -> str:
            try:
                return self._versus(value, *keys)
            except UserError as error:
                return model_markup.sentence(str(error))

        comparing: Event = (compare, [pad, self.chosen, other], [result])
        other.input(*comparing, **QUIET)
        for tab in tabs:
            tab.select(*comparing, **QUIET)
            tab.select(self._choices, other, other, **QUIET)
        return comparing

    def _versus(self, value: Any, key: str, other: str | None) -> str:
        if not other:
            return model_markup.sentence(say.NOTHING_CHOSEN)
        strokes = ink.from_pad(value)
        if not strokes.any():
            return model_markup.sentence(say.NOTHING_DRAWN)
        pair = [self.shelf.get(each, self.task) for each in (key, other)]
        found = read(pair[0], strokes)
        image = found.images[found.focus : found.focus + 1]
        return model_versus.table(pair, [predictor(image) for predictor in pair])

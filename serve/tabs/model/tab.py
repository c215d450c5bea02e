"""The Model tab: the served version, its card, curves and architecture; a comparison of two."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import gradio as gr

from experiments.core.errors import UserError
from serve.models.model_ref import FILE, ModelRef
from serve.models.registry_query import About
from serve.models.store import ModelStore
from serve.refusals import refusal
from serve.strings import model as say
from serve.tabs.digit import preprocess
from serve.tabs.digit.inference import read
from serve.tabs.digit.tab import Pad
from serve.tabs.model import compare, curves, markup
from serve.tabs.model.netron_server import NetronServer
from serve.tabs.templates import error_message, paragraph
from serve.web.gradio_patches import QUEUED, QUIET, Event

DRAWN = "mnist"  # the task whose input is the drawing
SKIP = gr.skip()  # leaves a component as it is
Update = object  # of a component: a value, `SKIP`, or a component with other properties


def build(
    store: ModelStore,
    chosen: Mapping[str, gr.Dropdown],
    pad: gr.components.Component,
    tab: gr.Tab,
    after: Mapping[str, Sequence[Event]],
) -> None:
    """Add the tab's components to the open Gradio context.

    Args:
        chosen: task -> the dropdown with the key of its model; made with render=False.
        pad: holds the drawing, as `preprocess.from_pad` takes it.
        tab: the tab itself; card, curves and architecture are read when it is selected.
        after: task -> events that follow a change of its model.
    """
    netron = NetronServer()
    with gr.Tabs():
        for task, dropdown in chosen.items():
            with gr.Tab(say.TASKS.get(task, task), id=f"model-{task}") as task_tab:
                panel = _TaskPanel(store, task, dropdown, netron)
                panel.build(pad, (tab, task_tab), after.get(task, ()))


def _show(text: str) -> str:
    """Return JavaScript that shows a text without a request to the server."""
    return f"() => {json.dumps(paragraph(text))}"


class _TaskPanel:
    """The models of one task."""

    def __init__(
        self, store: ModelStore, task: str, chosen: gr.Dropdown, netron: NetronServer
    ) -> None:
        self.store, self.task, self.chosen, self.netron = store, task, chosen, netron

    def build(
        self, pad: gr.components.Component, tabs: Sequence[gr.Tab], after: Sequence[Event]
    ) -> None:
        default = self.store.defaults.get(self.task)
        served = gr.State(default)  # the last key that could be opened
        with gr.Row(elem_classes="model-bar"):
            self.chosen.render()
            refresh = gr.Button(say.REFRESH, elem_classes="glyph glyph-refresh")
            self._build_netron()
        message = gr.HTML(elem_id=f"model-message-{self.task}")
        registry = gr.HTML(elem_id=f"model-registry-{self.task}")
        with gr.Row(elem_classes="model-columns"):
            with gr.Column(elem_classes="card"):
                facts = gr.HTML(self._facts(default), elem_id=f"model-facts-{self.task}")
            with gr.Column():
                if self.task == DRAWN:
                    after = [*after, self._build_comparison(pad, tabs)]
                plots = self._build_curves()
        details = [*plots, *self._build_architecture()]
        outputs = [self.chosen, served, facts, registry]
        for event, text, act, inputs in (
            (self.chosen.input, say.OPENING, self._choose, [self.chosen, served]),
            (refresh.click, say.LISTING, self._refresh, [served]),
        ):
            event(None, None, message, js=_show(text), **QUIET)
            done = event(act, inputs, [*outputs, message], **QUIET)
            done.failure(None, None, message, js=_show(say.NO_REPLY), **QUIET)
            done.then(self._details, self.chosen, details, **QUEUED)
            for more in after:
                done.then(*more, **QUIET)
        self.chosen.change(self._follow, self.chosen, [served, facts], **QUIET)
        for tab in tabs:  # one gr.on for both would fire without end (Gradio 6.31.0)
            tab.select(self._select, served, outputs, **QUIET)
            tab.select(self._details, self.chosen, details, **QUEUED)

    # ---- Which version is served

    def _facts(self, key: str | None) -> str:
        if key is None:
            return paragraph(say.NONE_SERVED)
        return markup.facts(self.store.load(key, self.task))

    def _serve(self, key: str | None) -> tuple[Update, str | None, str]:
        """Return choices, key and facts for a version that is served from now on.

        Raises:
            UserError: it cannot be opened.
        """
        facts = self._facts(key)
        return gr.update(choices=self.store.choices(self.task), value=key), key, facts

    def _registry(self) -> str:
        """Return why the registry or the newest version cannot be read, as HTML."""
        problem = self.store.problem or self.store.notes.get(self.task)
        return error_message(problem) if problem else ""

    def _select(self, key: str | None) -> tuple[Update, ...]:
        """Update the choices when the tab is selected.

        The response may arrive after that of a later action, so it changes neither the chosen
        value nor the action's message.

        Args:
            key: of the served model; None if there was none when the page was opened.
        """
        if key is not None:
            return self._choices(), SKIP, SKIP, self._registry()
        try:
            return *self._serve(self.store.defaults.get(self.task)), self._registry()
        except UserError as error:
            return SKIP, SKIP, SKIP, error_message(error)

    def _choose(self, key: str, former: str | None) -> tuple[Update, ...]:
        """Serve another version, or keep the former one if that cannot be opened."""
        try:
            predictor = self.store.reload(key, self.task)
            message = paragraph(say.CHOSEN.format(title=predictor.title))
            return *self._serve(key), SKIP, message
        except UserError as error:
            choices = gr.update(choices=self.store.choices(self.task), value=former)
            return choices, former, SKIP, SKIP, error_message(error)

    def _follow(self, key: str) -> tuple[Update, Update]:
        """Update served version and facts when another tab, too, may have changed the choice."""
        try:
            return key, self._facts(key)
        except UserError:  # `_choose` shows it and restores the former choice
            return SKIP, SKIP

    def _refresh(self, key: str | None) -> tuple[Update, ...]:
        """Read the served file and the list of versions again."""
        try:
            if key is not None and ModelRef.parse(key).kind == FILE:
                self.store.reload(key, self.task)
            message = self._list()
            served = self._serve(key or self.store.defaults.get(self.task))
        except UserError as error:
            message = error_message(error)
            return SKIP, SKIP, SKIP, self._registry(), message
        return *served, self._registry(), message

    def _list(self) -> str:
        """List the versions again; return the result as HTML."""
        try:
            self.store.refresh()
        except UserError as error:  # files are served without a registry, too
            return error_message(error)
        return paragraph(say.REFRESHED)

    # ---- Netron

    def _build_netron(self) -> None:
        """Offer Netron if the browser is on this machine, as its address requires."""
        available = self.store.local and find_spec("netron") is not None
        button = gr.Button(say.NETRON, visible=available, elem_classes="glyph glyph-netron")
        link = gr.HTML(visible=available, elem_id=f"model-netron-{self.task}")

        def show(key: str) -> str:
            try:
                if not available:
                    raise refusal("netron-remote", "one that others can reach")
                predictor = self.store.load(key, self.task)
                return markup.link(predictor.title, self.netron.show(predictor))
            except UserError as error:
                return error_message(error)

        button.click(show, self.chosen, link, **QUIET)

    # ---- Curves, architecture and card

    def _build_curves(self) -> list[gr.components.Component]:
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h2>{say.CURVES}</h2>")
            with gr.Row(elem_id=f"model-curves-{self.task}"):
                plots = curves.plots()
            note = gr.HTML(paragraph(say.WAITING))
        return [*plots, note]

    def _build_architecture(self) -> list[gr.components.Component]:
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h2>{say.PICTURE}</h2>")
            picture = gr.HTML(elem_id=f"model-picture-{self.task}")
        with gr.Accordion(say.CARD, open=False, elem_classes="card"):
            card = gr.Markdown(elem_id=f"model-card-{self.task}", elem_classes="model-card")
        return [picture, card]

    def _details(self, key: str) -> tuple[Update, ...]:
        """Return the components' values; what is missing is replaced by its error message."""
        try:
            about = self.store.about(key)
        except UserError as error:
            about = About(problems=[error])
        tables = curves.tables(about.curves or {})
        is_line = [table[say.EPOCH].nunique() > 1 for table in tables]  # a line needs two points
        plots = [
            gr.update(value=table, visible=visible)
            for table, visible in zip(tables, is_line, strict=True)
        ]
        note = ""
        if about.curves is not None:
            note = say.CURVE_NOTES.get(self.task, "") if any(is_line) else say.NO_CURVES
        problems = "".join(map(error_message, about.problems))
        picture = markup.architecture(about.pictures) if about.pictures else ""
        return *plots, paragraph(note) + problems, picture, markup.sanitize(about.card or "")

    # ---- Comparison

    def _build_comparison(self, pad: gr.components.Component, tabs: Sequence[gr.Tab]) -> Event:
        """Build the comparison; return the event that updates it."""
        with gr.Column(elem_classes="card"):
            gr.HTML(f"<h2>{say.COMPARE}</h2>")
            other = gr.Dropdown(
                self.store.choices(self.task),
                value=None,
                label=say.OTHER,
                allow_custom_value=True,
                elem_id=f"model-other-{self.task}",
            )
            result = gr.HTML(paragraph(say.NOTHING_CHOSEN), elem_id="model-comparison")
        update: Event = (self._compare, [pad, self.chosen, other], [result])
        other.input(*update, **QUIET)
        for tab in tabs:
            tab.select(*update, **QUIET)
            tab.select(self._choices, None, other, **QUIET)
        return update

    def _choices(self) -> Update:
        return gr.update(choices=self.store.choices(self.task))

    def _compare(self, value: Pad, key: str, other: str | None) -> str:
        """Return the predictions of two versions for the drawing, as HTML."""
        if not other:
            return paragraph(say.NOTHING_CHOSEN)
        try:
            strokes = preprocess.from_pad(value)
            if not strokes.any():
                return paragraph(say.NOTHING_DRAWN)
            pair = [self.store.load(each, self.task) for each in (key, other)]
            drawing = read(pair[0], strokes)
        except UserError as error:
            return error_message(error)
        image = drawing.images[drawing.focus : drawing.focus + 1]
        return compare.table(pair, [predictor(image) for predictor in pair])

"""The Model tab: what is served, its card, curves and picture; choose, compare, open in Netron."""

from __future__ import annotations

import atexit
import json
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gradio as gr

from experiments import hashes
from experiments.errors import UserError
from serve.digit import ink
from serve.digit.reading import read
from serve.model import curves as model_curves
from serve.model import markup as model_markup
from serve.model import versus as model_versus
from serve.model.shelf import FILE, Shelf
from serve.predictor import Predictor
from serve.texts import model as say
from serve.web.tamed import QUIET

DRAWN = "mnist"  # the task whose input the pad is
MOST_NETRONS = 8  # that run at once; the oldest ends for a new one


class Netrons:
    """Netron's servers on this machine, one a graph; all end with the page."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, ExitStack]] = {}
        self._lock = threading.Lock()
        atexit.register(self.close)

    def show(self, predictor: Predictor) -> str:
        """Return the address at which Netron shows the model's graph, as it is served.

        Raises:
            UserError: it has no graph, or Netron does not start.
        """
        if not predictor.graph:
            raise UserError(say.NETRON_NO_GRAPH)
        graph = hashes.of_bytes(predictor.graph)
        with self._lock:
            if graph not in self._open:
                while len(self._open) >= MOST_NETRONS:
                    self._open.pop(next(iter(self._open)))[1].close()
                self._open[graph] = self._start(predictor)
            return self._open[graph][0]

    def _start(self, predictor: Predictor) -> tuple[str, ExitStack]:
        stack = ExitStack()
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder, f"{Path(predictor.title.partition(',')[0]).name}.onnx")
        path.write_bytes(predictor.graph)
        try:
            from export import netron_view

            return stack.enter_context(netron_view.serving(path)), stack
        except (ImportError, OSError) as error:
            stack.close()
            raise UserError(say.NETRON_FAILS.format(why=error)) from error

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            for _, stack in self._open.values():
                stack.close()
            self._open.clear()


def build(
    shelf: Shelf,
    chosen: Mapping[str, gr.Dropdown],
    pad: gr.components.Component,
    tab: gr.Tab | None = None,
) -> None:
    """Put the tab's components into the open Gradio context.

    Args:
        chosen: task -> what holds the key of its model; made with render=False.
        pad: holds the drawing, as `ink.from_pad` takes it.
        tab: that is built; card, curves and picture are read when it is first looked at.
    """
    netrons = Netrons()
    with gr.Tabs():
        for task, dropdown in chosen.items():
            with gr.Tab(say.TASKS.get(task, task), id=f"model-{task}"):
                _Part(shelf, task, dropdown, netrons).build(pad, tab)


class _Part:
    """What the tab shows of one task."""

    def __init__(self, shelf: Shelf, task: str, chosen: gr.Dropdown, netrons: Netrons) -> None:
        self.shelf, self.task, self.chosen, self.netrons = shelf, task, chosen, netrons

    def build(self, pad: gr.components.Component, tab: gr.Tab | None) -> None:
        first = self.shelf.first.get(self.task)
        served = gr.State(first)  # the last key that could be opened
        with gr.Row(equal_height=False):
            self.chosen.render()
            refresh = gr.Button(say.REFRESH, scale=0, min_width=220)
        said = gr.HTML(elem_id=f"model-said-{self.task}")
        facts = gr.HTML(self._facts(first), elem_id=f"model-facts-{self.task}")
        self._offer_netron()
        compared = self._compared(pad, tab) if self.task == DRAWN else None
        about = self._about()
        outputs = [self.chosen, served, facts, said]
        for event, words in ((self.chosen.input, say.OPENING), (refresh.click, say.LISTING)):
            waiting = json.dumps(model_markup.sentence(words))
            event(None, None, said, js=f"() => {waiting}", **QUIET)
        changed = self.chosen.input(self._choose, [self.chosen, served], outputs, **QUIET)
        changed.then(self._read, self.chosen, about, **QUIET)
        if compared is not None:
            changed.then(*compared, **QUIET)
        asked = refresh.click(self._refresh, served, outputs, **QUIET)
        asked.then(self._read, self.chosen, about, **QUIET)
        if tab is not None:
            tab.select(self._listed, self.chosen, [self.chosen, said], **QUIET)
            tab.select(self._read, self.chosen, about, **QUIET)

    def _facts(self, key: str | None) -> str:
        if key is None:
            return model_markup.sentence(say.NONE_SERVED)
        predictor = self.shelf.get(key, self.task)
        return model_markup.facts(predictor, self.shelf.metadata(key))

    def _listed(self, key: str) -> tuple[Any, str]:
        """Return the choices as they are known by now, and what the registry lacks."""
        return self._choices(key), model_markup.sentence(self._lack())

    def _lack(self) -> str:
        return self.shelf.problem or self.shelf.notes.get(self.task, "")

    def _choices(self, key: str | None) -> Any:
        return gr.Dropdown(choices=self.shelf.choices(self.task), value=key)

    def _choose(self, key: str, former: str | None) -> tuple[Any, str | None, Any, str]:
        try:
            predictor = self.shelf.choose(key, self.task)
            facts = self._facts(key)
        except UserError as error:
            return self._choices(former), former, gr.skip(), model_markup.sentence(str(error))
        said = say.CHOSEN.format(title=predictor.title)
        return self._choices(key), key, facts, model_markup.sentence(said)

    def _refresh(self, key: str | None) -> tuple[Any, Any, Any, str]:
        """Read the list of versions anew, and the file that is served; take what has come."""
        try:
            if key is not None and key.startswith(FILE):
                self.shelf.choose(key, self.task)
            self.shelf.refresh()
            key = key or self.shelf.first.get(self.task)
            facts = self._facts(key)
        except UserError as error:
            return gr.skip(), gr.skip(), gr.skip(), model_markup.sentence(str(error))
        count = len(self.shelf.versions(self.task))
        said = f"{say.REFRESHED.format(count=count)} {self._lack()}".strip()
        return self._choices(key), key, facts, model_markup.sentence(said)

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

    def _compared(
        self, pad: gr.components.Component, tab: gr.Tab | None
    ) -> tuple[Callable[..., str], list[gr.components.Component], gr.HTML]:
        """Build the comparison; return the function, inputs and output that bring it up to date."""
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

        how: list[gr.components.Component] = [pad, self.chosen, other]
        other.input(compare, how, result, **QUIET)
        if tab is not None:
            tab.select(compare, how, result, **QUIET)
            tab.select(self._choices, other, other, **QUIET)
        return compare, how, result

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
